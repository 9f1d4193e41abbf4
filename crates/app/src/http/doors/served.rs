//! Which model does a request mean? Doors name it, or leave it to us.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::DoorRefusal;
use crate::http::models::{Lineup, Model};
use crate::http::refusal::Refusal;
use crate::http::server::Shared;

/// Who answers a request, out of the models of one moment.
pub struct Served {
    /// All models, as they were when the request was read.
    pub lineup: Arc<Lineup>,
    /// The one that answers.
    pub model: Arc<Model>,
    /// Whether the request asked for this one, so that no other may answer.
    pub is_named: bool,
}

impl Served {
    /// The probability from which it flags, if it was made to flag: from 0 on it would flag everything.
    pub fn threshold(&self) -> Option<f64> {
        self.model.threshold()
    }

    /// The same request with its rows read: where it names no model, it may be the challenger's.
    pub fn decided(mut self, rows: &[f64]) -> Self {
        if !self.is_named {
            self.model = self.lineup.choose(rows).clone();
        }
        self
    }
}

/// The model that answers where a request names none.
pub fn active(shared: &Shared) -> Served {
    let lineup = Arc::clone(&shared.models.now());
    Served { model: lineup.active.clone(), lineup, is_named: false }
}

/// The model that a path names, as in `/v2/models/{model}/versions/{version}/infer`.
pub fn at_path(shared: &Shared, path: &str) -> Result<Served, Refusal> {
    let mut segments = path.split('/').skip(3);
    let name = decoded(segments.next().unwrap_or_default());
    let version = segments.next().filter(|&segment| segment == "versions").and_then(|_| segments.next()).map(decoded);
    let lineup = Arc::clone(&shared.models.now());
    let model = lineup.find(&name, version.as_deref()).cloned().ok_or(DoorRefusal::UnknownModel)?;
    Ok(Served { lineup, model, is_named: true })
}

/// What is no UTF-8 becomes what no name has.
fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}
