//! Our trees and their scores, held against LightGBM's own Python package.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod oracles;
mod workplace;

use assay_model::Forest;
use assay_model::explain::{ForestExplainer, explain_plainly};
use assay_model::feature::UNSEEN_CATEGORY;
use assay_simulator::CreditcardRow;
use oracles::{ask, number};
use serde_json::{Value, json};
use workplace::{Workplace, features, history, with_column};

const COUNTRIES: [&str; 5] = ["AT", "DE", "FR", "IT", "US"];

/// Frauds come from other countries more often; one in six is unknown.
fn country(row: &CreditcardRow) -> Option<usize> {
    let draw = usize::try_from(row.amount_minor.rem_euclid(6)).unwrap();
    (draw < 5).then_some(if row.fraud { 4 - draw / 2 } else { draw })
}

/// The amount in cents, unknown for one row in nine.
fn limit(row: &CreditcardRow) -> Option<f64> {
    (row.amount_minor % 9 != 0).then_some(row.amount_minor as f64)
}

/// A history with a category and a number, both with missing cells, before the label.
fn table(rows: &[CreditcardRow]) -> String {
    let country = |row: &CreditcardRow| country(row).map_or(String::new(), |place| COUNTRIES[place].to_owned());
    let limit = |row: &CreditcardRow| limit(row).map_or(String::new(), |limit| limit.to_string());
    with_column(rows, "Country,Limit", |row| format!("{},{}", country(row), limit(row)))
}

/// A row of [`table`] as a model takes it.
fn row(row: &CreditcardRow) -> Vec<f64> {
    let more = [country(row).map_or(f64::NAN, |place| place as f64), limit(row).unwrap_or(f64::NAN)];
    [&features(row)[..], &more].concat()
}

fn bytes(numbers: impl IntoIterator<Item = f64>) -> Vec<u8> {
    numbers.into_iter().flat_map(f64::to_le_bytes).collect()
}

/// The text of the trees in a model file.
fn trees(model: &[u8]) -> String {
    let text = std::str::from_utf8(model).unwrap();
    text[text.find("tree\nversion=").expect("trees follow the manifest")..].to_owned()
}

const SETTINGS: [(&str, &str); 7] = [
    ("num_leaves", "15"),
    ("learning_rate", "0.1"),
    ("bagging_fraction", "0.8"),
    ("bagging_freq", "1"),
    ("feature_fraction", "0.7"),
    ("lambda_l2", "5"),
    ("min_data_in_leaf", "10"),
];
const ROUNDS: u8 = 40;

/// Trains on `rows` with [`SETTINGS`]; gives the model's bytes.
fn train(place: &Workplace, rows: &[CreditcardRow]) -> Vec<u8> {
    place.write("history.csv", table(rows));
    let settings: Vec<String> = SETTINGS.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
    let rounds = ROUNDS.to_string();
    let mut words = vec!["train", "history.csv", "--out", "fraud.model", "--resamples", "10", "--rounds", &rounds, "--seed", "7"];
    words.extend(settings.iter().map(String::as_str));
    place.run(&words);
    place.read("fraud.model")
}

/// Rows with categories that training never saw, and every feature missing in turn.
fn awkward_rows(count: u64) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = history(count, 2).iter().map(row).collect();
    for (number, row) in rows.iter_mut().enumerate() {
        match number % 5 {
            0 => row[30] = UNSEEN_CATEGORY,
            1 => row[number % 32] = f64::NAN,
            2 => row[number % 30] = 0.0,
            _ => {}
        }
    }
    rows
}

