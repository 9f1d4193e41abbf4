//! What was decided about a transaction.

use serde::{Deserialize, Serialize};

/// What is done with a transaction; a later one wins over an earlier one where several rules match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Let it through.
    Approve,
    /// Let a person look at it.
    Review,
    /// Let its cardholder prove who they are, as by 3-D Secure.
    Challenge,
    /// Refuse it.
    Decline,
}

impl Outcome {
    /// All, in the order of their priority.
    pub const ALL: [Self; 4] = [Self::Approve, Self::Review, Self::Challenge, Self::Decline];

    /// Its name in JSON, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Review => "review",
            Self::Challenge => "challenge",
            Self::Decline => "decline",
        }
    }
}
