//! A policy bound to a definition: what does it say of one transaction?

use std::sync::Arc;

use assay_domain::decision::{DecidedBy, Flag, RuleHit, RuleStatus};
use assay_domain::{Outcome, Type, Value};
use assay_features::definition::condition::{Condition, Names};
use assay_features::expression::Row;
use assay_features::plan::Plan;

use crate::costs::Costs;
use crate::lists::Lists;
use crate::policy::{Mode, Policy, PolicyError};
use crate::{Model, control};

/// A policy whose names have places.
#[derive(Clone, Debug)]
pub struct Rules {
    policy: Policy,
    version: Arc<str>,
    block: Vec<Listed>,
    allow: Vec<Listed>,
    bound: Vec<BoundRule>,
    /// For each list that conditions may name, its place among the lists.
    list_places: Vec<usize>,
    /// At which of the lists conditions look, by their places.
    lists_used: Vec<usize>,
    costs: Option<(Costs, usize)>,
}

#[derive(Clone, Debug)]
struct Listed {
    name: Arc<str>,
    list: usize,
    column: usize,
}

#[derive(Clone, Debug)]
struct BoundRule {
    id: Arc<str>,
    condition: Condition,
    outcome: Outcome,
    /// `i64::MIN` is never.
    snoozed_until: i64,
}

/// A transaction as a policy is asked about it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its columns.
    pub transaction: &'a [Value],
    /// Its id as text.
    pub id: &'a str,
    /// Its features.
    pub features: &'a [Value],
    /// Its probability, where the model could score it.
    pub probability: Option<f64>,
    /// Its risk score, where the model could score it.
    pub risk_score: Option<u16>,
    /// When it arrived.
    pub arrived: i64,
    /// The lists as they are now.
    pub lists: &'a Lists,
    /// Reviews that this policy asked for today.
    pub reviewed_today: u64,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is done.
    pub outcome: Outcome,
    /// What said so.
    pub decided_by: DecidedBy,
    /// What rules and thresholds said, where chance said otherwise.
    pub without_control: Option<Outcome>,
    /// The rules that were asked.
    pub rules: Vec<RuleHit>,
    /// What else is to be known.
    pub flags: Vec<Flag>,
}

/// How often what came of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// Its condition was true.
    pub hits: u64,
    /// It was true while the rule slept.
    pub snoozed: u64,
    /// It was NULL, which does not match.
    pub unknown: u64,
    /// It could not be worked out.
    pub errors: u64,
}

impl Rules {
    /// Binds a policy to what it names: columns and features of `plan`, and lists.
    pub fn bind(policy: Policy, plan: &Plan, lists: &Lists, model: &Model) -> Result<Self, PolicyError> {
        policy.check()?;
        let names = lists.names();
        let known: Vec<(Arc<str>, Type)> = names.iter().map(|(name, kind, _)| (name.clone(), *kind)).collect();
        let list_places: Vec<usize> = names.iter().map(|(.., place)| *place).collect();
        let of_conditions = Names { plan, lists: &known };
        let bound = policy.rules.iter().map(|rule| bound_rule(rule, &of_conditions)).collect::<Result<Vec<_>, _>>()?;
        let listed = |on: &crate::policy::OnList| {
            let list = names.iter().find(|(name, ..)| **name == *on.list);
            let Some((name, kind, list)) = list else {
                return Err(PolicyError::whole(format!("there is no list `{}`; create it before a policy looks at it", on.list)));
            };
            let column = column(&on.column, plan)?;
            if plan.schema.fields[column].kind != *kind {
                let found = plan.schema.fields[column].kind;
                return Err(PolicyError::whole(format!(
                    "the list `{name}` holds {kind} values, but `{}` is a {found}",
                    on.column
                )));
            }
            Ok(Listed { name: name.clone(), list: *list, column })
        };
        let block = policy.block.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
        let allow = policy.allow.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
        let costs = policy.costs.as_ref().map(|costs| bound_costs(costs, plan, model)).transpose()?;
        let mut lists_used: Vec<usize> = block.iter().chain(&allow).map(|listed| listed.list).collect();
        for (place, &list) in list_places.iter().enumerate() {
            let looks = |part: &_| matches!(part, assay_features::expression::Expression::Listed(at, _) if *at == place);
            if bound.iter().any(|rule| rule.condition.expression.any(&looks)) {
                lists_used.push(list);
            }
        }
        Ok(Self { version: policy.version.as_str().into(), policy, block, allow, bound, list_places, lists_used, costs })
    }

