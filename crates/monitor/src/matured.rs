//! How good were the decisions, counted as they come and as labels are learnt? The figures of [`mod@crate::quality`] from sums by day, for more
//! decisions than can be kept.
//!
//! A day matures as a whole, when `label_delay` has passed since its end. Scores are counted in bins of 1/64 of log-odds, so that scores
//! whose odds differ by less than 1.6 % may count as equal; all other figures are those of the decisions themselves.

use std::collections::BTreeMap;

use assay_domain::Outcome;
use assay_domain::time::DAY;
use assay_model::metrics::{RankedRow, Ranking, Working};
use serde::{Deserialize, Serialize};

use crate::quality::{Judgement, Money, Quality, mean};

/// Days that are kept, the latest ones. What belongs to an earlier one is not counted.
pub const MAX_DAYS: usize = 100;
/// Bins of one unit of log-odds.
const BINS_PER_UNIT: f64 = 64.0;
/// Log-odds beyond which scores count as equal.
const FURTHEST: f64 = 40.0;

/// Decisions by day and model version, with what is known of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matured {
    days: BTreeMap<i64, BTreeMap<String, Day>>,
}

/// A decision, as far as it is counted here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted<'a> {
    /// When it happened, microseconds since 1970.
    pub at: i64,
    /// The version of the model that scored it.
    pub model: &'a str,
    /// What was decided.
    pub outcome: Outcome,
    /// What the model said; `None` where it could not score.
    pub probability: Option<f64>,
    /// The amount, in minor units of one currency.
    pub amount_minor: i64,
}

/// The decisions of a day by one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Day {
    /// Genuine and frauds by bin of the score, of those that are judged.
    scores: BTreeMap<i32, [u64; 2]>,
    /// By outcome, genuine taken for granted where nothing is known.
    money: [Money; Outcome::ALL.len()],
    /// Those of which nothing is known, by outcome: number and amount.
    silent: [(u64, i64); Outcome::ALL.len()],
    /// All.
    decisions: u64,
}

impl Matured {
    /// Counts a decision of which nothing is known yet.
    pub fn observe(&mut self, decision: &Counted) {
        if let Some(day) = self.day(decision) {
            day.decisions += 1;
            day.add(decision, None, 1);
        }
    }

    /// Counts that something else is known of a decision than before; `before` is what was known.
    pub fn learn(&mut self, decision: &Counted, before: Option<bool>, fraud: bool) {
        if let Some(day) = self.day(decision).filter(|day| day.decisions > 0) {
            day.add(decision, before, -1);
            day.add(decision, Some(fraud), 1);
        }
    }

    /// How good decisions were by model version, in the order of the versions' names.
    pub fn quality(&self, judgement: &Judgement) -> Vec<Quality> {
        let mut models: BTreeMap<&str, (Quality, Vec<&Day>)> = BTreeMap::new();
        for (&number, day) in &self.days {
            let is_mature = is_mature(number, judgement);
            for (model, day) in day {
                let (quality, mature) = models.entry(model).or_default();
                if is_mature {
                    mature.push(day);
                } else {
                    quality.immature += day.decisions;
                }
            }
        }
        models.into_iter().map(|(model, (quality, days))| finish(model, quality, &days, judgement.top)).collect()
    }

    /// The share of mature decisions of which a label told something; `None` where none are mature.
    pub fn labelled(&self, judgement: &Judgement) -> Option<f64> {
        let mature = self.days.iter().filter(|(number, _)| is_mature(**number, judgement)).flat_map(|(_, day)| day.values());
        let (mut decisions, mut silent) = (0, 0);
        for day in mature {
            decisions += day.decisions;
            silent += day.silent.iter().map(|(count, _)| count).sum::<u64>();
        }
        (decisions > 0).then(|| 1.0 - silent as f64 / decisions as f64)
    }

    fn day(&mut self, decision: &Counted) -> Option<&mut Day> {
        let number = decision.at.div_euclid(DAY);
        if self.days.len() == MAX_DAYS && !self.days.contains_key(&number) {
            if self.days.first_key_value().is_some_and(|(&oldest, _)| number < oldest) {
                return None;
            }
            self.days.pop_first();
        }
        Some(self.days.entry(number).or_default().entry(decision.model.to_owned()).or_default())
    }
}

impl Day {
    /// Counts a decision with what is known of it, or takes it out again.
    fn add(&mut self, decision: &Counted, known: Option<bool>, times: i64) {
        let place = decision.outcome as usize;
        let minor = decision.amount_minor.saturating_mul(times);
        if known.is_none() {
            let (count, amount) = &mut self.silent[place];
            *count = count.saturating_add_signed(times);
            *amount = amount.saturating_add(minor);
            if decision.outcome == Outcome::Decline {
                return;
            }
        }
        let fraud = known.unwrap_or(false);
        self.money[place].count(fraud, minor, times);
        if let Some(probability) = decision.probability.filter(|probability| !probability.is_nan()) {
            let count = &mut self.scores.entry(bin(probability)).or_default()[usize::from(fraud)];
            *count = count.saturating_add_signed(times);
        }
    }
}

fn is_mature(day: i64, judgement: &Judgement) -> bool {
    (day + 1).saturating_mul(DAY).saturating_add(judgement.label_delay) <= judgement.as_of
}

