//! `assay doctor`: what is well is called well, every sickness by its name with what to do, nothing is changed and nothing that was kept is told.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod deciding;
mod support;
mod workplace;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::UNIX_EPOCH;

use assay_journal::{Journal, Kind, NewEntry};
use deciding::{BY_PAST, TABLE, decide, model, payment, until};
use support::{MARKERS, Random, Server};
use workplace::Workplace;

/// What the doctor said: by what was looked at, the word and the sentence; and whether something does not work.
struct Said {
    lines: Vec<(String, String, String)>,
    complaint: String,
}

impl Said {
    /// What was found of one thing.
    fn of(&self, what: &str) -> (&str, &str) {
        let found = self.lines.iter().find(|line| line.1 == what);
        let (word, _, sentence) = found.unwrap_or_else(|| panic!("nothing is said of {what} in {:?}", self.lines));
        (word, sentence)
    }

    /// That one thing does not work, and nothing else; the sentence.
    fn sick(&self, what: &str) -> &str {
        let sick: Vec<&str> = self.lines.iter().filter(|line| line.0 == "SICK").map(|line| line.1.as_str()).collect();
        assert_eq!(sick, [what], "{:?}", self.lines);
        assert_eq!(self.complaint, "error: one thing does not work; the line above that begins with SICK says what to do\n");
        self.of(what).1
    }

    /// That somebody should look at it; the sentence.
    fn look(&self, what: &str) -> &str {
        assert_eq!(self.complaint, "", "{:?}", self.lines);
        assert_eq!(self.of(what).0, "look", "{:?}", self.lines);
        self.of(what).1
    }

    fn well(&self, what: &str) -> &str {
        assert_eq!(self.of(what).0, "well", "{:?}", self.lines);
        self.of(what).1
    }
}

/// Asks the doctor, who changes nothing and repeats nothing.
fn doctor(place: &Workplace, words: &[&str]) -> Said {
    let before = place.files();
    let output = place.assay(&[&["doctor"], words].concat()).output().unwrap();
    assert!(place.files() == before, "{words:?} changed the folder");
    let [told, complaint] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    for hidden in MARKERS {
        assert!(!told.contains(hidden) && !complaint.contains(hidden), "{told}{complaint}");
    }
    assert_eq!(output.status.code(), Some(i32::from(!complaint.is_empty())), "{complaint}");
    let words = |line: &str| {
        let (word, rest) = line.split_once("  ").unwrap();
        let (what, sentence) = rest.split_once(' ').unwrap();
        (word.to_owned(), what.to_owned(), sentence.trim_start().to_owned())
    };
    Said { lines: told.lines().map(words).collect(), complaint }
}

/// A folder with a model, and data in which a server has decided; it has ended.
fn installation() -> Workplace {
    let place = Workplace::new();
    place.write("past.model", model(&format!("{TABLE}{BY_PAST}")));
    let mut server = serve(&place);
    let mut random = Random(5);
    for number in 0..20 {
        let mut payment = payment(number, &mut random);
        payment["id"] = format!("{}-{number}", MARKERS[0]).into();
        decide(&server, &payment);
    }
    server.signal("TERM");
    assert!(server.wait().success());
    place
}

fn serve(place: &Workplace) -> Server {
    let [model, data] = ["past.model", "data"].map(|name| place.path(name).display().to_string());
    let server = Server::start_with(&["--model", &model, "--data-dir", &data, "--drain-seconds", "0"]);
    until(&server, "/ready", |reply| reply["status"] == "ready");
    server
}

/// The journal's file, with all of its log in it.
fn journal_file(place: &Workplace) -> Vec<u8> {
    drop(Journal::open(&place.path("data")).unwrap());
    place.read("data/journal.sqlite")
}

/// A key, and the file `keys.json` that knows it.
fn key(place: &Workplace) -> String {
    let words = ["keys", "create", "--keys", "keys.json", "--name", "checkout", "--scope", "score"];
    let made = place.assay(&words).output().unwrap();
    assert!(made.status.success());
    String::from_utf8(made.stdout).unwrap()
}

