//! The seed system's training and our figures, held against scikit-learn itself.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod oracles;
mod workplace;

use std::path::{Path, PathBuf};

use assay_simulator::CreditcardRow;
use assay_trainer::dataset::{Dataset, Roles};
use assay_trainer::table::{ReadOptions, csv as csv_table};
use assay_trainer::{logistic, split};
use oracles::{ask, number};
use serde_json::Value;
use workplace::{Workplace, csv, csv_of, figure, history};

/// Trains as the seed did, on `data`, and finds what scikit-learn finds.
fn trains_as_the_seed(place: &Workplace, data: &Path) -> Value {
    let theirs = ask("seed_training.py", &[data]);
    let words =
        ["--out", "seed.model", "--learner", "logistic", "--split", "random", "--seed", "42", "--resamples", "10", "--json"];
    let said = place.run(&[&["train", data.to_str().unwrap()], &words[..]].concat());
    let evaluation = serde_json::from_str::<Value>(&said).unwrap()["evaluations"][0].clone();
    let model = place.model("seed.model");

    let penalty: f64 = model.manifest().training.settings["C"].parse().unwrap();
    assert_eq!(penalty, number(&theirs["penalty"]));
    let linear = model.manifest().linear.as_ref().unwrap();
    assert_close(linear.intercept, number(&theirs["intercept"]), 1e-6, "intercept");
    for (term, theirs) in linear.terms.iter().zip(numbers(&theirs["coefficients"])) {
        assert_close(term.coefficient, theirs, 1e-6, &model.features()[term.feature].name);
    }
    for (key, theirs) in theirs["figures"].as_object().unwrap() {
        assert_close(figure(&evaluation, key), number(theirs), 1e-8, key);
    }
    assert_same_confusion(&evaluation, &theirs["confusion"]);
    theirs
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// Fails unless two numbers are the same but for a share of their size.
fn assert_close(ours: f64, theirs: f64, share: f64, what: &str) {
    assert!((ours - theirs).abs() <= share * theirs.abs().max(1e-12), "{what}: ours {ours}, theirs {theirs}");
}

fn assert_same_confusion(evaluation: &Value, theirs: &Value) {
    let ours = ["genuine_passed", "genuine_flagged", "frauds_missed", "frauds_flagged"];
    let theirs = [&theirs[0][0], &theirs[0][1], &theirs[1][0], &theirs[1][1]];
    for (key, theirs) in ours.into_iter().zip(theirs) {
        assert_close(number(&evaluation["confusion"][key]), number(theirs), 1e-9, key);
    }
}

#[test]
fn the_seeds_training_finds_what_scikit_learn_finds() {
    let place = Workplace::new();
    let text = csv(&history(5_000, 1));
    place.write("history.csv", &text);
    let theirs = trains_as_the_seed(&place, &place.path("history.csv"));

    let table = csv_table::read(text.as_bytes(), "history.csv", &ReadOptions::default(), &|_| ()).unwrap();
    let data = Dataset::new(table, &Roles::default()).unwrap();
    let train = split::by_chance(data.rows(), 42).train;
    assert_eq!(data.frauds(&train) as f64, number(&theirs["frauds"]), "other rows were held back");
    let sample = data.sample(&train);
    let ours = logistic::search(&data.features, &sample, &logistic::SEED_PENALTIES, logistic::SEED_FOLDS, &|_, _, _| ()).unwrap();
    for ((penalty, ours), theirs) in ours.macro_recall.iter().zip(numbers(&theirs["macro_recalls"])) {
        assert_close(*ours, theirs, 1e-9, &format!("macro recall at C = {penalty}"));
    }
}

/// ULB's table, where the machine has it.
#[test]
fn on_the_published_table_too() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let data = std::env::var_os("ASSAY_SHARED").map_or_else(beside, PathBuf::from).join("data/creditcard.csv.zip");
    if data.is_file() {
        trains_as_the_seed(&Workplace::new(), &data.canonicalize().unwrap());
    } else {
        println!("absent, so not compared on it: {}", data.display());
    }
}

#[test]
fn figures_of_weighted_rows_are_scikit_learns() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    let next = history(5_000, 2);
    let weight = |row: usize| 0.25 + (row % 7) as f64;
    let header: Vec<&str> = CreditcardRow::COLUMNS.into_iter().chain(["Weight"]).collect();
    let line = |(place, row)| [workplace::cells(row), vec![weight(place).to_string()]].concat();
    place.write("next.csv", csv_of(&header, &next.iter().enumerate().map(line).collect::<Vec<_>>()));
    let said = place.run(&["evaluate", "trained.model", "next.csv", "--weight", "Weight", "--resamples", "10", "--json"]);
    let ours = serde_json::from_str::<Value>(&said).unwrap()["evaluations"][0].clone();

    let model = place.model("trained.model");
    let line = |(place, row): (usize, &CreditcardRow)| {
        let probability = model.probability(&workplace::features(row));
        vec![probability.to_string(), u8::from(row.fraud).to_string(), weight(place).to_string()]
    };
    place
        .write("scores.csv", csv_of(&["probability", "label", "weight"], &next.iter().enumerate().map(line).collect::<Vec<_>>()));
    let threshold = model.manifest().threshold.probability.to_string();
    let theirs = ask("metrics.py", &[&place.path("scores.csv"), Path::new(&threshold)]);
    for (key, theirs) in theirs["figures"].as_object().unwrap() {
        assert_close(figure(&ours, key), number(theirs), 1e-9, key);
    }
    assert_same_confusion(&ours, &theirs["confusion"]);
}
