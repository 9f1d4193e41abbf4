//! A small definition, a model of it, and transactions.

#![allow(dead_code, clippy::allow_attributes, reason = "each test takes its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_domain::Value;
use assay_domain::time::{DAY, SECOND};
use assay_engine::Model;
use assay_features::Definition;
use assay_model::linear::{Linear, Term};
use assay_model::manifest::{Baseline, GoldenRow, Histogram, Learner, Manifest, Threshold, Training};
use assay_model::{Artifact, Calibration, Feature, FeatureKind};

pub const SQL: &str = "CREATE TABLE payments (
  id TEXT PRIMARY KEY, at TIMESTAMP NOT NULL, customer_id BIGINT, country TEXT, amount DOUBLE NOT NULL, items BIGINT, fraud BOOLEAN
) WITH (event_time = 'at', label = 'fraud', label_delay = '1 day', max_skew = '2 days', max_lateness = '2 days');
CREATE VIEW f AS SELECT
  amount, items, country,
  count(*) OVER (PARTITION BY customer_id ORDER BY at RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) AS payments_1d,
  sum(amount) OVER (PARTITION BY country ORDER BY at RANGE BETWEEN INTERVAL '3 days' PRECEDING AND CURRENT ROW) AS country_sum_3d,
  avg(CAST(fraud AS INT)) OVER (PARTITION BY customer_id ORDER BY at
    RANGE BETWEEN INTERVAL '5 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS customer_risk_5d
FROM payments";

pub fn definition() -> Definition {
    Definition::parse(SQL, "test").unwrap()
}

/// A linear model that cannot score a payment without `items`.
pub fn artifact(calibration: Calibration) -> Arc<Artifact> {
    let number = |name: &str, missing_seen| Feature { name: name.into(), kind: FeatureKind::Number, missing_seen };
    let levels = ["BE", "FR", "US"].map(String::from).into();
    let country = Feature { name: "country".into(), kind: FeatureKind::Category { levels }, missing_seen: true };
    let features = vec![
        number("amount", true),
        number("items", false),
        country,
        number("payments_1d", true),
        number("country_sum_3d", true),
        number("customer_risk_5d", true),
    ];
    let term = |feature, level, coefficient| Term { feature, level, coefficient, when_missing: 0.1 };
    let terms = vec![
        term(0, None, 0.02),
        term(1, None, -0.3),
        term(2, Some(2), 1.5),
        term(3, None, 0.4),
        term(4, None, 0.001),
        term(5, None, 2.0),
    ];
    let spread = Histogram { edges: vec![1.0, 10.0, 100.0], shares: vec![0.4, 0.3, 0.2, 0.1], missing: 0.0 };
    let manifest = Manifest {
        made_by: "test".into(),
        learner: Learner::Logistic,
        label: "fraud".into(),
        baseline: Baseline { features: vec![spread.clone(); features.len()], score: spread, reference: None },
        golden: vec![GoldenRow { row: vec![Some(1.0); features.len()], probability: 0.0 }],
        features,
        fingerprint: String::new(),
        training: Training::default(),
        quality: BTreeMap::new(),
        calibration,
        genuine_kept: None,
        threshold: Threshold::default(),
        linear: Some(Linear { intercept: -2.0, terms }),
        definition: None,
        imported: None,
    };
    Arc::new(Artifact::build(manifest, "").unwrap().0)
}

pub fn model() -> Model {
    let artifact = artifact(Calibration::Platt { slope: 0.9, intercept: -0.1 });
    Model::new("m-1", artifact, &definition().plan).unwrap()
}

/// Noon of 2024-01-01, from where moments are counted.
pub const START: i64 = 19_723 * DAY + DAY / 2;

#[derive(Clone, Debug)]
pub struct Payment {
    pub id: u32,
    pub seconds: i64,
    pub customer: Option<i64>,
    pub country: Option<&'static str>,
    pub amount: f64,
    pub items: Option<i64>,
}

impl Payment {
    pub fn arrived(&self) -> i64 {
        START + self.seconds * SECOND
    }

    pub fn values(&self) -> Vec<Value> {
        vec![
            Value::Text(format!("tx-{}", self.id).into()),
            Value::Timestamp(self.arrived()),
            self.customer.map_or(Value::Null, Value::Integer),
            self.country.map_or(Value::Null, |country| Value::Text(country.into())),
            Value::Double(self.amount),
            self.items.map_or(Value::Null, Value::Integer),
            Value::Null,
        ]
    }
}

pub fn payment(id: u32) -> Payment {
    Payment { id, seconds: i64::from(id) * 600, customer: Some(7), country: Some("BE"), amount: 20.0, items: Some(1) }
}
