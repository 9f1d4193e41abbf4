//! A model with another definition is tried out beside the one that decides: what is counted of it is what a server of its own would have said.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod deciding;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use assay_journal::{JournalError, Kind, Reader};
use deciding::{BY_PAST, TABLE, decide, model, payment, until};
use serde_json::{Value, json};
use support::{Random, Reply, Server};

const WINDOWS: &str = "FROM payments WINDOW recent AS (PARTITION BY customer ORDER BY at \
    RANGE BETWEEN INTERVAL '3 days' PRECEDING AND CURRENT ROW), \
    known AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '40 days' PRECEDING AND INTERVAL '1 day' PRECEDING)";
const USUAL: &str =
    "CREATE VIEW features AS SELECT amount, avg(amount) OVER recent AS usual, avg(CAST(fraud AS INT)) OVER known AS risk";
/// The threshold of every model here.
const THRESHOLD: f64 = 0.5;

/// What was spent usually and how much of it was fraud.
fn plain() -> String {
    format!("{TABLE}{USUAL} {WINDOWS}")
}

/// The same, and one feature more.
fn one_more() -> String {
    format!("{TABLE}{USUAL}, count(*) OVER recent AS payments {WINDOWS}")
}

/// Features of the same names, which mean something else.
fn of_a_day() -> String {
    plain().replace("'3 days'", "'1 day'")
}

/// A folder with models in it, and where their server keeps its data.
struct Place(tempfile::TempDir);

impl Place {
    fn new(models: &[(&str, &[u8])]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.models()).unwrap();
        for (name, bytes) in models {
            fs::write(place.models().join(format!("{name}.model")), bytes).unwrap();
        }
        place
    }

    fn models(&self) -> PathBuf {
        self.0.path().join("models")
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn serve(&self, first: &str) -> Server {
        let (models, first) = (self.models(), self.models().join(format!("{first}.model")));
        let (models, first, data) = (models.to_str().unwrap(), first.to_str().unwrap(), self.data());
        let data = data.to_str().unwrap();
        let server = Server::start_with(&["--models", models, "--model", first, "--data-dir", data, "--drain-seconds", "0"]);
        until(&server, "/ready", |reply| reply["status"] == "ready");
        server
    }
}

fn shadow(server: &Server, name: &str, on: bool) -> Reply {
    server.ask("POST", &format!("/v1/models/{name}/shadow"), json!({ "on": on }).to_string().as_bytes())
}

fn label(server: &Server, id: &str, fraud: bool) {
    let label = if fraud { "fraud" } else { "genuine" };
    let body = json!({ "transaction_id": id, "label": label, "source": "test" });
    assert_eq!(server.ask("POST", "/v1/labels", body.to_string().as_bytes()).status, 200);
}

/// Payments of which one in seven comes twenty hours late.
fn payments(count: u64) -> Vec<Value> {
    let random = &mut Random(7);
    let payment = |number: u64| {
        let happened = if number > 80 && random.below(7) == 0 { number - 80 } else { number };
        let mut payment = payment(happened, random);
        payment["id"] = format!("p{number}").into();
        payment
    };
    (0..count).map(payment).collect()
}

/// Decides about payments, and tells what some of them were; some of that is corrected.
fn pay(server: &Server, payments: &[Value]) {
    for (number, payment) in payments.iter().enumerate() {
        decide(server, payment);
        if number % 5 == 0 {
            label(server, payment["id"].as_str().unwrap(), number % 3 == 0);
        }
        if number % 25 == 24 {
            label(server, payments[number - 4]["id"].as_str().unwrap(), true);
        }
    }
}

/// What stands in a journal: decisions and labels with their entries.
fn journal(data: &Path) -> Vec<(u64, Kind, String, Value)> {
    let mut entries = Vec::new();
    let read = |entry: &assay_journal::Entry<&str>| -> Result<(), JournalError> {
        let body = serde_json::from_str(entry.body).unwrap();
        entries.push((entry.sequence, entry.kind, entry.id.unwrap_or_default().to_owned(), body));
        Ok(())
    };
    Reader::open(data).unwrap().replay(0, u64::MAX, read).unwrap();
    entries
}

