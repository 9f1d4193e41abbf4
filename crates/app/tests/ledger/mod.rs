//! A journal as a server would have written it: simulated payments, each decided as it came, labels when they were learnt, and changes of
//! policies and lists in between.
//!
//! Bodies are written here once more, from docs/decisions.md, so that the program's own writing of them is not its own witness.

#![allow(dead_code, clippy::allow_attributes, reason = "each test takes its part")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use assay_domain::time::{self, SECOND};
use assay_domain::{Decision, Value};
use assay_engine::engine::Event;
use assay_engine::lists::{Entry as ListItem, ListKind, ListValue, Provenance};
use assay_engine::{Engine, ListChange, Model, Policy};
use assay_features::Definition;
use assay_journal::{Journal, Kind, NewEntry};
use assay_model::Artifact;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::workplace::{QUICK, Workplace};

pub const SQL: &str = "CREATE TABLE transactions (
  transaction_id BIGINT PRIMARY KEY, tx_datetime TIMESTAMP NOT NULL, customer_id BIGINT NOT NULL, terminal_id BIGINT NOT NULL,
  tx_amount DOUBLE NOT NULL, email TEXT, tx_fraud BOOLEAN
) WITH (event_time = 'tx_datetime', label = 'tx_fraud', label_delay = '3 days', email.personal = 'on');
CREATE VIEW features AS SELECT
  tx_amount, extract(hour FROM tx_datetime) AS hour, count(*) OVER day AS payments_1d, avg(tx_amount) OVER week AS mean_7d,
  avg(CAST(tx_fraud AS INT)) OVER late AS terminal_risk_7d
FROM transactions
WINDOW
  day AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW),
  week AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW),
  late AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '10 days' PRECEDING AND INTERVAL '3 days' PRECEDING);
";

pub const POLICY: &str = r#"{
  "version": "p-1", "mode": "all_matches",
  "rules": [
    {"id": "large", "when": "tx_amount > 150 AND hour < 22", "outcome": "review"},
    {"id": "known", "when": "email LIKE 'rob%' AND tx_amount > 20", "outcome": "challenge"},
    {"id": "burst", "when": "payments_1d > 7 AND probability > 0.01", "outcome": "decline"}
  ],
  "thresholds": {"on": "probability", "steps": [{"from": 0.2, "outcome": "review"}, {"from": 0.6, "outcome": "decline"}]},
  "control_group": {"share": 0.05, "seed": 3}
}"#;

/// A payment of the history.
#[derive(Clone, Debug)]
pub struct Payment {
    pub id: i64,
    pub at: i64,
    pub customer: i64,
    pub terminal: i64,
    pub amount: f64,
    pub email: Option<String>,
    pub fraud: bool,
}

/// An entry that can be changed before it is written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: Kind,
    pub id: Option<String>,
    pub arrived: i64,
    pub body: String,
    pub personal: Option<String>,
}

/// Payments, a model of them, and the journal of deciding about them.
pub struct Ledger {
    pub place: Workplace,
    pub payments: Vec<Payment>,
    pub entries: Vec<Entry>,
    pub decisions: Vec<Decision>,
    pub model: Vec<u8>,
}

impl Payment {
    /// Its values, without the label.
    pub fn values(&self) -> Vec<Value> {
        vec![
            Value::Integer(self.id),
            Value::Timestamp(self.at),
            Value::Integer(self.customer),
            Value::Integer(self.terminal),
            Value::Double(self.amount),
            self.email.as_deref().map_or(Value::Null, |email| Value::Text(email.into())),
            Value::Null,
        ]
    }

    /// Its columns that are nobody's, as JSON.
    pub fn fields(&self) -> String {
        let Self { id, customer, terminal, amount, .. } = self;
        let at = moment(self.at);
        format!(
            r#"{{"transaction_id":{id},"tx_datetime":"{at}","customer_id":{customer},"terminal_id":{terminal},"tx_amount":{amount:?}}}"#
        )
    }

    pub fn personal(&self) -> Option<String> {
        self.email.as_ref().map(|email| json!({ "email": email }).to_string())
    }
}

pub fn moment(at: i64) -> String {
    let mut text = Vec::new();
    time::write(&mut text, at).unwrap();
    String::from_utf8(text).unwrap()
}

