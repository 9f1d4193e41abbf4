//! Do all agree on what happened? What clients were answered, what `/metrics` counts, and what Python's sqlite3 finds in the journal.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod desk;
#[expect(dead_code, reason = "of the oracle it asks, whole numbers are asked for")]
mod oracles;
mod support;
mod workplace;

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use desk::{Desk, alone, ask, decide_on, entries, metric, nth, policy};
use serde_json::{Value, json};
use support::{Client, Random, Server};

/// Clients at once.
const CLIENTS: u64 = 12;

/// Requests of each: `ASSAY_AUDIT_REQUESTS` among all, or as many as are quick.
fn requests() -> u64 {
    std::env::var("ASSAY_AUDIT_REQUESTS").map_or(30_000, |requests| requests.parse().unwrap()) / CLIENTS
}

/// What clients were told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// About decisions.
    requests: u64,
    made: BTreeMap<String, u64>,
    repeated: u64,
    conflicts: u64,
    refused: u64,
    labels: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        for (outcome, count) in other.made {
            *self.made.entry(outcome).or_default() += count;
        }
        self.repeated += other.repeated;
        self.conflicts += other.conflicts;
        self.refused += other.refused;
        self.labels += other.labels;
    }
}

/// The next number that no client has taken.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Counts {
    /// One client's mix: new transactions alone and in arrays, ones that came before from anybody, changed ones, wrong ones, labels.
    fn of_client(server: &Server, seed: u64) -> Self {
        let mut counts = Self::default();
        let mut random = Random(seed);
        let mut client = server.connect();
        for _ in 0..requests() {
            match random.below(10) {
                0..=3 => counts.one(&mut client, &nth(NEXT.fetch_add(1, Ordering::Relaxed))),
                // What another client may be asking about at this moment.
                4 | 5 => counts.one(&mut client, &nth(usize::try_from(random.below(NEXT.load(Ordering::Relaxed) + 1)).unwrap())),
                6 => {
                    let first = NEXT.fetch_add(5, Ordering::Relaxed);
                    let items: Vec<Value> = (first..first + 5).map(alone).collect();
                    let reply = decide_on(&mut client, &json!(items));
                    counts.requests += 1;
                    for decision in reply.json()["decisions"].as_array().unwrap() {
                        counts.decided(decision);
                    }
                }
                7 => {
                    let number = NEXT.fetch_add(1, Ordering::Relaxed);
                    counts.one(&mut client, &nth(number));
                    let mut other = nth(number);
                    other["terminal_id"] = json!(999);
                    counts.one(&mut client, &other);
                }
                8 => counts.one(&mut client, &json!({ "transaction_id": "none", "tx_amount": 1 })),
                _ => {
                    let number = NEXT.fetch_add(1, Ordering::Relaxed);
                    counts.one(&mut client, &nth(number));
                    for _ in 0..2 {
                        let label = json!({ "transaction_id": format!("n-{number}"), "label": "fraud", "source": "chargeback" });
                        let reply = client.ask("POST", "/v1/labels", &[], label.to_string().as_bytes());
                        counts.labels += u64::from(reply.json()["is_new"].as_bool().unwrap());
                    }
                }
            }
        }
        counts
    }

    fn one(&mut self, client: &mut Client, transaction: &Value) {
        let reply = decide_on(client, transaction);
        self.requests += 1;
        match reply.status {
            200 if reply.header("idempotent-replayed").is_some() => self.repeated += 1,
            200 => self.decided(&reply.json()),
            409 => self.conflicts += 1,
            400 => self.refused += 1,
            status => panic!("{status}: {}", reply.text()),
        }
    }

    fn decided(&mut self, decision: &Value) {
        *self.made.entry(decision["outcome"].as_str().unwrap().to_owned()).or_default() += 1;
    }
}

fn from_metrics(server: &Server) -> Counts {
    let text = server.ask("GET", "/metrics", b"").text().to_owned();
    let answered = text
        .lines()
        .filter(|line| line.starts_with("assay_http_request_duration_seconds_count") && line.contains("\"/v1/decisions\""));
    let requests = answered.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    let outcomes = ["approve", "review", "challenge", "decline"];
    let of = |outcome: &str| metric(server, &format!("assay_decisions_total{{outcome=\"{outcome}\"}}"));
    Counts {
        requests,
        made: outcomes.iter().map(|outcome| ((*outcome).to_owned(), of(outcome))).filter(|(_, count)| *count > 0).collect(),
        repeated: metric(server, "assay_decisions_repeated_total"),
        conflicts: metric(server, "assay_decisions_conflicts_total"),
        refused: metric(server, "assay_decisions_refused_total"),
        labels: metric(server, "assay_labels_total"),
    }
}

#[test]
fn clients_metrics_and_the_journal_count_the_same_over_retries_and_duplicates() {
    let desk = Desk::new();
    let mut server = desk.serve(&[]);
    let rules =
        [("large", "tx_amount > 400", "decline"), ("some", "terminal_id = 3", "review"), ("few", "terminal_id = 7", "challenge")];
    ask(&server, "PUT", "/v1/policy", &policy("2", &rules));
    let before = entries(&server);
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|seed| (seed, &server)).collect();
        let running: Vec<_> =
            clients.into_iter().map(|(seed, server)| scope.spawn(move || Counts::of_client(server, seed))).collect();
        for client in running {
            counts += client.join().unwrap();
        }
    });
    assert_eq!(from_metrics(&server), counts);
    assert_eq!(counts.made.len(), 4, "{counts:?}");
    let made: u64 = counts.made.values().sum();
    assert!(counts.requests >= CLIENTS * requests() && counts.repeated > 1_000 && counts.conflicts > 1_000, "{counts:?}");
    let journal = oracles::ask("journal_counts.py", &[&desk.data()]);
    assert_eq!((&journal["kinds"]["decision"], &journal["ids"]), (&json!(made), &json!(made)));
    assert_eq!(journal["outcomes"], json!(counts.made));
    assert_eq!(journal["labels"], json!({ "fraud": counts.labels }));
    assert_eq!(journal["last"], json!(before + made + counts.labels));
    println!("{counts:?}");

    // Clients that do not wait for their answers, and ask again until they have one: each transaction is decided once all the same.
    let first = NEXT.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || {
                let mut random = Random(seed);
                for number in (first..first + 600).filter(|number| *number as u64 % CLIENTS == seed) {
                    let body = nth(number).to_string();
                    let request =
                        format!("POST /v1/decisions HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    for _ in 0..random.below(4) {
                        server.connect().send(&request);
                    }
                    assert_eq!(decide_on(&mut server.connect(), &nth(number)).status, 200);
                }
            });
        }
    });
    let wanted = made + 600;
    assert_eq!(metric(&server, "assay_decisions_total"), wanted);
    server.signal("KILL");
    server.wait();
    let journal = oracles::ask("journal_counts.py", &[&desk.data()]);
    assert_eq!((&journal["kinds"]["decision"], &journal["ids"]), (&json!(wanted), &json!(wanted)));
    desk.verified();
}
