//! What was changed is found: a value of any table, a byte anywhere in the file, the end of the write-ahead log.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

use assay_journal::{FILE, Head, Journal, JournalError, Kind, NewEntry, Reader};
use proptest::prelude::*;
use support::{Draws, decision, entry, rows_of};
use tempfile::{TempDir, tempdir};

/// A journal with all that one can hold: ids and none, fields of persons and erased ones, a cut, entries that were deleted and some that are
/// still to be.
fn journal() -> (TempDir, Head) {
    static WHOLE: LazyLock<(Vec<u8>, Head)> = LazyLock::new(written);
    let folder = tempdir().unwrap();
    fs::write(folder.path().join(FILE), &WHOLE.0).unwrap();
    (folder, WHOLE.1)
}

fn written() -> (Vec<u8>, Head) {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let long = format!(r#"{{"label":"fraud","note":"{}"}}"#, "long ".repeat(3_000));
    for group in 0..8 {
        let id = |part| format!("{part}-{group}");
        let person = format!(r#"{{"name":"person {group}"}}"#);
        let of_person = NewEntry { arrived: group, personal: Some(&person), ..decision("person") };
        let ids = [id("person"), id("a"), id("b")];
        let nameless = NewEntry { kind: Kind::Policy, id: None, arrived: group, body: "{}", personal: None };
        let group = [
            NewEntry { id: Some(&ids[0]), ..of_person },
            decision(&ids[1]),
            entry(Kind::Label, &ids[1], &long),
            decision(&ids[2]),
            nameless,
        ];
        journal.append(&group.map(|entry| NewEntry { arrived: of_person.arrived, ..entry })).unwrap();
    }
    journal.erase("person-5", 8).unwrap();
    journal.retain(3, 9, r#"{"policies":3}"#).unwrap();
    journal.sweep(8).unwrap();
    let head = journal.head();
    drop(journal);
    (fs::read(folder.path().join(FILE)).unwrap(), head)
}

/// Everything in the file of a folder, as SQLite reads it.
fn dump(folder: &Path) -> Vec<String> {
    let queries =
        ["SELECT * FROM entries", "SELECT * FROM ids", "SELECT * FROM journal", "SELECT type, name, sql FROM sqlite_schema"];
    let views = ["history", "decisions", "transactions", "labels", "changes"]
        .map(|view| format!("SELECT * FROM {view} ORDER BY sequence"));
    queries.into_iter().map(str::to_owned).chain(views).flat_map(|sql| rows_of(folder, &sql)).collect()
}

fn verified(folder: &Path) -> Result<Head, JournalError> {
    Ok(Reader::open(folder)?.verify(|_, _| ())?.head)
}

#[test]
fn a_byte_changed_anywhere_in_the_file_is_found_or_means_nothing() {
    let (folder, head) = journal();
    assert_eq!(verified(folder.path()).unwrap(), head);
    let whole = fs::read(folder.path().join(FILE)).unwrap();
    let (expected, copy) = (dump(folder.path()), tempdir().unwrap());
    fs::write(copy.path().join(FILE), &whole).unwrap();
    let file = fs::File::options().write(true).open(copy.path().join(FILE)).unwrap();
    let mut found = 0;
    // Every byte that holds something, of the empty rest of pages one in many.
    for place in (0..whole.len()).filter(|&place| whole[place] != 0 && place % 7 == 0 || place % 501 == 0) {
        let put = |byte| file.write_all_at(&[byte], place as u64).unwrap();
        put(whole[place] ^ 1 << (place / 7 % 8));
        match verified(copy.path()) {
            Ok(verified) => {
                assert_eq!(verified, head, "byte {place}");
                // What was cut off and waits for being deleted is no longer of the journal.
                let differ: Vec<String> = dump(copy.path()).into_iter().filter(|row| !expected.contains(row)).collect();
                let is_cut = |row: &String| {
                    row.split('|').next().and_then(|sequence| sequence.parse::<u64>().ok()).is_some_and(|first| first <= 15)
                };
                assert!(differ.iter().all(is_cut), "byte {place} changed {differ:?}");
            }
            Err(_) => found += 1,
        }
        put(whole[place]);
    }
    assert!(found > 500, "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_changed_in_any_entry_is_found_and_the_entry_named(column in 0..8_usize, sequence in 16..=40_u64, kind in 0..4_u8) {
        let (folder, _) = journal();
        let column = ["kind", "id", "arrived", "body", "personal", "salt", "digest", "hash"][column];
        let change = match kind {
            0 => "NULL".to_owned(),
            1 => "CASE typeof(X) WHEN 'integer' THEN X + 1 WHEN 'text' THEN X || ' ' WHEN 'blob' THEN CAST(X || x'00' AS BLOB) END".to_owned(),
            2 => "CASE typeof(X) WHEN 'integer' THEN -X - 1 WHEN 'text' THEN substr(X, 2) WHEN 'blob' THEN zeroblob(length(X)) END".to_owned(),
            _ => "(SELECT X FROM entries WHERE X IS NOT (SELECT X FROM entries WHERE sequence = S) LIMIT 1)".to_owned(),
        };
        let change = change.replace('X', column).replace('S', &sequence.to_string());
        let file = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
        let value = |file: &rusqlite::Connection| -> rusqlite::types::Value {
            file.query_row(&format!("SELECT {column} FROM entries WHERE sequence = {sequence}"), [], |row| row.get(0)).unwrap()
        };
        let before = value(&file);
        // A value that must be there refuses to be none; then there is nothing to find.
        let _ = file.execute(&format!("UPDATE entries SET {column} = {change} WHERE sequence = {sequence}"), []);
        let is_changed = value(&file) != before;
        drop(file);
        match verified(folder.path()) {
            Ok(_) => prop_assert!(!is_changed),
            Err(JournalError::Damaged { sequence: named, .. }) => prop_assert!(is_changed && named == sequence, "{} is not {}", named, sequence),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[test]
fn what_is_taken_away_added_or_swapped_is_found() {
    let changes = [
        "DELETE FROM entries WHERE sequence = 20",
        "DELETE FROM entries WHERE sequence = (SELECT max(sequence) FROM entries)",
        "DELETE FROM ids WHERE first > 20",
        "UPDATE ids SET marks = zeroblob(length(marks)) WHERE first = 21",
        "UPDATE ids SET marks = substr(marks, 9) WHERE first = 21",
        "UPDATE ids SET first = 22 WHERE first = 21",
        "INSERT INTO ids VALUES (1000, x'0000000000000001')",
        "INSERT INTO entries SELECT sequence + 1, kind, id, arrived, body, personal, salt, digest, hash FROM entries WHERE sequence = 42",
        "UPDATE journal SET identity = randomblob(16)",
        "UPDATE journal SET cut_hash = zeroblob(32)",
        "UPDATE journal SET cut_sequence = 20, cut_hash = (SELECT hash FROM entries WHERE sequence = 20)",
        "UPDATE journal SET cut_sequence = 0",
        "DELETE FROM journal",
        "INSERT INTO journal SELECT * FROM journal",
        "UPDATE entries SET personal = NULL, salt = NULL WHERE sequence = 21",
        "DROP VIEW labels",
        "DROP INDEX entries_by_kind",
        "DROP VIEW decisions; CREATE VIEW decisions AS SELECT 1 AS outcome",
        "CREATE TRIGGER helpful AFTER INSERT ON entries BEGIN DELETE FROM ids; END",
        "PRAGMA user_version = 0",
        "PRAGMA application_id = 1",
    ];
    for change in changes {
        let (folder, _) = journal();
        let file = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
        file.execute_batch(change).unwrap();
        drop(file);
        assert!(verified(folder.path()).is_err(), "{change}");
    }
}

#[test]
fn an_id_that_was_written_twice_behind_our_back_is_found() {
    // Two journals of one identity, each whole; the second decision of the other, chained anew, has an id of ours.
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&[decision("a"), decision("b")]).unwrap();
    drop(journal);
    // A program that does not look: the same chain without the check of ids is ours after its marks were emptied.
    let file = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
    let marks: Vec<u8> = file.query_row("SELECT marks FROM ids", [], |row| row.get(0)).unwrap();
    file.execute("UPDATE ids SET marks = zeroblob(16)", []).unwrap();
    drop(file);
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&[decision("a")]).unwrap();
    drop(journal);
    let file = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
    file.execute("UPDATE ids SET marks = ?1 WHERE first = 1", [marks]).unwrap();
    drop(file);
    let error = verified(folder.path()).unwrap_err().to_string();
    assert_eq!(error, "entry 3 of the journal is damaged: its id is that of an earlier entry; restore a backup");
}

#[test]
fn a_torn_or_damaged_log_ends_with_a_whole_group() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let log_name = format!("{FILE}-wal");
    let log_bytes = |folder: &Path| fs::metadata(folder.join(&log_name)).unwrap().len();
    let mut heads = vec![journal.head()];
    let mut ends = vec![0];
    for group in 0..12 {
        let ids: Vec<String> = (0..=group * 3).map(|number| format!("{group}-{number}")).collect();
        journal.append(&ids.iter().map(|id| decision(id)).collect::<Vec<_>>()).unwrap();
        heads.push(journal.head());
        ends.push(log_bytes(folder.path()));
    }
    let (file, log) = (fs::read(folder.path().join(FILE)).unwrap(), fs::read(folder.path().join(&log_name)).unwrap());
    let mut draws = Draws(1);
    let mut seen = Vec::new();
    for round in 0..120 {
        let place = usize::try_from(draws.next()).unwrap() % log.len();
        let mut damaged = log.clone();
        match round % 3 {
            0 => damaged.truncate(place),
            1 => damaged[place] ^= 0x10,
            _ => damaged[place..].fill(0),
        }
        let copy = tempdir().unwrap();
        fs::write(copy.path().join(FILE), &file).unwrap();
        fs::write(copy.path().join(&log_name), damaged).unwrap();
        let mut journal = Journal::open(copy.path()).unwrap();
        let head = journal.read().verify(|_, _| ()).unwrap().head;
        let group = heads.iter().position(|known| *known == head);
        let group = group.unwrap_or_else(|| panic!("entry {} ends no group", head.sequence));
        if group > 0 {
            let bytes = if round % 3 == 0 { place } else { log.len() };
            assert_eq!(journal.torn_bytes(), bytes as u64 - ends[group], "round {round}, group {group}");
        }
        journal.append(&[decision("after")]).unwrap();
        journal.read().verify(|_, _| ()).unwrap();
        seen.push(head.sequence);
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() > 8, "the log was damaged in too few places: {seen:?}");
}

#[test]
fn a_log_that_began_anew_over_an_earlier_one_is_not_taken_for_torn() {
    let folder = tempdir().unwrap();
    let log = folder.path().join(format!("{FILE}-wal"));
    let mut journal = Journal::open(folder.path()).unwrap();
    let ids: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    journal.append(&ids.iter().map(|id| decision(id)).collect::<Vec<_>>()).unwrap();
    let long = fs::metadata(&log).unwrap().len();
    let other = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
    other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    let before = fs::read(&log).unwrap();
    journal.append(&[decision("anew")]).unwrap();
    let after = fs::read(&log).unwrap();
    assert!(after.len() as u64 == long && after[..32] != before[..32], "the log did not begin anew");

    let copy = tempdir().unwrap();
    fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
    fs::write(copy.path().join(format!("{FILE}-wal")), after).unwrap();
    let copied = Journal::open(copy.path()).unwrap();
    assert_eq!((copied.torn_bytes(), copied.head()), (0, journal.head()));
}