/// What a server with the model `file` alone decides about everything in a journal, by the id of the payment.
fn alone(file: &[u8], entries: &[(u64, Kind, String, Value)]) -> (Place, Server, BTreeMap<String, f64>) {
    let place = Place::new(&[("alone", file)]);
    let server = place.serve("alone");
    let mut said = BTreeMap::new();
    for together in entries.chunk_by(|(_, one, ..), (_, other, ..)| one == other) {
        if together[0].1 == Kind::Decision {
            let transactions: Vec<&Value> = together.iter().map(|(.., body)| &body["transaction"]).collect();
            let reply = server.ask("POST", "/v1/decisions", json!(transactions).to_string().as_bytes()).json();
            for decision in reply["decisions"].as_array().unwrap() {
                let id = decision["decision_id"].as_str().unwrap().to_owned();
                said.insert(id, decision["probability"].as_f64().unwrap());
            }
        }
        for (_, _, id, body) in together.iter().filter(|(_, kind, ..)| *kind == Kind::Label) {
            label(&server, id, body["label"] == "fraud");
        }
    }
    (place, server, said)
}

/// Waits until a shadow has seen all of the journal, and holds its figures against a recount; gives the flags that changed.
fn is_as_recounted(server: &Server, name: &str, data: &Path, file: &[u8]) -> u64 {
    let entries = journal(data);
    let last = entries.last().unwrap().0;
    let path = format!("/v1/models/{name}");
    let about = until(server, &path, |about| about["state"] == "shadow" && about["shadow"]["through"].as_u64() >= Some(last));
    let shadow = &about["shadow"];
    let joined_at = shadow["joined_at"].as_u64().unwrap();
    let (_, _, said) = alone(file, &entries);
    let (mut rows, mut difference, mut changed) = (0_u64, 0.0, 0_u64);
    for (_, _, id, body) in entries.iter().filter(|(entry, kind, ..)| *entry > joined_at && *kind == Kind::Decision) {
        let (own, recorded) = (said[id], body["probability"].as_f64().unwrap());
        rows += 1;
        difference += (own - recorded).abs();
        changed += u64::from((own >= THRESHOLD) != (recorded >= THRESHOLD));
    }
    assert!(rows > 50 && difference > 0.0, "nothing to compare: {rows} rows");
    assert_eq!(shadow["rows"], rows, "{about}");
    let mean = |sum: f64| sum / rows as f64;
    assert!((shadow["mean_absolute_difference"].as_f64().unwrap() - mean(difference)).abs() < 1e-12, "{about}");
    assert_eq!(shadow["changed_flags"].as_f64().unwrap(), mean(changed as f64), "{about}");
    assert_eq!(series(server, "assay_shadow_changed_flags_total", name), Some(changed as f64));
    assert_eq!(series(server, "assay_shadow_score_count", name), Some(rows as f64));
    changed
}