#[test]
fn lightgbm_opens_our_trees_and_scores_the_same_bits() {
    let place = Workplace::new();
    place.write("trees.txt", trees(&train(&place, &history(6_000, 1))));
    let model = place.model("fraud.model");
    let rows = awkward_rows(10_000);
    place.write("rows.bin", bytes(rows.iter().flatten().copied()));
    let theirs = ask("trees_score.py", &[&place.path("trees.txt"), &place.path("rows.bin")]);
    let theirs: Vec<f64> = theirs["margins"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(theirs.len(), rows.len());
    for (number, (row, theirs)) in rows.iter().zip(theirs).enumerate() {
        let ours = model.margin(row);
        assert_eq!(ours.to_bits(), theirs.to_bits(), "row {number}: ours {ours}, theirs {theirs}");
    }
}

#[test]
fn lightgbm_grows_the_same_trees_from_the_same_rows() {
    let place = Workplace::new();
    let rows = history(6_000, 1);
    let ours = trees(&train(&place, &rows));

    let learnt_from = usize::try_from(place.model("fraud.model").manifest().training.rows).unwrap();
    let labelled = rows[..learnt_from].iter().flat_map(|of| [row(of), vec![f64::from(u8::from(of.fraud))]].concat());
    place.write("rows.bin", bytes(labelled));
    let names: Vec<&str> = CreditcardRow::COLUMNS.into_iter().take(30).chain(["Country", "Limit"]).collect();
    let mut parameters = json!({
        "objective": "binary", "deterministic": true, "force_row_wise": true, "feature_pre_filter": false, "metric": "None",
        "verbosity": -1, "seed": 7, "num_threads": 2,
    });
    for (name, value) in SETTINGS {
        parameters[name] = value.parse::<f64>().map_or(Value::from(value), |number| {
            if number.fract() == 0.0 { Value::from(value.parse::<i64>().unwrap()) } else { Value::from(number) }
        });
    }
    let asked = json!({ "names": names, "categories": ["Country"], "parameters": parameters, "rounds": ROUNDS });
    place.write("asked.json", asked.to_string());
    let theirs = ask("trees_grow.py", &[&place.path("rows.bin"), &place.path("asked.json")]);
    let theirs = theirs["text"].as_str().unwrap().split("\nparameters:").next().unwrap().trim_end().to_owned() + "\n";

    assert_eq!(ours.matches("\nTree=").count(), usize::from(ROUNDS));
    assert!(ours.contains("num_cat=1"), "the category was used");
    let differing = ours.lines().zip(theirs.lines()).find(|(ours, theirs)| ours != theirs);
    assert!(ours == theirs, "the first line that differs: {differing:.300?}");
}

/// Forests that LightGBM grows from the same rows in other ways.
const WAYS: [&str; 4] = [
    r#"{"num_leaves": 31}"#,
    r#"{"num_leaves": 127, "min_data_in_leaf": 2, "sigmoid": 0.7}"#,
    r#"{"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1, "num_leaves": 15}"#,
    r#"{"boosting": "dart", "num_leaves": 8, "zero_as_missing": true}"#,
];

#[test]
fn lightgbm_explains_every_score_the_same() {
    let place = Workplace::new();
    let rows = history(6_000, 1);
    let labelled = rows.iter().flat_map(|of| [row(of), vec![f64::from(u8::from(of.fraud))]].concat());
    place.write("labelled.bin", bytes(labelled));
    let rows = awkward_rows(2_000);
    place.write("rows.bin", bytes(rows.iter().flatten().copied()));
    let names: Vec<&str> = CreditcardRow::COLUMNS.into_iter().take(30).chain(["Country", "Limit"]).collect();
    for way in WAYS {
        let mut parameters: Value = serde_json::from_str(way).unwrap();
        for (name, value) in json!({"objective": "binary", "verbosity": -1, "seed": 7}).as_object().unwrap() {
            parameters[name] = value.clone();
        }
        let asked = json!({ "names": names, "categories": ["Country"], "parameters": parameters, "rounds": ROUNDS });
        place.write("asked.json", asked.to_string());
        let grown = ask("trees_grow.py", &[&place.path("labelled.bin"), &place.path("asked.json")]);
        let text = grown["text"].as_str().unwrap();
        place.write("trees.txt", text);
        ask("trees_explain.py", &[&place.path("trees.txt"), &place.path("rows.bin"), &place.path("contributions.bin")]);
        let theirs: Vec<f64> =
            place.read("contributions.bin").as_chunks().0.iter().map(|&number| f64::from_le_bytes(number)).collect();

        let forest = Forest::from_lightgbm_text(text).unwrap();
        let explainer = ForestExplainer::new(&forest).unwrap();
        // LightGBM explains the sum of leaves, even where a random forest scores their mean; we explain its log-odds.
        let slope = parameters["sigmoid"].as_f64().unwrap_or(1.0) / if way.contains("rf") { ROUNDS.into() } else { 1.0 };
        for (number, (row, theirs)) in rows.iter().zip(theirs.chunks_exact(names.len() + 1)).enumerate() {
            let ours = explainer.explain(row);
            for (ours, theirs) in ours.contributions.iter().chain([&ours.expected]).zip(theirs) {
                assert!((ours - theirs * slope).abs() < 1e-9, "{way}, row {number}: {ours} is not {theirs}");
            }
            if number % 25 == 0 {
                let plain = explain_plainly(&forest, row).unwrap();
                assert!(ours.contributions.iter().zip(&plain.contributions).all(|(ours, plain)| (ours - plain).abs() < 1e-9));
            }
            let sum = ours.expected + ours.contributions.iter().sum::<f64>();
            assert!((sum - forest.margin(row)).abs() < 1e-9, "{way}, row {number}: {sum}");
        }
    }
}
