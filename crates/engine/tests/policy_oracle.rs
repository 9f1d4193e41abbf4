//! Policies against a second reading of docs/policy.md: random policies over random payments, decided by the engine and by a plain recount.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use assay_domain::Outcome;
use assay_domain::decision::{DecidedBy, Decision, Flag, RuleStatus};
use assay_domain::time::{DAY, SECOND};
use assay_engine::costs::{ChallengeCost, Cost, Costs, ReviewCost};
use assay_engine::engine::Event;
use assay_engine::lists::{Entry, ListChange, ListKind, ListValue, Provenance};
use assay_engine::policy::{ControlGroup, Mode, OnList, Rule, ScoreKind, Step, Thresholds};
use assay_engine::{Engine, Policy};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use support::{Payment, START, definition, model};

#[derive(Clone, Debug)]
enum Number {
    Amount,
    Items,
    Probability,
    RiskScore,
    Constant(i8),
    Over(Box<Number>, Box<Number>),
}

#[derive(Clone, Debug)]
enum Condition {
    Compare(usize, Number, Number),
    IsNull(Number),
    Country(&'static str),
    Customer,
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

const OPERATORS: [&str; 6] = ["<", "<=", ">", ">=", "=", "<>"];

impl Number {
    fn sql(&self) -> String {
        match self {
            Self::Amount => "amount".into(),
            Self::Items => "CAST(payments.items AS DOUBLE)".into(),
            Self::Probability => "probability".into(),
            Self::RiskScore => "CAST(score.risk_score AS DOUBLE)".into(),
            Self::Constant(number) => format!("{number}.0"),
            Self::Over(left, right) => format!("({} / {})", left.sql(), right.sql()),
        }
    }

    fn value(&self, payment: &Payment, decision: &Decision) -> Option<f64> {
        match self {
            Self::Amount => Some(payment.amount),
            Self::Items => payment.items.map(|items| f64::from(i32::try_from(items).unwrap())),
            Self::Probability => decision.probability,
            Self::RiskScore => decision.risk_score.map(f64::from),
            Self::Constant(number) => Some(f64::from(*number)),
            Self::Over(left, right) => {
                let (left, right) = (left.value(payment, decision)?, right.value(payment, decision)?);
                (right != 0.0).then(|| left / right).filter(|result| result.is_finite())
            }
        }
    }

    fn asks_score(&self) -> bool {
        match self {
            Self::Probability | Self::RiskScore => true,
            Self::Over(left, right) => left.asks_score() || right.asks_score(),
            _ => false,
        }
    }
}

impl Condition {
    fn sql(&self) -> String {
        match self {
            Self::Compare(operator, left, right) => format!("{} {} {}", left.sql(), OPERATORS[*operator], right.sql()),
            Self::IsNull(number) => format!("{} IS NULL", number.sql()),
            Self::Country(name) => format!("country = '{name}'"),
            Self::Customer => "in_list('customers', customer_id)".into(),
            Self::And(left, right) => format!("({} AND {})", left.sql(), right.sql()),
            Self::Or(left, right) => format!("({} OR {})", left.sql(), right.sql()),
            Self::Not(inner) => format!("NOT ({})", inner.sql()),
        }
    }

    fn truth(&self, payment: &Payment, decision: &Decision, customers: &[(i64, i64)]) -> Option<bool> {
        let of = |inner: &Self| inner.truth(payment, decision, customers);
        match self {
            Self::Compare(operator, left, right) => {
                let (left, right) = (left.value(payment, decision)?, right.value(payment, decision)?);
                Some([left < right, left <= right, left > right, left >= right, left == right, left != right][*operator])
            }
            Self::IsNull(number) => Some(number.value(payment, decision).is_none()),
            Self::Country(name) => payment.country.map(|country| country == *name),
            Self::Customer => payment.customer.map(|customer| is_on(customers, customer, payment.arrived())),
            Self::And(left, right) => match [of(left), of(right)] {
                [Some(true), Some(true)] => Some(true),
                both if both.contains(&Some(false)) => Some(false),
                _ => None,
            },
            Self::Or(left, right) => match [of(left), of(right)] {
                [Some(false), Some(false)] => Some(false),
                both if both.contains(&Some(true)) => Some(true),
                _ => None,
            },
            Self::Not(inner) => of(inner).map(|truth| !truth),
        }
    }

    fn asks_score(&self) -> bool {
        match self {
            Self::Compare(_, left, right) => left.asks_score() || right.asks_score(),
            Self::IsNull(number) => number.asks_score(),
            Self::Country(_) | Self::Customer => false,
            Self::And(left, right) | Self::Or(left, right) => left.asks_score() || right.asks_score(),
            Self::Not(inner) => inner.asks_score(),
        }
    }
}

fn is_on(list: &[(i64, i64)], customer: i64, at: i64) -> bool {
    // A later entry of the same value takes the place of an earlier one.
    list.iter().rev().find(|(one, _)| *one == customer).is_some_and(|(_, expires)| at < *expires)
}

/// What the documentation says, read again.
struct Recount<'a> {
    policy: &'a Policy,
    conditions: &'a [Condition],
    blocked: &'a [(i64, i64)],
    customers: &'a [(i64, i64)],
    today: (i64, u64),
}

impl Recount<'_> {
    fn outcome(&mut self, payment: &Payment, decision: &Decision) -> (Outcome, Vec<RuleStatus>) {
        let (policy, at) = (self.policy, payment.arrived());
        if at / DAY > self.today.0 {
            self.today = (at / DAY, 0);
        }
        let (outcome, statuses) = self.before_reviews(payment, decision, at, policy);
        if outcome == Outcome::Review {
            self.today.1 += 1;
        }
        (outcome, statuses)
    }

