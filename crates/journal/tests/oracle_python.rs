//! Python opens the file with its own SQLite, chains the entries anew by what docs/journal.md says, and reads the views.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use assay_journal::{Journal, Kind, NewEntry};
use serde_json::{Value, json};
use support::{decision, entry};
use tempfile::tempdir;

/// What the script says of the journal in a folder.
fn ask(folder: &Path) -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("ASSAY_PYTHON").map_or_else(|| here.join("../../.tools/bin/python"), PathBuf::from);
    let output = Command::new(python).arg("-B").arg(here.join("tests/oracles/journal.py")).arg(folder).output();
    let output = output.expect("`scripts/setup test` brings Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn python_finds_the_same_chain_and_reads_the_views_while_the_journal_is_open() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    for group in 0..20 {
        let id = format!("é{group}");
        let person = NewEntry { personal: Some(r#"{"name":"ü"}"#), arrived: -group, ..decision(&id) };
        journal.append(&[person, entry(Kind::Label, &id, "{}"), entry(Kind::Policy, &id, "[]")]).unwrap();
    }
    journal.erase("é9", 5).unwrap();
    let answer = ask(folder.path());
    assert_eq!((&answer["head"], &answer["sound"]), (&json!(journal.head().to_string()), &json!("ok")));
    assert_eq!(answer["history"].as_array().unwrap().len(), 61);
    journal.retain(-4, 6, "{}").unwrap();
    assert_eq!(ask(folder.path())["head"], json!(journal.head().to_string()), "nothing arrived before, nothing was cut off");
    journal.retain(1_700_000_000_000_000, 6, "{}").unwrap();
    assert_eq!(ask(folder.path())["head"], json!(journal.head().to_string()));
    journal.sweep(1).unwrap();
    assert_eq!(ask(folder.path())["history"].as_array().unwrap().len(), 61, "one was cut off, one tells of it");
}

#[test]
fn views_have_plain_names_and_say_what_bodies_say() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let body = r#"{"model_version":"m-1","outcome":"decline","policy_version":7,"probability":0.75,"risk_score":991,"transaction":{"tx_amount":12.5}}"#;
    let group = [
        NewEntry { arrived: 1_727_699_696_000_042, ..entry(Kind::Decision, "a", body) },
        NewEntry { arrived: -1, ..entry(Kind::Transaction, "b", r#"{"tx_amount":3}"#) },
        NewEntry { arrived: 0, ..entry(Kind::Label, "a", r#"{"label":"fraud","learnt":"2024-10-01","source":"chargeback"}"#) },
        NewEntry { arrived: 0, id: None, ..entry(Kind::Model, "", "{}") },
    ];
    journal.append(&group).unwrap();
    let answer = ask(folder.path());
    let decided = "2024-09-30T12:34:56.000042Z";
    assert_eq!(answer["decisions"], json!([[1, "a", decided, "decline", 0.75, 991, "m-1", 7, body, null]]));
    let fields = [r#"{"tx_amount":12.5}"#, r#"{"tx_amount":3}"#];
    assert_eq!(
        answer["transactions"],
        json!([[1, "a", decided, 1, fields[0], null], [2, "b", "1969-12-31T23:59:59.999999Z", 0, fields[1], null]])
    );
    assert_eq!(
        answer["labels"],
        json!([[3, "a", "1970-01-01T00:00:00.000000Z", "fraud", "chargeback", "2024-10-01", group[2].body]])
    );
    assert_eq!(answer["changes"], json!([[4, "model", null, "1970-01-01T00:00:00.000000Z", "{}"]]));
}

#[test]
fn a_journal_of_format_1_opens_for_ever() {
    let folder = tempdir().unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/journal-1.sqlite");
    std::fs::copy(kept, folder.path().join(assay_journal::FILE)).unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let expected = include_str!("formats/journal-1.head").trim();
    assert_eq!(journal.head().to_string(), expected);
    let verified = journal.read().verify(|_, _| ()).unwrap();
    assert_eq!((verified.cut.sequence, verified.erased), (2, 1));
    assert_eq!(ask(folder.path())["head"], json!(expected));
    assert_eq!(journal.read().labels_of("kept").unwrap().len(), 2);
    journal.append(&[decision("new")]).unwrap();
    journal.read().verify(|_, _| ()).unwrap();
}
