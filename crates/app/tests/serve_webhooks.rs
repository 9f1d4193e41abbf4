//! `assay serve --webhooks`: what is decided over HTTP arrives at receivers that verify it, whatever ends the server in between.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod receiver;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use assay_journal::{JournalError, Kind, Reader};
use assay_model::linear::Term;
use assay_model::manifest::GoldenRow;
use assay_model::{Artifact, Feature, FeatureKind, Linear, Manifest};
use receiver::{Receiver, SECRET};
use serde_json::{Value, json};
use support::{LOOK_INTERVAL, LOOKS, MARKERS, Random, Server, seed_model};

const DEFINITION: &str = "
CREATE TABLE transactions (
  transaction_id VARCHAR PRIMARY KEY,
  tx_datetime    TIMESTAMP NOT NULL,
  customer_id    BIGINT NOT NULL,
  email          VARCHAR,
  tx_amount      DOUBLE NOT NULL
) WITH (event_time = 'tx_datetime', email.personal = 'on');
CREATE VIEW features AS SELECT tx_amount, count(*) OVER customer_1d AS customer_count_1d
FROM transactions
WINDOW customer_1d AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW);";

/// What only the receiver should see.
const TOKEN: &str = "token-5a1d7c";

/// A model that brings a definition, with its data folder and a file of webhooks.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("fraud.model"), model()).unwrap();
        fs::write(folder.path().join("policy.json"), policy("p-1", 100.0).to_string()).unwrap();
        Self(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn hook(&self, url: &str, events: &[&str]) {
        let hook = json!({"name": "case-system", "url": url, "secret": SECRET, "events": events});
        fs::write(self.at("hooks.json"), json!({"webhooks": [hook]}).to_string()).unwrap();
    }

    /// Serves, and returns when decisions can be asked for and the webhook knows where it stands.
    fn serve(&self, environment: &[(&str, &str)]) -> Server {
        let path = |name| self.at(name).display().to_string();
        let (model, policy, data, hooks) = (path("fraud.model"), path("policy.json"), path("data"), path("hooks.json"));
        let arguments = ["--model", &model, "--policy", &policy, "--data-dir", &data, "--webhooks", &hooks];
        let server = Server::start_with_environment(tempfile::tempdir().unwrap(), &arguments, environment);
        until(|| server.ask("GET", "/ready", b"").status == 200 && self.at("data/webhooks/case-system.json").exists());
        server
    }
}

/// A linear model of the definition's features.
fn model() -> Vec<u8> {
    let feature = |name: &str| Feature { name: name.into(), kind: FeatureKind::Number, missing_seen: true };
    let term = |feature, coefficient| Term { feature, level: None, coefficient, when_missing: 0.0 };
    let manifest = Manifest {
        features: vec![feature("tx_amount"), feature("customer_count_1d")],
        linear: Some(Linear { intercept: -5.0, terms: vec![term(0, 0.02), term(1, 0.1)] }),
        golden: vec![GoldenRow { row: vec![Some(1.0), Some(2.0)], probability: 0.0 }],
        definition: Some(DEFINITION.into()),
        ..seed_model().0.manifest().clone()
    };
    Artifact::build(manifest, "").unwrap().1
}

/// Large amounts are reviewed, the largest declined.
fn policy(version: &str, review: f64) -> Value {
    json!({
        "version": version,
        "rules": [
            {"id": "largest", "when": "tx_amount >= 1000", "outcome": "decline"},
            {"id": "large", "when": format!("tx_amount >= {review}"), "outcome": "review"},
        ],
        "safe_outcome": "review",
    })
}

fn transaction(number: usize, amount: i64) -> Value {
    json!({
        "transaction_id": format!("tx-{number}"), "tx_datetime": "2026-09-30 12:00:00", "customer_id": number % 7,
        "email": "ada@example.com", "tx_amount": amount,
    })
}

fn until(is_so: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        sleep(LOOK_INTERVAL);
    }
    panic!("it never came about");
}

fn metric(server: &Server, series: &str) -> f64 {
    let text = server.ask("GET", "/metrics", b"");
    let value = text.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{series} is not in {}", text.text()))
}

