//! A model that serves a definition: its version, rows of its features, and the scale that people read.

use std::sync::Arc;

use assay_domain::{Type, Value};
use assay_features::plan::Plan;
use assay_model::{Artifact, Calibration, FeatureKind};
use thiserror::Error;

/// Risk score of even odds.
const EVEN_ODDS: f64 = 700.0;
/// Points by which twice the odds lie higher.
const POINTS_TO_DOUBLE_THE_ODDS: f64 = 50.0;
/// The highest risk score.
pub const MAX_RISK_SCORE: u16 = 1_000;

/// A model and what it is called.
#[derive(Clone, Debug)]
pub struct Model {
    version: Arc<str>,
    artifact: Arc<Artifact>,
}

/// Why a model cannot serve a definition.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ModelError {
    /// It takes another number of features.
    #[error(
        "the model takes {taken} features, the definition makes {made}; activate a model that was trained on this definition"
    )]
    Count {
        /// Features that it takes.
        taken: usize,
        /// Features that there are.
        made: usize,
    },
    /// It takes another feature.
    #[error(
        "feature {number} of the model is `{taken}`, that of the definition `{made}`, or one is a text and the other a number; activate a model that was trained on this definition"
    )]
    Feature {
        /// The feature's number, from 1.
        number: usize,
        /// What the model takes.
        taken: String,
        /// What the definition makes.
        made: String,
    },
}

impl Model {
    /// A model for the features of `plan`.
    pub fn new(version: &str, artifact: Arc<Artifact>, plan: &Plan) -> Result<Self, ModelError> {
        let (taken, made) = (artifact.features(), &plan.features);
        if taken.len() != made.len() {
            return Err(ModelError::Count { taken: taken.len(), made: made.len() });
        }
        for (place, (taken, made)) in taken.iter().zip(made).enumerate() {
            if taken.name != made.name || matches!(taken.kind, FeatureKind::Category { .. }) != (made.kind == Type::Text) {
                let (taken, made) = (taken.name.clone(), made.name.clone());
                return Err(ModelError::Feature { number: place + 1, taken, made });
            }
        }
        Ok(Self { version: version.into(), artifact })
    }

    /// What it is called in decisions.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The model itself.
    pub fn artifact(&self) -> &Arc<Artifact> {
        &self.artifact
    }

    /// Whether its probabilities were fitted to what happened, so that they can be multiplied by money.
    pub fn is_calibrated(&self) -> bool {
        matches!(self.artifact.manifest().calibration, Calibration::Platt { .. } | Calibration::Isotonic { .. })
    }

    /// Makes the row of features; whether the model can score it: a value is missing only where training saw it missing.
    pub(crate) fn fill(&self, features: &[Value], row: &mut Vec<f64>) -> bool {
        row.clear();
        let mut scorable = true;
        for (feature, value) in self.artifact.features().iter().zip(features) {
            let number = match value {
                Value::Boolean(truth) => f64::from(u8::from(*truth)),
                Value::Integer(number) => *number as f64,
                Value::Double(number) => *number,
                Value::Text(text) => feature.code(text).unwrap_or(f64::NAN),
                Value::Null | Value::Timestamp(_) | Value::Interval(_) => f64::NAN,
            };
            scorable &= feature.missing_seen || !number.is_nan();
            row.push(number);
        }
        scorable
    }
}

/// The probability on a scale from 0 to 1000: 700 at even odds, and 50 more for twice the odds.
///
/// `700 + 50 × log₂(p / (1 − p))`, rounded and cut off at the ends: the scaling by points to double the odds of credit scorecards (N. Siddiqi,
/// "Credit Risk Scorecards", 2006, chapter 6). It is the same for all models, so that a rule means the same after a new one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off to be between 0 and 1000")]
pub fn risk_score(probability: f64) -> u16 {
    let points = EVEN_ODDS + POINTS_TO_DOUBLE_THE_ODDS * libm::log2(probability / (1.0 - probability));
    libm::round(points.clamp(0.0, f64::from(MAX_RISK_SCORE))) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_scale_is_the_documented_one() {
        for (probability, score) in [
            (0.0, 0),
            (1e-9, 0),
            (0.0001, 36),
            (0.001, 202),
            (0.01, 369),
            (0.1, 542),
            (0.5, 700),
            (2.0 / 3.0, 750),
            (0.9, 858),
            (0.99, 1_000),
            (1.0, 1_000),
        ] {
            assert_eq!(risk_score(probability), score, "{probability}");
        }
    }

    proptest! {
        #[test]
        fn a_higher_probability_never_has_a_lower_score(low in 0.0..=1.0, high in 0.0..=1.0) {
            let (low, high): (f64, f64) = if low <= high { (low, high) } else { (high, low) };
            prop_assert!(risk_score(low) <= risk_score(high));
        }
    }
}
