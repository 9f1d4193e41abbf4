//! A model file, read and checked.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use assay_domain::Type;
use assay_features::Definition;
use assay_model::artifact::MAX_ARTIFACT_BYTES;
use assay_model::{Artifact, ArtifactError, FeatureKind, Manifest};
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

/// Reads the model at `path` and checks all of it, golden rows included.
pub fn load(path: &Path) -> Result<Artifact, ModelFileError> {
    let name = || path.display().to_string();
    let bytes = read(path).map_err(|problem| ModelFileError::Unreadable { path: name(), problem })?;
    let artifact = Artifact::read(&bytes).map_err(|problem| ModelFileError::Refused { path: name(), problem })?;
    check_definition(artifact.manifest()).map_err(|problem| ModelFileError::Contradiction { path: name(), problem })?;
    Ok(artifact)
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    if path.is_dir() {
        return Err("it is a folder; name the model file in it".into());
    }
    let mut bytes = Vec::new();
    // One byte more than the limit is enough for the artifact to refuse it by its size.
    let read = File::open(path).and_then(|file| file.take(MAX_ARTIFACT_BYTES + 1).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; train one with `assay train`, or correct the path".into(),
        io::ErrorKind::PermissionDenied => "this user may not read it; change its permissions or the user".into(),
        _ => format!("{error}; check the path and the disk"),
    })
}
