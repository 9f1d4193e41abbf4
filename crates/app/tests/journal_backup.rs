//! `assay backup`: copied while a writer writes, restored, and proved.

mod ledger;
mod workplace;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use assay_journal::{Journal, NewEntry};
use ledger::{Ledger, keep_model};
use serde_json::Value;

#[test]
fn a_backup_made_while_a_writer_writes_is_restored_and_proved() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    let live = place.path("live");
    keep_model(&live, &ledger.model);
    let mut journal = Journal::open(&live).unwrap();
    let is_done = AtomicBool::new(false);
    let backups = thread::scope(|scope| {
        scope.spawn(|| {
            for group in ledger.entries.chunks(20) {
                let entries: Vec<NewEntry<'_>> = group
                    .iter()
                    .map(|entry| NewEntry {
                        kind: entry.kind,
                        id: entry.id.as_deref(),
                        arrived: entry.arrived,
                        body: &entry.body,
                        personal: entry.personal.as_deref(),
                    })
                    .collect();
                journal.append(&entries).unwrap();
            }
            is_done.store(true, Ordering::Release);
            drop(journal);
        });
        let mut backups = Vec::new();
        loop {
            let is_last = is_done.load(Ordering::Acquire) && backups.len() > 1;
            let name = format!("backup-{}", backups.len());
            let copied: Value = serde_json::from_str(&place.run(&["backup", "live", &name, "--json"])).unwrap();
            backups.push((name, copied));
            if is_last {
                break;
            }
        }
        backups
    });
    println!(
        "{} backups, up to entries {:?}",
        backups.len(),
        backups.iter().map(|(_, copied)| &copied["entries"]).collect::<Vec<_>>()
    );
    for (name, copied) in [&backups[0], &backups[backups.len() / 2], backups.last().unwrap()] {
        let head = copied["head"].as_str().unwrap();
        let names = || fs::read_dir(place.path(name)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = names().collect();
        files.sort();
        let has_model = copied["models"] == 1;
        assert_eq!(files, if has_model { vec!["journal.sqlite", "models"] } else { vec!["journal.sqlite"] });
        // The restore: what was copied, in another place.
        let restored = place.path("restored");
        fs::rename(place.path(name), &restored).unwrap();
        let found: Value = serde_json::from_str(&place.run(&["verify", "restored", "--head", head, "--json"])).unwrap();
        assert_eq!((&found["head"], &found["entries"]), (&copied["head"], &copied["entries"]));
        // A writer goes on in it, and what went on elsewhere still leads to its head.
        drop(Journal::open(&restored).unwrap());
        place.run(&["verify", "live", "--head", head]);
        fs::remove_dir_all(&restored).unwrap();
    }
    assert_eq!(backups.last().unwrap().1["entries"], ledger.entries.len());
}

#[test]
fn a_backup_that_cannot_be_whole_is_not_there() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    let said = place.run(&["backup", "data", "copy"]);
    assert!(said.contains("with 1 model,") && said.contains("assay verify copy"), "{said}");
    assert!(place.refused(&["backup", "data", "copy"]).contains("is there already"));
    assert!(place.refused(&["backup", "data", "ledger.sql"]).contains("is there already"));
    assert!(place.refused(&["backup", "nothing", "other"]).contains("holds no journal"));
    assert!(place.refused(&["backup", "data", "no/such/place"]).contains("the backup was not made"));
    fs::create_dir(place.path("empty")).unwrap();
    place.run(&["backup", "data", "empty"]);
    fs::remove_dir_all(place.path("data/models")).unwrap();
    let sentence = place.refused(&["backup", "data", "other"]);
    assert!(sentence.contains(".model") && sentence.contains("no such file"), "{sentence}");
}
