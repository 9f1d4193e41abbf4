//! Models made by LightGBM, XGBoost and scikit-learn, imported, and held against what those libraries themselves make of 10⁵ rows each.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod oracles;
mod workplace;

use assay_model::{Artifact, FeatureKind};
use oracles::{ask, number};
use serde_json::Value;
use workplace::Workplace;

/// A model that the oracle made, imported, with rows and what the library makes of them.
struct Case {
    name: String,
    model: Artifact,
    rows: Vec<f64>,
    /// A raw score and a probability per row.
    answers: Vec<[f64; 2]>,
}

impl Case {
    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.rows.chunks_exact(self.model.features().len())
    }
}

/// Every case of a library, imported by the command.
fn cases(library: &str) -> Vec<Case> {
    let place = Workplace::new();
    let described = ask("imported.py", &[library.as_ref(), &place.path("")]);
    let cases = described.as_array().unwrap().iter();
    cases
        .map(|case| {
            let name = case["name"].as_str().unwrap().to_owned();
            place.run(&["import-model", &name, "--out", "imported.model"]);
            let model = place.model("imported.model");
            let mut rows = numbers(&place.read(&format!("{name}.rows")));
            rename_categories(&mut rows, &model, &case["features"]);
            let answers = numbers(&place.read(&format!("{name}.answers"))).as_chunks().0.to_vec();
            assert!((answers.len() as f64, 100_000.0) == (number(&case["rows"]), number(&case["rows"])), "{name}");
            let case = Case { name, model, rows, answers };
            assert_eq!(case.rows().count(), case.answers.len(), "{}", case.name);
            case
        })
        .collect()
}

fn numbers(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
}

/// The oracle gives a category as a place among its own texts; a row of ours has the code of that text.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the texts")]
fn rename_categories(rows: &mut [f64], model: &Artifact, described: &Value) {
    let width = model.features().len();
    assert_eq!(described.as_array().unwrap().len(), width);
    for (place, feature) in model.features().iter().enumerate() {
        assert_eq!(described[place][0], feature.name.as_str());
        let texts = described[place][1].as_array();
        assert_eq!(texts.is_some(), matches!(feature.kind, FeatureKind::Category { .. }), "{}", feature.name);
        let Some(texts) = texts else { continue };
        let codes: Vec<f64> = texts.iter().map(|text| feature.code(text.as_str().unwrap()).unwrap()).collect();
        for value in rows.iter_mut().skip(place).step_by(width).filter(|value| !value.is_nan()) {
            *value = codes[*value as usize];
        }
    }
}

/// How many representable numbers apart.
fn ulps(first: f64, second: f64) -> u64 {
    first.to_bits().abs_diff(second.to_bits())
}

#[expect(clippy::cast_possible_truncation, reason = "numbers that are f32")]
fn single_ulps(first: f64, second: f64) -> u32 {
    (first as f32).to_bits().abs_diff((second as f32).to_bits())
}

/// Every raw score has their bits; gives the most that `apart` says of any two probabilities.
fn furthest<Ulps: Ord + Default>(case: &Case, apart: impl Fn(f64, f64) -> Ulps) -> Ulps {
    let mut probabilities = Vec::new();
    case.model.probabilities(&case.rows, &mut probabilities);
    let mut furthest = Ulps::default();
    for (number, (row, &[raw, probability])) in case.rows().zip(&case.answers).enumerate() {
        let ours = case.model.margin(row);
        assert_eq!(ours.to_bits(), raw.to_bits(), "{}, row {number}: ours {ours}, theirs {raw}", case.name);
        assert_eq!(case.model.probability(row).to_bits(), probabilities[number].to_bits(), "{}, row {number}", case.name);
        furthest = furthest.max(apart(probabilities[number], probability));
    }
    furthest
}

#[test]
fn lightgbm_models_score_as_in_lightgbm() {
    for case in cases("lightgbm") {
        let furthest = furthest(&case, ulps);
        println!("{}: probabilities at most {furthest} ulp apart", case.name);
        assert!(furthest <= 1, "{}: probabilities are {furthest} ulp apart", case.name);
    }
}

#[test]
fn xgboost_models_score_as_in_xgboost() {
    for case in cases("xgboost") {
        let furthest = furthest(&case, single_ulps);
        println!("{}: probabilities at most {furthest} ulp apart", case.name);
        assert!(furthest <= 1, "{}: probabilities are {furthest} ulp apart", case.name);
    }
}

#[test]
fn a_logistic_regression_of_scikit_learn_scores_as_there() {
    for case in cases("scikit-learn") {
        for (number, (row, &[raw, probability])) in case.rows().zip(&case.answers).enumerate() {
            let (margin, ours) = (case.model.margin(row), case.model.probability(row));
            assert!((margin - raw).abs() <= 1e-12 * raw.abs().max(1.0), "row {number}: ours {margin}, theirs {raw}");
            assert!((ours - probability).abs() <= 1e-12, "row {number}: ours {ours}, theirs {probability}");
        }
    }
}
