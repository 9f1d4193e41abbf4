//! What the tests of decisions under faults share: models that say how their features are made, a server over a data folder that outlives it,
//! transactions, and clients that write down what was acknowledged to them.

#![allow(
    clippy::unwrap_used,
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses its part of this; what fails here fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use assay_domain::time;
use assay_journal::{Entry, JournalError, Kind, Reader};
use serde_json::{Value, json};

use crate::support::{Client, LOOK_INTERVAL, LOOKS, Random, Reply, Server};

/// What a transaction is, and what is made of it.
#[derive(Clone, Copy, PartialEq)]
pub enum Definition {
    /// The handbook's, with texts as ids.
    TextIds,
    /// The handbook's, with integers as ids.
    IntegerIds,
    /// Texts as ids, and one feature more.
    OneMore,
}

impl Definition {
    fn sql(self) -> String {
        let sql = include_str!("../../../../examples/cards/handbook.sql");
        let texts = sql.replace("transaction_id BIGINT", "transaction_id TEXT");
        match self {
            Self::IntegerIds => sql.to_owned(),
            Self::TextIds => texts,
            Self::OneMore => texts.replace(
                "CREATE VIEW features AS SELECT\n  tx_amount,",
                "CREATE VIEW features AS SELECT\n  tx_amount,\n  tx_amount * 2.0 AS twice,",
            ),
        }
    }

    /// A model of it, trained once per run on what was simulated.
    pub fn model(self) -> &'static [u8] {
        static MODELS: [OnceLock<Vec<u8>>; 3] = [const { OnceLock::new() }; 3];
        MODELS[self as usize].get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("definition.sql"), self.sql()).unwrap();
            let run = |words: &str| {
                let assay = Command::new(env!("CARGO_BIN_EXE_assay")).args(words.split(' ')).current_dir(&folder).output();
                let output = assay.unwrap();
                assert!(output.status.success(), "assay {words}: {}", String::from_utf8_lossy(&output.stderr));
            };
            run("simulate --shape cards --days 45 --customers 200 --out history.csv");
            run("train history.csv --definition definition.sql --amount tx_amount --learner logistic --resamples 10 --out a.model");
            fs::read(folder.path().join("a.model")).unwrap()
        })
    }
}

/// Serves the models in `folder` over the data beside them, ready or not.
pub fn start(folder: &Path, arguments: &[&str]) -> Server {
    start_with_environment(folder, arguments, &[])
}

/// The same with variables in its environment.
pub fn start_with_environment(folder: &Path, arguments: &[&str], environment: &[(&str, String)]) -> Server {
    let [models, data] = ["models", "data"].map(|name| folder.join(name).display().to_string());
    let model = format!("{models}/fraud.model");
    let all = [&["--models", &models, "--model", &model, "--data-dir", &data], arguments].concat();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Server::start_with_environment(tempfile::tempdir().unwrap(), &all, &environment)
}

/// A folder with the model `fraud`, in which data will be.
pub fn place(definition: Definition) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    fs::write(folder.path().join("models/fraud.model"), definition.model()).unwrap();
    folder
}