    fn before_reviews(&self, payment: &Payment, decision: &Decision, at: i64, policy: &Policy) -> (Outcome, Vec<RuleStatus>) {
        let on = |list: &[(i64, i64)]| payment.customer.is_some_and(|customer| is_on(list, customer, at));
        if !policy.block.is_empty() && on(self.blocked) {
            return (Outcome::Decline, Vec::new());
        }
        if !policy.allow.is_empty() && on(self.customers) {
            return (Outcome::Approve, Vec::new());
        }
        let mut statuses = Vec::new();
        let mut matched = Vec::new();
        for (rule, condition) in policy.rules.iter().zip(self.conditions) {
            let sleeps = rule.snoozed_until.is_some_and(|until| at < until);
            let status = match condition.truth(payment, decision, self.customers) {
                Some(true) => {
                    if sleeps {
                        RuleStatus::Snoozed
                    } else {
                        RuleStatus::Hit
                    }
                }
                None if condition.asks_score() && decision.probability.is_none() => RuleStatus::Error,
                _ => RuleStatus::NoHit,
            };
            statuses.push(status);
            match status {
                RuleStatus::Hit => matched.push((rule.outcome, false)),
                RuleStatus::Error if !sleeps => matched.push((policy.safe_outcome, true)),
                _ => {}
            }
            if policy.mode == Mode::FirstMatch && !matched.is_empty() {
                break;
            }
        }
        let best = matched.iter().map(|(outcome, _)| *outcome).max();
        // Of several with the winning outcome, the first decides.
        let decided = best.map(|best| *matched.iter().find(|(outcome, _)| *outcome == best).unwrap());
        let (outcome, is_safe) = decided.unwrap_or_else(|| self.by_score(payment, decision));
        let chance = policy.control_group.is_some_and(|group| {
            let hash = Sha256::digest(format!("{}:tx-{}", group.seed, payment.id));
            let draw = u64::from_be_bytes(hash[..8].try_into().unwrap());
            draw as f64 / 2_f64.powi(64) < group.share
        });
        assert_eq!(decision.flags.contains(&Flag::ControlGroup), chance);
        (if chance && !is_safe { Outcome::Approve } else { outcome }, statuses)
    }

