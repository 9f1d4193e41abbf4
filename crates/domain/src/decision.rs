//! What was decided about a transaction, and from what: as the journal keeps it and as clients read it.

use std::sync::Arc;

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

/// A decision with everything that it was made from. Fields are only ever added.
///
/// Two are compared by their JSON, which holds every bit: a row with a missing value, as NaN, would not equal itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// What it is asked for by.
    #[serde(rename = "decision_id")]
    pub id: Arc<str>,
    /// Calibrated probability of fraud, 0…1; none where the model could not score.
    pub probability: Option<f64>,
    /// The same on a scale from 0 to 1000 that people read.
    pub risk_score: Option<u16>,
    /// What is done.
    pub outcome: Outcome,
    /// What said so.
    pub decided_by: DecidedBy,
    /// The outcome of rules and thresholds, where the control group was approved regardless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_control: Option<Outcome>,
    /// The rules that were asked, in their order.
    pub rules: Vec<RuleHit>,
    /// The model that scored.
    pub model_version: Arc<str>,
    /// The policy that decided.
    pub policy_version: Arc<str>,
    /// What the shadow policy would have done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// The row as the model took it, in the order of its features; null where a value is missing.
    #[serde(with = "row")]
    pub row: Vec<f64>,
    /// What else is to be known of it, each once, in the order of their declaration.
    #[serde(default)]
    pub flags: Vec<Flag>,
}

/// What put an outcome onto a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// A list whose entries are declined.
    BlockList(Arc<str>),
    /// A list whose entries are approved.
    AllowList(Arc<str>),
    /// A rule, by its id.
    Rule(Arc<str>),
    /// The thresholds, given or made of costs.
    Thresholds,
    /// Chance, for the control group.
    ControlGroup,
    /// The safe outcome, because something could not be worked out.
    SafeOutcome,
}

/// A rule and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleHit {
    /// The rule's id.
    pub id: Arc<str>,
    /// What came of it.
    pub status: RuleStatus,
}

/// What came of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleStatus {
    /// Its condition is true.
    Hit,
    /// Its condition is false or NULL.
    NoHit,
    /// Its condition is true, but the rule sleeps: it does nothing.
    Snoozed,
    /// Its condition could not be worked out.
    Error,
}

/// What a policy that is only tried out would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// The policy.
    pub policy_version: Arc<str>,
    /// Its outcome.
    pub outcome: Outcome,
    /// What said so.
    pub decided_by: DecidedBy,
}

/// What else is to be known of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// It came later than `max_lateness`: no later transaction sees it.
    Late,
    /// The model could not score it.
    NotScored,
    /// It is in the control group.
    ControlGroup,
    /// The costs asked for a review, but those of the day were used up.
    ReviewsUsedUp,
    /// The policy declined it, and the governor held that back.
    Governed,
}

/// One reason for a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonCode {
    /// A word for programs, as in `CUSTOMER_COUNT_1D_HIGH`.
    pub code: String,
    /// The feature.
    pub feature: String,
    /// Its value; none where it is missing, or a category that training never saw.
    pub value: Option<ReasonValue>,
    /// How far it moved the score, in log-odds.
    pub impact: f64,
    /// `increases` or `decreases` the risk.
    pub direction: ImpactDirection,
    /// The share of the training data whose value is lower; for a category the share that has this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// One sentence for people.
    pub words: String,
}

/// The value of a feature, as the transaction had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReasonValue {
    /// A number.
    Number(f64),
    /// The text of a category.
    Text(String),
}

/// Which way a feature moved the risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImpactDirection {
    /// Up.
    Increases,
    /// Down.
    Decreases,
}

/// Rows in JSON, which has no NaN.
mod row {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(row: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(row.iter().map(|&value| (!value.is_nan()).then_some(value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let row = Vec::<Option<f64>>::deserialize(deserializer)?;
        Ok(row.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The JSON of the first version; it must read for ever.
    const FIRST: &str = r#"{"decision_id":"tx-1","probability":0.0123,"risk_score":384,"outcome":"approve","decided_by":"control_group","without_control":"review","rules":[{"id":"r7","status":"no_hit"},{"id":"r8","status":"hit"}],"model_version":"m-1","policy_version":"p-1","shadow":{"policy_version":"p-2","outcome":"decline","decided_by":{"rule":"r8"}},"row":[1.5,null,-0.0],"flags":["late","control_group"]}"#;

    #[test]
    fn a_decision_is_written_and_read_back_to_the_same_bits() {
        let decision: Decision = serde_json::from_str(FIRST).unwrap();
        assert_eq!(serde_json::to_string(&decision).unwrap(), FIRST);
        assert!(decision.row[1].is_nan());
        assert_eq!(decision.row[2].to_bits(), (-0.0_f64).to_bits());
        assert_eq!(decision.shadow.unwrap().decided_by, DecidedBy::Rule("r8".into()));
    }

    #[test]
    fn the_priority_of_outcomes_is_their_order() {
        assert!(Outcome::ALL.is_sorted());
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{}\"", outcome.name()));
        }
    }
}
