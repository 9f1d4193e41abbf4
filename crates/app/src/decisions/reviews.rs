//! Which decisions wait for a person?

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

/// Decisions whose outcome was a review and of which nobody has said yet what they were, by the sequence of their entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpenReviews {
    ids: BTreeMap<u64, String>,
}

impl OpenReviews {
    /// One more.
    pub fn open(&mut self, sequence: u64, id: &str) {
        self.ids.insert(sequence, id.to_owned());
    }

    /// One is done; whether it was open.
    pub fn close(&mut self, sequence: u64) -> bool {
        self.ids.remove(&sequence).is_some()
    }

    /// Those up to an entry that was cut off can be looked at no longer.
    pub fn forget(&mut self, through: u64) {
        self.ids = self.ids.split_off(&(through + 1));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// At most `limit` after one, oldest first.
    pub fn after(&self, sequence: u64, limit: usize) -> Vec<(u64, String)> {
        let rest = self.ids.range((Bound::Excluded(sequence), Bound::Unbounded));
        rest.take(limit).map(|(&sequence, id)| (sequence, id.clone())).collect()
    }
}
