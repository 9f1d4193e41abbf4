//! Why was it decided so? Reasons of a recorded decision, worked out from its row, off the way of a decision.

use assay_domain::decision::{ImpactDirection, ReasonCode, ReasonValue};
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
        value: told(feature, value),
        impact: reason.impact,
        direction,
        share: reason.share,
        words: reason.words,
    }
}

/// A row holds categories as the model's codes, which mean nothing to anybody else.
fn told(feature: &Feature, value: f64) -> Option<ReasonValue> {
    match &feature.kind {
        FeatureKind::Category { .. } => feature.text(value).map(|text| ReasonValue::Text(text.into())),
        FeatureKind::Number => (!value.is_nan()).then_some(ReasonValue::Number(value)),
    }
}

#[cfg(test)]
mod tests {
    use assay_model::feature::UNSEEN_CATEGORY;

    use super::*;

    #[test]
    fn a_category_is_told_as_its_text_and_a_number_as_itself() {
        let feature = |kind| Feature { name: "country".into(), kind, missing_seen: true };
        let category = || FeatureKind::Category { levels: vec!["DE".into(), "FR".into()] };
        let said = |kind, value: f64| {
            let reason = Reason { feature: 0, direction: Direction::Raised, impact: 1.0, share: None, words: String::new() };
            let json = serde_json::to_value(in_json(reason, &[feature(kind)], &[value])).unwrap();
            (json["code"].as_str().unwrap().to_owned(), json["value"].to_string())
        };
        let expected = |code: &str, value: &str| (code.to_owned(), value.to_owned());
        assert_eq!(said(category(), 1.0), expected("COUNTRY_CATEGORY", "\"FR\""));
        assert_eq!(said(category(), UNSEEN_CATEGORY), expected("COUNTRY_CATEGORY", "null"));
        assert_eq!(said(category(), f64::NAN), expected("COUNTRY_MISSING", "null"));
        assert_eq!(said(FeatureKind::Number, 1.5), expected("COUNTRY_VALUE", "1.5"));
        assert_eq!(said(FeatureKind::Number, f64::NAN), expected("COUNTRY_MISSING", "null"));
    }
}
