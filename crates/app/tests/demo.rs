//! The demo, on a small history: the main job from nothing to a model, a report and a payment to try.

mod workplace;

use workplace::Workplace;

#[test]
fn the_demo_goes_from_payments_to_a_decision_with_reasons_a_label_a_backtest_and_a_proof() {
    let place = Workplace::new();
    let out = place.run(&["demo", "--customers", "200", "--days", "90", "--folder", "demo", "--no-serve"]);
    let files = ["cards.parquet", "cards.sql", "features.parquet", "fraud.model", "report/index.html", "fraudtest.json"];
    for file in files.into_iter().chain(["policy.json", "backtest.html", "payment.json", "data/journal.sqlite", "data/snapshot"])
    {
        assert!(place.path("demo").join(file).is_file(), "{file} is missing:\n{out}");
    }
    for shown in ["\"outcome\":", "\"reasons\":", "\"is_new\": true", "1 decision was made once more and is the same to the bit"]
    {
        assert!(out.contains(shown), "{shown} is not in\n{out}");
    }
    let example: serde_json::Value = serde_json::from_slice(&std::fs::read(place.path("demo/fraudtest.json")).unwrap()).unwrap();
    let features: Vec<Option<f64>> = serde_json::from_value(example["features"].clone()).unwrap();
    let features: Vec<f64> = features.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
    let model = place.model("demo/fraud.model");
    assert!(model.probability(&features) >= model.manifest().threshold.probability, "a fraud to try is one that is flagged");
}
