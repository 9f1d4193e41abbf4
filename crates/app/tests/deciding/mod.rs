//! What the tests of decisions share: payments, definitions of their features, and models that take them.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses its part of this")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::process::Command;
use std::thread;

use assay_domain::time;
use assay_features::Definition;
use assay_journal::{Entry, JournalError, Reader};
use assay_model::linear::Term;
use assay_model::manifest::{Baseline, GoldenRow, Learner, Threshold, Training};
use assay_model::{Artifact, Calibration, Feature, FeatureKind, Linear, Manifest};
use serde_json::{Value, json};

use crate::support::{LOOK_INTERVAL, LOOKS, Random, Server};

/// A payment.
pub const TABLE: &str = "CREATE TABLE payments (id TEXT PRIMARY KEY, at TIMESTAMP NOT NULL, customer BIGINT NOT NULL, amount DOUBLE NOT NULL, \
    fraud BOOLEAN) WITH (event_time = 'at', label = 'fraud', label_delay = '1 day');";
/// How often was paid, and how often it was fraud.
pub const BY_PAST: &str = "CREATE VIEW features AS SELECT amount, count(*) OVER recent AS payments_30d, \
    avg(CAST(fraud AS INT)) OVER known AS risk FROM payments \
    WINDOW recent AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW), \
    known AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '40 days' PRECEDING AND INTERVAL '1 day' PRECEDING)";

/// A linear model of the features of `sql`.
pub fn model(sql: &str) -> Vec<u8> {
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
pub fn payment(number: u64, random: &mut Random) -> Value {
    let hours = number / 4;
    let at = format!("2026-0{}-{:02}T{:02}:{:02}:00Z", 1 + hours / 24 / 28, 1 + hours / 24 % 28, hours % 24, number % 4 * 15);
    json!({ "id": format!("p{number}"), "at": at, "customer": random.below(7), "amount": (random.unit() * 200.0).round() })
}

/// The decision about a payment.
pub fn decide(server: &Server, payment: &Value) -> Value {
    let reply = server.ask("POST", "/v1/decisions", payment.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Asks until the answer is as wanted.
pub fn until(server: &Server, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..LOOKS {
        let found = server.ask("GET", path, b"").json();
        if wanted(&found) {
            return found;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    panic!("{path}: {}", server.log());
}

/// All entries of the journal in a data folder.
pub fn entries(data: &Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    let keep = |entry: &Entry<&str>| -> Result<(), JournalError> {
        entries.push(entry.to_owned());
        Ok(())
    };
    Reader::open(data).unwrap().replay(0, u64::MAX, keep).unwrap();
    entries
}

/// What the program prints, which must succeed.
pub fn assay(folder: &Path, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_assay")).args(words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A moment as transactions have it.
pub fn moment(at: i64) -> String {
    let mut text = Vec::new();
    time::write(&mut text, at).unwrap();
    String::from_utf8(text).unwrap()
}