    fn by_score(&self, payment: &Payment, decision: &Decision) -> (Outcome, bool) {
        let policy = self.policy;
        let asks = policy.thresholds.is_some() || policy.costs.is_some();
        let Some(p) = decision.probability else {
            return if asks { (policy.safe_outcome, true) } else { (Outcome::Approve, false) };
        };
        if let Some(thresholds) = &policy.thresholds {
            let score = if thresholds.on == ScoreKind::Probability { p } else { f64::from(decision.risk_score.unwrap()) };
            let mut passed = thresholds.steps.iter().filter(|step| step.from <= score);
            return (passed.next_back().map_or(Outcome::Approve, |step| step.outcome), false);
        }
        let Some(costs) = &policy.costs else { return (Outcome::Approve, false) };
        let amount = payment.amount.max(0.0);
        let missed = p * (costs.missed_fraud.share * amount + costs.missed_fraud.fixed);
        let lost = (1.0 - p) * (costs.false_decline.share * amount + costs.false_decline.fixed);
        let mut choices = vec![(missed, Outcome::Approve), (lost, Outcome::Decline)];
        if let Some(review) = costs.review {
            choices.push((review.cost + review.price, Outcome::Review));
        }
        if let Some(one) = costs.challenge {
            choices.push((one.cost + (1.0 - one.fraud_stopped) * missed + one.good_lost * lost, Outcome::Challenge));
        }
        choices.sort_by(|one, other| one.partial_cmp(other).unwrap());
        let most = costs.review.and_then(|review| review.per_day).unwrap_or(u64::MAX);
        let possible = choices.into_iter().find(|(_, outcome)| *outcome != Outcome::Review || self.today.1 < most);
        (possible.unwrap().1, false)
    }
}

fn number() -> impl Strategy<Value = Number> {
    let leaf = prop_oneof![
        Just(Number::Amount),
        Just(Number::Items),
        Just(Number::Probability),
        Just(Number::RiskScore),
        (-2_i8..60).prop_map(Number::Constant),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| (inner.clone(), inner).prop_map(|(left, right)| Number::Over(left.into(), right.into())))
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        4 => (0..6_usize, number(), number()).prop_map(|(operator, left, right)| Condition::Compare(operator, left, right)),
        1 => number().prop_map(Condition::IsNull),
        1 => prop::sample::select(vec!["BE", "US"]).prop_map(Condition::Country),
        1 => Just(Condition::Customer),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Condition::And(left.into(), right.into())),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Condition::Or(left.into(), right.into())),
            inner.prop_map(|inner| Condition::Not(inner.into())),
        ]
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(Outcome::ALL.to_vec())
}

fn moment() -> impl Strategy<Value = i64> {
    (0_i64..300_000).prop_map(|seconds| START + seconds * SECOND)
}

fn entries() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((0_i64..6, prop_oneof![Just(i64::MAX), moment()]), 0..5)
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    (any::<bool>(), prop::collection::btree_map(0_u16..=100, outcome(), 1..4)).prop_map(|(of_probability, steps)| {
        let (on, unit) = if of_probability { (ScoreKind::Probability, 0.01) } else { (ScoreKind::RiskScore, 10.0) };
        let step = |(from, outcome)| Step { from: f64::from(from) * unit, outcome };
        Thresholds { on, steps: steps.into_iter().map(step).collect() }
    })
}

fn costs() -> impl Strategy<Value = Costs> {
    let review = prop::option::of((0.0..20.0, prop::option::of(0_u64..4), 0.0..3.0));
    let challenge = prop::option::of((0.0..5.0, 0.0..=1.0, 0.0..=1.0));
    ((0.0..2.0, 0.0..20.0), (0.0..1.0, 0.0..5.0), review, challenge).prop_map(|(missed, lost, review, challenge)| Costs {
        amount: "amount".into(),
        missed_fraud: Cost { share: missed.0, fixed: missed.1 },
        false_decline: Cost { share: lost.0, fixed: lost.1 },
        review: review.map(|(cost, per_day, price)| ReviewCost { cost, per_day, price }),
        challenge: challenge.map(|(cost, fraud_stopped, good_lost)| ChallengeCost { cost, fraud_stopped, good_lost }),
    })
}