    /// The policy as it was given.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What it is called in decisions.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Whether it looks at the list at a place.
    pub fn looks_at(&self, list: usize) -> bool {
        self.lists_used.contains(&list)
    }

    /// Whether it multiplies probabilities by money.
    pub fn needs_calibration(&self) -> bool {
        self.costs.is_some()
    }

    /// What the policy says of a transaction: block lists, allow lists, rules, thresholds, and chance above the last two. `counts` has a place
    /// for each rule.
    pub fn verdict(&self, asked: &Asked, counts: &mut [RuleCount]) -> Verdict {
        let mut verdict = Verdict {
            outcome: Outcome::Approve,
            decided_by: DecidedBy::Thresholds,
            without_control: None,
            rules: Vec::new(),
            flags: Vec::new(),
        };
        let on = |listed: &&Listed| asked.lists.holds(listed.list, &asked.transaction[listed.column], asked.arrived);
        if let Some(listed) = self.block.iter().find(on) {
            (verdict.outcome, verdict.decided_by) = (Outcome::Decline, DecidedBy::BlockList(listed.name.clone()));
            return verdict;
        }
        if let Some(listed) = self.allow.iter().find(on) {
            verdict.decided_by = DecidedBy::AllowList(listed.name.clone());
            return verdict;
        }
        match self.by_rules(asked, counts, &mut verdict.rules) {
            Some((outcome, decided_by)) => (verdict.outcome, verdict.decided_by) = (outcome, decided_by),
            None => self.by_thresholds(asked, &mut verdict),
        }
        let group = self.policy.control_group;
        if group.is_some_and(|group| control::is_member(group.share, group.seed, asked.id)) {
            verdict.flags.push(Flag::ControlGroup);
            if verdict.outcome != Outcome::Approve && verdict.decided_by != DecidedBy::SafeOutcome {
                verdict.without_control = Some(verdict.outcome);
                (verdict.outcome, verdict.decided_by) = (Outcome::Approve, DecidedBy::ControlGroup);
            }
        }
        verdict
    }

    /// What the rules say, if one matches. A rule that errs matches with the safe outcome.
    fn by_rules(&self, asked: &Asked, counts: &mut [RuleCount], hits: &mut Vec<RuleHit>) -> Option<(Outcome, DecidedBy)> {
        let row = RuleRow { asked, list_places: &self.list_places };
        hits.reserve_exact(self.bound.len());
        let mut winner: Option<(Outcome, DecidedBy)> = None;
        for (rule, count) in self.bound.iter().zip(counts) {
            let truth = rule.condition.expression.truth(&row);
            let errs = truth.is_none() && rule.condition.asks_score && asked.probability.is_none();
            let sleeps = asked.arrived < rule.snoozed_until;
            count.unknown += u64::from(truth.is_none() && !errs);
            let status = match truth {
                Some(true) if sleeps => RuleStatus::Snoozed,
                Some(true) => RuleStatus::Hit,
                _ if errs => RuleStatus::Error,
                _ => RuleStatus::NoHit,
            };
            hits.push(RuleHit { id: rule.id.clone(), status });
            let said = match status {
                RuleStatus::Hit => {
                    count.hits += 1;
                    (rule.outcome, DecidedBy::Rule(rule.id.clone()))
                }
                RuleStatus::Error => {
                    count.errors += 1;
                    if sleeps {
                        continue;
                    }
                    (self.policy.safe_outcome, DecidedBy::SafeOutcome)
                }
                RuleStatus::Snoozed => {
                    count.snoozed += 1;
                    continue;
                }
                RuleStatus::NoHit => continue,
            };
            if self.policy.mode == Mode::FirstMatch {
                return Some(said);
            }
            if winner.as_ref().is_none_or(|(outcome, _)| said.0 > *outcome) {
                winner = Some(said);
            }
        }
        winner
    }

