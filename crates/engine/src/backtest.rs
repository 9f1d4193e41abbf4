//! What would another policy, or another model, have cost? The past folded again, as of each event, and told in money.

use std::collections::{BTreeMap, BTreeSet};

use assay_domain::time::DAY;
use assay_domain::{Decision, Outcome, Value};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::{ApplyError, Engine, Event, Refusal};

/// Resamples of the days.
const RESAMPLES: usize = 1_000;

/// Something that happened, in the order of the journal.
pub enum Past {
    /// A transaction.
    Transaction {
        /// Its columns, its label as it was known then.
        transaction: Vec<Value>,
        /// Its id.
        id: String,
        /// When it arrived.
        arrived: i64,
        /// Its amount, in money.
        amount: f64,
        /// Whether it was fraud, as is known today; `None` where nobody knows.
        was_fraud: Option<bool>,
    },
    /// A label that was learnt.
    Label {
        /// The columns of its transaction, with the label that it was last given.
        transaction: Vec<Value>,
        /// The label.
        label: Option<bool>,
    },
    /// A change of lists, as it happened. Policies and models are what is tried out, so that changes of them are left out.
    Change(Box<Event>),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Transactions that were decided.
    pub transactions: u64,
    /// Transactions that would have been refused.
    pub refused: u64,
    /// Days, UTC, on which they arrived.
    pub days: usize,
    /// By outcome, in the order of [`Outcome::ALL`].
    pub outcomes: Vec<OutcomeReport>,
    /// Money of the frauds that were not approved.
    pub fraud_stopped: Figure,
    /// Money of the frauds that were approved.
    pub fraud_missed: Figure,
    /// Money of the good sales that were declined.
    pub good_sales_lost: Figure,
    /// Reviews asked for.
    pub reviews: Figure,
    /// Reviews asked for, a day.
    pub reviews_per_day: Figure,
    /// Of the money of all frauds, the share that was stopped; none without frauds.
    pub value_detection_rate: Option<Figure>,
    /// Of the good sales, the share that was declined or challenged; none without them.
    pub insult_rate: Option<Figure>,
}

/// What had one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OutcomeReport {
    /// The outcome.
    pub outcome: Outcome,
    /// Frauds, good sales, and those of which nobody knows.
    pub fraud: Sum,
    /// Good sales.
    pub genuine: Sum,
    /// Nobody knows what they were.
    pub unknown: Sum,
}

/// A number of transactions and their money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// How much.
    pub amount: f64,
}

/// A figure with its 95 % bootstrap interval: days are drawn with replacement, since the frauds of a day belong together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// On the days as they were.
    pub value: f64,
    /// Percentile 2.5 of the resamples.
    pub low: f64,
    /// Percentile 97.5 of the resamples.
    pub high: f64,
}

/// How far one way of deciding is from another over the same days: its figures less those of the other. Intervals are of the difference itself,
/// since both have the same good and bad days.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Money of the frauds that were not approved.
    pub fraud_stopped: Figure,
    /// Money of the frauds that were approved.
    pub fraud_missed: Figure,
    /// Money of the good sales that were declined.
    pub good_sales_lost: Figure,
    /// Reviews asked for.
    pub reviews: Figure,
    /// Reviews asked for, a day.
    pub reviews_per_day: Figure,
    /// Of the money of all frauds, the share that was stopped; none without frauds.
    pub value_detection_rate: Option<Figure>,
    /// Of the good sales, the share that was declined or challenged; none without them.
    pub insult_rate: Option<Figure>,
}

/// What a way of deciding came to, day by day (UTC).
#[derive(Clone, Debug, Default)]
pub struct Days(BTreeMap<i64, Day>);

/// What came of an event of the past.
#[derive(Debug)]
pub enum Tried {
    /// A transaction was decided.
    Decided(Box<Decision>),
    /// A transaction would have been refused.
    Refused(Refusal),
    /// Something else happened.
    Passed,
}