#[test]
fn what_is_well_is_called_well_with_and_without_a_server() {
    let place = installation();
    key(&place);
    let everything = ["--data-dir", "data", "--model", "past.model", "--keys", "keys.json", "--thorough", "--least-room", "0"];
    let said = doctor(&place, &everything);
    assert!(said.well("clock").starts_with("it is 20"));
    assert!(said.well("model").contains("3 features, its golden rows give their scores; it carries its definition"));
    assert_eq!(said.well("keys"), "1 valid");
    assert_eq!(said.look("server"), "no server has this data folder");
    assert!(said.well("journal").starts_with("23 entries, the last of 20"), "{}", said.well("journal"));
    assert!(said.well("models").starts_with("1 decided, the last is past@"));
    assert!(said.well("snapshot").ends_with("as of entry 23; a start folds 0 more"));
    assert!(said.well("chain").starts_with("whole; its head is 23:"));
    // A sync on a busy machine may take longer than it should; that there is room is said before anything of it.
    assert!(said.of("disk").0 != "SICK" && said.of("disk").1.starts_with("a sync takes "));

    let mut server = serve(&place);
    let address = server.address.to_string();
    let said = doctor(&place, &["--data-dir", "data", "--address", &address]);
    assert_eq!(said.well("server"), "a server has this data folder");
    assert_eq!(said.well("health"), format!("the server on {address} answers"));
    server.kill();
    let said = doctor(&place, &["--data-dir", "data", "--address", &address]);
    assert!(said.sick("health").contains("is `assay serve` running there?"));
    assert_eq!(doctor(&place, &[]).lines.len(), 1, "without a folder there is the clock to look at");
}

#[test]
fn a_model_that_is_missing_wrong_or_altered_is_sick_wherever_it_is() {
    let place = installation();
    let said = |path: &str| doctor(&place, &["--model", path]);
    assert!(said("absent.model").sick("model").contains("absent.model"));
    place.write("wrong.model", MARKERS.join(" "));
    assert!(said("wrong.model").sick("model").contains("wrong.model"));
    let mut bytes = place.read("past.model");
    let place_of_a_name = bytes.windows(12).position(|window| window == b"payments_30d").unwrap();
    bytes[place_of_a_name] = b'x';
    place.write("altered.model", bytes);
    assert!(said("altered.model").sick("model").contains("checksum"));
    place.write("scores.model", support::seed_model().1);
    assert!(said("scores.model").well("model").contains("it scores rows and decides nothing"));

    let models = fs::read_dir(place.path("data/models")).unwrap();
    let kept = models.last().unwrap().unwrap().path();
    fs::copy(place.path("scores.model"), &kept).unwrap();
    let data = || doctor(&place, &["--data-dir", "data"]);
    assert!(data().sick("models").contains("it holds other bytes than it should; restore it from a backup"));
    fs::remove_file(&kept).unwrap();
    let said = data();
    assert!(said.sick("models").contains("past@") && said.sick("models").contains("restore it from a backup"));
}

#[test]
fn keys_that_let_nobody_in_or_lie_open_are_told() {
    let place = Workplace::new();
    let said = || doctor(&place, &["--keys", "keys.json"]);
    assert!(said().sick("keys").contains("there is no such file; make it with `assay keys create`"));
    let key = key(&place);
    let open = |mode| fs::set_permissions(place.path("keys.json"), Permissions::from_mode(mode)).unwrap();
    assert_eq!(said().well("keys"), "1 valid");
    open(0o644);
    assert!(said().look("keys").starts_with("1 valid; everybody on this machine can read keys.json"));
    open(0o666);
    assert!(said().sick("keys").contains("can change keys.json, and so let himself in; `chmod o-rwx` it"));
    open(0o640);
    assert_eq!(said().well("keys"), "1 valid");
    place.assay(&["keys", "revoke", &key[6..14], "--keys", "keys.json"]).output().unwrap();
    assert!(said().sick("keys").contains("nobody gets in; make one with `assay keys create`"));
    let written = place.text("keys.json");
    place.write("keys.json", written.replace("\"format\": 1", "\"format\": 2"));
    assert!(said().sick("keys").contains("has format 2"));
    place.write("keys.json", format!("{{\"{}\": {}", MARKERS[0], MARKERS[1]));
    assert!(said().sick("keys").contains("it is no file of keys, or a damaged one"));
}

