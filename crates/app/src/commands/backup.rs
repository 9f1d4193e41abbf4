//! `assay backup`: a data folder as it is at one moment, while a server goes on writing in it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use assay_journal::{Head, Kind, Reader};
use clap::Args;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Failure, say};
use crate::clock;
use crate::decisions::data_folder::DataFolder;
use crate::decisions::fold::{self, CutState, FoldError, State};
use crate::decisions::record::ModelChange;
use crate::small_file::explain;

/// Copy a data folder as it is now: the journal, the models that decided, and what a cut journal begins with.
#[derive(Args, Clone, Debug)]
pub struct Backup {
    /// The data folder; a server may go on writing in it.
    pub folder: PathBuf,

    /// Folder to make; it appears whole or not at all.
    pub output: PathBuf,

    /// Print what was copied as JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What was copied, for programs.
#[derive(Serialize)]
struct Copied {
    entries: u64,
    models: usize,
    head: String,
    seconds: f64,
}

/// Copies into a folder beside the one that is wanted, which gets its name when everything is on the disk.
pub fn run(arguments: &Backup) -> Result<(), Failure> {
    let began = clock::now();
    let Backup { folder, output, .. } = arguments;
    let reader = Reader::open(folder)?;
    if fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_some()) || output.is_file() {
        let name = output.display();
        return Err(format!("{name} is there already; name a folder that is not there, and delete old backups yourself").into());
    }
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let making = tempfile::Builder::new().prefix(".assay-backup-").tempdir_in(parent);
    let making = making.map_err(|error| of_file(parent, &error))?;
    let (head, models) = copy(&reader, &DataFolder::at(folder), &making)?;
    File::open(making.path()).and_then(|made| made.sync_all()).map_err(|error| of_file(output, &error))?;
    fs::rename(making.path(), output).map_err(|error| of_file(output, &error))?;
    // It has another name now, and stays.
    let _ = making.keep();
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| of_file(parent, &error))?;
    let seconds = (clock::now() - began).as_secs_f64();
    let copied = Copied { entries: head.sequence, models, head: head.to_string(), seconds };
    if arguments.json {
        return say(serde_json::to_string_pretty(&copied)?);
    }
    let models = if models == 1 { "1 model".to_owned() } else { format!("{models} models") };
    say(format_args!("Copied up to entry {}, with {models}, in {seconds:.1} s: {}", head.sequence, output.display()))?;
    say(format_args!("Head: {head}"))?;
    say(format_args!("Prove it: assay verify {}", output.display()))
}

/// Copies everything that the journal needs; its last entry, and how many models.
fn copy(reader: &Reader, folder: &DataFolder, making: &TempDir) -> Result<(Head, usize), Failure> {
    reader.backup(making.path())?;
    let copied = Reader::open(making.path())?;
    let mut files = BTreeSet::new();
    for kind in [Kind::Model, Kind::Rollout] {
        copied.replay_kind(kind, 0, u64::MAX, |entry| -> Result<(), FoldError> {
            let change: ModelChange = fold::body(entry)?;
            files.insert(DataFolder::model_name(&change.sha256));
            Ok(())
        })?;
    }
    if let Some((checkpoint, models)) = checkpoint(&copied, folder)? {
        files.extend(models);
        files.insert(checkpoint);
    }
    let models = files.iter().filter(|name| name.extension().is_some_and(|ending| ending == "model")).count();
    for name in &files {
        copy_file(&folder.path().join(name), &making.path().join(name))?;
    }
    let head = copied.head()?;
    drop(copied);
    for ending in ["-shm", "-wal"] {
        // What SQLite keeps beside a file that is read; nothing was written.
        fs::remove_file(making.path().join(format!("{}{ending}", assay_journal::FILE))).ok();
    }
    Ok((head, models))
}

/// The file that a journal begins with whose older entries were cut off, and the models that decided then.
fn checkpoint(reader: &Reader, folder: &DataFolder) -> Result<Option<(PathBuf, Vec<PathBuf>)>, Failure> {
    #[derive(Deserialize)]
    struct Cut {
        state: CutState,
    }
    let Some(entry) = reader.latest(Kind::Cut, u64::MAX, 1)?.pop() else { return Ok(None) };
    let Cut { state } = fold::body(&fold::borrowed(&entry))?;
    let path = PathBuf::from(state.checkpoint);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        let sequence = entry.sequence;
        return Err(
            format!("entry {sequence} of the journal names a checkpoint outside of the data folder; run `assay verify`").into()
        );
    }
    let State { model, rollout, .. } = State::from_checkpoint(&entry, folder)?;
    let models = rollout.map(|rollout| rollout.model).into_iter().chain([model]);
    Ok(Some((path, models.map(|model| DataFolder::model_name(&model.sha256)).collect())))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Failure> {
    let folder = to.parent().unwrap_or(to);
    let copied = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::copy(from, to)?;
        File::open(to)?.sync_all()?;
        File::open(folder)?.sync_all()
    };
    copied().map_err(|error| of_file(from, &error))
}

fn of_file(path: &Path, error: &io::Error) -> Failure {
    format!("the backup was not made: {}: {}", path.display(), explain(error)).into()
}