/// What a day came to: by outcome; fraud, genuine, unknown.
#[derive(Clone, Copy, Debug, Default)]
struct Day {
    sums: [[Sum; 3]; 4],
}

const FRAUD: usize = 0;
const GENUINE: usize = 1;
const UNKNOWN: usize = 2;

/// Folds the past with an engine that has the policy and the model to be tried, and shows each decision to `see`.
pub fn backtest(
    engine: &mut Engine,
    past: impl Iterator<Item = Past>,
    seed: u64,
    mut see: impl FnMut(&Decision, Option<bool>),
) -> Result<Report, ApplyError> {
    let mut days = Days::default();
    let mut refused = 0;
    for event in past {
        let counted = match &event {
            Past::Transaction { arrived, amount, was_fraud, .. } => Some((*arrived, *amount, *was_fraud)),
            _ => None,
        };
        match (try_out(engine, event)?, counted) {
            (Tried::Decided(decision), Some((arrived, amount, was_fraud))) => {
                see(&decision, was_fraud);
                days.count(arrived, decision.outcome, was_fraud, amount);
            }
            (Tried::Refused(_), _) => refused += 1,
            _ => {}
        }
    }
    Ok(days.report(refused, seed))
}

/// Folds one event of the past, for who counts for themselves.
pub fn try_out(engine: &mut Engine, event: Past) -> Result<Tried, ApplyError> {
    match event {
        Past::Label { transaction, label } => {
            engine.label(&transaction, label);
        }
        Past::Change(event) => match *event {
            Event::Policy(_) | Event::ShadowPolicy(_) | Event::Model(_) | Event::Rollout(_) => {}
            Event::List(_) => engine.apply(*event)?,
        },
        Past::Transaction { transaction, id, arrived, .. } => {
            return Ok(match engine.decide(&transaction, id, arrived) {
                Ok(decision) => Tried::Decided(Box::new(decision)),
                Err(refusal) => Tried::Refused(refusal),
            });
        }
    }
    Ok(Tried::Passed)
}

impl Days {
    /// Counts a transaction that was decided so.
    pub fn count(&mut self, arrived: i64, outcome: Outcome, was_fraud: Option<bool>, amount: f64) {
        let truth = was_fraud.map_or(UNKNOWN, |fraud| if fraud { FRAUD } else { GENUINE });
        let sum = &mut self.0.entry(arrived.div_euclid(DAY)).or_default().sums[outcome as usize][truth];
        sum.count += 1;
        sum.amount += amount;
    }

    /// What it all came to, beside `refused` that would not have been decided.
    pub fn report(&self, refused: u64, seed: u64) -> Report {
        let days: Vec<Day> = self.0.values().copied().collect();
        report(&days, refused, seed)
    }

    /// How far this is from what `other` came to.
    pub fn difference(&self, other: &Self, seed: u64) -> Difference {
        let numbers: BTreeSet<i64> = self.0.keys().chain(other.0.keys()).copied().collect();
        let of = |days: &Self| numbers.iter().map(|number| days.0.get(number).copied().unwrap_or_default()).collect::<Vec<Day>>();
        let (ours, theirs) = (of(self), of(other));
        let (one, two) = (total(ours.iter()), total(theirs.iter()));
        // The same seed draws the same days for both.
        let drawn: Vec<(Day, Day)> = resamples(&ours, seed).into_iter().zip(resamples(&theirs, seed)).collect();
        let figure = |of: &dyn Fn(&Day) -> f64| Figure::of(of(&one) - of(&two), drawn.iter().map(|(one, two)| of(one) - of(two)));
        let some = |of: &dyn Fn(&Day) -> f64| Some(figure(of)).filter(|figure| figure.value.is_finite());
        let per_day = numbers.len().max(1) as f64;
        Difference {
            fraud_stopped: figure(&|day| day.stopped(FRAUD)),
            fraud_missed: figure(&Day::missed),
            good_sales_lost: figure(&Day::lost),
            reviews: figure(&Day::reviews),
            reviews_per_day: figure(&|day| day.reviews() / per_day),
            value_detection_rate: some(&Day::value_detection_rate),
            insult_rate: some(&Day::insult_rate),
        }
    }
}

