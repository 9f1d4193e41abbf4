//! What is older than it may be kept goes, and everything goes on as if it were there.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod clock;
mod deciding;
mod receiver;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use assay_journal::{Entry, Kind, Reader};
use clock::now;
use deciding::{BY_PAST, TABLE, assay, decide, entries, model, moment, payment, until};
use receiver::{Receiver, SECRET};
use serde_json::{Value, json};
use support::{LOOK_INTERVAL, LOOKS, Random, Server};

#[test]
fn old_entries_are_cut_off_behind_a_checkpoint_and_later_decisions_are_as_if_they_were_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("past.model");
    fs::write(&file, model(&format!("{TABLE}{BY_PAST}"))).unwrap();
    let serve = |data: &str, more: &[&str]| {
        let data = folder.path().join(data);
        let always = ["--model", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap(), "--drain-seconds", "0"];
        let server = Server::start_with(&[&always[..], more].concat());
        until(&server, "/ready", |reply| reply["status"] == "ready");
        server
    };
    let mut random = Random(11);
    let payments: Vec<Value> = (0..600).map(|number| payment(number, &mut random)).collect();
    // Four seconds, so that what is decided below is old soon.
    let mut server = serve("data", &["--keep-days", "0.00005"]);
    let control = serve("control", &[]);
    let both = |server: &Server, payment: &Value| {
        let (ours, expected) = (decide(server, payment), decide(&control, payment));
        for field in ["decision_id", "outcome", "probability", "risk_score", "flags"] {
            assert_eq!(ours[field], expected[field], "{field} of {payment}");
        }
    };
    for payment in &payments[..300] {
        both(&server, payment);
    }
    let data = folder.path().join("data");
    let reader = Reader::open(&data).unwrap();
    let cut = || -> Option<Value> {
        let entry = reader.latest(Kind::Cut, u64::MAX, 1).unwrap().pop()?;
        serde_json::from_str(&entry.body).ok()
    };
    let through = || cut().map_or(0, |cut| cut["through"].as_u64().unwrap());
    let mut number = 300;
    for _ in 0..LOOKS {
        if through() >= 100 {
            break;
        }
        // Something must be young, or nothing is cut off.
        both(&server, &payments[number]);
        number += usize::from(number < 500);
        thread::sleep(Duration::from_millis(100).max(LOOK_INTERVAL));
    }
    assert!(through() >= 100, "{}", server.log());
    assert_eq!(server.ask("GET", "/v1/decisions/p0", b"").status, 404);
    let label = json!({ "transaction_id": "p0", "label": "fraud" }).to_string();
    assert_eq!(server.ask("POST", "/v1/labels", label.as_bytes()).status, 404);
    both(&server, &payments[501]);
    // Also from the checkpoint alone: without a snapshot, after a kill.
    server.signal("KILL");
    server.wait();
    let cut = cut().unwrap();
    assert!(data.join(cut["state"]["checkpoint"].as_str().unwrap()).is_file());
    let _ = fs::remove_file(data.join("snapshot"));
    let again = serve("data", &[]);
    for payment in &payments[502..] {
        both(&again, payment);
    }
    let shown = again.ask("GET", "/v1/decisions/p599", b"").json();
    assert!(shown["reasons"].is_array() && shown["features"].is_object(), "{shown}");
    assert_eq!(reader.verify(|_, _| {}).unwrap().cut.sequence, cut["through"].as_u64().unwrap());
    // Beside the server, what is left is proved, copied, and tried again.
    let assay = |words: &[&str]| assay(folder.path(), words);
    let proved: Value = serde_json::from_str(&assay(&["verify", "data", "--json"])).unwrap();
    assert_eq!(proved["cut"], cut["through"]);
    assert!(proved["decisions"].as_u64().unwrap() > 90, "{proved}");
    assert!(assay(&["backup", "data", "copy"]).contains("with 1 model,"));
    let copied: Value = serde_json::from_str(&assay(&["verify", "copy", "--json"])).unwrap();
    assert_eq!((&copied["decisions"], &copied["head"]), (&proved["decisions"], &proved["head"]));
    assay(&["backtest", "copy", "--amount", "amount", "-o", "page.html", "--json", "page.json"]);
    let tried: Value = serde_json::from_slice(&fs::read(folder.path().join("page.json")).unwrap()).unwrap();
    assert_eq!(tried["candidate"], tried["recorded"]);
    assert_eq!(tried["candidate"]["transactions"], proved["decisions"]);
}

const DAY: i64 = 86_400_000_000;

