//! What the journal promises, one promise a test.

mod support;

use assay_journal::{Cut, Entry, Head, Journal, JournalError, Kind, MAX_GROUP, MAX_ID, NewEntry, Reader};
use support::{decision, entry, error_of, rows_of};
use tempfile::tempdir;

#[test]
fn entries_come_back_as_they_were_written_and_in_order() {
    let folder = tempdir().unwrap();
    let entries = [
        NewEntry { kind: Kind::Policy, id: None, arrived: -1, body: "{}", personal: None },
        NewEntry {
            kind: Kind::Decision,
            id: Some("τ\0'1\""),
            arrived: i64::MAX,
            body: r#"{"outcome":"approve"}"#,
            personal: Some(r#"{"card":"c"}"#),
        },
        NewEntry { kind: Kind::Label, id: Some(""), arrived: i64::MIN, body: "null", personal: None },
    ];
    let read = |reader: &Reader| {
        let mut all = Vec::new();
        let visited = reader.replay(0, u64::MAX, |entry| -> Result<(), JournalError> {
            all.push(entry.to_owned());
            Ok(())
        });
        assert_eq!(visited.unwrap(), all.len() as u64);
        all
    };
    let check = |read: Vec<Entry>| {
        assert_eq!(read.len(), entries.len());
        for (number, (read, written)) in read.iter().zip(&entries).enumerate() {
            assert_eq!(read.sequence, number as u64 + 1);
            let read = (read.kind, read.id.as_deref(), read.arrived, &*read.body, read.personal.as_deref());
            assert_eq!(read, (written.kind, written.id, written.arrived, written.body, written.personal));
        }
    };
    let mut journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.append(&entries[..1]).unwrap(), 1..2);
    assert_eq!(journal.append(&[]).unwrap(), 2..2);
    assert_eq!(journal.append(&entries[1..]).unwrap(), 2..4);
    check(read(journal.read()));
    let reader = journal.reader().unwrap();
    std::thread::spawn(move || read(&reader)).join().map(check).unwrap();
    check(read(&Reader::open(folder.path()).unwrap()));
    let head = journal.head();
    drop(journal);
    assert!(!folder.path().join("journal.sqlite-wal").exists(), "a journal that was closed is one file");
    let journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.head(), head);
    check(read(journal.read()));
}

