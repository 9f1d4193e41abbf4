//! `assay doctor`: what is wrong with an installation? It looks at everything that a server needs, changes nothing, and says what to do.

use std::fs::{self, File, TryLockError};
use std::io::{Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_journal::{Kind, Reader};
use clap::Args;
use rustix::fs::statvfs;

use super::health::{self, Health};
use super::{Failure, say};
use crate::clock;
use crate::decisions::data_folder::DataFolder;
use crate::decisions::fold::{self, State};
use crate::decisions::record::{ModelChange, moment};
use crate::keys::file;
use crate::model_file;

/// What a sync may take before decisions are slow: etcd's guidance for its own log is 10 ms.
const SLOW_SYNC: Duration = Duration::from_millis(10);
/// Syncs that are tried.
const SYNCS: usize = 50;
/// How far the clock may be from the last entry's before somebody should look, in microseconds.
const FUTURE: i64 = 300 * 1_000_000;

/// Look at an installation: data folder, journal, models, keys, disk, clock, server. Changes nothing.
#[derive(Args)]
pub struct Doctor {
    /// The data folder of a server that decides.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,

    /// A model file.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,

    /// The file of keys.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,

    /// Free room of the data folder's disk below which it is worth a word, in GB.
    #[arg(long, value_name = "GB", default_value_t = 5.0)]
    least_room: f64,

    /// Where a server should answer.
    #[arg(long, value_name = "ADDR:PORT")]
    address: Option<SocketAddr>,

    /// Go through all of the journal too, as `assay verify` does for its chain: minutes for tens of millions of entries.
    #[arg(long)]
    thorough: bool,
}

/// What was found of one thing.
enum Finding {
    /// It is well.
    Well(String),
    /// It works, and somebody should look at it.
    Look(String),
    /// It does not work.
    Sick(String),
}

use Finding::{Look, Sick, Well};

/// Says what it finds, a line each; fails if anything does not work.
pub fn run(doctor: &Doctor) -> Result<(), Failure> {
    let mut findings = vec![("clock", clock_now())];
    if let Some(path) = &doctor.model {
        findings.push(("model", model(path)));
    }
    if let Some(path) = &doctor.keys {
        findings.push(("keys", keys(path)));
    }
    if let Some(folder) = &doctor.data_dir {
        let folder = DataFolder::at(folder);
        findings.extend([("disk", disk(folder.path(), doctor.least_room)), ("server", server(folder.path()))]);
        findings.extend(journal(&folder, doctor.thorough));
    }
    if let Some(address) = doctor.address {
        findings.push(("health", answers(address)));
    }
    let mut sick = 0;
    for (what, finding) in &findings {
        let (word, sentence) = match finding {
            Well(sentence) => ("well", sentence),
            Look(sentence) => ("look", sentence),
            Sick(sentence) => {
                sick += 1;
                ("SICK", sentence)
            }
        };
        say(format_args!("{word}  {what:9} {sentence}"))?;
    }
    match sick {
        0 => Ok(()),
        1 => Err("one thing does not work; the line above that begins with SICK says what to do".into()),
        _ => Err(format!("{sick} things do not work; the lines above that begin with SICK say what to do").into()),
    }
}

fn clock_now() -> Finding {
    let now = clock::microseconds();
    match moment(now) {
        // Before the first version of this program was written.
        text if now < 1_750_000_000_000_000 => {
            Sick(format!("this machine's clock says {text}, which is past; set it, or start its time service"))
        }
        text => Well(format!("it is {text}, if this machine's clock is right")),
    }
}

fn model(path: &Path) -> Finding {
    match model_file::open(path, assay_model::artifact::MAX_ARTIFACT_BYTES) {
        Err(problem) => Sick(problem.to_string()),
        Ok(file) => {
            let manifest = file.artifact.manifest();
            let decides = if manifest.definition.is_some() {
                "it carries its definition, so that it can decide"
            } else {
                "it carries no definition: it scores rows and decides nothing"
            };
            Well(format!(
                "version {}, {} features, its golden rows give their scores; {decides}",
                file.version(),
                manifest.features.len()
            ))
        }
    }
}

fn keys(path: &Path) -> Finding {
    match file::bytes(path).and_then(|bytes| file::parse(&bytes)) {
        Err(problem) => Sick(format!("the keys in {} cannot be read: {problem}", path.display())),
        Ok(keys) => {
            let valid = crate::keys::Keyring::of(keys).valid(clock::timestamp());
            // What who is neither the owner nor of the group may do with it.
            let others = fs::metadata(path).map_or(0, |about| about.mode() & 0o007);
            let file = path.display();
            if others & 0o002 != 0 {
                Sick(format!("everybody on this machine can change {file}, and so let himself in; `chmod o-rwx` it"))
            } else if valid == 0 {
                Sick("no key is valid: nobody gets in; make one with `assay keys create`".into())
            } else if others & 0o004 != 0 {
                Look(format!(
                    "{valid} valid; everybody on this machine can read {file}: it holds no key, but says who may do what; `chmod o-rwx` it"
                ))
            } else {
                Well(format!("{valid} valid"))
            }
        }
    }
}

/// Room, and what a sync takes.
fn disk(folder: &Path, least_room: f64) -> Finding {
    if !folder.is_dir() {
        return Sick(format!("{} is no folder; `assay serve --data-dir` makes it", folder.display()));
    }
    let room = free_bytes(folder);
    let syncs = (|| {
        let mut file = tempfile::tempfile_in(folder)?;
        let mut took = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let began = clock::now();
            file.rewind()?;
            file.write_all(&[7; 4_096])?;
            file.sync_data()?;
            took.push(clock::now() - began);
        }
        took.sort_unstable();
        Ok::<_, std::io::Error>(took)
    })();
    let took = match syncs {
        Err(error) => {
            return Sick(format!("{} cannot be written: {error}; check its permissions and its disk", folder.display()));
        }
        Ok(took) => took,
    };
    let (half, slowest) = (took[SYNCS / 2], took[SYNCS - 1]);
    let told = format!("a sync takes {:.1} ms, at most {:.1} ms", half.as_secs_f64() * 1e3, slowest.as_secs_f64() * 1e3);
    match room {
        Some(bytes) if (bytes as f64) < least_room * 1e9 => Look(format!(
            "{told}; {:.1} GB are free, and a decision takes about 1 kB: make room or cut old entries off",
            bytes as f64 / 1e9
        )),
        _ if half > SLOW_SYNC => Look(format!("{told}, which every decision waits for; use a faster disk")),
        Some(bytes) => Well(format!("{told}; {:.0} GB are free", bytes as f64 / 1e9)),
        None => Well(told),
    }
}

