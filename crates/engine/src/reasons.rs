//! Why was it decided so? Reasons of a recorded decision, worked out from its row, off the way of a decision.

use assay_domain::decision::{ImpactDirection, ReasonCode};
use assay_domain::{Decision, Outcome};
use assay_model::explain::{self, Direction, Explainer, Reason};
use assay_model::{Feature, FeatureKind};
use thiserror::Error;

use crate::Model;

/// Why there are no reasons.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReasonsError {
    /// Another model scored.
    #[error("the decision was made by model `{made_by}`, and this is model `{given}`; load the one that made it")]
    OtherModel {
        /// Whose decision it is.
        made_by: String,
        /// The model that was given.
        given: String,
    },
    /// No model scored.
    #[error("no model scored this transaction, so that there is no score to give reasons for; its rules say what was done")]
    NotScored,
}

/// At most `most` reasons, the furthest first: what lowered the risk of what was approved, what raised that of everything else. `explainer` is that
/// of the model's artifact, which is worth keeping.
pub fn reasons(model: &Model, explainer: &Explainer, decision: &Decision, most: usize) -> Result<Vec<ReasonCode>, ReasonsError> {
    let features = model.artifact().features();
    if decision.model_version != *model.version() || decision.row.len() != features.len() {
        let (made_by, given) = (decision.model_version.to_string(), model.version().to_string());
        return Err(ReasonsError::OtherModel { made_by, given });
    }
    if decision.probability.is_none() {
        return Err(ReasonsError::NotScored);
    }
    let direction = if decision.outcome == Outcome::Approve { Direction::Lowered } else { Direction::Raised };
    let baseline = &model.artifact().manifest().baseline.features;
    let explanation = explainer.explain(&decision.row);
    let reasons = explain::reasons(&explanation, features, baseline, &decision.row, direction, most);
    Ok(reasons.into_iter().map(|reason| in_json(reason, features, &decision.row)).collect())
}

fn in_json(reason: Reason, features: &[Feature], row: &[f64]) -> ReasonCode {
    let (feature, value) = (&features[reason.feature], row[reason.feature]);
    let kind = match (&feature.kind, reason.share) {
        _ if value.is_nan() => "MISSING",
        (FeatureKind::Category { .. }, _) => "CATEGORY",
        (FeatureKind::Number, Some(share)) if share >= 0.5 => "HIGH",
        (FeatureKind::Number, Some(_)) => "LOW",
        (FeatureKind::Number, None) => "VALUE",
    };
    let direction = match reason.direction {
        Direction::Raised => ImpactDirection::Increases,
        Direction::Lowered => ImpactDirection::Decreases,
    };
    ReasonCode {
        code: format!("{}_{kind}", feature.name.to_uppercase()),
        feature: feature.name.clone(),
        value: (!value.is_nan()).then_some(value),
        impact: reason.impact,
        direction,
        share: reason.share,
        words: reason.words,
    }
}
