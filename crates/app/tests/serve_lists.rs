//! A list of a million values, brought in batches: every start finds it again, from the snapshot and from the journal, and the journal is proved.

mod deciding;
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use deciding::{BY_PAST, TABLE, decide, model, payment, until};
use serde_json::{Value, json};
use support::{Random, Server};

const ENTRIES: i64 = 1_000_000;
/// As many as one request may bring by default.
const BATCH: i64 = 10_000;

#[test]
fn a_list_of_a_million_comes_in_batches_and_outlives_any_restart() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    std::fs::write(folder.join("past.model"), model(&format!("{TABLE}{BY_PAST}"))).unwrap();
    let [file, data] = ["past.model", "data"].map(|name| folder.join(name).display().to_string());
    let serve = || {
        let server = Server::start_with(&["--model", &file, "--data-dir", &data, "--drain-seconds", "0"]);
        until(&server, "/ready", |reply| reply["status"] == "ready");
        server
    };
    let ask = |server: &Server, method: &str, path: &str, body: &str| {
        let reply = server.ask(method, path, body.as_bytes());
        assert!(reply.status < 300, "{method} {path}: {}", reply.text());
        reply
    };
    let mut server = serve();
    ask(&server, "PUT", "/v1/lists/stolen", &json!({ "kind": "bigint" }).to_string());
    let mut client = server.connect();
    for batch in 0..ENTRIES / BATCH {
        let mut body = "{\"entries\":[".to_owned();
        for value in batch * BATCH..(batch + 1) * BATCH {
            write!(body, "{{\"value\":{value},\"source\":\"file\"}},").unwrap();
        }
        body.pop();
        body += "]}";
        let reply = client.ask("POST", "/v1/lists/stolen/entries", &[], body.as_bytes());
        assert_eq!((reply.status, reply.json()["entries"].as_i64()), (200, Some((batch + 1) * BATCH)), "{reply:?}");
    }
    let policy = json!({ "version": "p-2", "block": [{ "list": "stolen", "column": "customer" }] });
    ask(&server, "PUT", "/v1/policy", &policy.to_string());
    let mut number = 0;
    let mut blocks = |server: &Server| {
        for (customer, outcome) in [(0, "decline"), (777_777, "decline"), (ENTRIES - 1, "decline"), (ENTRIES, "approve")] {
            let mut payment = payment(number, &mut Random(3));
            payment["customer"] = json!(customer);
            number += 1;
            assert_eq!(decide(server, &payment)["outcome"], outcome, "{customer}");
        }
    };
    blocks(&server);
    let bytes = |name: &str| std::fs::metadata(Path::new(&data).join(name)).map_or(0, |about| about.len());
    // From the snapshot of a clean end.
    server.signal("TERM");
    assert!(server.wait().success());
    println!(
        "snapshot {} bytes, journal {} bytes with its log",
        bytes("snapshot"),
        bytes("journal.sqlite") + bytes("journal.sqlite-wal")
    );
    let mut server = serve();
    blocks(&server);
    // From the journal alone.
    server.kill();
    std::fs::remove_file(Path::new(&data).join("snapshot")).unwrap();
    let server = serve();
    blocks(&server);
    assert_eq!(server.ask("GET", "/v1/lists", b"").json()["lists"][0]["entries"], ENTRIES);
    let verify = Command::new(env!("CARGO_BIN_EXE_assay")).args(["verify", &data, "--json"]).output().unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
    let proved: Value = serde_json::from_slice(&verify.stdout).unwrap();
    assert_eq!(proved["decisions"], 12, "{proved}");
}