fn report(days: &[Day], refused: u64, seed: u64) -> Report {
    let all = total(days.iter());
    let outcomes = Outcome::ALL.map(|outcome| {
        let [fraud, genuine, unknown] = all.sums[outcome as usize];
        OutcomeReport { outcome, fraud, genuine, unknown }
    });
    let resamples = resamples(days, seed);
    let figure = |of: &dyn Fn(&Day) -> f64| Figure::of(of(&all), resamples.iter().map(of));
    let some = |of: &dyn Fn(&Day) -> f64| Some(figure(of)).filter(|figure| figure.value.is_finite());
    let per_day = days.len().max(1) as f64;
    Report {
        transactions: all.sums.iter().flatten().map(|sum| sum.count).sum(),
        refused,
        days: days.len(),
        outcomes: outcomes.into(),
        fraud_stopped: figure(&|day| day.stopped(FRAUD)),
        fraud_missed: figure(&Day::missed),
        good_sales_lost: figure(&Day::lost),
        reviews: figure(&Day::reviews),
        reviews_per_day: figure(&|day| day.reviews() / per_day),
        value_detection_rate: some(&Day::value_detection_rate),
        insult_rate: some(&Day::insult_rate),
    }
}

impl Figure {
    /// A value with what resamples make of it.
    fn of(value: f64, resampled: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = resampled.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| percentile(&values, share).unwrap_or(value);
        Self { value, low: at(0.025), high: at(0.975) }
    }
}

impl Day {
    fn stopped(&self, truth: usize) -> f64 {
        self.sums[1..].iter().map(|truths| truths[truth].amount).sum()
    }

    fn missed(&self) -> f64 {
        self.sums[Outcome::Approve as usize][FRAUD].amount
    }

    fn lost(&self) -> f64 {
        self.sums[Outcome::Decline as usize][GENUINE].amount
    }

    fn value_detection_rate(&self) -> f64 {
        self.stopped(FRAUD) / self.sums.iter().map(|truths| truths[FRAUD].amount).sum::<f64>()
    }

    fn insult_rate(&self) -> f64 {
        let insulted = [Outcome::Challenge, Outcome::Decline].map(|outcome| self.sums[outcome as usize][GENUINE].count);
        let genuine: u64 = self.sums.iter().map(|truths| truths[GENUINE].count).sum();
        insulted.iter().sum::<u64>() as f64 / genuine as f64
    }

    fn reviews(&self) -> f64 {
        self.sums[Outcome::Review as usize].iter().map(|sum| sum.count).sum::<u64>() as f64
    }
}

fn total<'a>(days: impl Iterator<Item = &'a Day>) -> Day {
    days.fold(Day::default(), |mut all, day| {
        for (sum, more) in all.sums.iter_mut().flatten().zip(day.sums.iter().flatten()) {
            sum.count += more.count;
            sum.amount += more.amount;
        }
        all
    })
}

/// As many days as there are, drawn with replacement, again and again.
fn resamples(days: &[Day], seed: u64) -> Vec<Day> {
    if days.is_empty() {
        return Vec::new();
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    // The high half of 64 random bits times a number far below 2^32 is as good as uniform (Lemire 2019, without its rejection).
    let count = days.len() as u64;
    let mut draw = || usize::try_from(((random.next_u64() >> 32) * count) >> 32).unwrap_or_default();
    (0..RESAMPLES).map(|_| total((0..days.len()).map(|_| &days[draw()]))).collect()
}

/// The value of which the share lies below, between neighbours in proportion.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the values")]
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)?) as f64;
    let (below, rest) = (place.floor() as usize, place.fract());
    let above = sorted.get(below + 1).unwrap_or(&sorted[below]);
    Some(sorted[below] + rest * (above - sorted[below]))
}
