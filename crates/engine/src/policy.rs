//! A policy: what is done with whom, as data. It is JSON, changed through the journal and bound to a definition before it decides.

use assay_domain::Outcome;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::costs::Costs;
use crate::moment;
use crate::score::MAX_RISK_SCORE;

/// Bytes that a policy may have.
pub const MAX_POLICY_BYTES: usize = 1 << 20;
/// Rules that it may have: all of them may be asked for one transaction.
pub const MAX_RULES: usize = 1_000;
/// The largest control group: what it lets through is fraud in part.
pub const MAX_CONTROL_SHARE: f64 = 0.1;
/// The longest window of a governor: 31 days.
pub const MAX_GOVERNOR_SECONDS: u32 = 31 * 86_400;
/// Decisions that a governor may have to wait for.
pub const MAX_GOVERNOR_DECISIONS: u64 = 100_000;
/// Bytes that an id, a version or a name may have.
const MAX_NAME_BYTES: usize = 200;

/// What is done with whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What it is called in decisions.
    pub version: String,
    /// How rules that match are weighed.
    #[serde(default)]
    pub mode: Mode,
    /// Whoever is on one of these is declined.
    #[serde(default)]
    pub block: Vec<OnList>,
    /// Whoever is on one of these, and on none above, is approved.
    #[serde(default)]
    pub allow: Vec<OnList>,
    /// Asked in this order.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What the score alone decides where no rule matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// The same, worked out from what mistakes cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<Costs>,
    /// Who is approved regardless of rules and thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_group: Option<ControlGroup>,
    /// When its declines are held back, because it must have run away; never where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governor: Option<Governor>,
    /// What is done where something could not be worked out.
    #[serde(default = "review")]
    pub safe_outcome: Outcome,
}

/// How rules that match are weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The first that matches decides, and no further one is asked.
    #[default]
    FirstMatch,
    /// All are asked: decline wins over challenge, that over review, that over approve.
    AllMatches,
}

/// A column whose value is looked for on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnList {
    /// The list.
    pub list: String,
    /// The column of the transaction.
    pub column: String,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is called in decisions; no other has it.
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// Its condition, in SQL.
    pub when: String,
    /// What is done where the condition is true.
    pub outcome: Outcome,
    /// Until then it is asked, but does nothing. Microseconds since 1970.
    #[serde(with = "moment", default, skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<i64>,
}

/// What the score alone decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Which score.
    pub on: ScoreKind,
    /// From which score on what is done, rising; below the first, a transaction is approved.
    pub steps: Vec<Step>,
}

/// Which score thresholds are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// 0…1.
    Probability,
    /// 0…1000.
    RiskScore,
}

/// One threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The lowest score of it.
    pub from: f64,
    /// What is done.
    pub outcome: Outcome,
}

/// A share of all transactions, drawn by a hash of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlGroup {
    /// Above 0 and at most [`MAX_CONTROL_SHARE`].
    pub share: f64,
    /// Another one draws another group.
    pub seed: u64,
}

/// From how many declines on a policy has run away. The engine does not act on it: who owns the decisions does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Governor {
    /// Length of the window in which decisions are counted, in seconds.
    pub window_seconds: u32,
    /// The share of declines in it above which they are held back.
    pub most_share: f64,
    /// Decisions without which the share says nothing.
    pub least_decisions: u64,
    /// The number of declines in it above which they are held back, whatever their share.
    pub most_declines: u64,
    /// What is done instead.
    pub instead: Outcome,
}

/// An hour, and a fifth of at least 200 decisions: card businesses decline a few in a hundred.
impl Default for Governor {
    fn default() -> Self {
        Self { window_seconds: 3_600, most_share: 0.2, least_decisions: 200, most_declines: 1_000_000, instead: Outcome::Review }
    }
}

impl Governor {
    fn check(&self) -> Result<(), String> {
        let refuse = |problem: String| Err(problem);
        match () {
            () if !(1..=MAX_GOVERNOR_SECONDS).contains(&self.window_seconds) => {
                refuse(format!("the governor's window is not 1 to {MAX_GOVERNOR_SECONDS} seconds, which are 31 days"))
            }
            () if !(self.most_share > 0.0 && self.most_share <= 1.0) => {
                refuse("the governor's `most_share` is not above 0 and at most 1".into())
            }
            () if !(1..=MAX_GOVERNOR_DECISIONS).contains(&self.least_decisions) => {
                refuse(format!("the governor's `least_decisions` is not 1 to {MAX_GOVERNOR_DECISIONS}"))
            }
            () if self.instead == Outcome::Decline => {
                refuse("the governor stops nothing by a decline; let it `review`, `challenge` or `approve` instead".into())
            }
            () => Ok(()),
        }
    }
}

