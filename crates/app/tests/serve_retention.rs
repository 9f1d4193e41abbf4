//! What is older than it may be kept goes, and everything goes on as if it were there.

mod deciding;
mod support;

use std::process::Command;
use std::thread;
use std::time::Duration;

use assay_journal::{Kind, Reader};
use deciding::{BY_PAST, TABLE, decide, model, payment, until};
use serde_json::{Value, json};
use support::{LOOK_INTERVAL, LOOKS, Random, Server};

#[test]
fn old_entries_are_cut_off_behind_a_checkpoint_and_later_decisions_are_as_if_they_were_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("past.model");
    std::fs::write(&file, model(&format!("{TABLE}{BY_PAST}"))).unwrap();
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
    let _ = std::fs::remove_file(data.join("snapshot"));
    let again = serve("data", &[]);
    for payment in &payments[502..] {
        both(&again, payment);
    }
    let shown = again.ask("GET", "/v1/decisions/p599", b"").json();
    assert!(shown["reasons"].is_array() && shown["features"].is_object(), "{shown}");
    assert_eq!(reader.verify(|_, _| {}).unwrap().cut.sequence, cut["through"].as_u64().unwrap());
    // Beside the server, what is left is proved, copied, and tried again.
    let assay = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_assay")).args(words).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let proved: Value = serde_json::from_str(&assay(&["verify", "data", "--json"])).unwrap();
    assert_eq!(proved["cut"], cut["through"]);
    assert!(proved["decisions"].as_u64().unwrap() > 90, "{proved}");
    assert!(assay(&["backup", "data", "copy"]).contains("with 1 model,"));
    let copied: Value = serde_json::from_str(&assay(&["verify", "copy", "--json"])).unwrap();
    assert_eq!((&copied["decisions"], &copied["head"]), (&proved["decisions"], &proved["head"]));
    assay(&["backtest", "copy", "--amount", "amount", "-o", "page.html", "--json", "page.json"]);
    let tried: Value = serde_json::from_slice(&std::fs::read(folder.path().join("page.json")).unwrap()).unwrap();
    assert_eq!(tried["candidate"], tried["recorded"]);
    assert_eq!(tried["candidate"]["transactions"], proved["decisions"]);
}
