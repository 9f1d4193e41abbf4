//! What the tests of decisions share: a model that says what a transaction is, a data folder, and transactions to decide about.

#![expect(dead_code, reason = "each test binary uses its part of this")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread;

use assay_journal::{Reader, Verified};
use serde_json::{Value, json};

use crate::support::{Client, LOOK_INTERVAL, LOOKS, Reply, Server};
use crate::workplace::Workplace;

/// The simulated cards with a text, a column of a person, and one that may look like a card number.
pub const DEFINITION: &str = "CREATE TABLE transactions (
  transaction_id TEXT PRIMARY KEY, tx_datetime TIMESTAMP NOT NULL, customer_id BIGINT NOT NULL, terminal_id BIGINT NOT NULL,
  tx_amount DOUBLE NOT NULL, device TEXT, email TEXT, order_number BIGINT, tx_fraud BOOLEAN
) WITH (event_time = 'tx_datetime', label = 'tx_fraud', label_delay = '7 days', email.personal = 'on', order_number.pan_check = 'off');
CREATE VIEW features AS SELECT
  tx_amount,
  CAST(extract(hour FROM tx_datetime) <= 6 AS INT) AS night,
  count(*) OVER customer_1d AS customer_count_1d,
  avg(tx_amount) OVER customer_30d AS customer_mean_30d,
  tx_amount / nullif(lag(tx_amount) OVER customer, 0) AS against_last,
  coalesce(avg(CAST(tx_fraud AS INT)) OVER terminal_late, 0) AS terminal_risk
FROM transactions
WINDOW
  customer AS (PARTITION BY customer_id ORDER BY tx_datetime),
  customer_1d AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW),
  customer_30d AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW),
  terminal_late AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '14 days' PRECEDING AND INTERVAL '7 days' PRECEDING);
";

/// The file of a logistic model of it, trained once.
pub static MODEL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = Workplace::new();
    place.run(&["simulate", "--shape", "cards", "--days", "60", "--customers", "300", "--seed", "7", "--out", "cards.csv"]);
    let mut lines = String::new();
    for (number, line) in place.text("cards.csv").lines().enumerate() {
        lines += line;
        lines += if number == 0 { ",DEVICE,EMAIL,ORDER_NUMBER\n" } else { ",web,,17\n" };
    }
    place.write("history.csv", lines);
    place.write("cards.sql", DEFINITION);
    let words = ["train", "history.csv", "--definition", "cards.sql", "--amount", "tx_amount", "--learner", "logistic"];
    place.run(&[&words[..], &["--resamples", "10", "--out", "fraud.model"]].concat());
    place.read("fraud.model")
});

/// A data folder and the model that decides in it.
pub struct Desk(pub Workplace);

impl Desk {
    pub fn new() -> Self {
        let place = Workplace::new();
        place.write("fraud.model", &*MODEL);
        Self(place)
    }

    /// Where everything is written down.
    pub fn data(&self) -> PathBuf {
        self.0.path("data")
    }

    /// Decides, and returns when it can.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        let (model, data) = (self.0.path("fraud.model"), self.data());
        let named = ["--model", model.to_str().unwrap(), "--data-dir", data.to_str().unwrap(), "--drain-seconds", "0"];
        let server = Server::start_with(&[&named, arguments].concat());
        for _ in 0..LOOKS {
            let mut client = Client::connect(([127, 0, 0, 1], server.address.port()).into());
            if client.ask("GET", "/ready", &[], b"").status == 200 {
                return server;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        panic!("nothing is decided: {}", server.log());
    }

    /// The journal as `assay_journal` verifies it.
    pub fn verified(&self) -> Verified {
        Reader::open(&self.data()).unwrap().verify(|_, _| ()).unwrap()
    }
}

/// A transaction of a customer at a terminal; `at` without its zone.
pub fn transaction(id: &str, at: &str, customer: u32, terminal: u32, amount: f64) -> Value {
    json!({ "transaction_id": id, "tx_datetime": at, "customer_id": customer, "terminal_id": terminal, "tx_amount": amount })
}

/// One of many, all different.
pub fn nth(number: usize) -> Value {
    let (day, hour) = (1 + number % 28, number % 24);
    let at = format!("2018-06-{day:02}T{hour:02}:00:00Z");
    let number = u32::try_from(number).unwrap();
    transaction(&format!("n-{number}"), &at, number % 7, number % 11, 1.5 + f64::from(number % 500))
}

/// A transaction that nobody else asks about: an array does not say which of its items were decided before.
pub fn alone(number: usize) -> Value {
    let mut transaction = nth(number);
    transaction["transaction_id"] = json!(format!("alone-{number}"));
    transaction
}

/// Sends JSON on a connection of its own.
pub fn send(server: &Server, method: &str, path: &str, body: &Value) -> Reply {
    server.ask(method, path, body.to_string().as_bytes())
}

/// The same, which must be taken.
pub fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let reply = send(server, method, path, body);
    assert!(matches!(reply.status, 200 | 201), "{method} {path}: {reply:?} {}", reply.text());
    reply.json()
}

pub fn get(server: &Server, path: &str) -> Value {
    let reply = server.ask("GET", path, b"");
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

pub fn decide(server: &Server, transaction: &Value) -> Value {
    ask(server, "POST", "/v1/decisions", transaction)
}

/// Decides on a connection that stays open.
pub fn decide_on(client: &mut Client, transaction: &Value) -> Reply {
    client.ask("POST", "/v1/decisions", &[], transaction.to_string().as_bytes())
}

/// The last sequence of the journal.
pub fn entries(server: &Server) -> u64 {
    get(server, "/v1/journal")["entries"].as_u64().unwrap()
}

/// A policy of these rules: id, condition, outcome.
pub fn policy(version: &str, rules: &[(&str, &str, &str)]) -> Value {
    let rules: Vec<Value> =
        rules.iter().map(|(id, when, outcome)| json!({ "id": id, "when": when, "outcome": outcome })).collect();
    json!({ "version": version, "rules": rules })
}

/// The value of the line of /metrics that begins so; 0 where there is none.
pub fn metric(server: &Server, name: &str) -> u64 {
    let text = server.ask("GET", "/metrics", b"").text().to_owned();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