fn finish(model: &str, mut quality: Quality, days: &[&Day], top: usize) -> Quality {
    let mut all: BTreeMap<i32, [u64; 2]> = BTreeMap::new();
    for day in days {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            quality.money(outcome).merge(day.money[place]);
        }
        quality.never_known += day.silent[Outcome::Decline as usize].0;
        for (&bin, [genuine, frauds]) in &day.scores {
            let count = all.entry(bin).or_default();
            count[0] += genuine;
            count[1] += frauds;
        }
    }
    let of_outcomes = Outcome::ALL.map(|outcome| *quality.money(outcome));
    quality.frauds = of_outcomes.iter().map(|money| money.frauds).sum();
    quality.judged = quality.frauds + of_outcomes.iter().map(|money| money.genuine).sum::<u64>();
    let average_precision = Some(ranked(&all, top).average_precision).filter(|precision| precision.is_finite());
    let precision_at_top =
        mean(days.iter().filter(|day| !day.scores.is_empty()).map(|day| ranked(&day.scores, top).precision_at_top));
    Quality { model: model.into(), average_precision, precision_at_top, ..quality }
}

fn ranked(scores: &BTreeMap<i32, [u64; 2]>, top: usize) -> assay_model::metrics::Measures {
    let row = |bin: i32, fraud, count: u64| {
        (count > 0).then(|| RankedRow { probability: f64::from(bin), fraud, weight: count as f64, fraud_cost: 0.0 })
    };
    let rows = scores.iter().flat_map(|(&bin, &[genuine, frauds])| [row(bin, false, genuine), row(bin, true, frauds)]);
    let working = Working { threshold: 0.5, top: top as f64, review_cost: 0.0 };
    Ranking::new(rows.flatten().collect()).measure(&working)
}

/// Where a probability is counted.
#[expect(clippy::cast_possible_truncation, reason = "log-odds of at most 40 make 2,560")]
fn bin(probability: f64) -> i32 {
    let log_odds = libm::log(probability / (1.0 - probability));
    (log_odds.clamp(-FURTHEST, FURTHEST) * BINS_PER_UNIT).round() as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quality::{Judged, Learnt, quality};

    type Happened = (i64, i64, usize, u8, Option<f64>, i64, Vec<bool>);

    /// Decisions on ten days by two models, with labels in the order in which they were learnt.
    fn happened() -> impl Strategy<Value = Vec<Happened>> {
        let score = prop::option::weighted(0.9, prop_oneof![0.0..=1.0, Just(0.0), Just(1.0), 0.4..0.41]);
        let one = (0..10_i64, 1..DAY, 0..2_usize, 0..4_u8, score, 0..10_000_i64, prop::collection::vec(any::<bool>(), 0..3));
        prop::collection::vec(one, 0..150)
    }

    /// A score that is counted where it lies.
    fn rounded(probability: f64) -> f64 {
        f64::from(bin(probability))
    }

    proptest! {
        /// Against the judgement of each decision by itself.
        #[test]
        fn sums_by_day_say_what_all_decisions_say(happened in happened(), today in 5..14_i64, delay in 0..4_i64) {
            let judgement = Judgement { as_of: today * DAY, label_delay: delay * DAY, top: 5 };
            let models = ["m@1", "m@2"];
            let mut matured = Matured::default();
            let labels: Vec<Vec<Learnt>> = happened
                .iter()
                .map(|(day, .., labels)| labels.iter().map(|&fraud| Learnt { fraud, at: day * DAY }).collect())
                .collect();
            let mut judged = Vec::new();
            for ((day, second, model, outcome, probability, amount_minor, told), labels) in happened.iter().zip(&labels) {
                let (at, model, outcome) = (day * DAY + second, models[*model], Outcome::ALL[usize::from(*outcome)]);
                let counted = Counted { at, model, outcome, probability: *probability, amount_minor: *amount_minor };
                matured.observe(&counted);
                let mut before = None;
                for &fraud in told {
                    matured.learn(&counted, before, fraud);
                    before = Some(fraud);
                }
                let probability = probability.map(rounded);
                judged.push(Judged { at, model, outcome, probability, amount_minor: *amount_minor, card: None, labels });
            }
            // Labels of a day that has not come are not known to the other, but its decisions are immature here and there.
            let expected = quality(judged, &judgement).unwrap();
            prop_assert_eq!(matured.quality(&judgement), expected);
            let mature: Vec<&Happened> = happened.iter().filter(|(day, ..)| (day + 1 + delay) <= today).collect();
            let told = mature.iter().filter(|(.., labels)| !labels.is_empty()).count();
            let labelled = matured.labelled(&judgement);
            prop_assert_eq!(labelled.is_some(), !mature.is_empty());
            prop_assert!(labelled.is_none_or(|share| (share - told as f64 / mature.len() as f64).abs() < 1e-12));
            // Written down and read back it is the same.
            let written = serde_json::to_string(&matured).unwrap();
            prop_assert_eq!(serde_json::from_str::<Matured>(&written).unwrap(), matured);
        }
    }

    #[test]
    fn only_the_latest_days_are_kept() {
        let at = |day| Counted { at: day * DAY, model: "m", outcome: Outcome::Approve, probability: Some(0.5), amount_minor: 1 };
        let mut matured = Matured::default();
        let days = i64::try_from(MAX_DAYS).unwrap();
        for day in 0..2 * days {
            matured.observe(&at(day));
        }
        matured.observe(&at(3));
        matured.learn(&at(3), None, true);
        let judgement = Judgement { as_of: 1_000 * DAY, label_delay: 0, top: 1 };
        let quality = &matured.quality(&judgement)[0];
        assert_eq!((quality.judged, quality.frauds), (MAX_DAYS as u64, 0));
    }
}
