//! The folder of models on the disk: which files are there, and what is written down of who does what, so that a restart comes back the
//! same.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use thiserror::Error;

/// The ending of model files; others in the folder are not looked at.
const ENDING: &str = "model";

/// Where it is written down who does what.
const STATE_FILE: &str = "assay-models.json";

/// The format of the state; a newer one is refused, not guessed at.
const STATE_FORMAT: u32 = 1;

/// How files begin that are not whole yet; what is left of them by a crash is taken away at the next start.
const UNFINISHED: &str = ".assay-unfinished-";

/// A state is a page of JSON; more than this is none.
const STATE_BYTES: u64 = 1 << 20;

/// A folder of models, ours alone as long as this lives.
#[derive(Debug)]
pub struct ModelFolder {
    path: PathBuf,
    _lock: File,
}

/// Why a folder cannot be worked with.
#[derive(Debug, Error)]
#[error("cannot use the folder of models {folder}: {problem}")]
pub struct FolderError {
    folder: String,
    problem: String,
}

/// What a file looked like when we looked: another length or time is another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its length.
    pub bytes: u64,
    modified: Option<SystemTime>,
}

/// One version of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The challenger and how much it gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutState {
    /// Which model.
    pub model: Named,
    /// Requests of a hundred that it answers.
    pub percent: f64,
}

/// Who does what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: u32,
    /// Who scores.
    pub active: Named,
    /// Who scored before: where a rollback goes.
    pub previous: Option<Named>,
    /// Who scores beside it without answering, by name.
    pub shadows: Vec<Named>,
    /// Who answers a share of the requests.
    pub rollout: Option<RolloutState>,
}

impl State {
    /// One model alone.
    pub fn of(active: Named) -> Self {
        Self { format: STATE_FORMAT, active, previous: None, shadows: Vec::new(), rollout: None }
    }

    /// Every model that has something to do, or to which a rollback goes.
    pub fn in_use(&self) -> impl Iterator<Item = &Named> {
        let challenger = self.rollout.iter().map(|rollout| &rollout.model);
        std::iter::once(&self.active).chain(&self.previous).chain(&self.shadows).chain(challenger)
    }
}

impl ModelFolder {
    /// Takes the folder for this process alone.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let refused = |problem: String| FolderError { folder: path.display().to_string(), problem };
        let lock = File::open(path).map_err(|error| refused(explain(&error)))?;
        if !path.is_dir() {
            return Err(refused("it is no folder; name the folder that holds the model files".into()));
        }
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(refused("another server works with it; give each server a folder of its own".into()));
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        folder.take_leftovers_away().map_err(|error| refused(explain(&error)))?;
        Ok(folder)
    }

    /// The model files that are there, by name.
    pub fn list(&self) -> Result<BTreeMap<String, Sighting>, FolderError> {
        self.sightings().map_err(|error| self.refused(&error))
    }

    /// The file of a model.
    pub fn file_of(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.{ENDING}"))
    }

    /// How the file of a model looks now.
    pub fn look_at(&self, name: &str) -> Option<Sighting> {
        fs::metadata(self.file_of(name)).ok().filter(fs::Metadata::is_file).as_ref().map(Sighting::of)
    }

    /// A file that has no name yet.
    pub fn begin(&self) -> Result<NamedTempFile, FolderError> {
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.path).map_err(|error| self.refused(&error))
    }

    /// Gives a whole file its name, on the disk before it has it; `false` when that name is taken.
    pub fn keep(&self, file: NamedTempFile, name: &str) -> Result<bool, FolderError> {
        file.as_file().sync_all().and_then(|()| readable_by_all(file.as_file())).map_err(|error| self.refused(&error))?;
        match file.persist_noclobber(self.file_of(name)) {
            Ok(_) => self.sync().map(|()| true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.refused(&error.error)),
        }
    }

    /// Takes the file of a model away.
    pub fn remove(&self, name: &str) -> Result<(), FolderError> {
        match fs::remove_file(self.file_of(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.refused(&error)),
            _ => self.sync(),
        }
    }

    /// What was written down; nothing in a folder that is new.
    pub fn state(&self) -> Result<Option<State>, FolderError> {
        let path = self.path.join(STATE_FILE);
        let damaged = |problem: String| FolderError {
            folder: self.path.display().to_string(),
            problem: format!("{STATE_FILE} in it {problem}; put back a copy of it, or remove it and name the model with --model"),
        };
        let bytes = match fs::metadata(&path)
            .and_then(|about| if about.len() > STATE_BYTES { Ok(None) } else { fs::read(&path).map(Some) })
        {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(damaged("is far too large".into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.refused(&error)),
        };
        let format = serde_json::from_slice::<Format>(&bytes).map_err(|error| damaged(format!("is damaged ({error})")))?.format;
        if format != STATE_FORMAT {
            return Err(damaged(format!("has format {format}, and this program reads format {STATE_FORMAT}")));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(format!("is damaged ({error})")))
    }

    /// Writes down who does what, whole or not at all.
    pub fn write(&self, state: &State) -> Result<(), FolderError> {
        let mut json = serde_json::to_vec_pretty(state).expect("names and numbers are JSON");
        json.push(b'\n');
        let mut file = self.begin()?;
        let written =
            file.write_all(&json).and_then(|()| readable_by_all(file.as_file())).and_then(|()| file.as_file().sync_all());
        written.map_err(|error| self.refused(&error))?;
        file.persist(self.path.join(STATE_FILE)).map_err(|error| self.refused(&error.error))?;
        self.sync()
    }

    fn sightings(&self) -> io::Result<BTreeMap<String, Sighting>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let is_model = path.extension().is_some_and(|ending| ending == ENDING);
            // A file that went away since the folder was read is not there.
            let about = fs::metadata(&path).ok().filter(fs::Metadata::is_file);
            if let (true, Some(about), Some(name)) = (is_model, about, path.file_stem()) {
                found.insert(name.to_string_lossy().into_owned(), Sighting::of(&about));
            }
        }
        Ok(found)
    }

    fn take_leftovers_away(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// A name is on the disk once its folder is.
    fn sync(&self) -> Result<(), FolderError> {
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &io::Error) -> FolderError {
        FolderError { folder: self.path.display().to_string(), problem: explain(error) }
    }
}

