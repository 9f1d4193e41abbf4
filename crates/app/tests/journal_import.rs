//! `assay import`: a history becomes the past of a journal, in order, once, and nothing of it that may not enter.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod ledger;
mod workplace;

use assay_journal::{Entry, JournalError, Kind, Reader};
use ledger::{Ledger, Payment, SQL, csv, history, moment};
use serde_json::{Value, json};
use workplace::Workplace;

const IMPORT: [&str; 6] = ["import", "history.csv", "--data-dir", "data", "--definition", "ledger.sql"];

fn entries(place: &Workplace, folder: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let reader = Reader::open(&place.path(folder)).unwrap();
    reader
        .replay(0, u64::MAX, |entry| -> Result<(), JournalError> {
            entries.push(entry.to_owned());
            Ok(())
        })
        .unwrap();
    entries
}

fn import(place: &Workplace, more: &[&str]) -> Value {
    serde_json::from_str(&place.run(&[&IMPORT[..], &["--json"], more].concat())).unwrap()
}

/// The history, not in the order of its events.
fn shuffled(payments: &[Payment]) -> Vec<Payment> {
    let mut shuffled = payments.to_vec();
    shuffled.sort_by_key(|payment| (payment.id.wrapping_mul(7_919) % 101, payment.at));
    shuffled
}

#[test]
fn a_history_stands_in_the_journal_in_the_order_of_its_events_and_only_once() {
    let place = Workplace::new();
    let payments = history(&place);
    let file = shuffled(&payments);
    place.write("history.csv", csv(&file));
    let imported = import(&place, &[]);
    let frauds = payments.iter().filter(|payment| payment.fraud).count();
    assert_eq!((&imported["transactions"], &imported["frauds"]), (&payments.len().into(), &frauds.into()));
    assert_eq!(imported["from"], moment(payments[0].at));
    assert_eq!(imported["to"], moment(payments.last().unwrap().at));

    let written = entries(&place, "data");
    assert_eq!(written[0].kind, Kind::Definition);
    assert_eq!(serde_json::from_str::<Value>(&written[0].body).unwrap(), json!({ "sql": SQL }));
    let mut expected = file;
    expected.sort_by_key(|payment| payment.at);
    assert_eq!(written.len(), expected.len() + 1);
    for (entry, payment) in written[1..].iter().zip(&expected) {
        assert_eq!((entry.kind, entry.arrived), (Kind::Transaction, payment.at));
        assert_eq!(entry.id.as_deref(), Some(payment.id.to_string().as_str()));
        let fields = payment.fields();
        let fraud = payment.fraud;
        assert_eq!(entry.body, format!("{{\"transaction\":{},\"tx_fraud\":{fraud}}}}}", fields.strip_suffix('}').unwrap()));
        assert_eq!(entry.personal, payment.personal());
    }

    // Once more changes nothing, nor does a file that repeats a row.
    let again = import(&place, &[]);
    assert_eq!((&again["transactions"], &again["known"]), (&0.into(), &payments.len().into()));
    assert_eq!(again["head"], imported["head"]);
    let said = place.run(&["verify", "data"]);
    assert!(said.contains("0 decisions"), "{said}");
    let twice = [&payments[..], &payments[..9]].concat();
    place.write("history.csv", csv(&twice));
    assert_eq!(import(&place, &[])["known"], twice.len());
}