#[test]
fn an_id_finds_its_entries_before_and_after_a_restart_and_from_another_process() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    for number in 0..500 {
        let id = format!("tx-{number}");
        let group =
            [decision(&id), entry(Kind::Label, &id, r#"{"label":"fraud"}"#), entry(Kind::Label, &id, r#"{"label":"legit"}"#)];
        journal.append(&group).unwrap();
    }
    let check = |reader: &Reader| {
        for number in 0..500 {
            let id = format!("tx-{number}");
            assert_eq!(reader.find(Kind::Decision, &id).unwrap().unwrap().sequence, 3 * number + 1);
            assert_eq!(reader.find(Kind::Transaction, &id).unwrap(), None);
            let labels: Vec<String> = reader.labels_of(&id).unwrap().into_iter().map(|label| label.body).collect();
            assert_eq!(labels, [r#"{"label":"fraud"}"#, r#"{"label":"legit"}"#]);
        }
        assert_eq!(reader.find(Kind::Decision, "tx-500").unwrap(), None);
    };
    check(journal.read());
    let other = Reader::open(folder.path()).unwrap();
    check(&other);
    journal.append(&[decision("tx-500")]).unwrap();
    assert_eq!(other.find(Kind::Decision, "tx-500").unwrap().unwrap().sequence, 1501);
    drop((journal, other));
    let mut journal = Journal::open(folder.path()).unwrap();
    assert!(journal.read().find(Kind::Decision, "tx-500").unwrap().is_some());
    let labels = journal.read().latest(Kind::Label, 7, 3).unwrap();
    assert_eq!(labels.iter().map(|label| label.sequence).collect::<Vec<_>>(), [6, 5, 3]);
    let mut seen = Vec::new();
    let visit = |label: &Entry<&str>| -> Result<(), JournalError> {
        seen.push(label.sequence);
        Ok(())
    };
    assert_eq!(journal.read().replay_kind(Kind::Label, 6, 3, visit).unwrap(), 3);
    assert_eq!(seen, [8, 9, 11]);
    journal.append(&[decision("tx-501")]).unwrap();
}

#[test]
fn a_transaction_is_in_the_journal_once() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&[decision("a"), entry(Kind::Transaction, "b", "{}")]).unwrap();
    let refused = [
        ([decision("c"), decision("a")], "entry 1 of the group has the id of entry 1 of the journal"),
        ([entry(Kind::Transaction, "a", "{}"), decision("c")], "entry 0 of the group has the id of entry 1"),
        ([decision("b"), decision("c")], "entry 0 of the group has the id of entry 2"),
        ([decision("c"), entry(Kind::Transaction, "c", "{}")], "entries 0 and 1 of the group have the same id"),
    ];
    for (group, expected) in refused {
        let error = error_of(journal.append(&group));
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(journal.head().sequence, 2, "a group that is refused leaves nothing");
    assert_eq!(journal.append(&[decision("c"), entry(Kind::Label, "a", "{}"), entry(Kind::Label, "a", "{}")]).unwrap(), 3..6);
    drop(journal);
    let mut journal = Journal::open(folder.path()).unwrap();
    assert!(matches!(journal.append(&[decision("c")]), Err(JournalError::Known { place: 0, sequence: 3 })));
}

#[test]
fn what_cannot_be_an_entry_is_refused_without_repeating_it_and_the_next_is_taken() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let long = "marker-4111111111111111".repeat(MAX_ID);
    let refused = [
        decision(&long),
        entry(Kind::Decision, "a", "{marker-4111111111111111}"),
        entry(Kind::Decision, "a", ""),
        NewEntry { personal: Some("marker-4111111111111111"), ..decision("a") },
    ];
    for entry in refused {
        let error = error_of(journal.append(&[decision("b"), entry]));
        assert!(error.contains("entry 1") && !error.contains("marker") && !error.contains("4111"), "{error}");
    }
    let many = vec![entry(Kind::Label, "a", "{}"); MAX_GROUP + 1];
    assert!(error_of(journal.append(&many)).contains("write several groups"));
    assert_eq!(journal.append(&many[1..]).unwrap(), 1..MAX_GROUP as u64 + 1);
    assert_eq!(journal.append(&[decision("b")]).unwrap().start, MAX_GROUP as u64 + 1);
    journal.read().verify(|_, _| ()).unwrap();
}

#[test]
fn a_folder_has_one_writer() {
    let folder = tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let error = error_of(Journal::open(folder.path()));
    assert!(error.contains("is open already; stop the process that has it"), "{error}");
    drop(journal);
    Journal::open(folder.path()).unwrap();
}

#[test]
fn a_folder_without_a_journal_and_a_file_that_is_none_are_told_from_each_other() {
    let folder = tempdir().unwrap();
    assert!(error_of(Reader::open(folder.path())).contains("holds no journal"));
    let file = folder.path().join(assay_journal::FILE);
    for content in [&b"SELECT 1;".repeat(1_000)[..], b"x"] {
        std::fs::write(&file, content).unwrap();
        let error = error_of(Journal::open(folder.path()));
        assert!(error.contains("is no journal; move it away"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), content, "what is not ours is left as it is");
    }
    std::fs::remove_file(&file).unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE notes (text)").unwrap();
    drop(other);
    assert!(error_of(Journal::open(folder.path())).contains("is no journal; move it away"));
    for beginning in ["PRAGMA user_version", "PRAGMA journal_mode = wal"] {
        std::fs::write(&file, "").unwrap();
        rusqlite::Connection::open(&file).unwrap().query_row(beginning, [], |_| Ok(())).unwrap();
        assert_eq!(Journal::open(folder.path()).unwrap().head().sequence, 0, "a start that was cut short is begun anew");
    }
}

#[test]
fn a_journal_of_a_later_format_is_refused_in_one_sentence() {
    let folder = tempdir().unwrap();
    drop(Journal::open(folder.path()).unwrap());
    let file = rusqlite::Connection::open(folder.path().join(assay_journal::FILE)).unwrap();
    file.pragma_update(None, "user_version", 2).unwrap();
    drop(file);
    let expected = "the journal has format 2, this program knows formats up to 1; use the program that wrote it, or a later one";
    assert_eq!(error_of(Journal::open(folder.path())), expected);
    assert_eq!(error_of(Reader::open(folder.path())), expected);
}

#[test]
fn the_fields_of_a_person_are_erased_from_every_file_and_the_chain_stays_whole() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let secret = format!(r#"{{"name":"{}"}}"#, "Wilhelmina Secretaris ".repeat(2_000));
    let of_person = |kind, id| NewEntry { personal: Some(&secret), ..entry(kind, id, "{}") };
    journal.append(&[of_person(Kind::Decision, "a"), of_person(Kind::Label, "a"), of_person(Kind::Decision, "b")]).unwrap();
    journal.append(&[decision("c")]).unwrap();
    let before = journal.head();
    let erased = journal.erase("a", 7).unwrap();
    assert_eq!((erased.sequences, erased.is_gone_from_log), (vec![1, 2], true));
    assert_eq!(journal.read().entry(1).unwrap().unwrap().personal, None);
    assert_eq!(journal.read().entry(3).unwrap().unwrap().personal.as_deref(), Some(&*secret));
    assert_eq!(journal.erase("a", 8).unwrap().sequences, [0; 0]);
    assert_eq!(journal.read().verify(|_, _| ()).unwrap().erased, 2);
    journal.read().verify_head(before).unwrap();
    let erasure = journal.read().find(Kind::Erasure, "a").unwrap().unwrap();
    assert_eq!((erasure.sequence, erasure.arrived, &*erasure.body), (5, 7, r#"{"entries":[1,2]}"#));
    journal.erase("b", 9).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!content.windows(11).any(|window| window == b"Secretaris "));
    }
}

#[test]
fn erasing_does_not_wait_for_a_reader_and_says_what_it_leaves() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&[NewEntry { personal: Some("{}"), ..decision("a") }]).unwrap();
    let reader = journal.reader().unwrap();
    let looking = |_: &Entry<&str>| -> Result<(), JournalError> {
        let erased = journal.erase("a", 7)?;
        assert_eq!((erased.sequences, erased.is_gone_from_log), (vec![1], false));
        Ok(())
    };
    assert_eq!(reader.replay(0, 1, looking).unwrap(), 1);
    assert!(journal.erase("a", 8).unwrap().is_gone_from_log);
}

