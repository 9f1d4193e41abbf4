//! The demo, on a small history: the main job from nothing to a model, a report and a transaction to try.

mod workplace;

use workplace::Workplace;

#[test]
fn the_demo_leaves_a_model_two_reports_and_a_transaction() {
    let place = Workplace::new();
    let out = place.run(&["demo", "--rows", "30000", "--folder", "demo", "--no-serve"]);
    for file in ["history.csv", "fraud.model", "report/index.html", "next-report/report.json", "fraudtest.json"] {
        assert!(place.path("demo").join(file).is_file(), "{file} is missing:\n{out}");
    }
    let example: serde_json::Value = serde_json::from_slice(&std::fs::read(place.path("demo/fraudtest.json")).unwrap()).unwrap();
    let features: Vec<f64> = serde_json::from_value(example["features"].clone()).unwrap();
    let model = place.model("demo/fraud.model");
    assert!(model.probability(&features) >= model.manifest().threshold.probability, "a fraud to try is one that is flagged");
}
