//! `assay explain`, as a person uses it: rows in words, and whole files whose contributions add up to the scores.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod workplace;

use serde_json::Value;
use workplace::{Workplace, history, with_column};

/// A model of few trees, and data to explain with a category in it.
fn place() -> Workplace {
    let place = Workplace::new();
    let country =
        |row: &assay_simulator::CreditcardRow| ["DE", "FR", ""][usize::try_from(row.amount_minor.rem_euclid(3)).unwrap()];
    place.write("history.csv", with_column(&history(6_000, 1), "Country", |row| country(row).to_owned()));
    place.run(&["train", "history.csv", "--out", "fraud.model", "--rounds", "30", "--resamples", "10", "--seed", "7"]);
    place
}

#[test]
fn contributions_of_a_whole_file_add_up_to_its_scores() {
    let place = place();
    place.run(&["explain", "fraud.model", "history.csv", "-o", "why.csv", "--keep", "Time"]);
    place.run(&["score", "fraud.model", "history.csv", "-o", "scores.csv"]);
    let (why, scores) = (place.text("why.csv"), place.text("scores.csv"));
    assert!(why.starts_with("Time,probability,expected,Time_contribution,V1_contribution"), "{why:.200}");
    assert_eq!(why.lines().count(), 6_001);
    for (line, score) in why.lines().zip(scores.lines()).skip(1) {
        assert_eq!(line.split(',').nth(1), Some(score), "{line}");
    }
    let model = place.model("fraud.model");
    let calibrated = |margin: f64| model.manifest().calibration.probability(margin);
    for line in why.lines().skip(1).step_by(97) {
        let numbers: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let margin: f64 = numbers[2..].iter().sum();
        assert!((calibrated(margin) - numbers[1]).abs() < 1e-9, "{line}");
    }
}

#[test]
fn the_riskiest_rows_are_told_in_words_and_any_row_as_json() {
    let place = place();
    let told = place.run(&["explain", "fraud.model", "history.csv"]);
    assert_eq!(told.matches("probability of fraud").count(), 5, "{told}");
    assert!(told.contains("of transactions, and raised the risk"), "{told}");
    let json = place.run(&["explain", "fraud.model", "history.csv", "--row", "17,3", "--json", "--top", "2"]);
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["row"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 17]);
    for row in rows {
        let reasons = row["reasons"].as_array().unwrap();
        assert!((1..=4).contains(&reasons.len()), "{row}");
        let impacts: Vec<f64> = reasons.iter().map(|reason| reason["impact"].as_f64().unwrap()).collect();
        let contributions = row["contributions"].as_object().unwrap();
        assert!(reasons.iter().all(|reason| contributions[reason["feature"].as_str().unwrap()] == reason["impact"]));
        assert!(impacts.iter().all(|impact| *impact != 0.0));
    }
}

#[test]
fn a_logistic_model_is_explained_too() {
    let place = place();
    place.run(&["train", "history.csv", "--out", "linear.model", "--learner", "logistic", "--resamples", "10"]);
    assert!(place.run(&["explain", "linear.model", "history.csv", "--row", "1"]).contains("the risk"));
}

#[test]
fn a_row_that_is_not_there_is_named() {
    let place = place();
    let complaint = place.refused(&["explain", "fraud.model", "history.csv", "--row", "6001"]);
    assert!(complaint.contains("there is no row 6001: the data has 6000"), "{complaint}");
}
