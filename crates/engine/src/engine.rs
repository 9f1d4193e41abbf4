//! The fold: transactions, labels and changes, one after the other, in the order of the journal.

use std::fmt::Write;
use std::sync::Arc;

use assay_domain::card_data::{self, CardDataError};
use assay_domain::decision::{Flag, Shadow};
use assay_domain::time::DAY;
use assay_domain::{AdmissionError, Decision, Outcome, Schema, Value};
use assay_features::{Definition, Features};
use thiserror::Error;

use crate::lists::ListError;
use crate::rules::{Asked, RuleCount, Rules, Verdict};
use crate::score::risk_score;
use crate::{ListChange, Lists, Model, ModelError, Policy, PolicyError, Rollout};

/// What decides. It has one owner; to decide is to change it.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) features: Features,
    pub(crate) model: Model,
    rollout: Option<Rollout>,
    pub(crate) live: Acting,
    pub(crate) shadow: Option<Acting>,
    pub(crate) lists: Lists,
    counts: Counts,
    scratch: Scratch,
}

/// A policy with what it has done so far.
#[derive(Clone, Debug)]
pub(crate) struct Acting {
    pub(crate) rules: Rules,
    /// The newest day of an arrival, in days since 1970, UTC.
    pub(crate) day: i64,
    /// Reviews that the policy asked for on that day.
    pub(crate) reviewed: u64,
    pub(crate) counts: Vec<RuleCount>,
}

/// Memory of the last transaction that the next one uses again.
#[derive(Clone, Debug, Default)]
struct Scratch {
    id: String,
    probability: Vec<f64>,
}

/// How often what was decided since this engine was made; a snapshot does not hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 4],
    /// The same of the shadow policy.
    pub shadow_outcomes: [u64; 4],
    /// The safe outcome was taken.
    pub safe_outcomes: u64,
    /// The model could not score.
    pub not_scored: u64,
    /// Chance approved what rules or thresholds would have stopped.
    pub control_approvals: u64,
    /// A review was wanted, but those of the day were used up.
    pub reviews_used_up: u64,
    /// It came later than `max_lateness`.
    pub late: u64,
}

/// What was decided of a transaction, as far as later decisions depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When it arrived, in microseconds since 1970.
    pub arrived: i64,
    /// What was done.
    pub outcome: Outcome,
    /// What the shadow policy would have done.
    pub shadow: Option<Outcome>,
}

/// Anything but transactions and labels that changes decisions.
#[derive(Clone, Debug)]
pub enum Event {
    /// Another policy decides from now on.
    Policy(Policy),
    /// Another policy is tried out from now on, or none.
    ShadowPolicy(Option<Policy>),
    /// A list changes.
    List(ListChange),
    /// Another model scores from now on.
    Model(Model),
    /// A challenger scores a share from now on, or none.
    Rollout(Option<Rollout>),
}

/// Why a transaction does not enter; no value is repeated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// It does not fit the definition.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// It holds what must never enter.
    #[error(transparent)]
    CardData(#[from] CardDataError),
}

