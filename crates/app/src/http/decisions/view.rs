//! Decisions as clients read them.

use assay_domain::Decision;
use assay_domain::decision::{DecidedBy, Flag, Outcome, ReasonCode, RuleHit, Shadow};
use serde::Serialize;

use crate::decisions::record::moment;

/// A decision without the row that it was made from.
#[derive(Serialize)]
pub struct View<'a> {
    decision_id: &'a str,
    arrived: String,
    outcome: Outcome,
    probability: Option<f64>,
    risk_score: Option<u16>,
    decided_by: &'a DecidedBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    without_control: Option<Outcome>,
    rules: &'a [RuleHit],
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<ReasonCode>>,
    model_version: &'a str,
    policy_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<&'a Shadow>,
    flags: &'a [Flag],
}

impl<'a> View<'a> {
    /// Of a decision about what arrived then, with these reasons.
    pub fn new(decision: &'a Decision, arrived: i64, reasons: Option<Vec<ReasonCode>>) -> Self {
        Self {
            decision_id: &decision.id,
            arrived: moment(arrived),
            outcome: decision.outcome,
            probability: decision.probability,
            risk_score: decision.risk_score,
            decided_by: &decision.decided_by,
            without_control: decision.without_control,
            rules: &decision.rules,
            reasons,
            model_version: &decision.model_version,
            policy_version: &decision.policy_version,
            shadow: decision.shadow.as_ref(),
            flags: &decision.flags,
        }
    }
}
