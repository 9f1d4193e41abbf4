//! Up to where has a webhook been told? A small file in the data folder, which survives whatever ends the process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assay_journal::{Head, JournalError, Reader};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::file::Hook;
use crate::clock;
use crate::decisions::data_folder::DataFolder;
use crate::decisions::record::json;
use crate::small_file;

/// The folder of these files.
const FOLDER: &str = "webhooks";
/// No such file is larger.
const BYTES: u64 = 1 << 12;
/// How old what is on the disk may be after a delivery: as much is repeated after a kill.
const AFTER_DELIVERY: Duration = Duration::from_secs(1);
/// The same where nothing was to be told; it costs a little reading after a kill, and no repetition.
const AFTER_PASSING: Duration = Duration::from_secs(60);

/// Where a webhook stands.
pub struct Place {
    noted: Noted,
    folder: DataFolder,
    path: PathBuf,
    /// What was not written yet.
    unwritten: Option<Unwritten>,
    /// The entry that is in the file: where a restart goes on.
    written_sequence: u64,
    written: Instant,
    has_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unwritten {
    Passed,
    Delivered,
}

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    /// The last entry that was delivered or passed over, and its hash.
    after: String,
    /// For how long the delivery behind it has been tried.
    #[serde(default)]
    failing_ms: u64,
    /// Base64 of the SHA-256 of the URL whose receiver wants nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<String>,
}

impl Place {
    /// The last entry that this webhook needs no more, as its file says before the journal is open: any where it is new or wants nothing more,
    /// none where its file is damaged.
    pub fn noted(hook: &Hook, folder: &DataFolder) -> u64 {
        let path = path_of(hook, folder);
        match path.exists().then(|| read(&path)) {
            None => u64::MAX,
            Some(Ok((noted, _))) if noted.gone.as_ref().is_some_and(|gone| *gone == mark(&hook.url)) => u64::MAX,
            Some(Ok((_, after))) => after.sequence,
            Some(Err(_)) => 0,
        }
    }

    /// Where this webhook stood last; at the journal's end if it is new, or if the journal is not the one that it stood in.
    pub fn open(hook: &Hook, folder: &DataFolder, reader: &Reader) -> Result<Self, String> {
        let path = path_of(hook, folder);
        let head = reader.head().map_err(|error| error.to_string())?;
        let noted = if path.exists() { Some(read(&path)?) } else { None };
        let noted = match noted {
            Some((noted, after)) if leads_on(after, head, reader).map_err(|error| error.to_string())? => Some(noted),
            Some(_) => {
                tracing::warn!(
                    webhook = hook.name,
                    sequence = head.sequence,
                    "the journal is not the one that this webhook was told from; it is told what comes after the journal's last entry"
                );
                None
            }
            None => {
                tracing::info!(webhook = hook.name, sequence = head.sequence, "a new webhook is told what comes from here on");
                None
            }
        };
        let is_new = noted.is_none();
        let noted = noted.unwrap_or_else(|| Noted { after: head.to_string(), failing_ms: 0, gone: None });
        let written = clock::now();
        let mut place =
            Self { noted, folder: folder.clone(), path, unwritten: None, written_sequence: 0, written, has_failed: false };
        place.written_sequence = place.sequence();
        if is_new {
            place.write();
        }
        Ok(place)
    }

    /// The last entry that was delivered or passed over.
    pub fn sequence(&self) -> u64 {
        self.noted.after.split_once(':').and_then(|(sequence, _)| sequence.parse().ok()).unwrap_or_default()
    }

    /// The same as it is in the file: a restart reads on from there.
    pub fn written_sequence(&self) -> u64 {
        self.written_sequence
    }

    /// Everything up to here was cut off.
    pub fn lost(&mut self, through: Head) {
        self.passed(through);
        self.noted.failing_ms = 0;
        self.write();
    }

    /// An entry was delivered, or given up.
    pub fn delivered(&mut self, entry: Head) {
        self.noted.after = entry.to_string();
        self.noted.failing_ms = 0;
        self.unwritten = Some(Unwritten::Delivered);
        self.tend();
    }

    /// Nothing up to here was to be told.
    pub fn passed(&mut self, entry: Head) {
        let after = entry.to_string();
        if after != self.noted.after {
            self.noted.after = after;
            self.unwritten = self.unwritten.max(Some(Unwritten::Passed));
        }
        self.tend();
    }

    /// For how long the next delivery has been tried.
    pub fn failing(&self) -> Duration {
        Duration::from_millis(self.noted.failing_ms)
    }

    /// The next delivery has been tried for a while longer.
    pub fn failed_for(&mut self, longer: Duration) {
        self.noted.failing_ms = self.noted.failing_ms.saturating_add(u64::try_from(longer.as_millis()).unwrap_or(u64::MAX));
        self.write();
    }

    /// The receiver at this URL wants nothing more.
    pub fn close(&mut self, url: &str) {
        self.noted.gone = Some(mark(url));
        self.write();
    }

    /// Whether it has said so.
    pub fn is_closed(&self, url: &str) -> bool {
        self.noted.gone.as_ref().is_some_and(|gone| *gone == mark(url))
    }

    /// Writes down what is due.
    pub fn tend(&mut self) {
        let due = match self.unwritten {
            Some(Unwritten::Delivered) => AFTER_DELIVERY,
            Some(Unwritten::Passed) => AFTER_PASSING,
            None => return,
        };
        if clock::now() - self.written >= due {
            self.write();
        }
    }

    /// Writes down what is not written yet.
    pub fn finish(&mut self) {
        if self.unwritten.is_some() {
            self.write();
        }
    }

    /// What cannot be written is known here all the same, and only a restart would repeat deliveries.
    fn write(&mut self) {
        let json = json(&self.noted);
        match self.folder.write(&self.path, |file| file.write_all(json.as_bytes())) {
            Ok(()) => {
                self.unwritten = None;
                self.written_sequence = self.sequence();
                self.has_failed = false;
            }
            Err(problem) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::warn!("a restart will repeat deliveries of a webhook, since its place was not written: {problem}");
                }
            }
        }
        self.written = clock::now();
    }
}

fn path_of(hook: &Hook, folder: &DataFolder) -> PathBuf {
    folder.path().join(FOLDER).join(format!("{}.json", hook.name))
}

fn read(path: &Path) -> Result<(Noted, Head), String> {
    let parsed = small_file::read(path, BYTES).and_then(|bytes| {
        let noted: Option<Noted> = serde_json::from_slice(&bytes).ok();
        let both = noted.and_then(|noted| noted.after.parse().ok().map(|after| (noted, after)));
        both.ok_or_else(|| "it is damaged; restore it, or remove it to go on from the journal's end".to_owned())
    });
    parsed.map_err(|problem| format!("cannot read {}: {problem}", path.display()))
}

/// Whether the journal goes on after this entry. One that is not there any more was cut off.
fn leads_on(after: Head, head: Head, reader: &Reader) -> Result<bool, JournalError> {
    if after.sequence > head.sequence {
        return Ok(false);
    }
    Ok(reader.entry(after.sequence)?.is_none_or(|entry| entry.hash == after.hash))
}

fn mark(url: &str) -> String {
    STANDARD.encode(Sha256::digest(url))
}
