//! The data folder: the journal, the models that decided in it, and a snapshot that shortens the next start.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_model::Artifact;
use thiserror::Error;

use super::record::ModelChange;
use crate::model_file;
use crate::small_file::explain;

/// Where models are kept, each under its checksum.
const MODELS: &str = "models";
/// The state as it was some while ago.
const SNAPSHOT: &str = "snapshot";
/// What the monitor had counted some while ago.
const MONITOR: &str = "monitor";
/// How files begin that are not whole yet; what a crash left of them is taken away by the next start.
const UNFINISHED: &str = ".assay-unfinished-";

/// A data folder.
#[derive(Clone, Debug)]
pub struct DataFolder {
    path: PathBuf,
}

/// Why a data folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The operating system refused.
    #[error("cannot use {path}: {problem}")]
    System {
        /// What.
        path: String,
        /// What happened, and what to do.
        problem: String,
    },
    /// A model that decided is gone or another.
    #[error(
        "the model {label} decided, but its file {path} cannot be used: {problem}; restore it from a backup of the data folder"
    )]
    Model {
        /// `name@version`.
        label: String,
        /// Its file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl DataFolder {
    /// The folder at `path`, which need not be there yet.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The snapshot's file.
    pub fn snapshot(&self) -> PathBuf {
        self.path.join(SNAPSHOT)
    }

    /// What the monitor had counted some while ago.
    pub fn monitor(&self) -> PathBuf {
        self.path.join(MONITOR)
    }

    /// Keeps the bytes of a model, if they are not kept yet; they are on the disk when this returns.
    pub fn keep_model(&self, sha256: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.model_path(sha256);
        if path.is_file() {
            return Ok(());
        }
        self.write(&path, |file| file.write_all(bytes))
    }

    /// The model that a change made active.
    pub fn model(&self, change: &ModelChange) -> Result<Arc<Artifact>, FolderError> {
        let path = self.model_path(&change.sha256);
        let refused = |problem: String| FolderError::Model { label: change.label(), path: path.display().to_string(), problem };
        let file =
            model_file::open(&path, assay_model::artifact::MAX_ARTIFACT_BYTES).map_err(|error| refused(error.to_string()))?;
        if file.sha256 == change.sha256 { Ok(file.artifact) } else { Err(refused("it holds other bytes than it should".into())) }
    }

    /// Writes a file that appears whole or not at all.
    pub fn write(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), FolderError> {
        let refused = |error: &io::Error| FolderError::System { path: path.display().to_string(), problem: explain(error) };
        let folder = path.parent().unwrap_or(&self.path);
        let written = fs::create_dir_all(folder).and_then(|()| {
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
            write(file.as_file_mut())?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            File::open(folder)?.sync_all()
        });
        written.map_err(|error| refused(&error))
    }

    /// Takes away what a crash left.
    pub fn take_leftovers_away(&self) -> Result<(), FolderError> {
        for folder in [self.path.clone(), self.path.join(MODELS)] {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                    let path = entry.path();
                    fs::remove_file(&path)
                        .map_err(|error| FolderError::System { path: path.display().to_string(), problem: explain(&error) })?;
                }
            }
        }
        Ok(())
    }

    /// Where a model is in any data folder.
    pub fn model_name(sha256: &str) -> PathBuf {
        Path::new(MODELS).join(format!("{sha256}.model"))
    }

    fn model_path(&self, sha256: &str) -> PathBuf {
        self.path.join(Self::model_name(sha256))
    }
}