/// Whether a server has the folder.
fn server(folder: &Path) -> Finding {
    match File::open(folder.join("journal.lock")).map(|lock| lock.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => Well("a server has this data folder".into()),
        _ => Look("no server has this data folder".into()),
    }
}

fn journal(folder: &DataFolder, thorough: bool) -> Vec<(&'static str, Finding)> {
    let reader = match Reader::open(folder.path()) {
        Ok(reader) => reader,
        Err(problem) => return vec![("journal", Sick(problem.to_string()))],
    };
    let mut found =
        vec![("journal", entries(&reader)), ("models", models(&reader, folder)), ("snapshot", snapshot(&reader, folder))];
    if thorough {
        found.push(match reader.verify(|_, _| {}) {
            Ok(verified) => ("chain", Well(format!("whole; its head is {}", verified.head))),
            Err(problem) => ("chain", Sick(problem.to_string())),
        });
    }
    found
}

fn entries(reader: &Reader) -> Finding {
    let looked = || -> Result<Finding, assay_journal::JournalError> {
        let head = reader.head()?;
        let Some(last) = reader.entry(head.sequence)? else { return Ok(Look("it has no entries yet".into())) };
        let told = format!("{} entries, the last of {}", head.sequence, moment(last.arrived));
        Ok(if last.arrived > clock::microseconds() + FUTURE {
            Look(format!("{told}, which is in the future: this machine's clock was ahead then, or is behind now"))
        } else {
            Well(told)
        })
    };
    looked().unwrap_or_else(|problem| Sick(problem.to_string()))
}

/// Every model that decided must be there, or its decisions can be neither explained nor replayed.
fn models(reader: &Reader, folder: &DataFolder) -> Finding {
    let mut changes: Vec<ModelChange> = Vec::new();
    let mut last = None;
    for kind in [Kind::Model, Kind::Rollout] {
        let read = reader.replay_kind(kind, 0, u64::MAX, |entry| -> Result<(), fold::FoldError> {
            let change: ModelChange = fold::body(entry)?;
            if kind == Kind::Model {
                last = Some(change.label());
            }
            if !changes.iter().any(|known| known.sha256 == change.sha256) {
                changes.push(change);
            }
            Ok(())
        });
        if let Err(problem) = read {
            return Sick(problem.to_string());
        }
    }
    for change in &changes {
        if let Err(problem) = folder.model(change) {
            return Sick(problem.to_string());
        }
    }
    match last {
        None => Look("no model has decided yet".into()),
        Some(last) => Well(format!("{} decided, the last is {last}; all their files are whole", changes.len())),
    }
}

fn snapshot(reader: &Reader, folder: &DataFolder) -> Finding {
    let path = folder.snapshot();
    if !path.is_file() {
        return Look("there is none yet; a start folds all of the journal".into());
    }
    let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    match State::of_snapshot(folder) {
        Err(problem) => Look(format!("it is not usable, so that a start folds all of the journal: {problem}")),
        Ok(state) => match (reader.verify_head(state.at), reader.head()) {
            (Ok(()), Ok(head)) => Well(format!(
                "{:.1} MB, as of entry {}; a start folds {} more",
                bytes as f64 / 1e6,
                state.at.sequence,
                head.sequence.saturating_sub(state.at.sequence)
            )),
            _ => Look("it is of another journal, or of a later state of this one: a start folds all of the journal".into()),
        },
    }
}

fn answers(address: SocketAddr) -> Finding {
    match health::run(&Health::at(address)) {
        Ok(()) => Well(format!("the server on {address} answers")),
        Err(problem) => Sick(problem.to_string()),
    }
}

/// What a user may still write; not told everywhere.
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.f_bavail * found.f_frsize)
}
