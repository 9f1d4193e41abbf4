//! Disks that are full, fail, take no writes, or hang: the server answers 503 and stops, or tells who comes to try again. What it acknowledged
//! is there, and a fresh start goes on.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod decider;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use assay_journal::{Kind, Reader};
use decider::{
    Acknowledged, Definition, Transactions, assert_remembers, assert_replays, assert_same_as_never_ended, assert_whole, place,
    prepare, start, start_with_environment, wait_until_ready, work,
};
use support::{Client, LOOK_INTERVAL, LOOKS, Server};
use tempfile::TempDir;

/// Clients at once.
const CLIENTS: u64 = 8;

#[test]
fn a_full_disk_stops_the_server_and_loses_nothing() {
    let log = stopped_by("write", "ENOSPC", 1_000_000);
    assert!(log.contains("the journal could not be written: database or disk is full; see to the disk, then restart"), "{log}");
}

#[test]
fn a_sync_that_fails_once_stops_the_server_and_loses_nothing() {
    let log = stopped_by("sync", "EIO", 1);
    assert!(log.contains("the journal could not be written: disk I/O error; see to the disk, then restart"), "{log}");
}

#[test]
fn a_write_that_fails_once_stops_the_server_and_loses_nothing() {
    let log = stopped_by("write", "EIO", 1);
    assert!(log.contains("the journal could not be written: disk I/O error; see to the disk, then restart"), "{log}");
}

#[test]
fn a_file_system_that_became_read_only_stops_the_server_and_loses_nothing() {
    let log = stopped_by("write", "EROFS", 1_000_000);
    assert!(log.contains("the journal could not be written: disk I/O error; see to the disk, then restart"), "{log}");
}

/// Lets some of the journal's calls fail under load, and holds what is left against what was acknowledged; the last line of the log.
fn stopped_by(call: &str, errno: &str, times: u32) -> String {
    let (folder, transactions) = (place(Definition::TextIds), Transactions::new(Definition::TextIds));
    let shim = Shim::build();
    let mut server = start_with_environment(folder.path(), &[], &shim.environment(call, errno, times));
    wait_until_ready(&server);
    prepare(&server);
    let (mut told, address) = (Acknowledged::default(), server.address);
    thread::scope(|scope| {
        let transactions = &transactions;
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || work(address, transactions, client))).collect();
        wait_for_entries(&server, 100);
        shim.pull();
        for client in clients {
            told.add(client.join().unwrap());
        }
    });
    assert_eq!(server.wait().code(), Some(1));
    assert!(!told.farewells.is_empty(), "nobody was told that it stops");
    for reply in &told.farewells {
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{}", reply.text());
    }
    let log = server.log();
    let last = log.lines().next_back().unwrap().to_owned();
    assert!(last.contains("\"level\":\"ERROR\""), "{last}");

    // As long as the disk is as it is, no start gets further than a sentence; then everything is there.
    if times > 1 {
        let mut stuck = start_with_environment(folder.path(), &[], &shim.environment(call, errno, times));
        assert_eq!(stuck.wait().code(), Some(1));
        let log = stuck.log();
        let last = log.lines().next_back().unwrap();
        assert!(
            last.contains("no decisions can be made: ")
                && (last.contains("see to the disk") || last.contains("room on its disk")),
            "{last}"
        );
    }
    let server = start(folder.path(), &[]);
    wait_until_ready(&server);
    let data = folder.path().join("data");
    assert_remembers(&server, &data, &told);
    assert_whole(&data);
    assert_replays(&data);
    assert_same_as_never_ended(&server, folder.path(), &transactions);
    last
}

#[test]
fn a_data_folder_that_takes_no_files_is_refused_in_one_sentence() {
    let (folder, shim) = (place(Definition::TextIds), Shim::build());
    shim.pull();
    let mut server = start_with_environment(folder.path(), &[], &shim.environment("open", "EROFS", 1_000_000));
    assert_eq!(server.wait().code(), Some(1));
    let log = server.log();
    let last = log.lines().next_back().unwrap();
    assert!(
        last.contains("Read-only file system") && last.contains("needs a folder in which it may make and write files"),
        "{last}"
    );
}

