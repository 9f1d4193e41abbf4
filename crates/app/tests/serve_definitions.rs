//! A model with another definition takes over while decisions are made: its features know all that happened before, as if it had always been there.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod deciding;
mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use deciding::{BY_PAST, TABLE, decide, model, payment, until};
use serde_json::{Value, json};
use support::{Random, Server};

/// What was spent of late.
const BY_AMOUNT: &str = "CREATE VIEW features AS SELECT amount, sum(amount) OVER recent AS spent FROM payments \
    WINDOW recent AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '3 days' PRECEDING AND CURRENT ROW)";
fn serve(models: &Path, first: &str, data: &Path) -> Server {
    let first = models.join(format!("{first}.model"));
    let server = Server::start_with(&[
        "--models",
        models.to_str().unwrap(),
        "--model",
        first.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
        "--drain-seconds",
        "0",
    ]);
    until(&server, "/ready", |reply| reply["status"] == "ready");
    server
}

#[test]
fn a_model_with_another_definition_joins_with_all_of_the_past_and_nothing_is_lost_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    for (name, view) in [("amount", BY_AMOUNT), ("past", BY_PAST)] {
        fs::write(models.join(format!("{name}.model")), model(&format!("{TABLE}{view}"))).unwrap();
    }
    let mut random = Random(7);
    let payments: Vec<Value> = (0..1_500).map(|number| payment(number, &mut random)).collect();

    let mut server = serve(&models, "amount", &folder.path().join("data"));
    let label = |server: &Server, number: usize| {
        let body = json!({ "transaction_id": format!("p{number}"), "label": "fraud", "source": "test" });
        assert_eq!(server.ask("POST", "/v1/labels", body.to_string().as_bytes()).status, 200);
    };
    for (number, payment) in payments[..900].iter().enumerate() {
        assert!(decide(&server, payment)["model_version"].as_str().unwrap().starts_with("amount@"));
        if number % 50 == 0 {
            label(&server, number);
        }
    }
    until(&server, "/v1/models/past", |about| about["state"] == "loaded");
    // Payments go on while the other model catches up.
    let (next, is_over) = (AtomicU64::new(900), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) && next.load(Ordering::Relaxed) < 1_300 {
                let number = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                decide(&server, &payments[number]);
            }
        });
        let reply = server.ask("POST", "/v1/models/past/activate", b"");
        assert!(reply.status == 202 || reply.status == 200, "{}", reply.text());
        until(&server, "/v1/models/past", |about| about["state"] == "active");
        is_over.store(true, Ordering::Relaxed);
    });
    let first = usize::try_from(next.load(Ordering::Relaxed)).unwrap();
    assert!(first < 1_500);
    let after: Vec<Value> = payments[first..].iter().map(|payment| decide(&server, payment)).collect();

    // A server that has had the other model from the beginning says the same, bit for bit.
    let others = folder.path().join("models of the other");
    fs::create_dir(&others).unwrap();
    fs::copy(models.join("past.model"), others.join("past.model")).unwrap();
    let control = serve(&others, "past", &folder.path().join("control"));
    for (number, payment) in payments[..900].iter().enumerate() {
        decide(&control, payment);
        if number % 50 == 0 {
            label(&control, number);
        }
    }
    for payment in &payments[900..first] {
        decide(&control, payment);
    }
    for (payment, after) in payments[first..].iter().zip(after) {
        let expected = decide(&control, payment);
        for field in ["decision_id", "outcome", "probability", "risk_score", "model_version"] {
            assert_eq!(after[field], expected[field], "{field} of {payment}");
        }
    }
    // Back again, at once from the journal, and after a restart it is still so.
    assert_eq!(server.ask("POST", "/v1/models/rollback", b"").status, 202);
    until(&server, "/v1/models/amount", |about| about["state"] == "active");
    let more = payment(1_600, &mut random);
    let decided = decide(&server, &more);
    assert!(decided["model_version"].as_str().unwrap().starts_with("amount@"));
    server.signal("KILL");
    server.wait();
    let again = serve(&models, "amount", &folder.path().join("data"));
    assert_eq!(decide(&again, &more), decided);
}

#[test]
fn a_model_that_cannot_decide_is_refused_while_the_old_one_decides() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    fs::write(models.join("amount.model"), model(&format!("{TABLE}{BY_AMOUNT}"))).unwrap();
    fs::write(models.join("rows.model"), support::seed_model().1).unwrap();
    let server = serve(&models, "amount", &folder.path().join("data"));
    until(&server, "/v1/models/rows", |about| about["state"] == "loaded");
    let reply = server.ask("POST", "/v1/models/rows/activate", b"");
    assert_eq!((reply.status, reply.code().as_str()), (422, "model_without_definition"));
    let decided = decide(&server, &payment(1, &mut Random(1)));
    assert!(decided["model_version"].as_str().unwrap().starts_with("amount@"));
}
