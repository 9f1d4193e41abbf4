//! How good were the decisions, now that their labels are mature? By model version, as of a moment, in ranks and in money.
//!
//! A label is mature when `label_delay` has passed since its transaction; until then the lack of a label means nothing. From then on a
//! transaction without one was genuine, because issuers report frauds and seldom anything else; unless it was declined, for then nobody
//! will ever report it. Such transactions are counted and not judged.

use std::collections::{BTreeMap, BTreeSet};

use assay_domain::Outcome;
use assay_domain::time::DAY;
use assay_model::metrics::{RankedRow, Ranking, Working};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Decisions judged at once at most: about 1 GB.
pub const MAX_JUDGED: usize = 10_000_000;

/// A decision, and what was learnt of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged<'a> {
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
    /// Its card, when that is known: any number that is the same for the same card.
    pub card: Option<u64>,
    /// Labels in the order in which they were learnt.
    pub labels: &'a [Learnt],
}

/// A label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// Whether it says fraud.
    pub fraud: bool,
    /// When it was learnt, microseconds since 1970.
    pub at: i64,
}

/// By what decisions are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The moment whose knowledge counts, microseconds since 1970.
    pub as_of: i64,
    /// How long after its transaction a label is mature, in microseconds.
    pub label_delay: i64,
    /// How many transactions, and how many cards, can be looked at in a day.
    pub top: usize,
}

/// How one version of the model did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The version.
    pub model: String,
    /// Decisions too young to be judged.
    pub immature: u64,
    /// Mature ones that were declined and never labelled: what they were is not known.
    pub never_known: u64,
    /// Mature ones that were judged.
    pub judged: u64,
    /// Frauds among them.
    pub frauds: u64,
    /// Area under the precision–recall steps; `None` without a fraud, or without anything else.
    pub average_precision: Option<f64>,
    /// Mean over the days of the share of frauds among the `top` transactions that scored highest.
    pub precision_at_top: Option<f64>,
    /// Mean over the days of the share of compromised cards among the `top` that scored highest (the handbook's CP@k, Le Borgne et al.,
    /// chapter 4); a card found on one day is not looked at again. `None` where cards are not known.
    pub card_precision_at_top: Option<f64>,
    /// Money and numbers by outcome.
    pub approve: Money,
    /// Likewise.
    pub review: Money,
    /// Likewise.
    pub challenge: Money,
    /// Likewise: the frauds are fraud stopped, the genuine are good sales lost.
    pub decline: Money,
}

/// What decisions of one outcome turned out to be, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Frauds.
    pub frauds: u64,
    /// What they amount to.
    pub fraud_minor: i64,
    /// Genuine transactions.
    pub genuine: u64,
    /// What they amount to.
    pub genuine_minor: i64,
}

/// Too much to judge at once.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("there are more than {MAX_JUDGED} decisions to judge: choose a shorter time")]
pub struct TooManyError;

/// Judges decisions by model version, in the order of the versions' names.
pub fn quality<'a>(decisions: impl IntoIterator<Item = Judged<'a>>, judgement: &Judgement) -> Result<Vec<Quality>, TooManyError> {
    let mut models: BTreeMap<&str, Judge> = BTreeMap::new();
    for (place, decision) in decisions.into_iter().enumerate() {
        if place == MAX_JUDGED {
            return Err(TooManyError);
        }
        models.entry(decision.model).or_default().take(&decision, judgement);
    }
    Ok(models.into_iter().map(|(model, judge)| judge.finish(model, judgement.top)).collect())
}

/// What is known of a decision as of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Immature,
    Never,
    Fraud,
    Genuine,
}

fn known(decision: &Judged, judgement: &Judgement) -> Known {
    if decision.at.saturating_add(judgement.label_delay) > judgement.as_of {
        return Known::Immature;
    }
    // Labels from the future of `as_of` were not known; of those that were, the latest counts, and of equally late ones the last.
    let latest = decision.labels.iter().filter(|label| label.at <= judgement.as_of).max_by_key(|label| label.at);
    match (latest, decision.outcome) {
        (Some(Learnt { fraud: true, .. }), _) => Known::Fraud,
        (None, Outcome::Decline) => Known::Never,
        _ => Known::Genuine,
    }
}

/// The decisions of one version.
#[derive(Default)]
struct Judge {
    quality: Quality,
    rows: Vec<Scored>,
}

#[derive(Clone, Copy)]
struct Scored {
    day: i64,
    card: Option<u64>,
    probability: f64,
    fraud: bool,
}

impl Judge {
    fn take(&mut self, decision: &Judged, judgement: &Judgement) {
        let fraud = match known(decision, judgement) {
            Known::Immature => return self.quality.immature += 1,
            Known::Never => return self.quality.never_known += 1,
            known => known == Known::Fraud,
        };
        self.quality.judged += 1;
        self.quality.frauds += u64::from(fraud);
        self.quality.money(decision.outcome).add(fraud, decision.amount_minor);
        if let Some(probability) = decision.probability.filter(|probability| !probability.is_nan()) {
            self.rows.push(Scored { day: decision.at.div_euclid(DAY), card: decision.card, probability, fraud });
        }
    }

