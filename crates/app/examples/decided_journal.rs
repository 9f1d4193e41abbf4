//! A journal of many decisions, to measure `assay verify` and starts with: `cargo run --release -p assay --example decided_journal MODEL FOLDER COUNT`
//!
//! MODEL was trained on `examples/cards/handbook.sql`. Customers, terminals and amounts are drawn; a label comes for one payment in a hundred.

#![expect(clippy::unwrap_used, reason = "a measurement that fails may end here")]
#![expect(clippy::cast_possible_wrap, reason = "the numbers of this measurement are small")]

use std::path::Path;
use std::sync::Arc;

use assay_domain::Value;
use assay_domain::time::{self, DAY, SECOND};
use assay_engine::engine::Event;
use assay_engine::{Engine, Model, Policy};
use assay_features::Definition;
use assay_journal::{Journal, Kind, NewEntry};
use assay_model::Artifact;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde_json::json;
use sha2::{Digest, Sha256};

const PER_DAY: u64 = 10_000;
const POLICY: &str = r#"{
  "version": "p-1", "mode": "all_matches",
  "rules": [
    {"id": "r1", "when": "customer_id_nb_tx_1day_window > 9 AND tx_amount > 3 * customer_id_avg_amount_30day_window", "outcome": "decline"},
    {"id": "r2", "when": "terminal_id_risk_7day_window > 0.5 AND tx_amount > 50", "outcome": "review"},
    {"id": "r3", "when": "tx_during_night = 1 AND tx_amount > 200 AND probability > 0.3", "outcome": "challenge"}
  ],
  "thresholds": {"on": "probability", "steps": [{"from": 0.5, "outcome": "review"}]}, "control_group": {"share": 0.005, "seed": 1}
}"#;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, count] = &words[..] else { panic!("say MODEL FOLDER COUNT") };
    let (bytes, folder, count) = (std::fs::read(model).unwrap(), Path::new(folder), count.parse::<u64>().unwrap());
    let sha256: String = Sha256::digest(&bytes)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    std::fs::create_dir_all(folder.join("models")).unwrap();
    std::fs::write(folder.join(format!("models/{sha256}.model")), &bytes).unwrap();
    let artifact = Arc::new(Artifact::read(&bytes).unwrap());
    let sql = artifact.manifest().definition.clone().unwrap();
    let definition = Definition::parse(&sql, "the model's").unwrap();
    let label = format!("measured@{}", &sha256[..12]);
    let model = Model::new(&label, artifact, &definition.plan).unwrap();
    let mut engine = Engine::new(definition, &model, Policy::approve_all()).unwrap();
    let policy = Policy::parse(POLICY).unwrap();
    let mut journal = Journal::open(folder).unwrap();
    let change = json!({"change": "activated", "name": "measured", "version": &sha256[..12], "sha256": sha256}).to_string();
    let (sql, policy_body) = (json!({ "sql": sql }).to_string(), json!({ "part": "live", "policy": policy }).to_string());
    let entry = |kind, id, body| NewEntry { kind, id, arrived: 0, body, personal: None };
    let begin = [
        entry(Kind::Definition, None, &*sql),
        entry(Kind::Model, Some(&*label), &*change),
        entry(Kind::Policy, Some("p-1"), &*policy_body),
    ];
    journal.append(&begin).unwrap();
    engine.apply(Event::Policy(policy)).unwrap();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut group: Vec<(Kind, String, i64, String)> = Vec::new();
    for id in 0..count {
        let at = 19_723 * DAY + (id * DAY.cast_unsigned() / PER_DAY) as i64 / SECOND * SECOND;
        let below = |most: u64, random: &mut Xoshiro256PlusPlus| (random.next_u64() % most) as i64;
        let (customer, terminal) = (below(5_000, &mut random), below(10_000, &mut random));
        let amount = (below(10_000, &mut random) * below(10_000, &mut random) / 250_000) as f64 / 4.0 + 0.25;
        let payment = [Value::Integer(id as i64), Value::Timestamp(at), Value::Integer(customer), Value::Integer(terminal)];
        let values = [&payment[..], &[Value::Double(amount), Value::Null]].concat();
        let name = format!("{id}");
        let decision = serde_json::to_string(&engine.decide(&values, name.as_str(), at).unwrap()).unwrap();
        let mut moment = Vec::new();
        time::write(&mut moment, at).unwrap();
        let moment = String::from_utf8(moment).unwrap();
        let fields = format!(
            r#"{{"transaction_id":{id},"tx_datetime":"{moment}","customer_id":{customer},"terminal_id":{terminal},"tx_amount":{amount:?}}}"#
        );
        let body = format!("{{\"transaction\":{fields},\"latency_us\":90,{}", &decision[1..]);
        group.push((Kind::Decision, name.clone(), at, body));
        if id % 100 == 99 {
            let fraud = below(2, &mut random) == 0;
            let label = json!({ "label": if fraud { "fraud" } else { "genuine" }, "source": "drawn", "learnt": moment });
            group.push((Kind::Label, name, at, label.to_string()));
            engine.label(&values, Some(fraud));
        }
        if group.len() >= 4_096 || id + 1 == count {
            let entries: Vec<NewEntry<'_>> = group
                .iter()
                .map(|(kind, id, arrived, body)| NewEntry { kind: *kind, id: Some(id), arrived: *arrived, body, personal: None })
                .collect();
            journal.append(&entries).unwrap();
            group.clear();
        }
    }
    println!("{count} decisions, {:?}", engine.counts());
}
