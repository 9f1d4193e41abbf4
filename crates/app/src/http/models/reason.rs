//! Why a model file is not taken: a word for metrics and programs, a sentence for people.
//!
//! The sentences quote nothing of the file: what an upload holds was submitted like anything else.

use assay_model::ArtifactError;

use crate::model_file::ModelFileError;

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is larger than may be.
    TooLarge,
    /// The operating system did not give it to us.
    Unreadable,
    /// It is not whole: cut off, half copied, or no model at all.
    NotWhole,
    /// A newer program wrote it.
    NewerFormat,
    /// Its manifest or its trees are not what they are said to be.
    Damaged,
    /// Its parts do not belong together: fingerprint, definition, features, trees.
    Contradiction,
    /// It scores its golden rows otherwise than where it was made.
    GoldenRows,
    /// As many are loaded as may be.
    TooMany,
    /// Its file has a name that a model cannot have.
    Name,
    /// Another model has its name.
    NameTaken,
    /// It came in the place of a model that has something to do.
    InUse,
}

/// All of them, as the metric counts them.
pub const REASONS: [Reason; 11] = [
    Reason::TooLarge,
    Reason::Unreadable,
    Reason::NotWhole,
    Reason::NewerFormat,
    Reason::Damaged,
    Reason::Contradiction,
    Reason::GoldenRows,
    Reason::TooMany,
    Reason::Name,
    Reason::NameTaken,
    Reason::InUse,
];

impl Reason {
    /// The word; it never changes.
    pub fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::NotWhole => "not_whole",
            Self::NewerFormat => "newer_format",
            Self::Damaged => "damaged",
            Self::Contradiction => "contradiction",
            Self::GoldenRows => "golden_rows",
            Self::TooMany => "too_many",
            Self::Name => "name",
            Self::NameTaken => "name_taken",
            Self::InUse => "in_use",
        }
    }

    /// The sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::TooLarge => "the file is larger than --max-model-bytes; raise the limit, or train a smaller model",
            Self::Unreadable => "the file cannot be read; check its permissions and the disk",
            Self::NotWhole => "the file is not a whole Assay model: it is cut off or changed, or something else; copy it again",
            Self::NewerFormat => "a newer assay wrote the file; update this one, or train the model again",
            Self::Damaged => "the file's manifest or trees are damaged; train the model again",
            Self::Contradiction => {
                "the file contradicts itself: its fingerprint, definition, features and trees do not belong together; train the model again"
            }
            Self::GoldenRows => "the model does not score its golden rows as it did where it was made; train it again",
            Self::TooMany => "as many models are loaded as --max-models allows; delete one, or raise the limit",
            Self::Name => {
                "the file's name is none for a model: 1 to 64 letters, digits, `-`, `_` and `.`, not `rollback`, and no card number"
            }
            Self::NameTaken => "the model that was given by --model has this name; rename the file",
            Self::InUse => {
                "the file came in the place of a model that is in use, which serves on; give the new one a name of its own, and put the old one back"
            }
        }
    }
}

impl From<&ModelFileError> for Reason {
    fn from(error: &ModelFileError) -> Self {
        match error {
            ModelFileError::TooLarge { .. } => Self::TooLarge,
            ModelFileError::Unreadable { .. } => Self::Unreadable,
            ModelFileError::Contradiction { .. } => Self::Contradiction,
            ModelFileError::Refused { problem, .. } => match problem {
                ArtifactError::Envelope(_) => Self::NotWhole,
                ArtifactError::Newer { .. } => Self::NewerFormat,
                ArtifactError::Manifest(_) | ArtifactError::Trees(_) => Self::Damaged,
                ArtifactError::Contradiction(_) => Self::Contradiction,
                ArtifactError::Golden { .. } => Self::GoldenRows,
            },
        }
    }
}
