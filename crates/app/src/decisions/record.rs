//! What entries of the journal say: the bodies, written and read.
//!
//! docs/decisions.md is this file for people. Bodies only grow by fields; readers pass over those that they do not know.

use assay_domain::decision::Flag;
use assay_domain::{Decision, Outcome};
use assay_engine::{ListChange, Policy};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use super::transaction::moment_text as moment;

/// What became known of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It was fraud.
    Fraud,
    /// Its cardholder wanted it.
    Genuine,
}

impl Truth {
    /// Whether it was fraud.
    pub fn is_fraud(self) -> bool {
        self == Self::Fraud
    }

    /// The truth about a transaction that was fraud, or not.
    #[cfg(feature = "training")]
    pub fn of(fraud: bool) -> Self {
        if fraud { Self::Fraud } else { Self::Genuine }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fraud => "fraud",
            Self::Genuine => "genuine",
        }
    }
}

/// A label.
#[expect(clippy::struct_field_names, reason = "its name in JSON")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// What became known.
    pub label: Truth,
    /// From whom: `chargeback`, `review`, `cardholder`…
    pub source: String,
    /// When, as ISO 8601; the entry's own arrival is when we were told.
    pub learnt: String,
    /// The id of the key that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What a reviewer made of a decision.
#[expect(clippy::struct_field_names, reason = "its name in JSON")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposition {
    /// What they found.
    pub disposition: Finding,
    /// Who.
    #[serde(default)]
    pub reviewer: String,
    /// Why.
    #[serde(default)]
    pub note: String,
    /// The id of the key that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What a review found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It is fraud: a label says so too.
    ConfirmedFraud,
    /// It is genuine: a label says so too.
    FalsePositive,
    /// Nobody could tell.
    Inconclusive,
}

impl Finding {
    /// What it says of the transaction, if anything.
    pub fn truth(self) -> Option<Truth> {
        match self {
            Self::ConfirmedFraud => Some(Truth::Fraud),
            Self::FalsePositive => Some(Truth::Genuine),
            Self::Inconclusive => None,
        }
    }
}

/// A model that decides from here on. Its file is in the data folder under its checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelChange {
    /// What it does.
    pub change: Activated,
    /// What people call it.
    pub name: String,
    /// Which bytes it is: the first digits of `sha256`.
    pub version: String,
    /// Of its whole file.
    pub sha256: String,
    /// The id of the key that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What a change of models does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activated {
    /// From here on it decides.
    Activated,
    /// From here on it decides about a share.
    RolledOut,
}

impl ModelChange {
    /// How decisions call it.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// The share of transactions that a challenger decides about from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutChange {
    /// The challenger.
    #[serde(flatten)]
    pub model: ModelChange,
    /// Transactions of a hundred; 0 where it has none any more.
    pub percent: f64,
}

impl RolloutChange {
    /// Whether the same challenger has the same share.
    pub fn is_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.model, &other.model);
        ours.sha256 == theirs.sha256 && ours.name == theirs.name && self.percent.to_bits() == other.percent.to_bits()
    }

    /// That it has no share any more, for the holder of a key.
    pub fn ended(&self, by: Option<String>) -> Self {
        Self { model: ModelChange { by, ..self.model.clone() }, percent: 0.0 }
    }
}

/// A policy that decides, or is tried out, from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// Which part it plays.
    pub part: Part,
    /// The policy; none where no policy is tried out any more.
    pub policy: Option<Policy>,
    /// The id of the key that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Which part a policy plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It decides.
    Live,
    /// It is tried out.
    Shadow,
}

/// A definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionChange {
    /// The SQL.
    pub sql: String,
}

/// A change of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEntry {
    /// What changed.
    pub list: ListChange,
    /// The id of the key that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What can be said of an entry that has a transaction, without reading the decision.
#[derive(Deserialize)]
pub struct Glance<'a> {
    /// Its columns, without those of a person.
    #[serde(borrow)]
    pub transaction: &'a RawValue,
    /// What was done, where something was decided.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// From the request to the decision, in microseconds.
    #[serde(default)]
    pub latency_us: Option<u64>,
    /// What the shadow policy would have done.
    #[serde(default)]
    pub shadow: Option<ShadowGlance>,
    /// What else is to be known of the decision.
    #[serde(default)]
    pub flags: Vec<Flag>,
}

/// The outcome of a shadow.
#[derive(Deserialize)]
pub struct ShadowGlance {
    /// What it would have done.
    pub outcome: Outcome,
}

/// The body of a decision: its transaction, how long it took, and the decision.
pub fn decision_body(fields: &str, latency_us: u64, decision: &Decision) -> String {
    let decision = json(decision);
    format!("{{\"transaction\":{fields},\"latency_us\":{latency_us},{}", decision.strip_prefix('{').unwrap_or(&decision))
}

/// The body of a transaction that nothing was decided about.
#[cfg(feature = "training")]
pub fn transaction_body(fields: &str) -> String {
    format!("{{\"transaction\":{fields}}}")
}

/// Any other body.
pub fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("a body of ours is JSON: its keys are texts")
}
