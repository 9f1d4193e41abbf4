//! Which model does a request mean? Doors name it, or leave it to us.

use std::borrow::Cow;
use std::path::Path;

use assay_model::Artifact;
use percent_encoding::percent_decode_str;

use super::DoorRefusal;
use crate::http::refusal::Refusal;
use crate::http::server::Shared;

/// The version of a model that nobody has replaced.
const FIRST_VERSION: &str = "1";

/// A model that answers, with the names that clients know it by.
pub struct Served<'a> {
    /// Its name: that of its file, without the ending.
    pub name: Cow<'a, str>,
    /// Which of the models of that name.
    pub version: &'static str,
    /// The model.
    pub model: &'a Artifact,
}

impl Served<'_> {
    /// The probability from which it flags, if it was made to flag: from 0 on it would flag everything.
    pub fn threshold(&self) -> Option<f64> {
        Some(self.model.manifest().threshold.probability).filter(|&probability| probability > 0.0)
    }
}

/// The model of this name and version; where a request names none, the one that serves.
pub fn served<'a>(shared: &'a Shared, name: Option<&str>, version: Option<&str>) -> Result<Served<'a>, Refusal> {
    let path = Path::new(&shared.settings.model_path);
    let ours = path.file_stem().map_or("model".into(), |stem| stem.to_string_lossy());
    let is_ours = name.is_none_or(|name| percent_decode_str(name).eq(ours.bytes()))
        && version.is_none_or(|version| percent_decode_str(version).eq(FIRST_VERSION.bytes()));
    if is_ours {
        Ok(Served { name: ours, version: FIRST_VERSION, model: &shared.model })
    } else {
        Err(DoorRefusal::UnknownModel.into())
    }
}

/// The model that a path names, as in `/v2/models/{model}/versions/{version}/infer`.
pub fn at_path<'a>(shared: &'a Shared, path: &str) -> Result<Served<'a>, Refusal> {
    let mut segments = path.split('/').skip(3);
    let name = segments.next();
    let version = segments.next().filter(|&segment| segment == "versions").and_then(|_| segments.next());
    served(shared, name, version)
}