    fn by_thresholds(&self, asked: &Asked, verdict: &mut Verdict) {
        let chosen = if let Some(thresholds) = &self.policy.thresholds {
            let scored = asked.probability.zip(asked.risk_score);
            scored.map(|(probability, risk_score)| thresholds.outcome(probability, risk_score))
        } else if let Some((costs, column)) = &self.costs {
            let choice = asked.probability.zip(number(&asked.transaction[*column]));
            let choice = choice.map(|(probability, amount)| costs.choose(probability, amount, asked.reviewed_today));
            verdict.flags.extend(choice.filter(|choice| choice.reviews_used_up).map(|_| Flag::ReviewsUsedUp));
            choice.map(|choice| choice.outcome)
        } else {
            Some(Outcome::Approve)
        };
        if let Some(outcome) = chosen {
            verdict.outcome = outcome;
        } else {
            (verdict.outcome, verdict.decided_by) = (self.policy.safe_outcome, DecidedBy::SafeOutcome);
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match *value {
        Value::Double(number) => Some(number),
        Value::Integer(number) => Some(number as f64),
        _ => None,
    }
}

fn bound_rule(rule: &crate::policy::Rule, names: &Names) -> Result<BoundRule, PolicyError> {
    let condition = Condition::parse(&rule.when, &format!("rule `{}`", rule.id), names).map_err(|error| PolicyError {
        rule: Some(rule.id.clone()),
        line: error.line,
        column: error.column,
        problem: error.to_string(),
    })?;
    let snoozed_until = rule.snoozed_until.unwrap_or(i64::MIN);
    Ok(BoundRule { id: rule.id.as_str().into(), condition, outcome: rule.outcome, snoozed_until })
}

fn bound_costs(costs: &Costs, plan: &Plan, model: &Model) -> Result<(Costs, usize), PolicyError> {
    let place = column(&costs.amount, plan)?;
    if !matches!(plan.schema.fields[place].kind, Type::Double | Type::Integer) {
        let kind = plan.schema.fields[place].kind;
        return Err(PolicyError::whole(format!(
            "the amount of the costs is `{}`, a {kind}; name a column of numbers",
            costs.amount
        )));
    }
    if !model.is_calibrated() {
        return Err(PolicyError::whole(format!(
            "the policy multiplies probabilities by money, but those of model `{}` were never calibrated; train or import it with labelled rows to \
             calibrate on, or write thresholds",
            model.version()
        )));
    }
    Ok((costs.clone(), place))
}

fn column(name: &str, plan: &Plan) -> Result<usize, PolicyError> {
    let known = plan.schema.fields.iter().map(|field| field.name.as_str());
    let place = plan.schema.place(name).filter(|&place| Some(place) != plan.schema.label);
    place.ok_or_else(|| {
        let advice = assay_features::definition::did_you_mean(name, known);
        PolicyError::whole(format!("the transaction has no column `{name}` that is known when it arrives{advice}"))
    })
}

/// Columns, then features, then the score, as [`Condition`] has them.
struct RuleRow<'a> {
    asked: &'a Asked<'a>,
    list_places: &'a [usize],
}

impl Row for RuleRow<'_> {
    fn column(&self, place: usize) -> Value {
        let Asked { transaction, features, probability, risk_score, .. } = self.asked;
        if let Some(value) = transaction.get(place) {
            return value.clone();
        }
        let place = place - transaction.len();
        if let Some(value) = features.get(place) {
            return value.clone();
        }
        match place - features.len() {
            0 => probability.map_or(Value::Null, Value::Double),
            _ => risk_score.map_or(Value::Null, |score| Value::Integer(score.into())),
        }
    }

    fn aggregate(&self, _place: usize) -> Value {
        unreachable!("a condition looks at features, not at windows")
    }

    fn listed(&self, list: usize, value: &Value) -> bool {
        self.asked.lists.holds(self.list_places[list], value, self.asked.arrived)
    }
}