impl Sighting {
    fn of(about: &fs::Metadata) -> Self {
        Self { bytes: about.len(), modified: about.modified().ok() }
    }
}

/// The one field that every version of the state has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Temporary files are private; ours get the permissions that a new file would have.
#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_file: &File) -> io::Result<()> {
    Ok(())
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder; make it, or correct the path".into(),
        io::ErrorKind::PermissionDenied => "this user may not read and write in it; change its permissions or the user".into(),
        io::ErrorKind::ReadOnlyFilesystem => "it is read-only; put it where it can be written".into(),
        io::ErrorKind::StorageFull => "the disk is full; make room".into(),
        _ => format!("{error}; check the path and the disk"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Named {
        Named { name: name.into(), version: "0123456789ab".into() }
    }

    #[test]
    fn what_was_written_down_reads_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = ModelFolder::open(place.path()).unwrap();
        assert_eq!(folder.state().unwrap(), None);
        let rollout = Some(RolloutState { model: named("d"), percent: 12.5 });
        let state = State { previous: Some(named("b")), shadows: vec![named("c")], rollout, ..State::of(named("a")) };
        folder.write(&state).unwrap();
        assert_eq!(folder.state().unwrap(), Some(state));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_state_that_is_damaged_or_newer_is_refused_with_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        let folder = ModelFolder::open(place.path()).unwrap();
        folder.write(&State::of(named("a"))).unwrap();
        let path = place.path().join(STATE_FILE);
        let text = fs::read_to_string(&path).unwrap();
        for end in 0..text.len() - 2 {
            fs::write(&path, &text[..end]).unwrap();
            assert!(folder.state().unwrap_err().to_string().contains("is damaged"), "cut at {end}");
        }
        fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        let error = folder.state().unwrap_err().to_string();
        assert!(error.contains("has format 2, and this program reads format 1") && error.contains("--model"), "{error}");
    }

    #[test]
    fn a_folder_belongs_to_one_server() {
        let place = tempfile::tempdir().unwrap();
        let first = ModelFolder::open(place.path()).unwrap();
        assert!(ModelFolder::open(place.path()).unwrap_err().to_string().contains("another server works with it"));
        drop(first);
        fs::write(place.path().join(format!("{UNFINISHED}x")), "half").unwrap();
        ModelFolder::open(place.path()).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "what a crash left is taken away");
        assert!(ModelFolder::open(&place.path().join("absent")).unwrap_err().to_string().contains("there is no such folder"));
    }

    #[test]
    fn a_name_that_is_taken_is_not_given_twice() {
        let place = tempfile::tempdir().unwrap();
        let folder = ModelFolder::open(place.path()).unwrap();
        let kept = |text: &str| {
            let mut file = folder.begin().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            folder.keep(file, "fraud").unwrap()
        };
        assert!(kept("first") && !kept("second"));
        assert_eq!(fs::read_to_string(folder.file_of("fraud")).unwrap(), "first");
        assert_eq!(folder.list().unwrap().keys().collect::<Vec<_>>(), ["fraud"]);
        folder.remove("fraud").unwrap();
        folder.remove("fraud").unwrap();
        assert!(folder.list().unwrap().is_empty());
    }
}
