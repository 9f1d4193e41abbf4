//! A model with another definition takes over while decisions are made: its features know all that happened before, as if it had always been there.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use assay_features::Definition;
use assay_model::linear::Term;
use assay_model::manifest::{Baseline, GoldenRow, Learner, Threshold, Training};
use assay_model::{Artifact, Calibration, Feature, FeatureKind, Linear, Manifest};
use serde_json::{Value, json};
use support::{LOOK_INTERVAL, LOOKS, Random, Server};

const TABLE: &str = "CREATE TABLE payments (id TEXT PRIMARY KEY, at TIMESTAMP NOT NULL, customer BIGINT NOT NULL, amount DOUBLE NOT NULL, \
    fraud BOOLEAN) WITH (event_time = 'at', label = 'fraud', label_delay = '1 day');";
const BY_AMOUNT: &str = "CREATE VIEW features AS SELECT amount, sum(amount) OVER recent AS spent FROM payments \
    WINDOW recent AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '3 days' PRECEDING AND CURRENT ROW)";
const BY_PAST: &str = "CREATE VIEW features AS SELECT amount, count(*) OVER recent AS payments_30d, \
    avg(CAST(fraud AS INT)) OVER known AS risk FROM payments \
    WINDOW recent AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW), \
    known AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '40 days' PRECEDING AND INTERVAL '1 day' PRECEDING)";

/// A linear model of the features of `sql`.
fn model(sql: &str) -> Vec<u8> {
    let definition = Definition::parse(sql, "test").unwrap();
    let names = definition.plan.features.iter().map(|feature| feature.name.clone());
    let features: Vec<Feature> = names.map(|name| Feature { name, kind: FeatureKind::Number, missing_seen: true }).collect();
    let term = |feature| Term { feature, level: None, coefficient: 0.03 / (feature + 1) as f64, when_missing: 0.0 };
    let manifest = Manifest {
        made_by: "assay test".into(),
        learner: Learner::Logistic,
        label: "fraud".into(),
        golden: vec![GoldenRow { row: vec![Some(0.5); features.len()], probability: 0.0 }],
        linear: Some(Linear { intercept: -3.0, terms: (0..features.len()).map(term).collect() }),
        features,
        fingerprint: String::new(),
        training: Training::default(),
        quality: std::collections::BTreeMap::new(),
        calibration: Calibration::None,
        genuine_kept: None,
        threshold: Threshold { probability: 0.5, ..Threshold::default() },
        baseline: Baseline::default(),
        definition: Some(sql.to_owned()),
        imported: None,
    };
    Artifact::build(manifest, "").unwrap().1
}

/// A payment of one of a few customers, some hours after the one before.
fn payment(number: u64, random: &mut Random) -> Value {
    let hours = number / 4;
    let at = format!("2026-0{}-{:02}T{:02}:{:02}:00Z", 1 + hours / 24 / 28, 1 + hours / 24 % 28, hours % 24, number % 4 * 15);
    json!({ "id": format!("p{number}"), "at": at, "customer": random.below(7), "amount": (random.unit() * 200.0).round() })
}

fn decide(server: &Server, payment: &Value) -> Value {
    let reply = server.ask("POST", "/v1/decisions", payment.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn serve(models: &Path, first: &str, data: &Path) -> Server {
    let first = models.join(format!("{first}.model"));
    let server = Server::start_with(&[
        "--models",
        models.to_str().unwrap(),
        "--model",
        first.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
        "--drain-seconds",
        "0",
    ]);
    until(&server, "/ready", |reply| reply["status"] == "ready");
    server
}

fn until(server: &Server, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..LOOKS {
        let found = server.ask("GET", path, b"").json();
        if wanted(&found) {
            return found;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    panic!("{path}: {}", server.log());
}

#[test]
fn a_model_with_another_definition_joins_with_all_of_the_past_and_nothing_is_lost_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    for (name, view) in [("amount", BY_AMOUNT), ("past", BY_PAST)] {
        fs::write(models.join(format!("{name}.model")), model(&format!("{TABLE}{view}"))).unwrap();
    }
    let mut random = Random(7);
    let payments: Vec<Value> = (0..1_500).map(|number| payment(number, &mut random)).collect();

    let mut server = serve(&models, "amount", &folder.path().join("data"));
    let label = |server: &Server, number: usize| {
        let body = json!({ "transaction_id": format!("p{number}"), "label": "fraud", "source": "test" });
        assert_eq!(server.ask("POST", "/v1/labels", body.to_string().as_bytes()).status, 200);
    };
    for (number, payment) in payments[..900].iter().enumerate() {
        assert!(decide(&server, payment)["model_version"].as_str().unwrap().starts_with("amount@"));
        if number % 50 == 0 {
            label(&server, number);
        }
    }
    until(&server, "/v1/models/past", |about| about["state"] == "loaded");
    // Payments go on while the other model catches up.
    let (next, is_over) = (AtomicU64::new(900), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) && next.load(Ordering::Relaxed) < 1_300 {
                let number = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                decide(&server, &payments[number]);
            }
        });
        let reply = server.ask("POST", "/v1/models/past/activate", b"");
        assert!(reply.status == 202 || reply.status == 200, "{}", reply.text());
        until(&server, "/v1/models/past", |about| about["state"] == "active");
        is_over.store(true, Ordering::Relaxed);
    });
    let first = usize::try_from(next.load(Ordering::Relaxed)).unwrap();
    assert!(first < 1_500);
    let after: Vec<Value> = payments[first..].iter().map(|payment| decide(&server, payment)).collect();

    // A server that has had the other model from the beginning says the same, bit for bit.
    let control = serve(&models, "past", &folder.path().join("control"));
    for (number, payment) in payments[..900].iter().enumerate() {
        decide(&control, payment);
        if number % 50 == 0 {
            label(&control, number);
        }
    }
    for payment in &payments[900..first] {
        decide(&control, payment);
    }
    for (payment, after) in payments[first..].iter().zip(after) {
        let expected = decide(&control, payment);
        for field in ["decision_id", "outcome", "probability", "risk_score", "model_version"] {
            assert_eq!(after[field], expected[field], "{field} of {payment}");
        }
    }
    // Back again, at once from the journal, and after a restart it is still so.
    assert_eq!(server.ask("POST", "/v1/models/rollback", b"").status, 202);
    until(&server, "/v1/models/amount", |about| about["state"] == "active");
    let more = payment(1_600, &mut random);
    let decided = decide(&server, &more);
    assert!(decided["model_version"].as_str().unwrap().starts_with("amount@"));
    server.signal("KILL");
    server.wait();
    let again = serve(&models, "amount", &folder.path().join("data"));
    assert_eq!(decide(&again, &more), decided);
}

#[test]
fn a_model_that_cannot_decide_is_refused_while_the_old_one_decides() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    fs::write(models.join("amount.model"), model(&format!("{TABLE}{BY_AMOUNT}"))).unwrap();
    fs::write(models.join("rows.model"), support::seed_model().1).unwrap();
    let server = serve(&models, "amount", &folder.path().join("data"));
    until(&server, "/v1/models/rows", |about| about["state"] == "loaded");
    let reply = server.ask("POST", "/v1/models/rows/activate", b"");
    assert_eq!((reply.status, reply.code().as_str()), (422, "model_without_definition"));
    let decided = decide(&server, &payment(1, &mut Random(1)));
    assert!(decided["model_version"].as_str().unwrap().starts_with("amount@"));
}