#[test]
fn what_is_decided_labelled_and_changed_is_told_as_it_is_shown_and_no_secret_is_logged() {
    let place = Place::new();
    let receiver = Receiver::answering(&["500"]);
    let events = ["decision.approve", "decision.review", "decision.challenge", "decision.decline", "label", "policy", "model"];
    place.hook(&format!("{}?{TOKEN}", receiver.url()), &events);
    let mut server = place.serve(&[]);
    for (number, amount) in [20, 500, 5_000].into_iter().enumerate() {
        let reply = server.ask("POST", "/v1/decisions", transaction(number, amount).to_string().as_bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let label = json!({"transaction_id": "tx-0", "label": "fraud", "source": "chargeback"});
    let reply = server.ask("POST", "/v1/labels", label.to_string().as_bytes());
    assert!(reply.status < 300, "{reply:?}");
    let reply = server.ask("PUT", "/v1/policy", policy("p-2", 200.0).to_string().as_bytes());
    assert!(reply.status < 300, "{reply:?}");
    let came = receiver.wait_for(6);
    assert!(came.iter().all(|told| told["verified"] == true), "{came:#?}");
    assert_eq!((&came[0]["id"], &came[0]["body"]), (&came[1]["id"], &came[1]["body"]));
    let told = receiver.taken();
    let types: Vec<&str> = told.iter().map(|body| body["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["decision.approve", "decision.review", "decision.decline", "label", "policy"]);
    for (number, body) in told[..3].iter().enumerate() {
        let shown = server.ask("GET", &format!("/v1/decisions/tx-{number}"), b"").json();
        let data = body["data"].as_object().unwrap();
        assert_eq!(data.len(), 10);
        assert!(data.iter().all(|(name, value)| shown[name] == *value), "{data:?} {shown}");
        assert_eq!(body["timestamp"], shown["arrived"]);
    }
    assert_eq!((&told[3]["data"]["id"], &told[3]["data"]["label"]), (&json!("tx-0"), &json!("fraud")));
    assert_eq!(told[4]["data"]["policy"]["version"], "p-2");
    assert!(came.iter().all(|told| !told["body"].as_str().unwrap().contains("ada@")), "{came:#?}");
    until(|| metric(&server, "assay_webhook_lag_entries{webhook=\"case-system\"}") == 0.0);
    assert_eq!(metric(&server, "assay_webhook_deliveries_total{result=\"delivered\",webhook=\"case-system\"}"), 5.0);
    assert_eq!(metric(&server, "assay_webhook_deliveries_total{result=\"failed\",webhook=\"case-system\"}"), 1.0);
    // A damaged file, too, is refused without a word of it.
    let hooks = fs::read_to_string(place.at("hooks.json")).unwrap();
    fs::write(place.at("hooks.json"), hooks.replace("decision.approve", "decision.accept")).unwrap();
    server.wait_for_log("the webhooks stay as they are");
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    server.signal("INT");
    assert!(server.wait().success());
    let log = server.log();
    assert!(log.contains("a delivery failed and is tried again: it answers 500"), "{log}");
    for hidden in [TOKEN, &SECRET[6..18], "decision.accept"] {
        assert!(!log.contains(hidden) && !metrics.contains(hidden), "{hidden} in {log}");
    }
    assert!(!fs::read_to_string(place.at("data/webhooks/case-system.json")).unwrap().contains(TOKEN));
}

/// The name of a webhook is the operator's word for it in log lines and metrics. The rest of the file is neither told nor logged, taken or not.
#[test]
fn of_the_file_of_webhooks_log_and_metrics_show_names_alone() {
    let [word, card] = MARKERS;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new();
    place.hook(&format!("http://{nobody}/{word}/{card}?{word}={card}"), &["decision.review"]);
    let mut server = place.serve(&[]);
    let reply = server.ask("POST", "/v1/decisions", transaction(1, 500).to_string().as_bytes());
    assert_eq!(reply.status, 200, "{reply:?}");
    server.wait_for_log("a delivery failed and is tried again");
    let hook = |name: &str, url: &str, secret: &str, event: &str| {
        json!({ "webhooks": [{ "name": name, "url": url, "secret": secret, "events": [event] }] }).to_string()
    };
    let url = "https://example.com";
    let broken = [
        hook(card, url, SECRET, "label"),
        hook(word, url, SECRET, "label"),
        hook("a", &format!("ftp://{word}.example/{card}"), SECRET, "label"),
        hook("a", &format!("https://{word}:{card}@example.com"), SECRET, "label"),
        hook("a", url, &format!("whsec_{card}"), "label"),
        hook("a", url, SECRET, word),
        format!("{{\"{word}\":{card}}}"),
        format!("{word} {card}"),
    ];
    for (number, file) in (1..).zip(broken) {
        fs::write(place.at("hooks.json"), &file).unwrap();
        until(|| metric(&server, "assay_webhooks_reads_total{result=\"refused\"}") == f64::from(number));
        let path = place.at("hooks.json").display().to_string();
        let (model, data) = (place.at("fraud.model").display().to_string(), place.at("other").display().to_string());
        let sentence = Server::refused(&["--model", &model, "--data-dir", &data, "--webhooks", &path, "--bind", "127.0.0.1:0"]);
        assert!(sentence.contains("cannot use the webhooks in"), "{sentence}");
        assert!(MARKERS.iter().all(|marker| !sentence.contains(marker)), "{sentence}");
    }
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    server.signal("TERM");
    assert!(server.wait().success());
    let log = server.log();
    assert!(metrics.contains("webhook=\"case-system\"") && log.contains("\"webhook\":\"case-system\""), "{metrics}{log}");
    for marker in MARKERS {
        assert!(!metrics.contains(marker) && !log.contains(marker), "{log}");
    }
}

#[test]
fn kills_lose_nothing_and_repeat_under_the_same_ids_in_the_journals_order() {
    let place = Place::new();
    let mut random = Random(11);
    let answers: Vec<&str> = (0..300).map(|number| if number % 60 == 30 { "500" } else { "200" }).collect();
    let receiver = Receiver::answering(&answers);
    place.hook(&receiver.url(), &["decision.review", "label"]);
    let mut number = 0;
    for _ in 0..8 {
        let mut server = place.serve(&[]);
        for _ in 0..random.below(6) {
            let transactions: Vec<Value> = (number..number + 25).map(|number| transaction(number, random.below(200))).collect();
            number += transactions.len();
            assert_eq!(server.ask("POST", "/v1/decisions", Value::from(transactions).to_string().as_bytes()).status, 200);
            let label = json!({"transaction_id": format!("tx-{}", number - 1), "label": "fraud", "source": "chargeback"});
            assert!(server.ask("POST", "/v1/labels", label.to_string().as_bytes()).status < 300);
            sleep(Duration::from_millis(random.below(300).unsigned_abs()));
        }
        server.signal("KILL");
        server.wait();
    }
    // A recount of the journal says what must have come.
    let mut due: Vec<String> = Vec::new();
    let recounted = Reader::open(&place.at("data")).unwrap().replay(0, u64::MAX, |entry| -> Result<(), JournalError> {
        let body: Value = serde_json::from_str(entry.body).unwrap();
        if entry.kind == Kind::Label || (entry.kind == Kind::Decision && body["outcome"] == "review") {
            let beginning = u64::from_be_bytes(entry.hash[..8].try_into().unwrap());
            due.push(format!("{beginning:016x}-{}", entry.sequence));
        }
        Ok(())
    });
    assert!(recounted.unwrap() > 300 && due.len() > 100, "{}", due.len());
    let _server = place.serve(&[]);
    let first_taken = || -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for told in receiver.came().iter().filter(|told| told["answer"] == "200") {
            let id = told["id"].as_str().unwrap().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    };
    until(|| first_taken().len() >= due.len());
    assert_eq!(first_taken(), due);
    let mut bodies: BTreeMap<String, Value> = BTreeMap::new();
    for told in receiver.came() {
        assert_eq!(told["verified"], true);
        let body = bodies.entry(told["id"].as_str().unwrap().to_owned()).or_insert_with(|| told["body"].clone());
        assert_eq!(*body, told["body"]);
    }
}

#[test]
fn a_receivers_certificate_is_checked_against_the_machines_authorities_or_mozillas() {
    let place = Place::new();
    let (certificate, key) = (place.at("tls.crt").display().to_string(), place.at("tls.key").display().to_string());
    let about = [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    let files = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", &certificate, "-keyout", &key];
    let made = Command::new("openssl").args(["req", "-x509"]).args(files).args(about).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let receiver = Receiver::with(json!({"certificate": certificate, "key": key}));
    place.hook(&format!("https://localhost:{}/hook", receiver.port), &["decision.approve"]);
    let none = place.at("none.crt");
    fs::write(&none, "").unwrap();
    let without = [("SSL_CERT_FILE", none.to_str().unwrap()), ("SSL_CERT_DIR", "")];
    let mut server = place.serve(&without);
    server.wait_for_log("webhooks trust those of Mozilla");
    assert_eq!(server.ask("POST", "/v1/decisions", transaction(0, 20).to_string().as_bytes()).status, 200);
    server.wait_for_log("a delivery failed and is tried again: TLS fails");
    server.signal("INT");
    assert!(server.wait().success());
    assert!(receiver.came().is_empty());
    let _server = place.serve(&[("SSL_CERT_FILE", &certificate), ("SSL_CERT_DIR", "")]);
    assert_eq!(receiver.wait_for(1)[0]["verified"], true);
}

/// The receiver that docs/webhooks.md shows, on a port of its own.
#[test]
fn the_receiver_of_the_documentation_takes_what_it_is_sent() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/webhooks.md")).unwrap();
    let code = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let code = code.replace("whsec_…", SECRET).replace("8000", &port.to_string());
    let place = Place::new();
    place.hook(&format!("http://127.0.0.1:{port}/"), &["decision.approve"]);
    let mut child = Command::new(receiver::python()).args(["-u", "-c", &code]).stdout(Stdio::piped()).spawn().unwrap();
    until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
    let server = place.serve(&[]);
    assert_eq!(server.ask("POST", "/v1/decisions", transaction(0, 20).to_string().as_bytes()).status, 200);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("decision.approve {\"decision_id\": \"tx-0\""), "{line}");
}

#[test]
fn webhooks_need_a_data_folder_and_a_file_that_is_one() {
    let place = Place::new();
    let path = |name| place.at(name).display().to_string();
    let (model, data, hooks) = (path("fraud.model"), path("data"), path("hooks.json"));
    let refused =
        |more: &[&str]| Server::refused(&[&["--bind", "127.0.0.1:0", "--model", &model, "--webhooks", &hooks], more].concat());
    assert!(refused(&[]).contains("--data-dir"));
    assert!(refused(&["--data-dir", &data]).contains("there is no such file"));
    place.hook("ftp://example.com", &["label"]);
    let sentence = refused(&["--data-dir", &data]);
    assert!(sentence.contains("cannot use the webhooks in") && sentence.contains("webhook 1 has a url"), "{sentence}");
    assert!(!place.at("data").exists());
}
