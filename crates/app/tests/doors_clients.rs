//! Programs of others at our doors: Triton's own client, and Schemathesis reading `/openapi.json`.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod desk;
mod oracles;
mod support;
mod workplace;

use assay_model::Artifact;
use desk::{Desk, decide, metric, nth};
use serde_json::{Value, json};
use support::{Random, Server, forest_model, mixed_model, version_of};

/// What a script beside the oracles makes of `server` and of what else it is told.
fn ask(script: &str, server: &Server, mut told: Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("told.json");
    told["address"] = json!(server.address.to_string());
    std::fs::write(&path, told.to_string()).unwrap();
    oracles::ask(script, &[&path])
}

fn bits(numbers: &Value) -> Vec<u64> {
    numbers.as_array().unwrap().iter().map(|value| oracles::number(value).to_bits()).collect()
}

#[test]
fn tritons_client_gets_the_bits_of_predict_in_every_datatype() {
    let (_, file) = forest_model(20, 31, 30);
    let server = Server::start(&file, &[]);
    let mut random = Random(3);
    let mut rows = |limit| (0..50).map(|_| (0..30).map(|_| random.below(limit)).collect::<Vec<_>>()).collect::<Vec<_>>();
    let (rows, ones) = (rows(128), rows(2));
    let expected = bits(&server.predict(json!({ "features": rows }).to_string()).json()["scores"]);
    let expected_of_ones = bits(&server.predict(json!({ "features": ones }).to_string()).json()["scores"]);
    let told = json!({ "model": "model", "version": version_of(&file), "rows": rows, "bits": ones });
    let answer = ask("triton_client.py", &server, told);

    let answers = answer["answers"].as_object().unwrap();
    assert_eq!(answers.len(), 12 * 4);
    for (way, scores) in answers {
        assert_eq!(bits(scores), if way.starts_with("BOOL") { expected_of_ones.clone() } else { expected.clone() }, "{way}");
    }
    for (probe, well) in [("live", true), ("ready", true), ("model_ready", true), ("version_ready", true), ("other_ready", false)]
    {
        assert_eq!(answer[probe], well, "{probe}");
    }
    assert_eq!(answer["server"]["extensions"], json!(["binary_tensor_data"]));
    assert_eq!((&answer["model"]["inputs"][29]["name"], &answer["model"]), (&json!("f29"), &answer["version"]));
    assert_eq!(answer["refusal"]["status"], "400");
    assert!(answer["refusal"]["message"].as_str().unwrap().contains("[rows, 30]"), "{}", answer["refusal"]);
}

#[test]
fn tritons_client_sends_texts_and_missing_numbers() {
    let mut manifest = mixed_model().0.manifest().clone();
    manifest.threshold.probability = 0.3;
    let (model, file) = Artifact::build(manifest, "").unwrap();
    let server = Server::start(&file, &[]);
    let told =
        json!({ "model": "model", "number": "amount", "numbers": [12.5, 250.1], "text": "country", "texts": ["FR", "Ünseen"] });
    let answer = ask("triton_client_texts.py", &server, told);
    // `hour` was not sent.
    let expected = [[12.5, f64::NAN, 1.0], [250.1, f64::NAN, -1.0]].map(|row| model.probability(&row).to_bits());
    for way in answer.as_array().unwrap() {
        assert_eq!(bits(&way["probabilities"]), expected);
        assert_eq!((&way["id"], &way["flagged"]), (&json!("7"), &json!([false, true])));
    }
}

#[test]
fn schemathesis_finds_no_answer_that_the_document_does_not_describe() {
    let file = mixed_model().1;
    let server = Server::start(&file, &[]);
    let answer = ask("read_openapi.py", &server, json!({ "model": "model", "version": version_of(&file) }));
    assert_eq!(answer["failures"], Value::Null, "{}", answer["failures"].as_str().unwrap_or_default());
    assert_eq!(server.predict(r#"{"features":[1,2,"FR"]}"#).status, 200);
    assert!(server.ask("GET", "/metrics", b"").text().contains("assay_failures_total 0"));
}

#[test]
fn schemathesis_finds_no_answer_about_decisions_that_the_document_does_not_describe() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let told = json!({ "model": "fraud", "version": version_of(&desk::MODEL), "paths": "^/v1/(decisions|labels|reviews|policy|governor|lists|transactions|journal|monitor)" });
    let answer = ask("read_openapi.py", &server, told);
    assert_eq!(answer["failures"], Value::Null, "{}", answer["failures"].as_str().unwrap_or_default());
    decide(&server, &nth(1));
    assert!(metric(&server, "assay_decisions_refused_total") > 10, "nothing was tried");
    assert!(server.ask("GET", "/metrics", b"").text().contains("assay_failures_total 0"));
    desk.verified();
}
