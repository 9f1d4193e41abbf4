//! How long does a decision take, in process, without disk and reasons? `decide` prints percentiles.
//!
//! The 15 features of the Fraud Detection Handbook over 5,000 customers and 10,000 terminals, a forest of 200 trees with 31 leaves whose thresholds are
//! values that were seen, and a policy with lists, five rules, costs, a control group and a shadow. The past of 600,000 payments is folded first.

#![expect(clippy::unwrap_used, reason = "a measurement that fails may end here")]
#![expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "the numbers of this measurement are small")]

use std::fmt::Write;
use std::sync::Arc;

use assay_benches::{now, percentiles};
use assay_domain::Value;
use assay_domain::time::{DAY, SECOND};
use assay_engine::engine::Event;
use assay_engine::lists::{Entry, ListChange, ListKind, ListValue, Provenance};
use assay_engine::{Engine, Model, Policy};
use assay_features::{Definition, Features};
use assay_model::manifest::{Baseline, GoldenRow, Learner, Manifest, Threshold, Training};
use assay_model::{Artifact, Calibration, Feature, FeatureKind};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const SQL: &str = include_str!("../../../examples/cards/handbook.sql");
const TREES: usize = 200;
const LEAVES: usize = 31;
const PAST: u64 = 600_000;
const MEASURED: u64 = 200_000;
const PER_DAY: u64 = 10_000;

const POLICY: &str = r#"{
  "version": "p-1", "mode": "all_matches",
  "block": [{"list": "stolen", "column": "customer_id"}], "allow": [{"list": "staff", "column": "customer_id"}],
  "rules": [
    {"id": "r1", "when": "customer_id_nb_tx_1day_window > 9 AND tx_amount > 3 * customer_id_avg_amount_30day_window", "outcome": "decline"},
    {"id": "r2", "when": "terminal_id_risk_7day_window > 0.5 AND tx_amount > 50", "outcome": "review"},
    {"id": "r3", "when": "tx_during_night = 1 AND tx_amount > 200 AND probability > 0.3", "outcome": "challenge"},
    {"id": "r4", "when": "in_list('watched', terminal_id) AND risk_score > 500", "outcome": "review"},
    {"id": "r5", "when": "tx_amount BETWEEN 99 AND 100 OR extract(dow FROM tx_datetime) = 7", "outcome": "review"}
  ],
  "costs": {"amount": "tx_amount", "missed_fraud": {"share": 1, "fixed": 15}, "false_decline": {"share": 0.1, "fixed": 2},
            "review": {"cost": 5, "per_day": 200}},
  "control_group": {"share": 0.005, "seed": 1}
}"#;

fn main() {
    let definition = Definition::parse(SQL, "handbook.sql").unwrap();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let payments: Vec<(Vec<Value>, i64)> = (0..PAST + MEASURED).map(|id| payment(id, &mut random)).collect();
    let model = model(&definition, &payments, &mut random);
    let mut engine = Engine::new(definition, &model, Policy::approve_all()).unwrap();
    for (name, every) in [("stolen", 97), ("staff", 89), ("watched", 7)] {
        let entry = |value| Entry { value: ListValue::Integer(value), expires: None, provenance: Provenance::default() };
        let entries = (0..10_000).filter(|value| value % every == 1).map(entry).collect();
        engine.apply(Event::List(ListChange::Create { list: name.into(), kind: ListKind::Bigint })).unwrap();
        engine.apply(Event::List(ListChange::Add { list: name.into(), entries })).unwrap();
    }
    let policy = Policy::parse(POLICY).unwrap();
    engine.apply(Event::ShadowPolicy(Some(Policy { version: "p-2".into(), ..policy.clone() }))).unwrap();
    engine.apply(Event::Policy(policy)).unwrap();
    let (past, measured) = payments.split_at(PAST as usize);
    for (values, arrived) in past {
        engine.decide(values, "", *arrived).unwrap();
    }
    let mut latencies = Vec::with_capacity(measured.len());
    let id: Arc<str> = "decision".into();
    for (values, arrived) in measured {
        let start = now();
        let decision = engine.decide(values, id.clone(), *arrived).unwrap();
        latencies.push(start.elapsed());
        std::hint::black_box(decision);
    }
    println!("{}", percentiles(latencies, 0));
}

fn below(random: &mut Xoshiro256PlusPlus, most: u64) -> u64 {
    random.next_u64() % most
}

