//! What was acknowledged is there, whatever happens: a process killed at any point, a full disk, a disk that fails, a folder that cannot be
//! written. A process of its own writes, this one looks at what it leaves.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use assay_journal::{Entry, Journal, JournalError, Kind, NewEntry};
use support::Draws;
use tempfile::{TempDir, tempdir};

/// Names the folder to the process that writes.
const FOLDER: &str = "JOURNAL_TEST_FOLDER";

/// What stands in the entry with this sequence: any length up to a few pages.
fn body_of(sequence: u64) -> String {
    let length = usize::try_from(sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52).unwrap();
    format!(r#"{{"number":{sequence},"filling":"{}"}}"#, "x".repeat(length))
}

/// The process that writes, when a test below starts this one again; without a folder it has nothing to do.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    // Straight to the other process: what `println!` writes is kept by the test.
    let say = |words: String| std::io::stdout().write_all(format!("\nwriter: {words}\n").as_bytes()).unwrap();
    let mut journal = match Journal::open(Path::new(&folder)) {
        Ok(journal) => journal,
        Err(error) => return say(format!("closed {error}")),
    };
    let mut draws = Draws(journal.head().sequence);
    loop {
        let first = journal.head().sequence + 1;
        let entries: Vec<(String, String)> =
            (first..=first + draws.next() % 40).map(|number| (number.to_string(), body_of(number))).collect();
        let entry = |(id, body)| NewEntry { kind: Kind::Decision, id: Some(id), arrived: 0, body, personal: Some("{}") };
        let group: Vec<NewEntry<'_>> = entries.iter().map(|(id, body)| entry((id.as_str(), body.as_str()))).collect();
        match journal.append(&group) {
            Ok(written) => say(format!("acknowledged {}", written.end - 1)),
            Err(error) => {
                say(format!("refused {error}"));
                return say(format!("then {}", journal.append(&group[..1]).unwrap_err()));
            }
        }
    }
}

/// A writer that runs, and what it says.
struct Writer {
    process: Child,
    words: thread::JoinHandle<Vec<String>>,
}

impl Writer {
    /// Starts it by a command that runs what it is given, such as `env`.
    fn start(folder: &Path, command: &mut Command, mut hear: impl FnMut(&str) + Send + 'static) -> Self {
        let own = std::env::current_exe().unwrap();
        let command = command.arg(own).args(["--exact", "writer", "--nocapture"]).env(FOLDER, folder);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let words = thread::spawn(move || {
            let words = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("writer: ").map(str::to_owned));
            words.inspect(|word| hear(word)).collect()
        });
        Self { process, words }
    }

    /// What it said until its end.
    fn end(mut self) -> Vec<String> {
        self.process.wait().unwrap();
        self.words.join().unwrap()
    }
}

/// The last entry that was acknowledged.
fn acknowledged(words: &[String]) -> u64 {
    let last = words.iter().filter_map(|word| word.strip_prefix("acknowledged ")).next_back();
    last.map_or(0, |last| last.parse().unwrap())
}

/// What follows one word.
fn said<'a>(words: &'a [String], word: &str) -> &'a str {
    words.iter().find_map(|one| one.strip_prefix(word)).unwrap_or_else(|| panic!("the writer did not say it: {words:?}"))
}

/// Opens the journal after its writer ended: it must hold all that was acknowledged, each entry once, and be whole.
fn check(folder: &Path, acknowledged: u64) -> Journal {
    let mut journal = Journal::open(folder).unwrap();
    let head = journal.head().sequence;
    assert!(head >= acknowledged, "{acknowledged} was acknowledged, {head} is the last");
    let visit = |entry: &Entry<&str>| -> Result<(), JournalError> {
        assert_eq!((entry.id.unwrap(), entry.body), (&*entry.sequence.to_string(), &*body_of(entry.sequence)));
        Ok(())
    };
    assert_eq!(journal.read().replay(0, u64::MAX, visit).unwrap(), head);
    assert_eq!(journal.read().verify(|_, _| ()).unwrap().head, journal.head());
    if head > 0 {
        let (id, body) = (head.to_string(), body_of(head));
        let again = journal.append(&[NewEntry { kind: Kind::Decision, id: Some(&id), arrived: 0, body: &body, personal: None }]);
        assert!(matches!(again, Err(JournalError::Known { sequence, .. }) if sequence == head));
    }
    journal
}

#[test]
fn a_writer_killed_at_any_point_leaves_all_that_it_acknowledged() {
    let rounds: u64 = std::env::var("ASSAY_KILL_ROUNDS").map_or(100, |rounds| rounds.parse().unwrap());
    let mut draws = Draws(rounds);
    let mut folder = tempdir().unwrap();
    let mut with_acknowledged = 0;
    for round in 0..rounds {
        // A new journal now and then, so that making one is cut short too.
        if round % 10 == 0 {
            folder = tempdir().unwrap();
        }
        let mut writer = Writer::start(folder.path(), &mut Command::new("env"), |_| ());
        thread::sleep(Duration::from_micros(draws.next() % 80_000));
        writer.process.kill().unwrap();
        let acknowledged = acknowledged(&writer.end());
        with_acknowledged += u64::from(acknowledged > 0);
        check(folder.path(), acknowledged);
    }
    assert!(with_acknowledged > rounds / 4, "writers were killed before they wrote: {with_acknowledged} of {rounds}");
}

