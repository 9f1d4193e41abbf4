//! Which models does a server start with? Those that the folder's state names, or the one it is given.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use clap::Args;
use thiserror::Error;

use super::book::{Book, Entry};
use super::model::{Model, is_name};
use crate::decisions::desk::StartModel;
use crate::model_file::{self, ModelFileError};
use crate::model_folder::{FolderError, ModelFolder, Named, State};

/// Where models come from, and how many and how large they may be.
#[derive(Args, Clone, Debug)]
pub struct ModelArguments {
    /// A folder of model files (*.model), to be changed while serving: see /v1/models. What is active there is still so after a restart.
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,

    /// Models in memory at once; more files in the folder are refused until one leaves.
    #[arg(long = "max-models", value_name = "MODELS", default_value_t = NonZeroUsize::new(16).expect("not zero"), help_heading = "Limits")]
    pub count: NonZeroUsize,

    /// Bytes of a model in the folder or uploaded; a larger one is refused. Reading one takes a few times its size in memory.
    #[arg(long = "max-model-bytes", value_name = "BYTES", default_value_t = NonZeroU64::new(256 << 20).expect("not zero"), help_heading = "Limits")]
    pub bytes: NonZeroU64,
}

impl ModelArguments {
    /// Whether there is a folder of models.
    pub fn has_folder(&self) -> bool {
        self.models.is_some()
    }
}

/// What a server starts with.
pub struct Opened {
    pub(super) book: Book,
    pub(super) folder: Option<ModelFolder>,
    pub(super) limits: ModelArguments,
}

impl Opened {
    /// The model that is active, for what decides.
    pub fn active(&self) -> StartModel {
        self.book.loaded(&self.book.state.active.name).expect("the active model is loaded").start()
    }

    /// The challenger and its share in percent, for what decides.
    pub fn rollout(&self) -> Option<(StartModel, f64)> {
        let rollout = self.book.state.rollout.as_ref()?;
        Some((self.book.loaded(&rollout.model.name).ok()?.start(), rollout.percent))
    }

    /// From here on the active model decides about transactions: a rollout ends whose challenger makes other rows of them.
    pub fn begin_to_decide(&mut self) -> Result<(), FolderError> {
        if self.book.begin_to_decide() {
            tracing::warn!(
                "a rollout is ended: its challenger makes other features of transactions than the active model, which decides"
            );
            if let Some(folder) = &self.folder {
                folder.write(&self.book.state)?;
            }
        }
        Ok(())
    }
}

/// Why there is no model to start with.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file is not what it should be.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// The folder or what is written down in it is not what it should be.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Nothing says what is active.
    #[error("the folder of models {folder} holds {count} models, and nothing says which is active; name one with --model")]
    Undecided {
        /// The folder.
        folder: String,
        /// Models in it.
        count: usize,
    },
    /// What was active is not there.
    #[error(
        "the folder of models {folder} says that {name}@{version} is active, but {problem}; put that file back, or remove \
         assay-models.json from the folder and name the model with --model"
    )]
    Gone {
        /// The folder.
        folder: String,
        /// The model.
        name: String,
        /// Its version.
        version: String,
        /// What is there instead.
        problem: String,
    },
}

/// Reads `model`, if one is named, and the models of the folder that have something to do; the others in the folder are read while serving.
pub fn open(arguments: &ModelArguments, model: Option<&Path>) -> Result<Opened, OpenError> {
    let folder = arguments.models.as_deref().map(ModelFolder::open).transpose()?;
    let mut entries = BTreeMap::new();
    let mut given = None;
    if let Some(path) = model {
        let model = read_given(path)?;
        given = Some(model.named());
        // A file of the folder that is named by its path is a file of the folder.
        let is_inside = folder.as_ref().is_some_and(|folder| is_same(&folder.file_of(&model.name), path));
        let judged = folder.as_ref().filter(|_| is_inside).and_then(|folder| folder.look_at(&model.name));
        entries.insert(model.name.clone(), Entry::of(model, judged));
    }
    let state = match (&folder, given) {
        (None, Some(given)) => State::of(given),
        (Some(folder), given) => in_folder(folder, arguments, given, &mut entries)?,
        (None, None) => unreachable!("the command line asks for a model or a folder"),
    };
    Ok(Opened { book: Book { entries, state, decides: false }, folder, limits: arguments.clone() })
}