fn policy() -> impl Strategy<Value = (Policy, Vec<Condition>)> {
    let rule = (condition(), outcome(), prop::option::weighted(0.2, moment()));
    let by_score = prop_oneof![
        thresholds().prop_map(|thresholds| (Some(thresholds), None)),
        costs().prop_map(|costs| (None, Some(costs))),
        Just((None, None)),
    ];
    let group = prop::option::weighted(0.5, (0.001..=0.1, any::<u64>()));
    (prop::collection::vec(rule, 0..5), any::<[bool; 3]>(), by_score, group, outcome()).prop_map(
        |(rules, [all, block, allow], (thresholds, costs), group, safe_outcome)| {
            let on = |list: &str, is: bool| {
                is.then(|| OnList { list: list.into(), column: "customer_id".into() }).into_iter().collect::<Vec<_>>()
            };
            let (mut conditions, mut written) = (Vec::new(), Vec::new());
            for (number, (condition, outcome, snoozed_until)) in rules.into_iter().enumerate() {
                let (id, when) = (format!("r{number}"), condition.sql());
                written.push(Rule { id, name: String::new(), when, outcome, snoozed_until });
                conditions.push(condition);
            }
            let policy = Policy {
                version: "p".into(),
                mode: if all { Mode::AllMatches } else { Mode::FirstMatch },
                block: on("blocked", block),
                allow: on("customers", allow),
                rules: written,
                thresholds,
                costs,
                control_group: group.map(|(share, seed)| ControlGroup { share, seed }),
                governor: None,
                safe_outcome,
            };
            (policy, conditions)
        },
    )
}

fn payments() -> impl Strategy<Value = Vec<Payment>> {
    let country = prop::option::weighted(0.8, prop::sample::select(vec!["BE", "US", "XX"]));
    let one = (0_i64..250_000, prop::option::weighted(0.9, 0_i64..8), country, 0_i32..800, prop::option::weighted(0.8, 0_i64..6));
    prop::collection::vec(one, 1..40).prop_map(|payments| {
        let payment = |(id, (seconds, customer, country, eighths, items))| Payment {
            id,
            seconds,
            customer,
            country,
            amount: f64::from(eighths) / 8.0,
            items,
        };
        (0_u32..).zip(payments).map(payment).collect()
    })
}

fn fill(engine: &mut Engine, list: &str, entries: &[(i64, i64)]) {
    let entry = |&(customer, expires): &(i64, i64)| Entry {
        value: ListValue::Integer(customer),
        expires: (expires != i64::MAX).then_some(expires),
        provenance: Provenance::default(),
    };
    let entries = entries.iter().map(entry).collect();
    engine.apply(Event::List(ListChange::Create { list: list.into(), kind: ListKind::Bigint })).unwrap();
    engine.apply(Event::List(ListChange::Add { list: list.into(), entries })).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_policy_decides_as_its_documentation_read_again_says(
        (policy, conditions) in policy(), blocked in entries(), customers in entries(), payments in payments(),
    ) {
        let mut engine = Engine::new(definition(), &model(), Policy::approve_all()).unwrap();
        fill(&mut engine, "blocked", &blocked);
        fill(&mut engine, "customers", &customers);
        let parsed = Policy::parse(&serde_json::to_string(&policy).unwrap()).unwrap();
        prop_assert_eq!(&parsed, &policy);
        engine.apply(Event::Policy(parsed)).unwrap();
        engine.apply(Event::ShadowPolicy(Some(policy.clone()))).unwrap();
        let today = (i64::MIN, 0);
        let mut recount = Recount { policy: &policy, conditions: &conditions, blocked: &blocked, customers: &customers, today };
        for payment in &payments {
            let decision = engine.decide(&payment.values(), format!("d-{}", payment.id), payment.arrived()).unwrap();
            prop_assert_eq!(decision.probability.is_some(), payment.items.is_some());
            let (outcome, statuses) = recount.outcome(payment, &decision);
            prop_assert_eq!(decision.outcome, outcome, "{:?} {:?}", payment, decision);
            prop_assert_eq!(decision.rules.iter().map(|hit| hit.status).collect::<Vec<_>>(), statuses);
            // A shadow of the same policy says the same.
            let shadow = decision.shadow.as_ref().unwrap();
            prop_assert_eq!((shadow.outcome, &shadow.decided_by), (outcome, &decision.decided_by));
            let by_chance = decision.decided_by == DecidedBy::ControlGroup;
            prop_assert_eq!(decision.without_control.is_some(), by_chance);
        }
        let decided: u64 = engine.counts().outcomes.iter().sum();
        prop_assert_eq!(usize::try_from(decided).unwrap(), payments.len());
    }
}