/// The value of a shadow's series.
fn series(server: &Server, metric: &str, name: &str) -> Option<f64> {
    let reply = server.ask("GET", "/metrics", b"");
    let begin = format!("{metric}{{model=\"{name}\",");
    reply.text().lines().find(|line| line.starts_with(&begin))?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_shadow_with_another_definition_counts_what_a_server_of_its_own_would_have_said() {
    let [plain, one_more, of_a_day] = [plain(), one_more(), of_a_day()].map(|sql| model(&sql));
    let place = Place::new(&[("plain", &plain), ("twin", &plain), ("more", &one_more), ("day", &of_a_day)]);
    let payments = payments(1_100);
    let mut server = place.serve("plain");
    pay(&server, &payments[..300]);
    until(&server, "/v1/models/more", |about| about["state"] == "loaded");

    // It joins while two clients go on paying.
    let next = AtomicU64::new(300);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(payment) = payments[..600].get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
                    decide(&server, payment);
                }
            });
        }
        let reply = shadow(&server, "more", true);
        assert_eq!(reply.status, 202, "{}", reply.text());
        until(&server, "/v1/models/more", |about| about["state"] == "shadow");
    });
    pay(&server, &payments[600..700]);
    let changed = is_as_recounted(&server, "more", &place.data(), &one_more);
    assert!(changed > 0);
    assert_eq!(shadow(&server, "more", true).status, 200, "it is one already");

    // A second one beside it, with features of the same names: its rows are not those of the active model.
    assert_eq!(shadow(&server, "day", true).status, 202);
    let about = until(&server, "/v1/models/day", |about| about["state"] == "shadow");
    // And a third one with the definition that decides, which scores the same rows.
    let reply = shadow(&server, "twin", true);
    assert_eq!((reply.status, &reply.json()["shadow"]["joined_at"]), (200, &Value::Null), "{about}");
    pay(&server, &payments[700..800]);
    let about = until(&server, "/v1/models/twin", |about| about["shadow"]["rows"] == 100);
    assert_eq!(about["shadow"]["mean_absolute_difference"], 0.0);

    // Both begin again by themselves after a restart, behind what is there by then.
    let there = journal(&place.data()).last().unwrap().0;
    server.signal("KILL");
    server.wait();
    let server = place.serve("plain");
    for name in ["more", "day"] {
        let about = until(&server, &format!("/v1/models/{name}"), |about| about["state"] == "shadow");
        assert_eq!(about["shadow"]["joined_at"], there);
    }
    pay(&server, &payments[800..900]);
    is_as_recounted(&server, "more", &place.data(), &one_more);

    // One becomes active with the past that it has; the others are held against it from then on.
    assert_eq!(server.ask("POST", "/v1/models/more/activate", b"").status, 202);
    let about = until(&server, "/v1/models/more", |about| about["state"] == "active");
    assert_eq!(about["shadow"], Value::Null);
    assert_eq!(series(&server, "assay_shadow_score_count", "more"), None);
    let (_place, control, _) = alone(&one_more, &journal(&place.data()));
    for payment in &payments[900..1_000] {
        let (decided, expected) = (decide(&server, payment), decide(&control, payment));
        assert!(decided["model_version"].as_str().unwrap().starts_with("more@"));
        assert_eq!(decided["probability"], expected["probability"], "{payment}");
    }
    is_as_recounted(&server, "day", &place.data(), &of_a_day);
    // Rows of the active model are none for this one any more, so that it follows the journal too.
    until(&server, "/v1/models/twin", |about| about["state"] == "shadow");
    pay(&server, &payments[1_000..]);
    is_as_recounted(&server, "twin", &place.data(), &plain);

    let reply = shadow(&server, "day", false);
    assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("loaded")));
    assert_eq!(series(&server, "assay_shadow_score_count", "day"), None);
    server.wait_for_log("a shadow has ended");
}

#[test]
fn what_cannot_be_made_of_the_decided_transactions_is_refused_as_a_shadow() {
    let without = |column: &str| TABLE.replace(column, "");
    let of_amount = "CREATE VIEW features AS SELECT amount, amount > 10 AS large FROM payments";
    let other_column = format!("{}{of_amount}", TABLE.replace("customer BIGINT", "terminal BIGINT"));
    let other_kind = format!("{}{of_amount}", TABLE.replace("customer BIGINT", "customer TEXT"));
    let fewer = format!("{}{of_amount}", without("customer BIGINT NOT NULL, "));
    let place = Place::new(&[
        ("plain", &model(&plain())),
        ("rows", &support::seed_model().1),
        ("column", &model(&other_column)),
        ("kind", &model(&other_kind)),
        ("fewer", &model(&fewer)),
        ("past", &model(&format!("{TABLE}{BY_PAST}"))),
    ]);
    let server = place.serve("plain");
    for (name, status, code) in [
        ("rows", 422, "model_without_definition"),
        ("column", 409, "model_takes_other_columns"),
        ("kind", 409, "model_takes_other_columns"),
        ("plain", 409, "model_is_active"),
    ] {
        until(&server, &format!("/v1/models/{name}"), |about| about["state"] == "loaded" || about["state"] == "active");
        let reply = shadow(&server, name, true);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{name}");
    }

    // One that needs less than there is can be a shadow, beside others, and is gone as soon as it is deleted.
    for name in ["fewer", "past"] {
        let path = format!("/v1/models/{name}");
        until(&server, &path, |about| about["state"] == "loaded");
        assert_eq!(shadow(&server, name, true).status, 202);
        until(&server, &path, |about| about["state"] == "shadow");
    }
    pay(&server, &payments(30));
    for name in ["fewer", "past"] {
        until(&server, &format!("/v1/models/{name}"), |about| about["shadow"]["rows"] == 30);
    }
    assert_eq!(server.ask("DELETE", "/v1/models/fewer", b"").status, 200);
    assert_eq!(server.ask("GET", "/v1/models/fewer", b"").status, 404);
    assert_eq!(series(&server, "assay_shadow_score_count", "fewer"), None);
    server.wait_for_log("a shadow has ended");
}
