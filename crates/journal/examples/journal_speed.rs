//! How fast is the journal? Writes groups of decisions with random text ids next to the disk's own write and fdatasync of as many bytes,
//! in turn, and tells both as JSON. `journal_speed FOLDER ENTRIES` fills the folder up to that many entries first.

#![expect(clippy::unwrap_used, reason = "what fails here ends the measurement")]
#![expect(clippy::disallowed_methods, reason = "measuring is looking at the clock")]

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use assay_journal::{Entry, Journal, JournalError, Kind, NewEntry};
use serde_json::json;

/// Entries of a group, as many as requests may wait for one.
const GROUPS: [usize; 4] = [1, 50, 128, 256];
/// Groups that are measured of each size.
const ROUNDS: usize = 1_500;
/// Entries that are made to see what making them takes.
const MADE: usize = 100_000;
/// Bytes over which the disk's own writes go, as the write-ahead log goes over its own.
const RAW_BYTES: u64 = 32 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (folder, entries) = (Path::new(&arguments[1]), arguments[2].parse::<u64>().unwrap());
    let opening = Instant::now();
    let mut journal = Journal::open(folder).unwrap();
    let opened = opening.elapsed();
    let before = journal.head().sequence;
    let mut texts = Texts { state: before + 1 };
    let making = processor_seconds();
    assert_eq!(texts.group(MADE).len(), MADE);
    let making_us = (processor_seconds() - making) * 1e6 / MADE as f64;
    let filling = Instant::now();
    while journal.head().sequence < entries {
        let size = usize::try_from(entries - journal.head().sequence).unwrap().min(10_000);
        write(&mut journal, &texts.group(size));
    }
    let filled = journal.head().sequence - before;
    println!(
        "{}",
        json!({
            "open_seconds": opened.as_secs_f64(),
            "entries": before,
            "filled": filled,
            "fill_seconds": filling.elapsed().as_secs_f64(),
            "processor_us_to_make_an_entry": making_us,
        })
    );

    let mut raw =
        File::options().create(true).append(false).truncate(false).read(true).write(true).open(folder.join("raw")).unwrap();
    for size in GROUPS {
        println!("{}", groups(&mut journal, &mut raw, &mut texts, size));
    }
    println!("{}", reading(&journal));
    std::fs::remove_file(folder.join("raw")).unwrap();
}

/// Latencies of groups of one size, beside those of the disk.
fn groups(journal: &mut Journal, raw: &mut File, texts: &mut Texts, size: usize) -> serde_json::Value {
    let (mut appends, mut appends_while_copying, mut tends) = (Vec::new(), Vec::new(), Vec::new());
    let (mut syncs, mut finds, mut written) = (Vec::new(), Vec::new(), Duration::ZERO);
    let mut bytes = vec![7_u8; size * 900];
    let processor = processor_seconds();
    let mut processor_of_raw = 0.0;
    for _ in 0..ROUNDS {
        let group = texts.group(size);
        let looking = Instant::now();
        assert!(group.iter().all(|(id, _)| journal.read().find(Kind::Decision, id).unwrap().is_none()));
        finds.push(looking.elapsed());
        let is_copying = journal.is_copying_log();
        let writing = Instant::now();
        write(journal, &group);
        if is_copying { &mut appends_while_copying } else { &mut appends }.push(writing.elapsed());
        let tending = Instant::now();
        journal.tend().unwrap();
        if is_copying {
            tends.push(tending.elapsed());
        }
        written += writing.elapsed();

        let before = processor_seconds();
        bytes[0] = bytes[0].wrapping_add(1);
        if raw.stream_position().unwrap() > RAW_BYTES {
            raw.rewind().unwrap();
        }
        let syncing = Instant::now();
        raw.write_all(&bytes).unwrap();
        raw.sync_data().unwrap();
        syncs.push(syncing.elapsed());
        processor_of_raw += processor_seconds() - before;
    }
    let processor = processor_seconds() - processor - processor_of_raw;
    let count = (size * ROUNDS) as f64;
    json!({
        "group": size,
        "entries_per_second": count / written.as_secs_f64(),
        "processor_us_per_entry_with_making_it": processor * 1e6 / count,
        "find_us_per_entry": finds.iter().sum::<Duration>().as_secs_f64() * 1e6 / count,
        "append_us": quantiles(appends),
        "append_while_copying_us": quantiles(appends_while_copying),
        "tend_while_copying_us": quantiles(tends),
        "disk_us": quantiles(syncs),
    })
}