fn payment(id: u64, random: &mut Xoshiro256PlusPlus) -> (Vec<Value>, i64) {
    let at = 19_723 * DAY + (id * (DAY as u64) / PER_DAY) as i64 / SECOND * SECOND;
    let amount = (below(random, 10_000) * below(random, 10_000)) as f64 / 250_000.0;
    let fraud = (below(random, 10) < 9).then(|| below(random, 100) == 0);
    let values = vec![
        Value::Integer(id as i64),
        Value::Timestamp(at),
        Value::Integer(below(random, 5_000) as i64),
        Value::Integer(below(random, 10_000) as i64),
        Value::Double(amount.round() / 4.0),
        fraud.map_or(Value::Null, Value::Boolean),
    ];
    (values, at)
}

/// Trees that ask for values that were seen, each leaf as likely to be split as another.
fn model(definition: &Definition, payments: &[(Vec<Value>, i64)], random: &mut Xoshiro256PlusPlus) -> Model {
    let mut features = Features::new(definition.clone());
    let number = |value: &Value| match value {
        Value::Integer(number) => *number as f64,
        Value::Double(number) => *number,
        _ => 0.0,
    };
    let rows: Vec<Vec<f64>> =
        payments[..100_000].iter().map(|(values, _)| features.observe(values).features.iter().map(number).collect()).collect();
    let width = rows[0].len();
    let mut text = format!("tree\nversion=v4\nmax_feature_idx={}\nobjective=binary sigmoid:1\n\n", width - 1);
    for tree in 0..TREES {
        let (mut left, mut right) = (vec![0_i64; LEAVES - 1], vec![0_i64; LEAVES - 1]);
        // Where each leaf hangs: on which side of which node.
        let mut parents: Vec<Option<(usize, bool)>> = vec![None];
        for node in 0..LEAVES - 1 {
            let leaf = below(random, parents.len() as u64) as usize;
            if let Some((parent, is_left)) = parents[leaf] {
                if is_left { left[parent] = node as i64 } else { right[parent] = node as i64 }
            }
            (left[node], right[node]) = (!(leaf as i64), !(parents.len() as i64));
            parents[leaf] = Some((node, true));
            parents.push(Some((node, false)));
        }
        let asked: Vec<usize> = (0..LEAVES - 1).map(|_| below(random, width as u64) as usize).collect();
        let thresholds: Vec<f64> = asked.iter().map(|&feature| rows[below(random, 100_000) as usize][feature] + 0.01).collect();
        let leaves: Vec<f64> = (0..LEAVES).map(|_| (below(random, 2_001) as f64 - 1_100.0) / 20_000.0).collect();
        let list = |values: &[String]| values.join(" ");
        let texts = |values: &[i64]| list(&values.iter().map(ToString::to_string).collect::<Vec<_>>());
        let numbers = |values: &[f64]| list(&values.iter().map(ToString::to_string).collect::<Vec<_>>());
        writeln!(
            text,
            "Tree={tree}\nnum_leaves={LEAVES}\nsplit_feature={}\nthreshold={}\ndecision_type={}\nleft_child={}\nright_child={}\nleaf_value={}\n",
            list(&asked.iter().map(ToString::to_string).collect::<Vec<_>>()),
            numbers(&thresholds),
            list(&vec!["2".to_owned(); LEAVES - 1]),
            texts(&left),
            texts(&right),
            numbers(&leaves),
        )
        .unwrap();
    }
    text.push_str("end of trees\n");
    let feature = |name: &str| Feature { name: name.into(), kind: FeatureKind::Number, missing_seen: true };
    let manifest = Manifest {
        made_by: "decide".into(),
        learner: Learner::BoostedTrees,
        label: "tx_fraud".into(),
        features: definition.plan.features.iter().map(|made| feature(&made.name)).collect(),
        fingerprint: String::new(),
        training: Training::default(),
        quality: std::collections::BTreeMap::new(),
        calibration: Calibration::Platt { slope: 1.0, intercept: -1.0 },
        genuine_kept: None,
        threshold: Threshold::default(),
        baseline: Baseline::default(),
        golden: vec![GoldenRow { row: rows[7].iter().copied().map(Some).collect(), probability: 0.0 }],
        linear: None,
        definition: None,
        imported: None,
    };
    let artifact = Artifact::build(manifest, text).unwrap().0;
    Model::new("m-1", Arc::new(artifact), &definition.plan).unwrap()
}