#[test]
fn a_changed_byte_is_found_by_going_through_the_chain() {
    let place = installation();
    let mut bytes = journal_file(&place);
    // The amount of a payment, in the midst of the file.
    let amount = bytes.windows(9).rposition(|window| window == b"\"amount\":").unwrap() + 9;
    bytes[amount] = if bytes[amount] == b'7' { b'8' } else { b'7' };
    place.write("data/journal.sqlite", bytes);
    assert!(doctor(&place, &["--data-dir", "data"]).complaint.is_empty(), "a look at the ends does not see it");
    let said = doctor(&place, &["--data-dir", "data", "--thorough"]);
    assert!(said.sick("chain").contains("entry "), "{}", said.sick("chain"));
    // And a file that is none is not read at all.
    place.write("data/journal.sqlite", MARKERS.join(" ").repeat(1_000));
    assert!(doctor(&place, &["--data-dir", "data"]).sick("journal").contains("journal"));
}

#[test]
fn an_entry_from_the_future_says_that_a_clock_is_or_was_wrong() {
    let place = installation();
    let written = place.path("past.model").metadata().unwrap().modified().unwrap();
    let now = i64::try_from(written.duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let mut journal = Journal::open(&place.path("data")).unwrap();
    let tomorrow = now + 86_400_000_000;
    let body = format!("{{\"change\":\"{}\"}}", MARKERS[0]);
    journal.append(&[NewEntry { kind: Kind::Governor, id: None, arrived: tomorrow, body: &body, personal: None }]).unwrap();
    drop(journal);
    let said = doctor(&place, &["--data-dir", "data"]);
    assert!(said.look("journal").contains("24 entries") && said.look("journal").contains("which is in the future"));
    assert!(said.well("snapshot").ends_with("a start folds 1 more"));
}

#[test]
fn a_folder_of_a_later_format_one_without_a_journal_and_none_at_all_are_sick() {
    let place = installation();
    let mut bytes = journal_file(&place);
    // Where SQLite keeps the number of a format.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    place.write("data/journal.sqlite", bytes);
    let said = doctor(&place, &["--data-dir", "data"]);
    assert!(said.sick("journal").contains("the journal has format 99, this program knows formats up to 1"));
    fs::create_dir(place.path("empty")).unwrap();
    assert!(doctor(&place, &["--data-dir", "empty"]).sick("journal").contains("empty"));
    let said = doctor(&place, &["--data-dir", "absent"]);
    assert!(said.of("disk").1.contains("absent is no folder; `assay serve --data-dir` makes it"));
    assert_eq!(said.complaint, "error: 2 things do not work; the lines above that begin with SICK say what to do\n");
}

#[test]
fn a_snapshot_that_is_damaged_or_missing_costs_only_time() {
    let place = installation();
    let mut bytes = place.read("data/snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.write("data/snapshot", bytes);
    let said = doctor(&place, &["--data-dir", "data"]);
    assert!(said.look("snapshot").starts_with("it is not usable, so that a start folds all of the journal: "));
    fs::remove_file(place.path("data/snapshot")).unwrap();
    let said = doctor(&place, &["--data-dir", "data"]);
    assert_eq!(said.look("snapshot"), "there is none yet; a start folds all of the journal");
}

#[test]
fn a_disk_with_too_little_room_or_that_cannot_be_written_is_told() {
    let place = installation();
    let said = doctor(&place, &["--data-dir", "data", "--least-room", "1e12"]);
    assert!(said.look("disk").contains("GB are free, and a decision takes about 1 kB: make room or cut old entries off"));
    // Nobody can make files there, not even who may do everything.
    let said = doctor(&place, &["--data-dir", "/proc/self"]);
    assert!(said.of("disk").1.starts_with("/proc/self cannot be written: "), "{}", said.of("disk").1);
    assert!(place.misused(&["doctor", "--data-dir", "data", "--least-room", "much"]).contains("--least-room"));
}