pub fn definition() -> Definition {
    Definition::parse(SQL, "ledger.sql").unwrap()
}

impl Ledger {
    /// A folder with `history.csv`, `ledger.sql`, `ledger.model`, and `data`, whose journal holds a decision about every payment.
    pub fn new() -> Self {
        let place = Workplace::new();
        let payments = history(&place);
        place.run(
            &[&["train", "--definition", "ledger.sql", "history.csv", "--out", "ledger.model", "--seed", "1"][..], &QUICK]
                .concat(),
        );
        let model = place.read("ledger.model");
        let mut ledger = Self { place, payments, entries: Vec::new(), decisions: Vec::new(), model };
        ledger.decide_all();
        ledger.write("data", &ledger.entries);
        ledger
    }

    /// Makes a data folder of these entries.
    pub fn write(&self, folder: &str, entries: &[Entry]) {
        let path = self.place.path(folder);
        keep_model(&path, &self.model);
        let mut journal = Journal::open(&path).unwrap();
        for group in entries.chunks(100) {
            let group: Vec<NewEntry<'_>> = group
                .iter()
                .map(|Entry { kind, id, arrived, body, personal }| NewEntry {
                    kind: *kind,
                    id: id.as_deref(),
                    arrived: *arrived,
                    body,
                    personal: personal.as_deref(),
                })
                .collect();
            journal.append(&group).unwrap();
        }
    }

    /// The entry of the decision about a payment.
    pub fn entry_of(&self, id: i64) -> usize {
        let id = id.to_string();
        self.entries.iter().position(|entry| entry.kind == Kind::Decision && entry.id.as_deref() == Some(&id)).unwrap()
    }

    /// The entries with one decision written otherwise.
    pub fn with_body(&self, id: i64, change: impl FnOnce(&str) -> String) -> Vec<Entry> {
        let (mut entries, place) = (self.entries.clone(), self.entry_of(id));
        let changed = change(&entries[place].body);
        assert!(changed != entries[place].body, "nothing was changed in {changed}");
        entries[place].body = changed;
        entries
    }

    fn decide_all(&mut self) {
        let definition = definition();
        let artifact = std::sync::Arc::new(Artifact::read(&self.model).unwrap());
        let sha256 = checksum(&self.model);
        let label = format!("ledger@{}", &sha256[..12]);
        let model = Model::new(&label, artifact, &definition.plan).unwrap();
        let mut engine = Engine::new(definition, &model, Policy::approve_all()).unwrap();
        let start = self.payments[0].at - SECOND;
        self.push(Kind::Definition, None, start, &json!({ "sql": SQL }));
        let change = json!({ "change": "activated", "name": "ledger", "version": &sha256[..12], "sha256": sha256 });
        self.push(Kind::Model, Some(&label), start, &change);
        self.policy(&mut engine, start, "live", &serde_json::from_str(POLICY).unwrap());
        let delay = engine.schema().label_delay;
        let payments = self.payments.clone();
        let mut labelled = 0;
        for (number, payment) in payments.iter().enumerate() {
            let arrived = payment.at + SECOND;
            // Of the frauds all are reported, two days after the genuine that somebody cared to confirm.
            while payments[labelled].at + delay <= arrived {
                self.label(&mut engine, &payments[labelled].clone());
                labelled += 1;
            }
            if number == payments.len() / 4 {
                let shadow = POLICY.replace("p-1", "p-shadow").replace("0.2", "0.05");
                self.policy(&mut engine, arrived, "shadow", &serde_json::from_str(&shadow).unwrap());
            }
            if number == payments.len() / 2 {
                self.watch_terminals(&mut engine, arrived);
            }
            let decision = engine.decide(&payment.values(), payment.id.to_string(), arrived).unwrap();
            let written = serde_json::to_string(&decision).unwrap();
            let body = format!("{{\"transaction\":{},\"latency_us\":17,{}", payment.fields(), &written[1..]);
            let (kind, id, personal) = (Kind::Decision, Some(payment.id.to_string()), payment.personal());
            self.entries.push(Entry { kind, id, arrived, body, personal });
            self.decisions.push(decision);
        }
    }