/// Waits until a model is as wanted.
pub fn wait_for_state(server: &Server, model: &str, state: &str) {
    for _ in 0..LOOKS {
        let reply = server.ask("GET", &format!("/v1/models/{model}"), b"");
        if reply.status == 200 && reply.json()["state"] == state {
            return;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    panic!("{model} does not become {state}: {}", server.log());
}

/// Waits until the journal is folded.
pub fn wait_until_ready(server: &Server) {
    for _ in 0..LOOKS {
        if server.ask("GET", "/ready", b"").status == 200 {
            return;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    panic!("the server does not become ready: {}", server.log());
}

/// Transactions in the order of their events, nearly: some come late, some too late.
pub struct Transactions {
    definition: Definition,
    made: AtomicU64,
}

/// The first of them happens then.
const FIRST: i64 = 1_790_000_000_000_000;

impl Transactions {
    /// From the first on.
    pub fn new(definition: Definition) -> Self {
        Self { definition, made: AtomicU64::new(0) }
    }

    /// The next one, as JSON.
    pub fn next(&self) -> Value {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut random = Random(number);
        let late = match random.below(100) {
            0..5 => random.below(3_600),
            5 => 200_000,
            _ => 0,
        };
        let mut moment = Vec::new();
        time::write(&mut moment, FIRST + (i64::try_from(number).unwrap() * 17 - late) * time::SECOND).unwrap();
        let id = match self.definition {
            Definition::IntegerIds => json!(number),
            // Short enough not to look like a card number by chance.
            _ => json!(format!("tx/{:08x} é{number}", random.below(1 << 32))),
        };
        json!({
            "transaction_id": id,
            "tx_datetime": String::from_utf8(moment).unwrap(),
            "customer_id": random.below(20),
            "terminal_id": random.below(40),
            "tx_amount": random.below(40_000) as f64 / 100.0,
        })
    }
}

/// What clients were told, and what they asked without an answer.
#[derive(Default)]
pub struct Acknowledged {
    /// Transactions that were asked about, with the whole answer.
    pub decisions: Vec<(String, Vec<u8>)>,
    /// The same without one: the server may have decided or not.
    pub unanswered: Vec<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// Versions of policies.
    pub policies: Vec<String>,
    /// Notes of entries of the list.
    pub notes: Vec<String>,
    /// The last words of servers that left.
    pub farewells: Vec<Reply>,
}

impl Acknowledged {
    /// What another client was told, too.
    pub fn add(&mut self, other: Self) {
        self.decisions.extend(other.decisions);
        self.unanswered.extend(other.unanswered);
        self.labels.extend(other.labels);
        self.policies.extend(other.policies);
        self.notes.extend(other.notes);
        self.farewells.extend(other.farewells);
    }

    /// How many decisions.
    pub fn len(&self) -> usize {
        self.decisions.len()
    }
}

/// Makes the list that the policies look at, and the first of them.
pub fn prepare(server: &Server) {
    assert_eq!(server.ask("PUT", "/v1/lists/stolen", br#"{"kind":"bigint"}"#).status, 201);
    let reply = server.ask("PUT", "/v1/policy", policy("first", 0.5).to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// A policy with a list, rules that look at features, thresholds and a control group.
fn policy(version: &str, from: f64) -> Value {
    json!({
        "version": version,
        "block": [{"list": "stolen", "column": "customer_id"}],
        "rules": [
            {"id": "many", "name": "Many in a day", "outcome": "challenge", "when": "customer_id_nb_tx_1day_window > 40"},
            {"id": "large", "name": "Larger than usual", "outcome": "review",
             "when": "tx_amount > 2 * customer_id_avg_amount_7day_window"},
        ],
        "thresholds": {"on": "probability", "steps": [{"from": from, "outcome": "decline"}]},
        "control_group": {"share": 0.05, "seed": 7},
        "safe_outcome": "review",
    })
}

/// Decides, labels and changes policy and list until the server is gone; `number` tells clients apart.
pub fn work(address: SocketAddr, transactions: &Transactions, number: u64) -> Acknowledged {
    let mut told = Acknowledged::default();
    let mut random = Random(number << 32);
    let Some(mut client) = Client::try_connect(address) else { return told };
    for round in 0_u64.. {
        let name = format!("{number}-{round}");
        let answered = match random.below(20) {
            0 => {
                let body = policy(&name, random.unit()).to_string();
                asked(&mut client, &mut told.farewells, "PUT", "/v1/policy", &body).map(|_| told.policies.push(name))
            }
            1 => {
                let value = random.below(20);
                let body = json!({"entries": [{"value": value, "note": name}]}).to_string();
                asked(&mut client, &mut told.farewells, "POST", "/v1/lists/stolen/entries", &body).map(|_| told.notes.push(name))
            }
            2 => {
                let body = json!({"values": [random.below(20)]}).to_string();
                asked(&mut client, &mut told.farewells, "POST", "/v1/lists/stolen/remove", &body).map(drop)
            }
            3 | 4 if !told.decisions.is_empty() => {
                let (request, _) = &told.decisions[usize::try_from(random.below(told.decisions.len())).unwrap()];
                let request: Value = serde_json::from_str(request).unwrap();
                let one = if request.is_array() { &request[0] } else { &request };
                let label = if random.below(3) == 0 { "fraud" } else { "genuine" };
                let body = json!({"transaction_id": one["transaction_id"], "label": label, "source": name}).to_string();
                asked(&mut client, &mut told.farewells, "POST", "/v1/labels", &body).map(|_| told.labels.push(body))
            }
            kind => {
                let body = match kind {
                    5 => json!([transactions.next(), transactions.next(), transactions.next()]),
                    _ => transactions.next(),
                };
                let body = body.to_string();
                let reply = asked(&mut client, &mut told.farewells, "POST", "/v1/decisions", &body);
                match &reply {
                    Some(reply) => told.decisions.push((body, reply.body.clone())),
                    None => told.unanswered.push(body),
                }
                reply.map(drop)
            }
        };
        if answered.is_none() {
            break;
        }
    }
    told
}

/// Asks, and gives what was answered with success; none where the server is gone or says that it goes.
fn asked(client: &mut Client, farewells: &mut Vec<Reply>, method: &str, path: &str, body: &str) -> Option<Reply> {
    let reply = client.try_ask(method, path, body.as_bytes())?;
    if reply.status == 503 {
        assert!(["journal_stopped", "draining"].contains(&reply.code().as_str()), "{}", reply.text());
        farewells.push(reply);
        return None;
    }
    assert!(reply.status < 300, "{method} {path} {body}: {} {}", reply.status, reply.text());
    Some(reply)
}

/// Holds the server against what was acknowledged: each decision is given back as it was, and all changes are there.
pub fn assert_remembers(server: &Server, data: &Path, told: &Acknowledged) {
    let mut client = server.connect();
    for (request, answer) in &told.decisions {
        let reply = client.ask("POST", "/v1/decisions", &[], request.as_bytes());
        assert_eq!((reply.status, reply.text()), (200, std::str::from_utf8(answer).unwrap()), "{request}");
        let is_one = request.starts_with('{');
        assert_eq!(reply.header("idempotent-replayed").is_some(), is_one, "{request}: it was decided again");
    }
    for request in &told.unanswered {
        let reply = client.ask("POST", "/v1/decisions", &[], request.as_bytes());
        assert_eq!(reply.status, 200, "{request}: {}", reply.text());
    }
    let reader = Reader::open(data).unwrap();
    for label in &told.labels {
        let label: Value = serde_json::from_str(label).unwrap();
        let id = label["transaction_id"].as_str().map_or_else(|| label["transaction_id"].to_string(), str::to_owned);
        let source = label["source"].as_str().unwrap();
        let found = reader.labels_of(&id).unwrap();
        let of_source = found.iter().filter(|entry| entry.body.contains(&format!("\"source\":\"{source}\""))).count();
        let is_repeated = found.iter().any(|entry| entry.body.contains(label["label"].as_str().unwrap()));
        assert!(of_source == 1 || (of_source == 0 && is_repeated), "{label}: {of_source} in {found:?}");
    }
    for version in &told.policies {
        assert_eq!(reader.all(Kind::Policy, version).unwrap().len(), 1, "policy {version}");
    }
    let lists: String = reader.all(Kind::List, "stolen").unwrap().into_iter().map(|entry| entry.body).collect();
    for note in &told.notes {
        assert_eq!(lists.matches(&format!("\"note\":\"{note}\"")).count(), 1, "entry {note}");
    }
}

/// The chain is whole, and no transaction is there twice.
pub fn assert_whole(data: &Path) {
    let reader = Reader::open(data).unwrap();
    reader.verify(|_, _| ()).unwrap();
    let mut ids = BTreeSet::new();
    let visit = |entry: &Entry<&str>| -> Result<(), JournalError> {
        if matches!(entry.kind, Kind::Decision | Kind::Transaction) {
            assert!(ids.insert(entry.id.unwrap().to_owned()), "{:?} is there twice", entry.id);
        }
        Ok(())
    };
    reader.replay(0, u64::MAX, visit).unwrap();
}

/// Every decision of the journal comes out again to the bit when it is made once more.
pub fn assert_replays(data: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_assay")).arg("verify").arg(data).output().unwrap();
    let [told, complaint] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{told}{complaint}");
}

/// Asks a server that never ended for everything in the journal of `server` in its order, and holds their answers against each other: they
/// may differ by when something arrived, and by nothing else.
pub fn assert_same_as_never_ended(server: &Server, folder: &Path, transactions: &Transactions) {
    let control_folder = tempfile::tempdir().unwrap();
    fs::create_dir(control_folder.path().join("models")).unwrap();
    for file in fs::read_dir(folder.join("models")).unwrap() {
        let file = file.unwrap();
        if file.path().extension().is_some_and(|ending| ending == "model") {
            fs::copy(file.path(), control_folder.path().join("models").join(file.file_name())).unwrap();
        }
    }
    let control = start(control_folder.path(), &[]);
    wait_until_ready(&control);
    let (mut here, mut there) = (server.connect(), control.connect());
    let reader = Reader::open(&folder.join("data")).unwrap();
    let mut decided = 0;
    let visit = |entry: &Entry<&str>| -> Result<(), JournalError> {
        let body: Value = serde_json::from_str(entry.body).unwrap();
        let (method, path, request) = match entry.kind {
            Kind::Decision => ("POST", "/v1/decisions", body["transaction"].clone()),
            Kind::Label => {
                let id = entry.id;
                ("POST", "/v1/labels", json!({"transaction_id": id, "label": body["label"], "source": body["source"]}))
            }
            Kind::Policy if entry.sequence > 3 => ("PUT", "/v1/policy", body["policy"].clone()),
            Kind::List => match body["list"]["change"].as_str().unwrap() {
                "create" => ("PUT", "/v1/lists/stolen", json!({"kind": body["list"]["kind"]})),
                "add" => ("POST", "/v1/lists/stolen/entries", json!({"entries": body["list"]["entries"]})),
                _ => ("POST", "/v1/lists/stolen/remove", json!({"values": body["list"]["values"]})),
            },
            Kind::Model if entry.sequence > 3 => {
                let name = body["name"].as_str().unwrap();
                wait_for_state(&control, name, "loaded");
                assert!(there.ask("POST", &format!("/v1/models/{name}/activate"), &[], b"").status < 300);
                wait_for_state(&control, name, "active");
                return Ok(());
            }
            _ => return Ok(()),
        };
        let request = request.to_string();
        let reply = there.ask(method, path, &[], request.as_bytes());
        assert!(reply.status < 300, "{method} {path} {request}: {reply:?}");
        if entry.kind == Kind::Decision {
            decided += 1;
            let recorded = here.ask(method, path, &[], request.as_bytes());
            assert_eq!(without_times(&recorded), without_times(&reply), "entry {}", entry.sequence);
        }
        Ok(())
    };
    reader.replay(0, u64::MAX, visit).unwrap();
    assert!(decided > 0, "nothing was decided");
    for path in ["/v1/policy", "/v1/lists", "/v1/lists/stolen?limit=1000", "/v1/reviews?limit=1000"] {
        let [ours, theirs] = [&mut here, &mut there].map(|client| without_times(&client.ask("GET", path, &[], b"")));
        assert_eq!(ours, theirs, "{path}");
    }
    // And both go on in the same way.
    for _ in 0..40 {
        let next = transactions.next().to_string();
        let [ours, theirs] = [&mut here, &mut there].map(|client| client.ask("POST", "/v1/decisions", &[], next.as_bytes()));
        assert_eq!((ours.status, without_times(&ours)), (200, without_times(&theirs)), "{next}");
    }
}

fn without_times(reply: &Reply) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("arrived");
                fields.remove("latency_us");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = reply.json();
    strip(&mut value);
    value
}