    fn finish(mut self, model: &str, top: usize) -> Quality {
        // Stable, so that what does not differ stays in the order of arrival.
        self.rows.sort_by_key(|row| row.day);
        let working = Working { threshold: 0.5, top: top as f64, review_cost: 0.0 };
        let ranked = |rows: &[Scored]| {
            let row = |row: &Scored| RankedRow { probability: row.probability, fraud: row.fraud, weight: 1.0, fraud_cost: 0.0 };
            Ranking::new(rows.iter().map(row).collect()).measure(&working)
        };
        let days = || self.rows.chunk_by(|one, next| one.day == next.day);
        let average_precision = Some(ranked(&self.rows).average_precision).filter(|precision| precision.is_finite());
        let precision_at_top = mean(days().map(|day| ranked(day).precision_at_top));
        let card_precision_at_top =
            if self.rows.iter().all(|row| row.card.is_some()) { card_precision(days(), top) } else { None };
        Quality { model: model.into(), average_precision, precision_at_top, card_precision_at_top, ..self.quality }
    }
}

impl Quality {
    pub(crate) fn money(&mut self, outcome: Outcome) -> &mut Money {
        match outcome {
            Outcome::Approve => &mut self.approve,
            Outcome::Review => &mut self.review,
            Outcome::Challenge => &mut self.challenge,
            Outcome::Decline => &mut self.decline,
        }
    }
}

impl Money {
    fn add(&mut self, fraud: bool, amount_minor: i64) {
        self.count(fraud, amount_minor, 1);
    }

    /// Counts so many that amount to this together, or takes them out where there are fewer than none.
    pub(crate) fn count(&mut self, fraud: bool, amount_minor: i64, times: i64) {
        let (count, minor) =
            if fraud { (&mut self.frauds, &mut self.fraud_minor) } else { (&mut self.genuine, &mut self.genuine_minor) };
        *count = count.saturating_add_signed(times);
        *minor = minor.saturating_add(amount_minor);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.frauds += other.frauds;
        self.fraud_minor = self.fraud_minor.saturating_add(other.fraud_minor);
        self.genuine += other.genuine;
        self.genuine_minor = self.genuine_minor.saturating_add(other.genuine_minor);
    }
}

fn card_precision<'a>(days: impl Iterator<Item = &'a [Scored]>, top: usize) -> Option<f64> {
    let mut found: BTreeSet<u64> = BTreeSet::new();
    mean(days.map(|day| {
        let mut cards: BTreeMap<u64, (f64, bool)> = BTreeMap::new();
        for row in day {
            let card = cards.entry(row.card.unwrap_or_default()).or_insert((f64::NEG_INFINITY, false));
            *card = (card.0.max(row.probability), card.1 || row.fraud);
        }
        let mut looked_at: Vec<(u64, (f64, bool))> = cards.into_iter().filter(|(card, _)| !found.contains(card)).collect();
        // Stable, so that cards of the same score come in the order of their numbers.
        looked_at.sort_by(|(_, one), (_, other)| other.0.total_cmp(&one.0));
        looked_at.truncate(top);
        let before = found.len();
        found.extend(looked_at.iter().filter(|(_, (_, fraud))| *fraud).map(|(card, _)| *card));
        (found.len() - before) as f64 / top as f64
    }))
}

pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 100 * DAY;
    const JUDGEMENT: Judgement = Judgement { as_of: NOW, label_delay: 7 * DAY, top: 2 };

    fn decided(at: i64, outcome: Outcome, labels: &[Learnt]) -> Judged<'_> {
        Judged { at, model: "m", outcome, probability: Some(0.5), amount_minor: 100, card: None, labels }
    }

    fn learnt(fraud: bool, at: i64) -> Learnt {
        Learnt { fraud, at }
    }

    #[test]
    fn a_label_reads_as_the_design_says() {
        let old = NOW - 7 * DAY;
        let check = |at, outcome, labels: &[Learnt]| known(&decided(at, outcome, labels), &JUDGEMENT);
        assert_eq!(check(old, Outcome::Approve, &[]), Known::Genuine);
        assert_eq!(check(old + 1, Outcome::Approve, &[learnt(true, NOW)]), Known::Immature);
        assert_eq!(check(old, Outcome::Decline, &[]), Known::Never);
        assert_eq!(check(old, Outcome::Decline, &[learnt(false, NOW)]), Known::Genuine);
        assert_eq!(check(old, Outcome::Review, &[learnt(true, NOW)]), Known::Fraud);
        // From the future of the question.
        assert_eq!(check(old, Outcome::Approve, &[learnt(true, NOW + 1)]), Known::Genuine);
        // Corrected, in any order of arrival; the last of two at the same moment.
        assert_eq!(check(old, Outcome::Approve, &[learnt(true, NOW), learnt(false, NOW - 1)]), Known::Fraud);
        assert_eq!(check(old, Outcome::Approve, &[learnt(true, NOW), learnt(false, NOW)]), Known::Genuine);
        assert_eq!(check(i64::MAX, Outcome::Approve, &[]), Known::Immature);
    }

    #[test]
    fn money_is_told_by_outcome_and_models_apart() {
        let fraud = [learnt(true, 1)];
        let decisions = [
            Judged { model: "b", ..decided(0, Outcome::Decline, &fraud) },
            Judged { model: "b", amount_minor: 30, ..decided(0, Outcome::Decline, &fraud) },
            Judged { model: "a", probability: None, ..decided(0, Outcome::Approve, &fraud) },
            Judged { model: "a", ..decided(0, Outcome::Approve, &[]) },
        ];
        let qualities = quality(decisions, &JUDGEMENT).unwrap();
        let models: Vec<&str> = qualities.iter().map(|quality| quality.model.as_str()).collect();
        assert_eq!(models, ["a", "b"]);
        assert_eq!(qualities[1].decline, Money { frauds: 2, fraud_minor: 130, genuine: 0, genuine_minor: 0 });
        assert_eq!(qualities[0].approve, Money { frauds: 1, fraud_minor: 100, genuine: 1, genuine_minor: 100 });
        // The fraud that had no score is in the money, and in no rank.
        assert_eq!((qualities[0].judged, qualities[0].average_precision), (2, None));
    }

    #[test]
    fn a_card_counts_once_a_day_and_never_again_once_found() {
        let fraud = [learnt(true, 1)];
        let row = |day: i64, card, probability, labels| Judged {
            card: Some(card),
            probability: Some(probability),
            ..decided(day * DAY, Outcome::Approve, labels)
        };
        let rows = [
            row(0, 1, 0.9, &[][..]),
            row(0, 1, 0.1, &fraud),
            row(0, 2, 0.8, &[]),
            row(0, 3, 0.7, &fraud),
            row(1, 1, 0.9, &fraud),
            row(1, 3, 0.3, &fraud),
            row(1, 2, 0.2, &[]),
            row(1, 4, 0.1, &fraud),
        ];
        assert_eq!(quality(rows, &JUDGEMENT).unwrap()[0].card_precision_at_top, Some(0.5));
    }

    fn any_rows() -> impl Strategy<Value = Vec<(i64, u8, bool, u8)>> {
        prop::collection::vec((0..5_i64, 0..20_u8, any::<bool>(), 0..4_u8), 1..80)
    }

    proptest! {
        #[test]
        fn figures_are_those_of_a_recount(rows in any_rows()) {
            let labels = [[learnt(false, 1)], [learnt(true, 1)]];
            let decisions = rows.iter().map(|&(day, score, fraud, outcome)| Judged {
                probability: Some(f64::from(score) / 20.0),
                ..decided(day * DAY, Outcome::ALL[outcome as usize], &labels[usize::from(fraud)])
            });
            let quality = quality(decisions, &JUDGEMENT).unwrap().remove(0);
            let frauds = rows.iter().filter(|row| row.2).count();
            prop_assert_eq!((quality.judged, quality.frauds), (rows.len() as u64, frauds as u64));
            let of = |outcome: u8, fraud: bool| rows.iter().filter(|row| row.3 == outcome && row.2 == fraud).count() as u64;
            prop_assert_eq!((quality.decline.frauds, quality.decline.genuine), (of(3, true), of(3, false)));
            prop_assert_eq!((quality.approve.frauds, quality.review.genuine), (of(0, true), of(1, false)));

            // Average precision by its definition, over all thresholds.
            let mut recounted = 0.0;
            for score in 0..20_u8 {
                let step = rows.iter().filter(|row| row.1 == score && row.2).count() as f64;
                let above = rows.iter().filter(|row| row.1 >= score).count() as f64;
                let right = rows.iter().filter(|row| row.1 >= score && row.2).count() as f64;
                recounted += if step > 0.0 { step / frauds as f64 * (right / above) } else { 0.0 };
            }
            match quality.average_precision {
                Some(precision) => prop_assert!((precision - recounted).abs() < 1e-12),
                None => prop_assert!(frauds == 0 || frauds == rows.len()),
            }
        }

        #[test]
        fn the_order_of_the_journal_does_not_matter(rows in any_rows(), turn in any::<prop::sample::Index>()) {
            let labels = [[learnt(false, 1)], [learnt(true, 1)]];
            let of = |rows: &[(i64, u8, bool, u8)]| {
                let decisions = rows.iter().map(|&(day, score, fraud, outcome)| Judged {
                    probability: Some(f64::from(score) / 20.0),
                    card: Some(u64::from(score)),
                    ..decided(day * DAY, Outcome::ALL[outcome as usize], &labels[usize::from(fraud)])
                });
                quality(decisions, &JUDGEMENT).unwrap()
            };
            let mut turned = rows.clone();
            turned.rotate_left(turn.index(rows.len()));
            prop_assert_eq!(of(&rows), of(&turned));
        }
    }
}