/// A model, and a journal into which thirty days of payments were imported, up to yesterday, each with a label that was learnt half a day later.
fn imported(folder: &Path) {
    fs::write(folder.join("past.model"), model(&format!("{TABLE}{BY_PAST}"))).unwrap();
    fs::write(folder.join("past.sql"), format!("{TABLE}{BY_PAST}")).unwrap();
    let mut rows = "id,at,customer,amount,fraud,learnt\n".to_owned();
    for number in 0..600 {
        // Between whole days, so that none is just about to be too old.
        let at = now() - 31 * DAY + number * DAY / 20 + DAY / 40;
        let (customer, fraud) = (number % 7, number % 9 == 0);
        writeln!(rows, "p{number},{},{customer},{}.5,{fraud},{}", moment(at), number % 90, moment(at + DAY / 2)).unwrap();
    }
    fs::write(folder.join("past.csv"), rows).unwrap();
    assay(folder, &["import", "past.csv", "--data-dir", "data", "--definition", "past.sql", "--learnt", "learnt"]);
}

#[test]
fn what_a_webhook_was_not_told_yet_is_kept_a_while_longer_and_what_is_cut_off_before_it_was_is_counted() {
    let place = tempfile::tempdir().unwrap();
    let (folder, data) = (place.path(), place.path().join("data"));
    imported(folder);
    let before = entries(&data);
    // Told nothing so far, by a receiver that is away.
    fs::create_dir(data.join("webhooks")).unwrap();
    fs::write(data.join("webhooks/cases.json"), json!({ "after": format!("0:{}", "0".repeat(64)) }).to_string()).unwrap();
    let hook = |url: &str| {
        let hook = json!({ "name": "cases", "url": url, "secret": SECRET, "events": ["label"] });
        fs::write(folder.join("hooks.json"), json!({ "webhooks": [hook] }).to_string()).unwrap();
    };
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    hook(&format!("http://{away}/hook"));
    let path = |name: &str| folder.join(name).display().to_string();
    let serve = || {
        let words = ["--model", &path("past.model"), "--data-dir", &path("data"), "--webhooks", &path("hooks.json")];
        let server = Server::start_with(&[&words[..], &["--keep-days", "8", "--drain-seconds", "0"]].concat());
        until(&server, "/ready", |reply| reply["status"] == "ready");
        server
    };
    let reader = Reader::open(&data).unwrap();
    let cut_through = |at_least: u64| {
        for _ in 0..LOOKS {
            if let Some(cut) = reader.latest(Kind::Cut, u64::MAX, 1).unwrap().pop() {
                let through = serde_json::from_str::<Value>(&cut.body).unwrap()["through"].as_u64().unwrap();
                if through >= at_least {
                    return through;
                }
            }
            thread::sleep(LOOK_INTERVAL);
        }
        panic!("nothing is cut off");
    };
    let last_before = |days: i64| before.iter().rev().find(|entry| entry.arrived < now() - days * DAY).unwrap().sequence;

    let mut server = serve();
    let through = cut_through(1);
    assert_eq!(through, last_before(15), "eight days are kept, and seven more for who was not told");
    assert!(through < last_before(8));
    server.wait_for_log("is kept a while longer, since a webhook has not been told of all of it");
    // It comes back, and is told all that is left, in order; what is gone is counted.
    let receiver = Receiver::answering(&[]);
    hook(&receiver.url());
    let due: Vec<&Entry> = before.iter().filter(|entry| entry.kind == Kind::Label && entry.sequence > through).collect();
    receiver.wait_for(due.len());
    let told: Vec<Value> = receiver.taken().iter().map(|body| body["data"]["id"].clone()).collect();
    assert_eq!(told, due.iter().map(|entry| json!(entry.id)).collect::<Vec<_>>());
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    assert!(metrics.contains(&format!("assay_webhook_entries_cut_off_total{{webhook=\"cases\"}} {through}\n")), "{metrics}");
    server.wait_for_log("retention cut entries off before they could be delivered");
    // Once it is told all of it, nothing is kept for it.
    server.signal("TERM");
    assert!(server.wait().success());
    let mut server = serve();
    assert_eq!(cut_through(through + 1), last_before(8));
    assert!(server.ask("GET", "/metrics", b"").text().contains("assay_webhook_entries_cut_off_total{webhook=\"cases\"} 0\n"));
    server.signal("TERM");
    assert!(server.wait().success());
    let proved: Value = serde_json::from_str(&assay(folder, &["verify", "data", "--json"])).unwrap();
    assert_eq!(proved["cut"], last_before(8));
}
