//! Which transactions does the challenger score? A share of them, told by their ids and by nothing else.
//!
//! By the id rather than by the row: everybody who knows an id can say who scores it, also before its features are known and after a label has
//! changed them.

use crate::Model;
use crate::control::{DRAWS, draw};

/// A challenger and its share.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Who.
    pub model: Model,
    /// How much, from 0 to 1.
    pub share: f64,
}

impl Rollout {
    /// Whether the transaction with this id is the challenger's: the first eight bytes of SHA-256 over its version, a colon and the id lie below
    /// the share. The same id always is or never is, and a larger share keeps those of a smaller one; another challenger gets other ids, so that
    /// no card meets every experiment.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is below 1 is a number of draws")]
    pub(crate) fn gets(&self, id: &str) -> bool {
        self.share >= 1.0 || draw(self.model.version(), id) < (self.share * DRAWS) as u64
    }
}