#[test]
fn an_import_that_was_cut_off_goes_on_to_the_same_journal() {
    let place = Workplace::new();
    let payments = history(&place);
    for learnt in [&[][..], &["--learnt", "learnt"]] {
        for folder in ["data", "whole"] {
            std::fs::remove_dir_all(place.path(folder)).ok();
        }
        place.write("history.csv", csv(&payments));
        let whole = [&["import", "history.csv", "--data-dir", "whole", "--definition", "ledger.sql"][..], learnt].concat();
        place.run(&whole);
        let expected = entries(&place, "whole");
        // What is cut off is a beginning of the entries: written here as the import writes them, in groups.
        let mut journal = assay_journal::Journal::open(&place.path("data")).unwrap();
        for group in expected[..expected.len() / 2].chunks(1_000) {
            let group: Vec<assay_journal::NewEntry<'_>> = group
                .iter()
                .map(|entry| assay_journal::NewEntry {
                    kind: entry.kind,
                    id: entry.id.as_deref(),
                    arrived: entry.arrived,
                    body: &entry.body,
                    personal: entry.personal.as_deref(),
                })
                .collect();
            journal.append(&group).unwrap();
        }
        drop(journal);
        let imported = import(&place, learnt);
        assert!(imported["known"].as_u64().unwrap() > 1_000, "{imported}");
        let said = |entries: Vec<Entry>| -> Vec<_> {
            entries.into_iter().map(|entry| (entry.kind, entry.id, entry.arrived, entry.body, entry.personal)).collect()
        };
        assert_eq!(said(entries(&place, "data")), said(expected));
    }
}

#[test]
fn labels_with_a_moment_of_their_own_come_when_they_were_learnt() {
    let place = Workplace::new();
    let payments = history(&place);
    let imported = import(&place, &["--learnt", "LEARNT"]);
    assert_eq!((&imported["labels"], &imported["transactions"]), (&payments.len().into(), &payments.len().into()));
    let written = entries(&place, "data");
    assert_eq!(written.len(), 1 + 2 * payments.len());
    assert!(written.is_sorted_by_key(|entry| entry.arrived));
    let labels: Vec<&Entry> = written.iter().filter(|entry| entry.kind == Kind::Label).collect();
    let days = |payment: &Payment| if payment.fraud { 2 } else { 3 };
    let mut expected = payments.clone();
    expected.sort_by_key(|payment| payment.at + days(payment) * assay_domain::time::DAY);
    let mut learnt = Vec::new();
    for label in &labels {
        let body: Value = serde_json::from_str(&label.body).unwrap();
        let payment = payments.iter().find(|payment| label.id.as_deref() == Some(&payment.id.to_string())).unwrap();
        let truth = if payment.fraud { "fraud" } else { "genuine" };
        assert_eq!(body, json!({ "label": truth, "source": "import", "learnt": moment(label.arrived) }));
        assert_eq!(label.arrived, payment.at + days(payment) * assay_domain::time::DAY);
        learnt.push(payment.id);
    }
    assert_eq!(learnt.len(), expected.len());
    assert!(written[1..].iter().filter(|entry| entry.kind == Kind::Transaction).all(|entry| !entry.body.contains("tx_fraud")));
}

#[test]
fn what_may_not_enter_is_refused_with_its_row_and_nothing_is_written() {
    let place = Workplace::new();
    let payments = history(&place);
    let refused = |change: &dyn Fn(&mut Vec<Payment>), more: &[&str]| {
        let mut changed = payments.clone();
        change(&mut changed);
        place.write("history.csv", csv(&changed));
        place.refused(&[&IMPORT[..], more].concat())
    };
    // A card number in a text or in an id.
    let number = "4111 1111 1111 1111";
    let sentence = refused(&|rows| rows[6].email = Some(number.into()), &[]);
    assert!(sentence.contains("row 7") && sentence.contains("`email`") && !sentence.contains("1111"), "{sentence}");
    let sentence = refused(&|rows| rows[8].terminal = 4_111_111_111_111_111, &[]);
    assert!(sentence.contains("row 9") && sentence.contains("`terminal_id`") && !sentence.contains("1111"), "{sentence}");
    // One id, two transactions.
    let sentence = refused(&|rows| rows[20].id = rows[10].id, &[]);
    assert!(sentence.contains("row 21: it has the id of row 11, but other columns"), "{sentence}");
    // A label from before its transaction.
    let text = csv(&payments[..50]).replacen(&moment(payments[3].at + 3 * assay_domain::time::DAY), "2001-01-01T00:00:00", 1);
    place.write("history.csv", text);
    let sentence = place.refused(&[&IMPORT[..], &["--learnt", "learnt"]].concat());
    assert!(sentence.contains("row 4: its label was learnt before it happened"), "{sentence}");
    let sentence = place.refused(&[&IMPORT[..], &["--learnt", "tx_amount"]].concat());
    assert!(sentence.contains("`tx_amount`") && sentence.contains("TIMESTAMP"), "{sentence}");
    assert!(place.refused(&[&IMPORT[..], &["--learnt", "when"]].concat()).contains("when"));
    // A field that must not be stored.
    place.write("ledger.sql", SQL.replace("email TEXT", "cvv TEXT").replace("email.", "cvv."));
    assert!(place.refused(&IMPORT).contains("`cvv`"));
}

