//! What the tests of `assay`'s commands share: a folder to work in, the real binary, and small card histories.

#![expect(dead_code, reason = "each test binary uses its part of this")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use assay_model::Artifact;
use assay_simulator::{Creditcard, CreditcardRow, CreditcardSettings};
use serde_json::Value;
use tempfile::TempDir;

/// Flags that make boosted trees quick to train where the test is about something else.
pub const QUICK: [&str; 6] = ["--set", "num_leaves=7", "--rounds", "20", "--resamples", "10"];

/// A folder of its own, in which commands are run.
pub struct Workplace(TempDir);

impl Workplace {
    /// An empty folder.
    pub fn new() -> Self {
        Self(TempDir::with_prefix("assay-").unwrap())
    }

    /// A folder with `history.csv`: 4,000 rows shaped like creditcard.csv, 3 in 100 of them frauds.
    pub fn with_history() -> Self {
        let place = Self::new();
        place.write("history.csv", csv(&history(4_000, 1)));
        place
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Reads a file of text.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Reads a model, with all of the product's own checks.
    pub fn model(&self, name: &str) -> Artifact {
        Artifact::read(&self.read(name)).unwrap()
    }

    /// `assay` with these words, in this folder.
    pub fn assay(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        // Threads of parallel tests that wait for each other must not keep the cores busy.
        command.args(words).current_dir(self.0.path()).env("OMP_WAIT_POLICY", "PASSIVE");
        command
    }

    /// Runs `assay` and gives what it said; it must succeed and say nothing on standard error.
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.assay(words).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaint.is_empty(), "assay {}: {complaint}", words.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Trains quickly on `data` and gives the bytes of the model.
    pub fn train(&self, data: &[&str], flags: &[&str]) -> Vec<u8> {
        self.run(&[&["train"], data, &["--out", "trained.model"], &QUICK, flags].concat());
        self.read("trained.model")
    }

    /// Runs `assay`, which must refuse in one clear sentence and leave the folder as it was; gives the sentence.
    pub fn refused(&self, words: &[&str]) -> String {
        self.refuses(&mut self.assay(words), &format!("assay {}", words.join(" ")))
    }

    /// Runs a command, which must refuse as [`Self::refused`] says.
    pub fn refuses(&self, command: &mut Command, what: &str) -> String {
        let before = self.files();
        let output = command.output().unwrap();
        assert!(self.files() == before, "{what}: changed the folder to {:?}", self.files().keys());
        sentence(&output, what)
    }

    /// Runs `assay` with flags that make no sense; clap says which, and how they are used.
    pub fn misused(&self, words: &[&str]) -> String {
        let before = self.files();
        let output = self.assay(words).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "assay {}: {complaint}", words.join(" "));
        assert_eq!(complaint.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{complaint}");
        assert!(self.files() == before);
        complaint
    }

    /// Every file of the folder with its content, a folder with a `/` at its end; without what SQLite keeps beside a journal that is read.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        gather(self.0.path(), "", &mut files);
        let beside = ["journal.lock", "journal.sqlite-shm", "journal.sqlite-wal"];
        files.retain(|name, _| !beside.iter().any(|beside| name.ends_with(beside)));
        files
    }
}

fn gather(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            gather(&entry.path(), &format!("{name}/"), files);
            files.insert(format!("{name}/"), Vec::new());
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// The one sentence of a refusal: exit code 1, nothing else on standard error, no trace of a panic.
fn sentence(output: &Output, what: &str) -> String {
    let complaint = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{what}: {complaint}");
    let lines: Vec<&str> = complaint.lines().collect();
    let [line] = lines[..] else { panic!("{what}: not one line: {complaint}") };
    let sentence = line.strip_prefix("error: ").unwrap_or_else(|| panic!("{what}: no error: {line}"));
    assert!(!sentence.contains("panic") && !sentence.contains("defect"), "{what}: {sentence}");
    assert!((20..700).contains(&sentence.len()), "{what}: {sentence}");
    sentence.to_owned()
}

/// Rows shaped like creditcard.csv, 3 in 100 of them frauds.
pub fn history(rows: u64, seed: u64) -> Vec<CreditcardRow> {
    let settings = CreditcardSettings { rows, rows_per_day: rows.div_ceil(2), fraud_rate: 0.03 };
    Creditcard::new(&settings, seed).unwrap().collect()
}

/// The rows as `assay simulate --shape creditcard` writes them.
pub fn csv(rows: &[CreditcardRow]) -> String {
    let lines: Vec<Vec<String>> = rows.iter().map(cells).collect();
    csv_of(&CreditcardRow::COLUMNS, &lines)
}

/// The cells of a row.
pub fn cells(row: &CreditcardRow) -> Vec<String> {
    let components = row.components.iter().map(f64::to_string);
    let end = [(row.amount_minor as f64 / 100.0).to_string(), u8::from(row.fraud).to_string()];
    std::iter::once(row.time_seconds.to_string()).chain(components).chain(end).collect()
}

/// The 30 features of a row, in the order of the columns.
pub fn features(row: &CreditcardRow) -> Vec<f64> {
    let amount = row.amount_minor as f64 / 100.0;
    std::iter::once(row.time_seconds as f64).chain(row.components).chain([amount]).collect()
}

/// A CSV file.
pub fn csv_of(header: &[impl AsRef<str>], lines: &[Vec<String>]) -> String {
    let names: Vec<&str> = header.iter().map(AsRef::as_ref).collect();
    let mut text = names.join(",") + "\n";
    for line in lines {
        writeln!(text, "{}", line.join(",")).unwrap();
    }
    text
}

/// The rows of a history with one more column, put before the label.
pub fn with_column(rows: &[CreditcardRow], name: &str, cell: impl Fn(&CreditcardRow) -> String) -> String {
    let mut header: Vec<&str> = CreditcardRow::COLUMNS.to_vec();
    header.insert(30, name);
    let line = |row: &CreditcardRow| {
        let mut line = cells(row);
        line.insert(30, cell(row));
        line
    };
    csv_of(&header, &rows.iter().map(line).collect::<Vec<_>>())
}

/// A figure of a report.
pub fn figure(evaluation: &Value, key: &str) -> f64 {
    let figures = evaluation["figures"].as_array().unwrap();
    let figure = figures.iter().find(|figure| figure["key"] == key).unwrap_or_else(|| panic!("no figure {key}"));
    figure["value"].as_f64().unwrap_or_else(|| panic!("{key}: {figure}"))
}
