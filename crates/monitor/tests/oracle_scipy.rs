//! Chances and distances against those of `scipy`.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use assay_model::FeatureKind;
use assay_model::reference::{Column, KOLMOGOROV_MEAN_SQUARE, Spread, ks};
use assay_monitor::chance::{f_tail, kolmogorov_tail};
use serde_json::{Value, json};

/// The project's own Python, or the one that `ASSAY_PYTHON` names.
fn python() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/python");
    let python = std::env::var_os("ASSAY_PYTHON").map_or_else(own, PathBuf::from);
    assert!(python.is_file(), "{} is missing: run `scripts/setup test`, or set ASSAY_PYTHON", python.display());
    python
}

fn ask(question: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/tails.py");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle_scipy.json");
    std::fs::write(&file, question.to_string()).unwrap();
    let output = Command::new(python()).arg("-B").arg(&script).arg(&file).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", script.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Two samples, by a rule that has ties and gaps.
fn samples(number: u32) -> [Vec<f64>; 2] {
    let value = |row: u32, shift: u32| f64::from((row * 7_919 + number * 131) % 97 + shift) / 7.0;
    [
        (0..200 + 40 * number).map(|row| value(row, 0)).collect(),
        (0..90 + 11 * number).map(|row| value(row * row, number)).collect(),
    ]
}

#[test]
fn tails_and_distances_are_those_of_scipy() {
    let ratios = [0.01, 0.3, 0.9, 1.0, 1.7, 4.0, 12.0, 60.0];
    let freedoms = [(0.5, 2.0), (1.0, 19.0), (3.3, 60.0), (13.0, 247.0), (50.0, 1e5), (14.0, 1e5)];
    let asked: Vec<(f64, f64, f64)> =
        freedoms.iter().flat_map(|&(freedom, scale)| ratios.map(|ratio| (ratio, freedom, scale))).collect();
    let distances: Vec<f64> = (4..60).map(|step| f64::from(step) / 20.0).collect();
    let mut binned = Vec::new();
    let mut ours = Vec::new();
    for [first, second] in (0..12).map(samples) {
        let column = Column { values: &first, weights: &vec![1.0; first.len()], days: None };
        let spread = Spread::of(&FeatureKind::Number, &column);
        let mut found = vec![0.0; spread.counts.len()];
        for &value in &second {
            found[spread.bins.of(value)] += 1.0;
        }
        ours.push(ks(&spread.counts, &found));
        let bins = |values: &[f64]| values.iter().map(|&value| spread.bins.of(value)).collect::<Vec<_>>();
        binned.push((bins(&first), bins(&second)));
    }
    let answers = ask(&json!({ "f": asked, "kolmogorov": distances, "ks": binned }));
    for ((ratio, freedom, scale), expected) in asked.iter().zip(numbers(&answers["f"])) {
        let tail = f_tail(*ratio, *freedom, *scale);
        // Where the tail is a difference of logarithms of Γ as large as 10⁶, some digits are lost.
        assert!((tail - expected).abs() <= 1e-8 * expected + 1e-300, "F({freedom}, {scale}) > {ratio}: {tail}, {expected}");
    }
    for (distance, expected) in distances.iter().zip(numbers(&answers["kolmogorov"])) {
        let tail = kolmogorov_tail(*distance);
        assert!((tail - expected).abs() <= 1e-9 * expected + 1e-12, "K > {distance}: {tail}, {expected}");
    }
    for (ours, expected) in ours.iter().zip(numbers(&answers["ks"])) {
        assert!((ours - expected).abs() < 1e-12, "{ours}, {expected}");
    }
    assert!((numbers(&answers["average"])[0] / KOLMOGOROV_MEAN_SQUARE - 1.0).abs() < 0.01);
}
