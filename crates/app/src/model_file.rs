//! A model file, read and checked.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_domain::Type;
use assay_features::Definition;
use assay_model::{Artifact, ArtifactError, FeatureKind, Manifest};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Why there is no model.
#[derive(Debug, Error)]
pub enum ModelFileError {
    /// The operating system did not give us the file.
    #[error("cannot read the model {path}: {problem}")]
    Unreadable {
        /// The file.
        path: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The file is larger than the caller takes.
    #[error("cannot use the model {path}: it has more than {limit} bytes; raise the limit, or train a smaller one")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// The model contradicts the definition that it carries.
    #[error("cannot use the model {path}: {problem}; train it again")]
    Contradiction {
        /// The file.
        path: String,
        /// How.
        problem: String,
    },
    /// The file is no model that may be used.
    #[error("cannot use the model {path}: {problem}")]
    Refused {
        /// The file.
        path: String,
        /// Why.
        problem: ArtifactError,
    },
}

/// A model and which bytes it was.
pub struct ModelFile {
    /// The model, checked.
    pub artifact: Arc<Artifact>,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
}

/// Digits of the checksum that are told as the version: with a thousand models, two are alike once in 500 million times.
const VERSION_DIGITS: usize = 12;

impl ModelFile {
    /// The first digits of the file's checksum: the same bytes have the same version everywhere.
    pub fn version(&self) -> &str {
        &self.sha256[..VERSION_DIGITS]
    }
}

/// Reads the model at `path` and checks all of it, golden rows included.
#[cfg(feature = "training")]
pub fn load(path: &Path) -> Result<Arc<Artifact>, ModelFileError> {
    open(path, assay_model::artifact::MAX_ARTIFACT_BYTES).map(|file| file.artifact)
}

/// Like `load`, of at most so many bytes, and says which version it is.
pub fn open(path: &Path, limit: u64) -> Result<ModelFile, ModelFileError> {
    let name = || path.display().to_string();
    let bytes = read(path, limit).map_err(|problem| ModelFileError::Unreadable { path: name(), problem })?;
    if bytes.len() as u64 > limit {
        return Err(ModelFileError::TooLarge { path: name(), limit });
    }
    let artifact = Artifact::read(&bytes).map_err(|problem| ModelFileError::Refused { path: name(), problem })?;
    check_definition(artifact.manifest()).map_err(|problem| ModelFileError::Contradiction { path: name(), problem })?;
    Ok(ModelFile { artifact: artifact.into(), sha256: sha256(&bytes) })
}

/// The checksum of bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes what is written to it");
        text
    })
}

/// The only model file in `folder`: one whose name ends in `.model`. Hidden files are none; archives made on a Mac bring them along.
pub fn only_one_in(folder: &Path) -> Result<PathBuf, ModelFileError> {
    let unreadable = |problem: String| ModelFileError::Unreadable { path: folder.display().to_string(), problem };
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unreadable(format!("{error}; it must be a folder that holds one model file")))?;
    let mut models = entries.into_iter().map(|entry| entry.path()).filter(|path| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        path.extension().is_some_and(|ending| ending == "model") && !hidden
    });
    match (models.next(), models.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(unreadable("it holds no file that ends in .model; put the model there".into())),
        _ => Err(unreadable("it holds several files that end in .model; leave one, or name one with --model".into())),
    }
}

/// A model must take the features that its definition makes.
pub fn check_definition(manifest: &Manifest) -> Result<(), String> {
    let Some(text) = &manifest.definition else { return Ok(()) };
    let definition = Definition::parse(text, "its definition").map_err(|error| error.to_string())?;
    let made = definition.plan.features.iter().map(|feature| (feature.name.as_str(), feature.kind == Type::Text));
    let taken =
        manifest.features.iter().map(|feature| (feature.name.as_str(), matches!(feature.kind, FeatureKind::Category { .. })));
    if made.eq(taken) { Ok(()) } else { Err("its definition makes other features than it takes".into()) }
}

/// All bytes of the file, or one more than `limit`.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    if path.is_dir() {
        return Err("it is a folder; name the model file in it".into());
    }
    let read = File::open(path).and_then(|file| {
        // Room for all of it at once: what grows by doubling leaves holes in a server that reads one model after the other.
        let length = file.metadata()?.len().min(limit) + 1;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.take(limit + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; train one with `assay train`, or correct the path".into(),
        io::ErrorKind::PermissionDenied => "this user may not read it; change its permissions or the user".into(),
        _ => format!("{error}; check the path and the disk"),
    })
}
