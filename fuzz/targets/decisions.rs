//! Any bytes as a policy, as a change of a list, or as a transaction that is to be decided: refused with a sentence, or taken, and then decisions
//! are made. What is taken and written down is read again as the same. The first byte says which.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use assay::transaction::{Transaction, recorded};
use assay_domain::Value;
use assay_engine::{Engine, Event, ListChange, Model, Policy};
use assay_features::Definition;
use assay_model::linear::Term;
use assay_model::manifest::{Baseline, GoldenRow, Learner, Threshold, Training};
use assay_model::{Artifact, Calibration, Feature, FeatureKind, Linear, Manifest};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

const DEFINITION: &str = "CREATE TABLE payments (id TEXT PRIMARY KEY, at TIMESTAMP NOT NULL, customer BIGINT NOT NULL, amount DOUBLE NOT NULL, \
    city TEXT, email TEXT, abroad BOOLEAN, fraud BOOLEAN) \
    WITH (event_time = 'at', label = 'fraud', label_delay = '1 day', email.personal = 'on'); \
    CREATE VIEW features AS SELECT amount, count(*) OVER recent AS payments_30d FROM payments \
    WINDOW recent AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW)";
/// What stands before: a list of each kind, and a policy that looks at them.
const BEFORE: [&str; 4] = [
    r#"{"change": "create", "list": "customers", "kind": "bigint"}"#,
    r#"{"change": "create", "list": "cities", "kind": "text"}"#,
    r#"{"change": "add", "list": "customers", "entries": [{"value": 7, "source": "desk"}]}"#,
    r#"{"change": "add", "list": "cities", "entries": [{"value": "Ulm", "expires": "2026-09-21T14:13:20.000001Z"}]}"#,
];
const POLICY: &str = r#"{"version": "1", "block": [{"list": "customers", "column": "customer"}], "rules":
    [{"id": "r", "when": "in_list('cities', city) OR amount / (amount - 1) > 2", "outcome": "review"}]}"#;
const PAYMENT: &str = r#"{"id": "p", "at": "2026-09-21T00:00:00Z", "customer": 7, "amount": 12.5, "city": "Ulm", "email": "a@example.com"}"#;
/// When everything arrives, in microseconds since 1970.
const NOW: i64 = 1_790_000_000_000_000;

thread_local!(static ENGINE: Engine = engine());

fuzz_target!(|bytes: &[u8]| {
    let [which, text @ ..] = bytes else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut engine = ENGINE.with(Clone::clone);
    match which % 3 {
        0 => policy(&mut engine, text),
        1 => list(&mut engine, text),
        _ => transaction(&mut engine, text),
    }
});

fn policy(engine: &mut Engine, text: &str) {
    match Policy::parse(text) {
        Err(problem) => is_sentence(&problem.to_string()),
        Ok(policy) => {
            let written = serde_json::to_string(&policy).expect("a policy is JSON");
            assert_eq!(Policy::parse(&written).expect("a policy that was taken is one"), policy);
            match engine.apply(Event::Policy(policy)) {
                Err(problem) => is_sentence(&problem.to_string()),
                Ok(()) => decide(engine, &payment(engine)),
            }
        }
    }
}

fn list(engine: &mut Engine, text: &str) {
    let Ok(change) = serde_json::from_str::<ListChange>(text) else { return };
    match engine.apply(Event::List(change)) {
        Err(problem) => is_sentence(&problem.to_string()),
        Ok(()) => decide(engine, &payment(engine)),
    }
}

fn transaction(engine: &mut Engine, text: &str) {
    let Ok(whole) = serde_json::from_str::<&RawValue>(text) else { return };
    let schema = &engine.features().definition().plan.schema;
    match Transaction::read(whole.get(), schema) {
        Err(problem) => is_sentence(&problem.to_string()),
        Ok(read) => {
            let values = recorded(&read.fields, read.personal.as_deref(), schema);
            assert_eq!(values.as_deref(), Some(&*read.values), "what was written down says something else");
            if read.personal.is_none() {
                assert_eq!(Transaction::read(&read.fields, schema).as_ref(), Ok(&read), "there are two ways to write it");
            }
            decide(engine, &read);
        }
    }
}

fn decide(engine: &mut Engine, transaction: &Transaction) {
    match engine.decide(&transaction.values, transaction.id.clone(), NOW) {
        Err(problem) => is_sentence(&problem.to_string()),
        Ok(decision) => {
            let written = serde_json::to_string(&decision).expect("a decision is JSON");
            let read: assay_domain::Decision = serde_json::from_str(&written).expect("it is read again");
            assert_eq!(serde_json::to_string(&read).expect("a decision is JSON"), written);
        }
    }
}

fn is_sentence(problem: &str) {
    assert!(problem.len() > 10 && problem.len() < 10_000, "{problem}");
}

fn payment(engine: &Engine) -> Transaction {
    Transaction::read(PAYMENT, &engine.features().definition().plan.schema).expect("a payment")
}

/// A model of the definition that goes by the amount, and what stands before.
fn engine() -> Engine {
    let definition = Definition::parse(DEFINITION, "fuzz").expect("a definition");
    let names = definition.plan.features.iter().map(|feature| feature.name.clone());
    let features: Vec<Feature> = names.map(|name| Feature { name, kind: FeatureKind::Number, missing_seen: true }).collect();
    let manifest = Manifest {
        made_by: "fuzz".into(),
        learner: Learner::Logistic,
        label: "fraud".into(),
        golden: vec![GoldenRow { row: vec![Some(0.5); features.len()], probability: 0.0 }],
        linear: Some(Linear {
            intercept: -3.0,
            terms: vec![Term { feature: 0, level: None, coefficient: 0.01, when_missing: 0.0 }],
        }),
        features,
        fingerprint: String::new(),
        training: Training::default(),
        quality: BTreeMap::new(),
        calibration: Calibration::None,
        genuine_kept: None,
        threshold: Threshold { probability: 0.5, ..Threshold::default() },
        baseline: Baseline::default(),
        definition: None,
        imported: None,
    };
    let artifact = Artifact::build(manifest, "").expect("a model").0;
    let model = Model::new("fuzz", Arc::new(artifact), &definition.plan).expect("it fits");
    let mut engine = Engine::new(definition, &model, Policy::approve_all()).expect("an engine");
    for change in BEFORE {
        engine.apply(Event::List(serde_json::from_str(change).expect("a change"))).expect("it fits");
    }
    engine.apply(Event::Policy(Policy::parse(POLICY).expect("a policy"))).expect("it fits");
    let values: Vec<Value> = payment(&engine).values;
    engine.decide(&values, "before", NOW).expect("it is decided");
    engine
}