/// Why a policy is refused: where, and what to write instead.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{problem}")]
pub struct PolicyError {
    /// The rule that is the matter, by its id.
    pub rule: Option<String>,
    /// The line, from 1, of the rule's condition, or of the JSON where it is none; 0 where it is the whole.
    pub line: u64,
    /// The column there, from 1.
    pub column: u64,
    /// One sentence that says all of that.
    pub problem: String,
}

impl Policy {
    /// Reads a policy and checks what can be checked without a definition.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        if json.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::whole(format!("the policy is longer than {MAX_POLICY_BYTES} bytes; put values into lists")));
        }
        let policy: Self = serde_json::from_str(json).map_err(|error| PolicyError {
            rule: None,
            line: error.line() as u64,
            column: error.column() as u64,
            problem: format!("this is no policy: {}; docs/policy.md shows one", without_values(&error)),
        })?;
        policy.check()?;
        Ok(policy)
    }

    /// A policy that approves everything: what holds before there is another.
    pub fn approve_all() -> Self {
        Self {
            version: "approve-all".into(),
            mode: Mode::FirstMatch,
            block: Vec::new(),
            allow: Vec::new(),
            rules: Vec::new(),
            thresholds: None,
            costs: None,
            control_group: None,
            governor: None,
            safe_outcome: Outcome::Approve,
        }
    }

    /// What is wrong with it, apart from names that only a definition knows.
    pub fn check(&self) -> Result<(), PolicyError> {
        let refuse = |problem: String| Err(PolicyError::whole(problem));
        if !is_name(&self.version) {
            return refuse(format!("the version of the policy is not 1 to {MAX_NAME_BYTES} printable characters; give it one"));
        }
        if self.rules.len() > MAX_RULES {
            return refuse(format!("the policy has {} rules, at most {MAX_RULES} may be; join some by OR", self.rules.len()));
        }
        for (place, rule) in self.rules.iter().enumerate() {
            if !is_name(&rule.id) || rule.name.len() > MAX_NAME_BYTES {
                let number = place + 1;
                return refuse(format!("the id or the name of rule {number} is not 1 to {MAX_NAME_BYTES} printable characters"));
            }
            if self.rules[..place].iter().any(|other| other.id == rule.id) {
                let problem = format!("two rules are called `{}`; give each its own id", rule.id);
                return Err(PolicyError { rule: Some(rule.id.clone()), ..PolicyError::whole(problem) });
            }
        }
        if self.thresholds.is_some() && self.costs.is_some() {
            return refuse("the policy has both thresholds and costs, which make thresholds; leave one of them out".into());
        }
        if let Some(thresholds) = &self.thresholds {
            thresholds.check().map_err(PolicyError::whole)?;
        }
        if let Some(costs) = &self.costs {
            costs.check().map_err(PolicyError::whole)?;
        }
        if self.control_group.is_some_and(|group| !(group.share > 0.0 && group.share <= MAX_CONTROL_SHARE)) {
            return refuse(format!("the share of the control group is not above 0 and at most {MAX_CONTROL_SHARE}"));
        }
        if let Some(governor) = &self.governor {
            governor.check().map_err(PolicyError::whole)?;
        }
        Ok(())
    }
}

impl Thresholds {
    fn check(&self) -> Result<(), String> {
        let most = match self.on {
            ScoreKind::Probability => 1.0,
            ScoreKind::RiskScore => f64::from(MAX_RISK_SCORE),
        };
        if self.steps.is_empty() || self.steps.iter().any(|step| !(0.0..=most).contains(&step.from)) {
            return Err(format!("thresholds have at least one step, each from a score between 0 and {most}"));
        }
        if self.steps.is_sorted_by(|low, high| low.from < high.from) {
            Ok(())
        } else {
            Err("the steps of thresholds do not rise; put the lowest first, each score once".into())
        }
    }

    /// What is done at a score.
    pub(crate) fn outcome(&self, probability: f64, risk_score: u16) -> Outcome {
        let score = match self.on {
            ScoreKind::Probability => probability,
            ScoreKind::RiskScore => f64::from(risk_score),
        };
        self.steps.iter().rev().find(|step| score >= step.from).map_or(Outcome::Approve, |step| step.outcome)
    }
}

impl PolicyError {
    pub(crate) fn whole(problem: impl Into<String>) -> Self {
        Self { rule: None, line: 0, column: 0, problem: problem.into() }
    }
}

/// What serde says, without what was sent: that stands between the kind of problem, two words, and what was expected, which are ours.
fn without_values(error: &serde_json::Error) -> String {
    let (text, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    let sentence = text.strip_suffix(&place).unwrap_or(&text);
    if !error.is_data() || ["missing field", "duplicate field", "this is no"].iter().any(|ours| sentence.starts_with(ours)) {
        return text;
    }
    let kind: Vec<&str> = sentence.split(' ').take(2).map(|word| word.trim_end_matches(':')).collect();
    let expected = sentence.rfind(", expected ").map_or("", |start| &sentence[start..]);
    format!("{}{expected}{place}", kind.join(" "))
}

fn review() -> Outcome {
    Outcome::Review
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control)
}