/// How fast entries come back, and are verified.
fn reading(journal: &Journal) -> serde_json::Value {
    let reader = journal.read();
    let mut bytes = 0;
    let (replaying, processor) = (Instant::now(), processor_seconds());
    let visit = |entry: &Entry<&str>| -> Result<(), JournalError> {
        bytes += entry.body.len();
        Ok(())
    };
    let replayed = reader.replay(0, 2_000_000, visit).unwrap();
    let (replaying, processor_of_replay) = (replaying.elapsed().as_secs_f64(), processor_seconds() - processor);
    let (verifying, processor) = (Instant::now(), processor_seconds());
    let verified = reader.verify(|_, _| ()).unwrap();
    let (verifying, processor_of_verify) = (verifying.elapsed().as_secs_f64(), processor_seconds() - processor);
    json!({
        "replayed_per_second": replayed as f64 / replaying,
        "replay_processor_us_per_entry": processor_of_replay * 1e6 / replayed as f64,
        "bytes_per_body": bytes as f64 / replayed as f64,
        "verified_per_second": verified.head.sequence as f64 / verifying,
        "verify_processor_us_per_entry": processor_of_verify * 1e6 / verified.head.sequence as f64,
        "entries": verified.head.sequence,
    })
}

fn write(journal: &mut Journal, group: &[(String, String)]) {
    let entry =
        |(id, body)| NewEntry { kind: Kind::Decision, id: Some(id), arrived: 1_700_000_000_000_000, body, personal: None };
    let entries: Vec<NewEntry<'_>> =
        group.iter().map(|(id, body): &(String, String)| entry((id.as_str(), body.as_str()))).collect();
    journal.append(&entries).unwrap();
}

/// How many there are, medians and tails, in microseconds.
fn quantiles(mut durations: Vec<Duration>) -> serde_json::Value {
    if durations.is_empty() {
        return serde_json::Value::Null;
    }
    durations.sort_unstable();
    let at = |thousandths: usize| durations[(durations.len() - 1) * thousandths / 1_000].as_secs_f64() * 1e6;
    json!({"count": durations.len(), "p50": at(500), "p90": at(900), "p99": at(990), "max": at(1_000)})
}

/// What this process has taken of the processors, all threads.
fn processor_seconds() -> f64 {
    let schedule = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = schedule.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// Decisions as a server writes them, with ids that nothing orders.
struct Texts {
    state: u64,
}

impl Texts {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn group(&mut self, size: usize) -> Vec<(String, String)> {
        (0..size).map(|_| self.decision()).collect()
    }

    fn decision(&mut self) -> (String, String) {
        let id = format!("{:016x}{:08x}", self.next(), self.next() >> 32);
        let row: Vec<String> = (0..15).map(|_| format!("{:.6}", self.next() as f64 / 1e15)).collect();
        let body = format!(
            r#"{{"latency_us":17,"model":"fraud-2026-09-30-a1b2","outcome":"approve","policy":3,"probability":0.{:016},"risk_score":212,"row":[{}],"rules":[],"score":-5.{:015},"transaction":{{"customer_id":{},"terminal_id":{},"transaction_id":"{id}","tx_amount":{}.{:02},"tx_datetime":"2026-09-30T12:34:56.123456Z"}},"version":1}}"#,
            self.next() >> 12,
            row.join(","),
            self.next() >> 15,
            self.next() % 100_000,
            self.next() % 10_000,
            self.next() % 500,
            self.next() % 100,
        );
        (id, body)
    }
}
