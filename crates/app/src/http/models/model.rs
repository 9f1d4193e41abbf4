//! One model that is loaded: its name, its version, and what is worked out of it once.

use std::sync::Arc;

use assay_domain::card_data::holds_card_number;
use assay_domain::{Field, Type};
use assay_features::Definition;
use assay_model::Artifact;
use bytes::Bytes;
use hyper::header::HeaderValue;
use prometheus::{IntCounter, Opts};

use crate::decisions::desk::StartModel;
use crate::http::openapi;
use crate::model_file::ModelFile;
use crate::model_folder::Named;

/// A model that may be asked. It never changes; another version is another model.
#[derive(Debug)]
pub struct Model {
    /// What people call it: the name of its file, without the ending.
    pub name: String,
    /// Which bytes it is: the first digits of its file's SHA-256.
    pub version: String,
    /// The whole checksum of its file.
    pub sha256: String,
    /// What scores.
    pub artifact: Arc<Artifact>,
    /// How its features are made of transactions, where it says so.
    pub definition: Option<Definition>,
    /// Where its file is.
    pub origin: String,
    /// `name@version`, as the header Assay-Model says it.
    pub label: HeaderValue,
    /// `/openapi.json` with its features.
    pub openapi: Bytes,
    /// Requests it has answered.
    pub requests: IntCounter,
}

impl Model {
    /// Names a model that was read and checked. A name that [`is_name`] refuses becomes one that it takes.
    pub fn new(name: &str, file: ModelFile, origin: String) -> Self {
        let version = file.version().to_owned();
        let ModelFile { artifact, sha256 } = file;
        let name = if is_name(name) { name.to_owned() } else { format!("model-{version}") };
        // One that is not understood keeps the model from deciding, which says so; scoring needs none.
        let definition =
            artifact.manifest().definition.as_deref().and_then(|sql| Definition::parse(sql, "the model's definition").ok());
        let schema = definition.as_ref().map(|definition| &definition.plan.schema);
        let requests = Opts::new("assay_model_requests_total", "Requests that a model answered.")
            .const_label("model", &name)
            .const_label("version", &version);
        Self {
            label: HeaderValue::from_str(&format!("{name}@{version}")).expect("names and versions are letters and digits"),
            openapi: openapi::document(artifact.features(), &artifact.manifest().threshold, schema),
            requests: IntCounter::with_opts(requests).expect("names and labels are right as they are written here"),
            name,
            version,
            sha256,
            artifact,
            definition,
            origin,
        }
    }

    /// The probability from which it flags, if it was made to flag: from 0 on it would flag everything.
    pub fn threshold(&self) -> Option<f64> {
        threshold(&self.artifact)
    }

    /// Whether it flags a row of this probability.
    pub fn flags(&self, probability: f64) -> bool {
        flags(&self.artifact, probability)
    }

    /// What decides needs to know of it.
    pub fn start(&self) -> StartModel {
        StartModel {
            name: self.name.clone(),
            version: self.version.clone(),
            sha256: self.sha256.clone(),
            artifact: self.artifact.clone(),
            path: self.origin.clone(),
        }
    }

    /// How the state calls it.
    pub fn named(&self) -> Named {
        Named { name: self.name.clone(), version: self.version.clone() }
    }

    /// Whether it is the one that is called so.
    pub fn is(&self, named: &Named) -> bool {
        self.name == named.name && self.version == named.version
    }

    /// Whether transactions that `other` decides about have what this one's definition needs. True where that is not said.
    pub fn finds_its_columns_in(&self, other: &Self) -> bool {
        let (Some(ours), Some(theirs)) = (&self.definition, &other.definition) else { return true };
        let (ours, theirs) = (&ours.plan.schema, &theirs.plan.schema);
        let is_there = |field: &Field| {
            let kind = theirs.place(&field.name).map(|place| theirs.fields[place].kind);
            // A whole number is a number.
            kind == Some(field.kind) || (field.kind, kind) == (Type::Double, Some(Type::Integer))
        };
        ours.fields.iter().filter(|field| field.required).all(is_there)
    }

    /// Whether every row that `other` takes means the same to it: the same features, and missing values wherever `other` knows them.
    pub fn takes_the_rows_of(&self, other: &Self) -> bool {
        let same = self.artifact.manifest().fingerprint == other.artifact.manifest().fingerprint;
        let mut pairs = self.artifact.features().iter().zip(other.artifact.features());
        same && pairs.all(|(ours, theirs)| ours.missing_seen || !theirs.missing_seen)
    }

    /// Whether it makes its rows of transactions as `other` does.
    pub fn has_the_definition_of(&self, other: &Self) -> bool {
        self.artifact.manifest().definition == other.artifact.manifest().definition
    }
}

fn threshold(artifact: &Artifact) -> Option<f64> {
    Some(artifact.manifest().threshold.probability).filter(|&probability| probability > 0.0)
}

/// Whether a model flags a row of this probability.
pub fn flags(artifact: &Artifact, probability: f64) -> bool {
    threshold(artifact).is_some_and(|threshold| probability >= threshold)
}

/// Letters of a name; a longer one is none.
const NAME_LETTERS: usize = 64;

/// The names that are paths of their own below `/v1/models`.
const TAKEN: [&str; 1] = ["rollback"];

/// Whether a model may be called this: it stands in paths, headers, metrics, log lines and file names as it is.
pub fn is_name(text: &str) -> bool {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
    let is_short = text.len() <= NAME_LETTERS && text.starts_with(|first: char| first.is_ascii_alphanumeric());
    is_short && text.bytes().all(is_letter) && !TAKEN.contains(&text) && !holds_card_number(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_paths_headers_and_files_take_as_it_is() {
        for name in ["fraud", "Fraud-2026_08.v2", "7", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "4111111111111111",
            "fraud-4111-1111-1111-1111",
            "",
            ".hidden",
            "-flag",
            "a/b",
            "a b",
            "ä",
            "a%20b",
            "a\"b",
            "a@b",
            "rollback",
            &"x".repeat(65),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