/// Why a change is refused; it changed nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ApplyError {
    /// The policy is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The list cannot be changed so.
    #[error(transparent)]
    List(#[from] ListError),
    /// The model does not fit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The definition asks for what must not be stored.
    #[error(transparent)]
    CardData(#[from] CardDataError),
}

impl Engine {
    /// With no past yet, under a policy that looks at no list: lists come after it.
    pub fn new(definition: Definition, model: &Model, policy: Policy) -> Result<Self, ApplyError> {
        Self::with(Features::new(definition), model, policy, Lists::default())
    }

    pub(crate) fn with(features: Features, model: &Model, policy: Policy, lists: Lists) -> Result<Self, ApplyError> {
        let plan = &features.definition().plan;
        for field in &plan.schema.fields {
            card_data::check_name(&field.name)?;
        }
        let model = Model::new(model.version(), model.artifact().clone(), plan)?;
        let live = Acting::new(Rules::bind(policy, plan, &lists, &model)?);
        let (counts, scratch) = (Counts::default(), Scratch::default());
        Ok(Self { features, model, rollout: None, live, shadow: None, lists, counts, scratch })
    }

    /// The columns of a transaction.
    pub fn schema(&self) -> &Schema {
        &self.features.definition().plan.schema
    }

    /// The state of the features.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The model that scores.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model that scores a share in its place.
    pub fn challenger(&self) -> Option<&Model> {
        self.rollout.as_ref().map(|rollout| &rollout.model)
    }

    /// The policy that decides.
    pub fn policy(&self) -> &Policy {
        self.live.rules.policy()
    }

    /// The policy that is tried out.
    pub fn shadow_policy(&self) -> Option<&Policy> {
        self.shadow.as_ref().map(|shadow| shadow.rules.policy())
    }

    /// The lists.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// What was decided so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What came of each rule of the policy that decides, by its id.
    pub fn rule_counts(&self) -> impl Iterator<Item = (&str, RuleCount)> {
        let ids = self.policy().rules.iter().map(|rule| rule.id.as_str());
        ids.zip(self.live.counts.iter().copied())
    }

    /// Whether a transaction may enter; [`Self::decide`] asks the same, and after it nothing can fail.
    pub fn admit(&self, transaction: &[Value], arrived: i64) -> Result<(), Refusal> {
        let schema = self.schema();
        schema.admit(transaction, arrived)?;
        card_data::check(schema, transaction)?;
        Ok(())
    }

    /// Decides about a transaction that arrived at this moment, in microseconds since 1970, and remembers it. `id` is what the decision will be
    /// asked for by. A transaction that is refused changes nothing.
    pub fn decide(&mut self, transaction: &[Value], id: impl Into<Arc<str>>, arrived: i64) -> Result<Decision, Refusal> {
        self.admit(transaction, arrived)?;
        let observed = self.features.observe(transaction);
        write_id(&transaction[self.features.definition().plan.schema.id], &mut self.scratch.id);
        let model = match &self.rollout {
            Some(rollout) if rollout.gets(&self.scratch.id) => &rollout.model,
            _ => &self.model,
        };
        let mut row = Vec::with_capacity(observed.features.len());
        let scorable = model.fill(&observed.features, &mut row);
        let scored = &mut self.scratch.probability;
        scored.clear();
        if scorable {
            model.artifact().probabilities(&row, scored);
        }
        let probability = scored.first().copied().filter(|probability| probability.is_finite());
        let asked = Asked {
            transaction,
            id: &self.scratch.id,
            features: &observed.features,
            probability,
            risk_score: probability.map(risk_score),
            arrived,
            lists: &self.lists,
            reviewed_today: 0,
        };
        let verdict = self.live.verdict(asked);
        let shadow = self.shadow.as_mut().map(|shadow| {
            let Verdict { outcome, decided_by, .. } = shadow.verdict(asked);
            Shadow { policy_version: shadow.rules.version().clone(), outcome, decided_by }
        });
        let mut flags = verdict.flags;
        flags.extend(observed.too_late.then_some(Flag::Late));
        flags.extend(probability.is_none().then_some(Flag::NotScored));
        flags.sort_unstable();
        let decision = Decision {
            id: id.into(),
            probability,
            risk_score: asked.risk_score,
            outcome: verdict.outcome,
            decided_by: verdict.decided_by,
            without_control: verdict.without_control,
            rules: verdict.rules,
            model_version: model.version().clone(),
            policy_version: self.live.rules.version().clone(),
            shadow,
            row,
            flags,
        };
        self.counts.count(&decision);
        Ok(decision)
    }

    /// Remembers a transaction as [`Self::decide`] does, without deciding: what was decided is told, none where nothing was. So a past is folded
    /// whose decisions are recorded. It was admitted when it was recorded; one that this definition would not admit changes nothing and is
    /// refused.
    pub fn remember(&mut self, transaction: &[Value], decided: Option<Recorded>) -> Result<(), Refusal> {
        self.schema().admit(transaction, i64::MAX)?;
        self.features.observe(transaction);
        if let Some(Recorded { arrived, outcome, shadow }) = decided {
            self.live.count_review(arrived, outcome);
            if let (Some(acting), Some(outcome)) = (&mut self.shadow, shadow) {
                acting.count_review(arrived, outcome);
            }
        }
        Ok(())
    }

    /// Takes what was recorded for the outcome of the last decision where this engine, which could not see all that was seen then, made
    /// another of the same transaction.
    pub fn correct(&mut self, made: &Decision, recorded: Recorded) {
        let review = |outcome: Outcome| i64::from(outcome == Outcome::Review);
        let correct = |acting: &mut Acting, made, recorded| {
            acting.reviewed = acting.reviewed.saturating_add_signed(review(recorded) - review(made));
        };
        correct(&mut self.live, made.outcome, recorded.outcome);
        if let (Some(acting), Some(made), Some(recorded)) = (&mut self.shadow, &made.shadow, recorded.shadow) {
            correct(acting, made.outcome, recorded);
        }
    }

    /// Gives a transaction that was decided another label, for what comes after; `transaction` is as it was decided, with the label that it was
    /// last given. Whether a window still remembers it.
    pub fn label(&mut self, transaction: &[Value], label: Option<bool>) -> bool {
        self.features.relabel(transaction, label)
    }

    /// Goes on in the place of `other`, with features and a model of its own: takes its policies, its lists and what it counted. A rollout ends,
    /// as its challenger takes other features.
    /// Nothing of either is changed where a policy does not fit.
    pub fn take_over(&mut self, other: &mut Self) -> Result<(), ApplyError> {
        let plan = &self.features.definition().plan;
        let bound = |acting: &Acting| -> Result<Acting, ApplyError> {
            let rules = Rules::bind(acting.rules.policy().clone(), plan, &other.lists, &self.model)?;
            Ok(Acting { rules, ..acting.clone() })
        };
        let (live, shadow) = (bound(&other.live)?, other.shadow.as_ref().map(bound).transpose()?);
        (self.live, self.shadow) = (live, shadow);
        self.lists = std::mem::take(&mut other.lists);
        self.counts = other.counts;
        Ok(())
    }

    /// Makes a change, all of it or none.
    pub fn apply(&mut self, event: Event) -> Result<(), ApplyError> {
        match event {
            Event::Policy(policy) => {
                let rules = self.bound(policy)?;
                // Reviews that were asked for today stay so under another policy.
                self.live = Acting { day: self.live.day, reviewed: self.live.reviewed, ..Acting::new(rules) };
            }
            Event::ShadowPolicy(policy) => {
                self.shadow = policy.map(|policy| self.bound(policy)).transpose()?.map(Acting::new);
            }
            Event::List(change) => {
                let acting = [Some(&self.live), self.shadow.as_ref()];
                let in_use = |list| acting.iter().flatten().any(|acting| acting.rules.looks_at(list));
                self.lists.change(&change, in_use)?;
            }
            Event::Model(model) => {
                self.model = self.fitting(&model)?;
            }
            Event::Rollout(None) => self.rollout = None,
            Event::Rollout(Some(Rollout { model, share })) => {
                self.rollout = Some(Rollout { model: self.fitting(&model)?, share });
            }
        }
        Ok(())
    }

    /// A policy for every model that scores.
    fn bound(&self, policy: Policy) -> Result<Rules, PolicyError> {
        let plan = &self.features.definition().plan;
        if let Some(challenger) = self.challenger() {
            Rules::bind(policy.clone(), plan, &self.lists, challenger)?;
        }
        Rules::bind(policy, plan, &self.lists, &self.model)
    }

    /// A model for the features and the policies that there are.
    fn fitting(&self, model: &Model) -> Result<Model, ApplyError> {
        let plan = &self.features.definition().plan;
        let model = Model::new(model.version(), model.artifact().clone(), plan)?;
        for acting in [Some(&self.live), self.shadow.as_ref()].into_iter().flatten() {
            // A policy of costs refuses a model without calibration, however they come together.
            Rules::bind(acting.rules.policy().clone(), plan, &self.lists, &model)?;
        }
        Ok(model)
    }
}

impl Acting {
    pub(crate) fn new(rules: Rules) -> Self {
        let counts = vec![RuleCount::default(); rules.policy().rules.len()];
        Self { rules, day: i64::MIN, reviewed: 0, counts }
    }

    fn verdict(&mut self, asked: Asked) -> Verdict {
        self.begin_day(asked.arrived);
        let verdict = self.rules.verdict(&Asked { reviewed_today: self.reviewed, ..asked }, &mut self.counts);
        self.count_review(asked.arrived, verdict.outcome);
        verdict
    }

    /// A clock that goes back to yesterday gives nobody a second day of reviews.
    fn begin_day(&mut self, arrived: i64) {
        let day = arrived.div_euclid(DAY);
        if day > self.day {
            (self.day, self.reviewed) = (day, 0);
        }
    }

    fn count_review(&mut self, arrived: i64, outcome: Outcome) {
        self.begin_day(arrived);
        self.reviewed += u64::from(outcome == Outcome::Review);
    }
}

impl Counts {
    fn count(&mut self, decision: &Decision) {
        self.outcomes[decision.outcome as usize] += 1;
        if let Some(shadow) = &decision.shadow {
            self.shadow_outcomes[shadow.outcome as usize] += 1;
        }
        self.safe_outcomes += u64::from(decision.decided_by == assay_domain::decision::DecidedBy::SafeOutcome);
        self.control_approvals += u64::from(decision.without_control.is_some());
        let has = |flag| u64::from(decision.flags.contains(&flag));
        self.not_scored += has(Flag::NotScored);
        self.reviews_used_up += has(Flag::ReviewsUsedUp);
        self.late += has(Flag::Late);
    }
}

/// The id of a transaction as text: an integer by its digits, a moment by its microseconds.
fn write_id(id: &Value, text: &mut String) {
    text.clear();
    let written = match id {
        Value::Text(id) => text.write_str(id),
        Value::Integer(id) | Value::Timestamp(id) | Value::Interval(id) => write!(text, "{id}"),
        Value::Double(id) => write!(text, "{id}"),
        Value::Boolean(id) => write!(text, "{id}"),
        Value::Null => Ok(()),
    };
    debug_assert!(written.is_ok(), "a String takes any text");
}