#[test]
fn old_entries_are_cut_off_behind_an_entry_that_verify_begins_with() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    for day in 0..10 {
        let ids: Vec<String> = (0..7).map(|number| format!("{day}-{number}")).collect();
        let group: Vec<NewEntry<'_>> = ids.iter().map(|id| NewEntry { arrived: day, ..decision(id) }).collect();
        journal.append(&group).unwrap();
    }
    let at_30 = Head { sequence: 30, hash: journal.read().entry(30).unwrap().unwrap().hash };
    assert_eq!(journal.retain(0, 10, "{}").unwrap(), None);
    let cut = journal.retain(4, 10, r#"{"policy":3}"#).unwrap().unwrap();
    assert_eq!((cut.through.sequence, cut.entries), (28, 28));
    let check = |journal: &Journal| {
        let reader = journal.read();
        assert_eq!(reader.entry(28).unwrap(), None);
        assert_eq!(reader.find(Kind::Decision, "3-6").unwrap(), None);
        assert_eq!(reader.find(Kind::Decision, "4-0").unwrap().unwrap().sequence, 29);
        let verified = reader.verify(|_, _| ()).unwrap();
        assert_eq!((verified.cut, verified.head), (cut.through, journal.head()));
        reader.verify_head(at_30).unwrap();
        reader.verify_head(cut.through).unwrap();
        assert!(error_of(reader.verify_head(Head { sequence: 27, ..cut.through })).contains("was cut off since"));
    };
    check(&journal);
    let mut sweeps = 1;
    while journal.sweep(3).unwrap() {
        check(&journal);
        sweeps += 1;
    }
    assert_eq!(sweeps, 10);
    check(&journal);
    let body = journal.read().latest(Kind::Cut, u64::MAX, 1).unwrap().remove(0).body;
    assert!(body.starts_with(r#"{"through":28,"hash":""#) && body.ends_with(r#"","state":{"policy":3}}"#), "{body}");
    drop(journal);
    let mut journal = Journal::open(folder.path()).unwrap();
    check(&journal);
    assert_eq!(journal.append(&[decision("0-0")]).unwrap(), 72..73, "an id that was cut off is free again");
    let all: Cut = journal.retain(i64::MAX, 11, "null").unwrap().unwrap();
    assert_eq!(all.through.sequence, 72);
    while journal.sweep(1_000).unwrap() {}
    assert_eq!(rows_of(folder.path(), "SELECT sequence FROM entries"), ["73"]);
    drop(journal);
    let journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.read().verify(|_, _| ()).unwrap().head.sequence, 73);
}

#[test]
fn a_backup_taken_while_writing_goes_on_is_whole_and_opens() {
    let (folder, copies) = (tempdir().unwrap(), tempdir().unwrap());
    let mut journal = Journal::open(folder.path()).unwrap();
    let many: Vec<String> = (0..20_000).map(|number| format!("first-{number}")).collect();
    journal.append(&many.iter().map(|id| decision(id)).collect::<Vec<_>>()).unwrap();
    let reader = journal.reader().unwrap();
    let target = copies.path().join("copy");
    let backup = std::thread::spawn({
        let target = target.clone();
        move || reader.backup(&target).map(|()| reader)
    });
    let mut written = 0;
    while !backup.is_finished() {
        journal.append(&[decision(&format!("second-{written}"))]).unwrap();
        written += 1;
    }
    let reader = backup.join().unwrap().unwrap();
    assert!(written > 1, "the writer did not wait for the backup");
    assert!(error_of(reader.backup(&target)).contains("is there already"));
    let mut copy = Journal::open(&target).unwrap();
    let head = copy.read().verify(|_, _| ()).unwrap().head;
    assert!((20_000..=20_000 + written).contains(&head.sequence));
    journal.read().verify_head(head).unwrap();
    assert!(matches!(copy.append(&[decision("first-7")]), Err(JournalError::Known { sequence: 8, .. })));
    copy.append(&[decision("third")]).unwrap();
    assert!(error_of(journal.read().verify_head(copy.head())).contains("another entry is there"), "they went different ways");
}

#[test]
fn a_head_tells_that_entries_were_taken_away_at_the_end() {
    let (folder, earlier) = (tempdir().unwrap(), tempdir().unwrap());
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&[decision("a")]).unwrap();
    journal.read().backup(earlier.path()).unwrap();
    journal.append(&[decision("b")]).unwrap();
    let head: Head = journal.head().to_string().parse().unwrap();
    journal.read().verify_head(head).unwrap();
    let earlier = Reader::open(earlier.path()).unwrap();
    earlier.verify(|_, _| ()).unwrap();
    assert!(error_of(earlier.verify_head(head)).contains("it ends before"));
}