fn read_given(path: &Path) -> Result<Model, ModelFileError> {
    // What an operator names is as large as they want it.
    let file = model_file::open(path, assay_model::artifact::MAX_ARTIFACT_BYTES)?;
    Ok(Model::new(&path.file_stem().unwrap_or_default().to_string_lossy(), file, path.display().to_string()))
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

type Entries = BTreeMap<String, Entry>;

/// The state of the folder, with the models it needs; written down where it was not.
fn in_folder(
    folder: &ModelFolder,
    arguments: &ModelArguments,
    given: Option<Named>,
    entries: &mut Entries,
) -> Result<State, OpenError> {
    let path = || arguments.models.as_deref().unwrap_or(Path::new("")).display().to_string();
    let Some(written) = folder.state()? else {
        let active = match given {
            Some(given) => given,
            None => only_one(folder, arguments, path(), entries)?,
        };
        let state = State::of(active);
        folder.write(&state)?;
        return Ok(state);
    };
    if let Err(problem) = read_named(folder, arguments, &written.active, entries) {
        let Named { name, version } = written.active;
        let Some(given) = given else { return Err(OpenError::Gone { folder: path(), name, version, problem }) };
        tracing::error!(model = name, version, "what was active is not there: {problem}; --model is active instead");
        let state = State::of(given);
        folder.write(&state)?;
        return Ok(state);
    }
    if let Some(given) = given.filter(|given| *given != written.active) {
        tracing::warn!(
            model = given.name,
            version = given.version,
            "--model is loaded, but the folder says that another one is active"
        );
    }
    let mut found = |named: &Named| match read_named(folder, arguments, named, entries) {
        Ok(()) => true,
        Err(problem) => {
            tracing::warn!(model = named.name, version = named.version, "a model that was in use is not there: {problem}");
            false
        }
    };
    let mut state = written.clone();
    state.previous = state.previous.filter(&mut found);
    state.shadows.retain(&mut found);
    state.rollout = state.rollout.filter(|rollout| found(&rollout.model));
    if state != written {
        folder.write(&state)?;
    }
    Ok(state)
}

/// The model of a folder that holds no other.
fn only_one(folder: &ModelFolder, arguments: &ModelArguments, path: String, entries: &mut Entries) -> Result<Named, OpenError> {
    let found = folder.list()?;
    let (Some(name), 1) = (found.keys().find(|name| is_name(name)), found.len()) else {
        return Err(OpenError::Undecided { folder: path, count: found.len() });
    };
    let file = model_file::open(&folder.file_of(name), arguments.bytes.get())?;
    let model = Model::new(name, file, folder.file_of(name).display().to_string());
    let named = model.named();
    entries.insert(name.clone(), Entry::of(model, found.get(name).copied()));
    Ok(named)
}

/// Makes sure that this version is among `entries`, or says what is there instead.
fn read_named(folder: &ModelFolder, arguments: &ModelArguments, named: &Named, entries: &mut Entries) -> Result<(), String> {
    if !is_name(&named.name) {
        return Err("that is no name of a model".into());
    }
    if !entries.contains_key(&named.name) {
        let path = folder.file_of(&named.name);
        // Looked at before it is read: what changes meanwhile is noticed as changed.
        let judged = folder.look_at(&named.name);
        let file = model_file::open(&path, arguments.bytes.get()).map_err(|error| error.to_string())?;
        if file.version() == named.version {
            let model = Model::new(&named.name, file, path.display().to_string());
            entries.insert(named.name.clone(), Entry::of(model, judged));
            return Ok(());
        }
        return Err(format!("its file is version {}", file.version()));
    }
    let version = entries[&named.name].model.as_ref().map(|model| model.version.as_str());
    if version == Some(named.version.as_str()) { Ok(()) } else { Err("--model gives another version of that name".into()) }
}