    fn watch_terminals(&mut self, engine: &mut Engine, at: i64) {
        let create = ListChange::Create { list: "watched".into(), kind: ListKind::Bigint };
        let entry = |terminal| ListItem { value: ListValue::Integer(terminal), expires: None, provenance: Provenance::default() };
        let add = ListChange::Add { list: "watched".into(), entries: (0..50).map(|number| entry(number * 7)).collect() };
        for change in [create, add] {
            self.push(Kind::List, Some("watched"), at, &json!({ "list": change }));
            engine.apply(Event::List(change)).unwrap();
        }
        let mut policy: Json = serde_json::from_str(POLICY).unwrap();
        policy["version"] = json!("p-2");
        let rule = json!({ "id": "watched", "when": "in_list('watched', terminal_id) AND tx_amount > 30", "outcome": "review" });
        policy["rules"].as_array_mut().unwrap().push(rule);
        self.policy(engine, at, "live", &policy);
    }

    fn policy(&mut self, engine: &mut Engine, at: i64, part: &str, policy: &Json) {
        let parsed = Policy::parse(&policy.to_string()).unwrap();
        let body = json!({ "part": part, "policy": parsed });
        self.push(Kind::Policy, Some(&parsed.version), at, &body);
        let event = if part == "live" { Event::Policy(parsed) } else { Event::ShadowPolicy(Some(parsed)) };
        engine.apply(event).unwrap();
    }

    fn label(&mut self, engine: &mut Engine, payment: &Payment) {
        if !payment.fraud && payment.id % 5 != 0 {
            return;
        }
        let at = payment.at + engine.schema().label_delay;
        let truth = if payment.fraud { "fraud" } else { "genuine" };
        let body = json!({ "label": truth, "source": "chargeback", "learnt": moment(at) });
        self.push(Kind::Label, Some(&payment.id.to_string()), at, &body);
        engine.label(&payment.values(), Some(payment.fraud));
    }

    fn push(&mut self, kind: Kind, id: Option<&str>, arrived: i64, body: &Json) {
        let (id, body) = (id.map(str::to_owned), body.to_string());
        self.entries.push(Entry { kind, id, arrived, body, personal: None });
    }
}

pub fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Puts a model where a data folder has its models.
pub fn keep_model(folder: &Path, model: &[u8]) {
    fs::create_dir_all(folder.join("models")).unwrap();
    fs::write(folder.join("models").join(format!("{}.model", checksum(model))), model).unwrap();
}

/// Simulates payments, some with an email, and writes `history.csv` and `ledger.sql`.
pub fn history(place: &Workplace) -> Vec<Payment> {
    place.write("ledger.sql", SQL);
    place.run(&["simulate", "--customers", "120", "--days", "35", "--out", "cards.csv"]);
    let text = place.text("cards.csv");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name)).unwrap();
    let names = ["transaction_id", "tx_datetime", "customer_id", "terminal_id", "tx_amount", "tx_fraud"];
    let places = names.map(column);
    let mut payments: Vec<Payment> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let [id, at, customer, terminal, amount, fraud] = places.map(|place| cells[place]);
            let id: i64 = id.parse().unwrap();
            Payment {
                id,
                at: time::parse(at.as_bytes()).unwrap(),
                customer: customer.parse().unwrap(),
                terminal: terminal.parse().unwrap(),
                amount: amount.parse().unwrap(),
                email: (id % 3 != 0).then(|| format!("{}{id}@example.org", if id % 7 == 0 { "rob" } else { "ann" })),
                fraud: fraud == "1" || fraud.eq_ignore_ascii_case("true"),
            }
        })
        .collect();
    payments.sort_by_key(|payment| payment.at);
    place.write("history.csv", csv(&payments));
    payments
}

/// Payments as CSV, with when each label was learnt.
pub fn csv(payments: &[Payment]) -> String {
    let mut text = String::from("TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,EMAIL,TX_FRAUD,LEARNT\n");
    for Payment { id, at, customer, terminal, amount, email, fraud } in payments {
        let email = email.as_deref().unwrap_or_default();
        // Frauds are learnt a day early.
        let learnt = moment(at + if *fraud { 2 } else { 3 } * time::DAY);
        let (at, fraud) = (moment(*at), u8::from(*fraud));
        writeln!(text, "{id},{at},{customer},{terminal},{amount:?},{email},{fraud},{learnt}").unwrap();
    }
    text
}