#[test]
fn what_has_not_happened_yet_is_refused_with_its_row_and_column() {
    let place = Workplace::new();
    let payments = history(&place);
    let ahead = |seconds: i64| moment(jiff::Timestamp::now().as_microsecond() + seconds * assay_domain::time::SECOND);
    let imports = |column: &str, number: usize, at: &str| {
        let mut rows: Vec<String> = csv(&payments[..20]).lines().map(str::to_owned).collect();
        let place_of = rows[0].split(',').position(|name| name.eq_ignore_ascii_case(column)).unwrap();
        let mut cells: Vec<&str> = rows[number].split(',').collect();
        cells[place_of] = at;
        rows[number] = cells.join(",");
        place.write("history.csv", rows.join("\n"));
    };
    let of_labels = [&IMPORT[..], &["--learnt", "learnt"]].concat();
    for at in ["2099-01-01T00:00:00Z", &ahead(3_600)] {
        imports("tx_datetime", 7, at);
        let sentence = place.refused(&IMPORT);
        assert!(sentence.contains("row 7: `tx_datetime` is further ahead of this machine's clock"), "{sentence}");
        assert!(sentence.contains("300 seconds of max_skew") && !sentence.contains(at), "{sentence}");
        imports("learnt", 9, at);
        let sentence = place.refused(&of_labels);
        assert!(sentence.contains("row 9: `learnt` is further ahead of this machine's clock"), "{sentence}");
    }
    // Clocks that differ a little are not in the way; a definition may allow them more.
    imports("tx_datetime", 7, &ahead(60));
    assert_eq!(import(&place, &[])["transactions"], 20);
    place.write("ledger.sql", SQL.replace("label_delay", "max_skew = '2 hours', label_delay"));
    imports("learnt", 9, &ahead(3_600));
    std::fs::remove_dir_all(place.path("data")).unwrap();
    assert_eq!(import(&place, &["--learnt", "learnt"])["labels"], 20);
}

#[test]
fn what_the_journal_has_is_not_changed_by_an_import() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    let payments = &ledger.payments;
    // Decided without a label: with one it is another transaction.
    place.write("history.csv", csv(&payments[40..50]));
    let sentence = place.refused(&IMPORT);
    assert!(sentence.contains("row 1: the journal has its id in entry 4"), "{sentence}");
    // With labels of their own, all transactions are known, but such old labels change no past.
    let sentence = place.refused(&[&IMPORT[..], &["--learnt", "learnt"]].concat());
    assert!(sentence.contains("its label was learnt before the newest transaction of the journal"), "{sentence}");
    // Something earlier that it does not have.
    let mut earlier = payments[40].clone();
    earlier.id = 987_654_321;
    place.write("history.csv", csv(&[earlier.clone()]));
    let sentence = place.refused(&IMPORT);
    assert!(sentence.contains("row 1: it happened before the newest transaction"), "{sentence}");
    // What came later may enter, by the definition that decides.
    earlier.at = payments.last().unwrap().at + assay_domain::time::DAY;
    place.write("history.csv", csv(&[earlier]));
    place.write("ledger.sql", SQL.replace("AS hour", "AS clock"));
    let sentence = place.refused(&IMPORT);
    assert!(sentence.contains("was trained on another definition"), "{sentence}");
    place.write("ledger.sql", SQL);
    assert_eq!(import(place, &[])["transactions"], 1);
    let said = place.run(&["verify", "data"]);
    assert!(said.contains(&format!("{} decisions", ledger.decisions.len())), "{said}");
}
