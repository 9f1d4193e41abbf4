//! What would another model have said, with features of its own? The journal followed by a state that decides nothing, and its score put beside
//! the one that was recorded.

use std::borrow::Cow;

use assay_journal::{Entry, Kind, Reader};
use serde::Deserialize;

use super::fold::{self, FoldError, State};

/// Two scores of one decided transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The model that decided, as decisions call it.
    pub by: String,
    /// Its probability, as it was recorded.
    pub recorded: f64,
    /// The probability of the model that follows.
    pub own: f64,
}

/// What a decision says of its score.
#[derive(Deserialize)]
struct Scored<'a> {
    #[serde(borrow)]
    model_version: Cow<'a, str>,
    probability: Option<f64>,
}

/// Folds at most `limit` entries more; gives how many there were, and both scores of the decisions among them that have both. Every transaction
/// is scored as it looked when it was decided, next to what lies before it in the journal.
pub fn follow(state: &mut State, reader: &Reader, limit: u64) -> Result<(u64, Vec<Compared>), FoldError> {
    let after = state.at.sequence;
    let mut compared = Vec::new();
    let fold = |entry: &Entry<&str>| -> Result<(), FoldError> {
        match entry.kind {
            Kind::Decision => compared.extend(scored(state, entry)?),
            Kind::Transaction => {
                let (values, _) = state.transaction(entry)?;
                // What this definition does not admit is no transaction to it.
                let _ = state.engine.remember(&values, None);
            }
            Kind::Label => state.fold_label(entry, reader)?,
            _ => {}
        }
        (state.at.sequence, state.at.hash) = (entry.sequence, entry.hash);
        Ok(())
    };
    let folded = reader.replay(after, limit, fold)?;
    Ok((folded, compared))
}

fn scored(state: &mut State, entry: &Entry<&str>) -> Result<Option<Compared>, FoldError> {
    let (values, _) = state.transaction(entry)?;
    let Ok(made) = state.engine.decide(&values, entry.id.unwrap_or_default(), entry.arrived) else {
        // A clock too far ahead for this definition is not too far for its past: filled from history, it is remembered as well.
        let _ = state.engine.remember(&values, None);
        return Ok(None);
    };
    let Scored { model_version, probability } = fold::body(entry)?;
    let both = made.probability.zip(probability);
    Ok(both.map(|(own, recorded)| Compared { by: model_version.into_owned(), recorded, own }))
}
