//! A clock that is set back an hour and forward a day while decisions are made: nothing is lost or out of order, and only what goes by the time
//! of arrival changes. The clock is the process's own, by a library between it and the system.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod clock;
mod deciding;
mod receiver;
mod support;

use std::fs;
use std::path::Path;
use std::thread;

use assay_domain::time;
use assay_journal::{Entry, Kind};
use clock::{Clock, now};
use deciding::{BY_PAST, TABLE, assay, decide, entries, model, moment, payment, until};
use receiver::{Receiver, SECRET};
use serde_json::{Value, json};
use support::{LOOK_INTERVAL, LOOKS, Random, Reply, Server};

const HOUR: i64 = 3_600 * time::SECOND;
const DAY: i64 = 24 * HOUR;
/// Payments between two jumps.
const PAYMENTS: usize = 30;
/// How far ahead it is for so many each.
const JUMPS: [i64; 5] = [0, -HOUR, DAY, DAY, 0];
/// Whose payments are blocked until half a day from now.
const BLOCKED: i64 = 3;

/// What is asked of a server with a key.
fn ask(server: &Server, key: &str, method: &str, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.connect().ask(method, path, &[&format!("Authorization: Bearer {key}")], body.as_bytes())
}

fn get(server: &Server, key: &str, path: &str) -> Value {
    let reply = ask(server, key, "GET", path, &Value::Null);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

/// A list with somebody on it until `expires`, and a policy that declines who is on it.
fn block(server: &Server, key: &str, expires: i64) {
    let entry = json!({ "value": BLOCKED, "expires": moment(expires) });
    let policy = json!({ "version": "p-2", "block": [{ "list": "blocked", "column": "customer" }] });
    for (method, path, body) in [
        ("PUT", "/v1/lists/blocked", json!({ "kind": "bigint" })),
        ("POST", "/v1/lists/blocked/entries", json!({ "entries": [entry] })),
        ("PUT", "/v1/policy", policy),
    ] {
        let reply = ask(server, key, method, path, &body);
        assert!(reply.status < 300, "{method} {path}: {}", reply.text());
    }
}

/// What the monitor says, once it has counted everything.
fn report(server: &Server, key: &str) -> Value {
    let last = get(server, key, "/v1/journal")["entries"].clone();
    for _ in 0..LOOKS {
        let report = get(server, key, "/v1/monitor");
        if report["through"] == last {
            return report;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    panic!("the monitor is still behind {last}");
}

/// Everything stands where it came, with the time that the clock said, and is shown so.
fn assert_in_order(server: &Server, key: &str, data: &Path, began: i64) {
    let written = entries(data);
    let decided: Vec<&Entry> = written.iter().filter(|entry| entry.kind == Kind::Decision).collect();
    assert_eq!(decided.len(), PAYMENTS * JUMPS.len());
    for (number, entry) in decided.iter().enumerate() {
        assert_eq!(entry.id, Some(format!("p{number}")));
        // A file's time may lag behind the clock by a few milliseconds.
        let ahead = JUMPS[number / PAYMENTS];
        let possible = began + ahead..=now() + ahead + time::SECOND;
        assert!(possible.contains(&entry.arrived), "p{number}");
    }
    let (mut pages, mut before) = (Vec::new(), String::new());
    loop {
        let page = get(server, key, &format!("/v1/decisions?limit=40{before}"));
        pages.extend(page["decisions"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    let shown = pages.iter().map(|page| (page["decision_id"].clone(), page["arrived"].clone()));
    assert!(shown.eq(decided.iter().rev().map(|entry| (json!(entry.id), json!(moment(entry.arrived))))), "{pages:?}");
}

#[test]
fn a_clock_set_back_an_hour_and_forward_a_day_changes_only_what_goes_by_arrival() {
    let place = tempfile::tempdir().unwrap();
    let (folder, clock, began) = (place.path(), Clock::build(), now());
    fs::write(folder.join("past.model"), model(&format!("{TABLE}{BY_PAST}"))).unwrap();
    let key =
        |name: &str, more: &[&str]| assay(folder, &[&["keys", "create", "--keys", "keys.json", "--name", name], more].concat());
    let scopes = ["decide", "label", "review", "policy", "metrics"].map(|scope| ["--scope", scope]).concat();
    let (all, short) = (key("all", &scopes), key("short", &["--scope", "decide", "--expires-in", "12h"]));
    let slow = key("slow", &["--scope", "decide", "--rate", "1"]);
    let receiver = Receiver::answering(&[]);
    let hook =
        json!({ "name": "cases", "url": receiver.url(), "secret": SECRET, "events": ["decision.approve", "decision.decline"] });
    fs::write(folder.join("hooks.json"), json!({ "webhooks": [hook] }).to_string()).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let serve = |data: &str, more: &[&str], environment: &[(&str, String)]| {
        let always = ["--model", &path("past.model"), "--data-dir", &path(data), "--drain-seconds", "0"];
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = Server::start_with_environment(tempfile::tempdir().unwrap(), &[&always[..], more].concat(), &environment);
        until(&server, "/ready", |reply| reply["status"] == "ready");
        server
    };
    let set = ["--keys", &path("keys.json"), "--keep-days", "3", "--webhooks", &path("hooks.json")];
    let (mut server, control) = (serve("data", &set, &clock.environment()), serve("control", &[], &[]));
    let place_of_hook = folder.join("data/webhooks/cases.json");
    (0..LOOKS).find(|_| place_of_hook.exists() || (thread::sleep(LOOK_INTERVAL), false).1).unwrap();
    let expires = began + DAY / 2;
    for server in [&server, &control] {
        block(server, &all, expires);
    }

    let mut random = Random(23);
    let mut number: u64 = 0;
    let mut both = |server: &Server, ahead: i64| {
        for _ in 0..PAYMENTS {
            let payment = payment(number, &mut random);
            number += 1;
            let ours = ask(server, &all, "POST", "/v1/decisions", &payment).json();
            let expected = decide(&control, &payment);
            for field in ["decision_id", "probability", "risk_score", "flags"] {
                assert_eq!(ours[field], expected[field], "{field} of {payment}");
            }
            // An entry of a list counts for who arrives before it expires.
            let is_blocked = payment["customer"] == BLOCKED && ahead < DAY / 2;
            assert_eq!(ours["outcome"], if is_blocked { "decline" } else { "approve" }, "{payment}");
        }
    };
    let is_known = |server: &Server, key: &str| ask(server, key, "GET", "/v1/decisions/p0", &Value::Null).status;
    both(&server, 0);
    assert_eq!(is_known(&server, &short), 200);
    // A client that has used up its rate when the clock goes back need not wait for the clock.
    (0..LOOKS).find(|_| is_known(&server, &slow) == 429).unwrap();
    clock.set(-HOUR);
    (0..LOOKS).find(|_| is_known(&server, &slow) == 200 || (thread::sleep(LOOK_INTERVAL), false).1).unwrap();
    both(&server, -HOUR);
    assert_eq!(is_known(&server, &short), 200);
    // What the world says is now has not come yet.
    let mut early = payment(999, &mut Random(1));
    early["at"] = json!(moment(now()));
    assert_eq!(ask(&server, &all, "POST", "/v1/decisions", &early).code(), "event_in_the_future");
    let mut label = json!({ "transaction_id": "p0", "label": "fraud", "learnt": moment(now()) });
    assert_eq!(ask(&server, &all, "POST", "/v1/labels", &label).code(), "learnt_in_the_future");
    label.as_object_mut().unwrap().remove("learnt");
    for server in [&server, &control] {
        assert_eq!(ask(server, &all, "POST", "/v1/labels", &label).status, 200);
    }
    clock.set(DAY);
    both(&server, DAY);
    assert_eq!(is_known(&server, &short), 401, "its key has expired by this clock");
    // A restart finds the clock ahead, and cuts nothing off that is young by it.
    server.signal("TERM");
    assert!(server.wait().success());
    let mut server = serve("data", &set, &clock.environment());
    both(&server, DAY);
    clock.set(0);
    both(&server, 0);
    assert_eq!(is_known(&server, &short), 200);

    assert_in_order(&server, &all, &folder.join("data"), began);
    // Webhooks told it in this order; a receiver that goes by the right time refuses only what was sent by a wrong one.
    let came = receiver.wait_for(PAYMENTS * JUMPS.len());
    let told = receiver.taken().into_iter().map(|body| body["data"]["decision_id"].clone());
    assert!(told.eq((0..PAYMENTS * JUMPS.len()).map(|number| json!(format!("p{number}")))), "{came:?}");
    assert_eq!(came.last().unwrap()["verified"], true);
    // The monitor says the same beside the server and without it, and so does a server that was killed and has no snapshot.
    let watched = report(&server, &all);
    let alone = || serde_json::from_str::<Value>(&assay(folder, &["monitor", "data", "--json"])).unwrap();
    assert_eq!(alone(), watched);
    server.kill();
    let _ = fs::remove_file(folder.join("data/snapshot"));
    let server = serve("data", &set, &clock.environment());
    assert_eq!(report(&server, &all), watched);
    both(&server, 0);
    let proved: Value = serde_json::from_str(&assay(folder, &["verify", "data", "--json"])).unwrap();
    assert_eq!((&proved["decisions"], &proved["cut"]), (&json!(6 * PAYMENTS), &json!(0)), "{proved}");
}
