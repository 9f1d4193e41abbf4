//! `assay train --data-dir`: what is learnt from the journal are the rows that decisions were made from, with labels as they were known.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod ledger;
mod workplace;

use assay::lessons::{Lessons, lessons};
use assay_domain::Outcome;
use assay_journal::Kind;
use assay_trainer::table::{Table, Values};
use ledger::{Ledger, SQL, history, moment};
use serde_json::Value;
use workplace::{QUICK, Workplace};

const FAR: i64 = 4_000_000_000_000_000;

fn numbers(table: &Table, place: usize) -> &[f64] {
    match &table.columns[place].values {
        Values::Numbers(numbers) => numbers,
        other => panic!("column {place}: {other:?}"),
    }
}

fn read(ledger: &Ledger, as_of: Option<i64>) -> Lessons {
    lessons(&ledger.place.path("data"), None, as_of, |_, _| ()).unwrap()
}

/// What is known of the decision in `entries[place]` at a moment, read off the entries.
fn known(ledger: &Ledger, place: usize, at: i64) -> Option<bool> {
    let entry = &ledger.entries[place];
    let last = ledger.entries.iter().rfind(|one| one.kind == Kind::Label && one.id == entry.id && one.arrived <= at);
    if let Some(label) = last {
        return Some(serde_json::from_str::<Value>(&label.body).unwrap()["label"] == "fraud");
    }
    let decision = ledger.decisions.iter().find(|decision| entry.id.as_deref() == Some(&decision.id)).unwrap();
    let event = entry.arrived - assay_domain::time::SECOND;
    (event + 3 * assay_domain::time::DAY <= at && decision.outcome != Outcome::Decline).then_some(false)
}

#[test]
fn the_rows_that_are_learnt_from_are_those_that_decisions_were_made_from_to_the_bit() {
    let ledger = Ledger::new();
    let end = ledger.entries.last().unwrap().arrived;
    let middle = ledger.entries[ledger.entries.len() / 2].arrived;
    let mut rows_seen = Vec::new();
    for as_of in [None, Some(FAR), Some(middle)] {
        let Lessons { table, immature, declined, as_of: taken, not_admitted, .. } = read(&ledger, as_of);
        assert_eq!((taken, not_admitted), (as_of.unwrap_or(end), 0));
        let label = table.columns.len() - 1;
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let expected =
            ["transaction_id", "tx_datetime", "tx_amount", "hour", "payments_1d", "mean_7d", "terminal_risk_7d", "tx_fraud"];
        assert_eq!(names, expected);
        let mut row = 0;
        let (mut unknown, mut came) = (0, 0);
        let decided = ledger.entries.iter().enumerate().filter(|(_, entry)| entry.kind == Kind::Decision);
        for ((place, entry), decision) in decided.zip(&ledger.decisions) {
            if entry.arrived > taken {
                continue;
            }
            came += 1;
            let Some(fraud) = known(&ledger, place, taken) else {
                unknown += 1;
                continue;
            };
            assert_eq!(numbers(&table, 0)[row], (place + 1) as f64);
            for (feature, value) in decision.row.iter().enumerate() {
                let found = numbers(&table, feature + 2)[row];
                assert!(found.to_bits() == value.to_bits() || (found.is_nan() && value.is_nan()), "row {row}, feature {feature}");
            }
            assert_eq!(numbers(&table, label)[row], f64::from(u8::from(fraud)));
            row += 1;
        }
        assert_eq!((table.rows(), immature + declined, table.rows() as u64 + unknown), (row, unknown, came));
        if as_of == Some(FAR) {
            assert!(immature == 0 && declined > 0);
        }
        rows_seen.push(row);
    }
    assert!(rows_seen[2] < rows_seen[0] && rows_seen[0] < rows_seen[1], "{rows_seen:?}");
}

#[test]
fn a_model_of_an_imported_history_is_that_of_the_history_byte_for_byte() {
    let place = Workplace::new();
    history(&place);
    let flags = [&["--seed", "7"][..], &QUICK].concat();
    place.run(&[&["train", "--definition", "ledger.sql", "history.csv", "--out", "file.model"][..], &flags].concat());
    place.run(&["import", "history.csv", "--data-dir", "data", "--definition", "ledger.sql"]);
    let from_journal = ["train", "--data-dir", "data", "--as-of", "2090-01-01T00:00:00Z", "--out", "journal.model"];
    let said = place.run(&[&from_journal[..], &flags].concat());
    assert!(said.contains("Read the journal of data as of 2090-01-01T00:00:00Z"), "{said}");
    assert!(said.contains("Left out: 0 of which the label was not known yet, 0 declined"), "{said}");
    assert!(place.read("file.model") == place.read("journal.model"), "the models differ");
    // At the end of the journal the labels of the last three days are not known yet.
    let said = place.run(&[&["train", "--data-dir", "data", "--out", "now.model"][..], &flags].concat());
    assert!(!said.contains("Left out: 0 of which"), "{said}");
    assert!(place.read("file.model") != place.read("now.model"));
    // Labels with moments of their own give the same features and labels.
    place.run(&["import", "history.csv", "--data-dir", "learnt", "--definition", "ledger.sql", "--learnt", "learnt"]);
    let from_labels = ["train", "--data-dir", "learnt", "--as-of", "2090-01-01T00:00:00Z", "--out", "learnt.model"];
    place.run(&[&from_labels[..], &flags].concat());
    assert!(place.read("file.model") == place.read("learnt.model"), "the models differ");
}

#[test]
fn a_journal_teaches_another_definition_too_and_nothing_is_no_lesson() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    place.write("other.sql", SQL.replace("tx_amount, extract", "tx_amount, tx_amount > 100 AS is_large, extract"));
    let words = ["train", "--data-dir", "data", "--definition", "other.sql", "--out", "other.model"];
    let said = place.run(&[&words[..], &QUICK].concat());
    assert!(said.contains("Features: 6."), "{said}");
    place.write("device.sql", SQL.replace("email TEXT,", "email TEXT, device TEXT NOT NULL,"));
    let words = ["train", "--data-dir", "data", "--definition", "device.sql", "--out", "x.model"];
    let sentence = place.refused(&words);
    assert!(sentence.contains("no transaction whose label was known"), "{sentence}");
    let early = moment(ledger.payments[10].at);
    let sentence = place.refused(&["train", "--data-dir", "data", "--as-of", &early, "--out", "x.model"]);
    assert!(sentence.contains("no transaction whose label was known"), "{sentence}");
    assert!(place.refused(&["train", "--data-dir", "nowhere", "--out", "x.model"]).contains("holds no journal"));
    place.misused(&["train", "--data-dir", "data", "history.csv", "--out", "x.model"]);
    place.misused(&["train", "history.csv", "--as-of", &early, "--out", "x.model"]);
    place.misused(&["train", "--data-dir", "data", "--as-of", "yesterday", "--out", "x.model"]);
}