#[test]
fn a_file_that_may_not_grow_stops_the_journal_and_loses_nothing() {
    let folder = tempdir().unwrap();
    let words =
        Writer::start(folder.path(), Command::new("sh").args(["-c", "trap '' XFSZ; ulimit -f 4000; exec \"$@\"", "sh"]), |_| ())
            .end();
    assert!(said(&words, "refused ").starts_with("the journal could not be written: "), "{words:?}");
    assert_eq!(said(&words, "then "), "the journal takes nothing since a write failed; see to the disk, then restart");
    let acknowledged = acknowledged(&words);
    assert!(acknowledged > 100);
    serves_again(folder.path(), acknowledged);
}

#[test]
fn a_full_disk_stops_the_journal_and_loses_nothing() {
    let (folder, words) = failing("write", "ENOSPC", 1_000_000);
    assert!(said(&words, "refused ").contains("database or disk is full"), "{words:?}");
    assert_eq!(said(&words, "then "), "the journal takes nothing since a write failed; see to the disk, then restart");
    serves_again(folder.path(), acknowledged(&words));
}

#[test]
fn a_sync_that_fails_once_stops_the_journal_and_loses_nothing() {
    let (folder, words) = failing("sync", "EIO", 1);
    assert!(said(&words, "refused ").starts_with("the journal could not be written: disk I/O error"), "{words:?}");
    assert_eq!(said(&words, "then "), "the journal takes nothing since a write failed; see to the disk, then restart");
    serves_again(folder.path(), acknowledged(&words));
}

#[test]
fn a_write_that_fails_once_stops_the_journal_and_loses_nothing() {
    let (folder, words) = failing("write", "EIO", 1);
    assert!(said(&words, "refused ").starts_with("the journal could not be written: disk I/O error"), "{words:?}");
    serves_again(folder.path(), acknowledged(&words));
}

#[test]
fn a_log_that_cannot_be_copied_into_the_file_stops_the_journal_and_loses_nothing() {
    let (folder, words) = failing("copy", "EIO", 1);
    assert!(acknowledged(&words) > 1_000, "the log is copied when it is long");
    assert_eq!(said(&words, "then "), "the journal takes nothing since a write failed; see to the disk, then restart");
    serves_again(folder.path(), acknowledged(&words));
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_in_one_sentence() {
    let folder = tempdir().unwrap();
    drop(Journal::open(folder.path()).unwrap());
    let shim = Shim::build();
    std::fs::write(&shim.trigger, "").unwrap();
    let words = Writer::start(folder.path(), &mut shim.command("open", "EROFS", 1_000_000), |_| ()).end();
    let error = said(&words, "closed ");
    assert!(
        error.contains("cannot be used: Read-only file system") && error.contains("in which it may make and write files"),
        "{error}"
    );
}

/// Lets a writer acknowledge some groups, then lets some of its calls fail; what it said until it gave up.
fn failing(call: &str, errno: &str, times: u32) -> (TempDir, Vec<String>) {
    let folder = tempdir().unwrap();
    let shim = Shim::build();
    let trigger = shim.trigger.clone();
    let mut groups = 0;
    let hear = move |word: &str| {
        groups += u32::from(word.starts_with("acknowledged"));
        if groups == 30 {
            std::fs::write(&trigger, "").unwrap();
        }
    };
    let words = Writer::start(folder.path(), &mut shim.command(call, errno, times), hear).end();
    assert!(words.iter().filter(|word| word.starts_with("acknowledged")).count() >= 30, "{words:?}");
    (folder, words)
}

/// A fresh start holds what was acknowledged, and goes on.
fn serves_again(folder: &Path, acknowledged: u64) {
    let mut journal = check(folder, acknowledged);
    journal.append(&[support::decision("after")]).unwrap();
    journal.read().verify(|_, _| ()).unwrap();
}

/// A library between a process and the system that lets calls on the journal's files fail once a file is there.
struct Shim {
    folder: TempDir,
    trigger: PathBuf,
}

impl Shim {
    fn build() -> Self {
        let folder = tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let library = folder.path().join("shim.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .output();
        let built = built.expect("SQLite is built by cc, so it is there");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { trigger: folder.path().join("fail"), folder }
    }

    fn command(&self, call: &str, errno: &str, times: u32) -> Command {
        let mut command = Command::new("env");
        command.arg(format!("LD_PRELOAD={}", self.folder.path().join("shim.so").display()));
        command
            .env("SHIM_TRIGGER", &self.trigger)
            .env("SHIM_CALL", call)
            .env("SHIM_ERRNO", errno)
            .env("SHIM_TIMES", times.to_string());
        command
    }
}