#[test]
fn another_program_that_writes_makes_the_journal_wait_and_then_say_so() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let other = rusqlite::Connection::open(folder.path().join(assay_journal::FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(journal.append(&[decision("a")]), Err(JournalError::Busy)));
    other.execute_batch("COMMIT").unwrap();
    journal.append(&[decision("a")]).unwrap();
}

#[test]
fn the_names_of_kinds_are_read_as_they_are_written() {
    for &kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
}

/// Beside a server two threads read the journal all the time. The log could never begin anew and grew as long as the journal itself, until
/// the disk was full.
#[test]
fn readers_who_never_rest_do_not_keep_the_log_from_beginning_anew() {
    let folder = tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(64 << 10));
    let (readers, is_over) = (journal.readers(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let reader = readers.open().unwrap();
                let mut last = 0;
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let after = last;
                    let visit = |entry: &Entry<&str>| -> Result<(), JournalError> {
                        last = entry.sequence;
                        std::thread::sleep(std::time::Duration::from_micros(200));
                        Ok(())
                    };
                    if reader.replay(after, 100, visit).unwrap() == 0 {
                        last = 0;
                    }
                }
            });
        }
        for number in 0..600_u32 {
            let ids: Vec<String> = (0..10).map(|place| format!("{number}-{place}")).collect();
            let group: Vec<NewEntry<'_>> = ids.iter().map(|id| entry(Kind::Decision, id, &body)).collect();
            journal.append(&group).unwrap();
            journal.tend().unwrap();
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    // All of it is 390 MB; the log is cut back from 96 MB on, some groups late.
    let log = std::fs::metadata(folder.path().join("journal.sqlite-wal")).unwrap().len();
    assert!(log < 260 << 20, "{log}");
}