#[test]
fn while_the_disk_hangs_who_waits_is_answered_late_and_who_comes_is_told_at_once() {
    let (folder, transactions) = (place(Definition::TextIds), Transactions::new(Definition::TextIds));
    let shim = Shim::build();
    let environment = shim.environment("sync", "SLOW", 4);
    let server = start_with_environment(folder.path(), &["--max-decision-wait", "0.1"], &environment);
    wait_until_ready(&server);
    prepare(&server);
    let (first, mut refused) = (transactions.next().to_string(), Vec::new());
    let is_answered = AtomicBool::new(false);
    shim.pull();
    thread::scope(|scope| {
        scope.spawn(|| {
            let reply = Client::connect(server.address).ask("POST", "/v1/decisions", &[], first.as_bytes());
            assert_eq!(reply.status, 200, "{}", reply.text());
            is_answered.store(true, Ordering::SeqCst);
        });
        // Whoever comes early enough waits too, each on a connection of its own.
        while refused.is_empty() && !is_answered.load(Ordering::SeqCst) {
            let body = transactions.next().to_string();
            let mut client = server.connect();
            client.be_patient_for(10 * LOOK_INTERVAL);
            let Some(reply) = client.try_ask("POST", "/v1/decisions", body.as_bytes()) else { continue };
            if reply.status == 503 {
                assert_eq!((reply.code().as_str(), reply.header("retry-after")), ("too_many_decisions", Some("1")));
                refused.push(body);
            }
        }
        assert!(!is_answered.load(Ordering::SeqCst), "the disk was too fast for this test");
        // What needs no disk goes on.
        for path in ["/health", "/ready", "/metrics"] {
            assert_eq!(server.ask("GET", path, b"").status, 200, "{path}");
        }
    });
    server.wait_for_log("the disk was slow to keep decisions");
    // Whoever was told to try again is decided then, for the first time.
    let reply = loop {
        let reply = server.ask("POST", "/v1/decisions", refused[0].as_bytes());
        if reply.status != 503 {
            break reply;
        }
        thread::sleep(LOOK_INTERVAL);
    };
    assert_eq!((reply.status, reply.header("idempotent-replayed")), (200, None), "{}", reply.text());
    let reader = Reader::open(&folder.path().join("data")).unwrap();
    let decision = reader.find(Kind::Decision, reply.json()["decision_id"].as_str().unwrap());
    assert!(decision.unwrap().is_some());
    assert_whole(&folder.path().join("data"));
}

/// Waits until so many entries are in the journal.
fn wait_for_entries(server: &Server, count: u64) {
    for _ in 0..LOOKS {
        if server.ask("GET", "/v1/journal", b"").json()["entries"].as_u64().is_some_and(|entries| entries >= count) {
            return;
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// A library between a process and the system that lets calls on the journal's files fail or hang once a file is there.
struct Shim {
    folder: TempDir,
    trigger: PathBuf,
}

impl Shim {
    fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../journal/tests/faults/shim.c");
        let library = folder.path().join("shim.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl");
        let built = cc.output().expect("SQLite is built by cc, so it is there");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { trigger: folder.path().join("fail"), folder }
    }

    /// From here on calls fail.
    fn pull(&self) {
        std::fs::write(&self.trigger, "").unwrap();
    }

    fn environment(&self, call: &str, errno: &str, times: u32) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.folder.path().join("shim.so").display().to_string()),
            ("SHIM_TRIGGER", self.trigger.display().to_string()),
            ("SHIM_CALL", call.to_owned()),
            ("SHIM_ERRNO", errno.to_owned()),
            ("SHIM_TIMES", times.to_string()),
        ]
    }
}
