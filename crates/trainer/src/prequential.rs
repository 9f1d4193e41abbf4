//! Prequential evaluation: learn from some days, wait for labels, test on the days after, then the same again some days earlier, each time
//! with what was known then (Le Borgne et al., Fraud Detection Handbook, chapter 5).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use assay_model::manifest::Learner;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Step;
use crate::boosted::{self, Boosting};
use crate::dataset::Dataset;
use crate::folds::{Fold, Judgement, measures};
use crate::logistic;
use crate::train::TrainError;

const DAY_SECONDS: f64 = 86_400.0;

/// The lengths of a fold, and what is asked of it.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// What learns.
    pub learner: Learner,
    /// Seconds that a model learns from.
    pub train_seconds: f64,
    /// Seconds between the last transaction learnt from and the first tested, in which labels arrive.
    pub delay_seconds: f64,
    /// Seconds that it is tested on, also how much earlier the next fold is.
    pub test_seconds: f64,
    /// How many folds.
    pub folds: usize,
    /// Where the test of the last fold ends, in the unit of the event time; `None` is the end of the last day.
    pub until: Option<f64>,
    /// Cards that are looked at each day.
    pub top: usize,
    /// Seed of everything random.
    pub seed: u32,
    /// Threads to use; no figure depends on it.
    pub threads: usize,
}

/// How a learner does, fold by fold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prequential {
    /// Settings that did best on as many folds before the first test.
    pub settings: BTreeMap<String, String>,
    /// The folds, the latest first.
    pub folds: Vec<Tested>,
    /// Over the folds.
    pub auc: Spread,
    /// Over the folds.
    pub average_precision: Spread,
    /// Over the folds; `None` when cards are not known.
    pub card_precision: Option<Spread>,
}

/// A fold and how it went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tested {
    /// When what it learnt from begins, in the unit of the event time.
    pub train_from: f64,
    /// When that ends.
    pub train_until: f64,
    /// When its test begins.
    pub test_from: f64,
    /// When that ends.
    pub test_until: f64,
    /// Transactions that it learnt from.
    pub rows_trained: usize,
    /// Frauds among them.
    pub frauds_trained: usize,
    /// Transactions that it was tested on, those of cards known to be compromised left out.
    pub rows_tested: usize,
    /// Frauds among them.
    pub frauds_tested: usize,
    /// Area under the ROC curve.
    pub auc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// Card precision among the top of each day; `None` when cards are not known.
    pub card_precision: Option<f64>,
}

/// A mean and the sample standard deviation around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation; NaN for a single fold.
    pub standard_deviation: f64,
}

/// Why there is no evaluation.
#[derive(Debug, Error)]
pub enum PrequentialError {
    /// Nothing to go by.
    #[error("there is no event time to cut folds by: name its column with --time")]
    NoTime,
    /// The folds reach back too far.
    #[error(
        "{folds} folds, and as many before them to choose settings on, need {needed:.0} days of history before their end, but there are {there:.1}; \
         ask for fewer or shorter folds"
    )]
    TooShort {
        /// Folds asked for.
        folds: usize,
        /// Days that they need.
        needed: f64,
        /// Days that there are.
        there: f64,
    },
    /// A fold without both classes.
    #[error(
        "fold {fold} has {frauds} frauds among {rows} rows {side}: both classes are needed on both sides; use longer folds or a longer history"
    )]
    OneClass {
        /// Which, from 1, the latest first.
        fold: usize,
        /// Which side.
        side: &'static str,
        /// Its rows.
        rows: usize,
        /// Its frauds.
        frauds: usize,
    },
    /// A fold could not be learnt from.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Learns and tests fold by fold, with settings chosen on earlier folds. `cards` says whose each transaction is: with it, transactions of
/// cards known to be compromised are not tested, and the precision among the cards of a day is told.
pub fn prequential(
    data: &Dataset,
    cards: Option<&[u64]>,
    protocol: &Protocol,
    step: Step,
) -> Result<Prequential, PrequentialError> {
    let time = data.time.as_ref().ok_or(PrequentialError::NoTime)?;
    let calendar = Calendar::new(&time.values, time.units_per_second, protocol)?;
    let evaluation = Evaluation { data, cards, protocol, calendar, step };
    let cut = |earlier: f64| (0..protocol.folds).map(|fold| evaluation.fold(fold, earlier)).collect::<Result<Vec<_>, _>>();
    let chosen_on = cut(protocol.before_seconds())?;
    let chosen_on: Vec<Fold> = chosen_on.into_iter().map(|(_, fold)| fold).collect();
    let tests = cut(0.0)?;
    let choice = evaluation.choose(&chosen_on)?;
    let folds = tests.iter().map(|(period, fold)| evaluation.test(period, fold, &choice)).collect::<Result<Vec<_>, _>>()?;
    let card_precisions: Option<Vec<f64>> = folds.iter().map(|fold| fold.card_precision).collect();
    Ok(Prequential {
        settings: choice.described(),
        auc: spread(folds.iter().map(|fold| fold.auc)),
        average_precision: spread(folds.iter().map(|fold| fold.average_precision)),
        card_precision: card_precisions.map(|precisions| spread(precisions.into_iter())),
        folds,
    })
}

impl Protocol {
    /// How much earlier the folds are that settings are chosen on: the labels of all of them are known when the first test begins.
    fn before_seconds(&self) -> f64 {
        self.delay_seconds + self.folds as f64 * self.test_seconds
    }
}

/// What a fold learns from and is tested on, in the unit of the event time.
struct Period {
    train: Range<f64>,
    test: Range<f64>,
}

/// Rows in the order of their time, and where folds lie.
struct Calendar<'a> {
    times: &'a [f64],
    order: Vec<usize>,
    units_per_second: f64,
    until: f64,
}

impl<'a> Calendar<'a> {
    fn new(times: &'a [f64], units_per_second: f64, protocol: &Protocol) -> Result<Self, PrequentialError> {
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by(|&one, &other| times[one].total_cmp(&times[other]));
        let at = |place: Option<&usize>| place.map_or(0.0, |&row| times[row]);
        let (first, last) = (at(order.first()), at(order.last()));
        let day = DAY_SECONDS * units_per_second;
        let until = protocol.until.unwrap_or(((last / day).floor() + 1.0) * day);
        let calendar = Self { times, order, units_per_second, until };
        let earliest = calendar.period(protocol, protocol.folds - 1, protocol.before_seconds()).train.start;
        // The first day of a history seldom begins at midnight.
        if earliest < (first / day).floor() * day {
            let (needed, there) = ((until - earliest) / day, (until - first) / day);
            return Err(PrequentialError::TooShort { folds: protocol.folds, needed, there });
        }
        Ok(calendar)
    }

    /// The fold so many before the last, `earlier` seconds before that.
    fn period(&self, protocol: &Protocol, fold: usize, earlier: f64) -> Period {
        let back = |seconds: f64| self.until - (fold as f64 * protocol.test_seconds + earlier + seconds) * self.units_per_second;
        let (test, learnt) = (protocol.test_seconds, protocol.test_seconds + protocol.delay_seconds);
        Period { train: back(learnt + protocol.train_seconds)..back(learnt), test: back(test)..back(0.0) }
    }

    fn rows(&self, range: &Range<f64>) -> &[usize] {
        let before = |moment: f64| self.order.partition_point(|&row| self.times[row] < moment);
        &self.order[before(range.start)..before(range.end)]
    }

    /// The day of a test, from 0, that a moment is on.
    fn day(&self, moment: f64, test: &Range<f64>) -> f64 {
        ((moment - test.start) / (DAY_SECONDS * self.units_per_second)).floor()
    }
}

/// A learner with its settings.
enum Choice {
    Trees { settings: boosted::Settings, rounds: usize },
    Linear { penalty: f64, balanced: bool },
}

/// Penalties and class weights that a logistic regression may have.
const LINEAR: [(f64, bool); 6] = [(1.0, false), (0.01, false), (100.0, false), (1.0, true), (0.01, true), (100.0, true)];

impl Choice {
    fn described(&self) -> BTreeMap<String, String> {
        match self {
            Self::Trees { settings, rounds } => {
                let mut settings = settings.clone();
                settings.insert("num_iterations".into(), rounds.to_string());
                settings
            }
            Self::Linear { penalty, balanced } => crate::train::linear_settings(*penalty, *balanced),
        }
    }
}

struct Evaluation<'a> {
    data: &'a Dataset,
    cards: Option<&'a [u64]>,
    protocol: &'a Protocol,
    calendar: Calendar<'a>,
    step: Step<'a>,
}

impl Evaluation<'_> {
    fn fold(&self, fold: usize, earlier: f64) -> Result<(Period, Fold), PrequentialError> {
        let period = self.calendar.period(self.protocol, fold, earlier);
        let learnt = self.calendar.rows(&period.train).to_vec();
        let tested = self.not_compromised(&period);
        for (side, rows) in [("to learn from", &learnt), ("to test on", &tested)] {
            let frauds = self.data.frauds(rows);
            if frauds == 0 || frauds == rows.len() {
                return Err(PrequentialError::OneClass { fold: fold + 1, side, rows: rows.len(), frauds });
            }
        }
        Ok((period, Fold { earlier: learnt, later: tested }))
    }

    /// The rows to test on but those of cards of which a fraud is known at the beginning of their day, from the training days on.
    fn not_compromised(&self, period: &Period) -> Vec<usize> {
        let tested = self.calendar.rows(&period.test);
        let Some(cards) = self.cards else { return tested.to_vec() };
        let day_of = |row: usize| self.calendar.day(self.calendar.times[row], &period.test);
        let mut known_from: BTreeMap<u64, f64> = BTreeMap::new();
        for &row in self.calendar.rows(&(period.train.start..period.test.end)) {
            if self.data.fraud[row] {
                // A day's labels are known when the whole day is as old as labels take.
                known_from.entry(cards[row]).or_insert(day_of(row) + 1.0 + self.protocol.delay_seconds / DAY_SECONDS);
            }
        }
        let is_known = |row: usize| known_from.get(&cards[row]).is_some_and(|&from| from <= day_of(row));
        tested.iter().copied().filter(|&row| !is_known(row)).collect()
    }

    fn choose(&self, folds: &[Fold]) -> Result<Choice, TrainError> {
        match self.protocol.learner {
            Learner::BoostedTrees => {
                let found = self.boosting().search(&boosted::candidates(), folds, None, self.step)?;
                Ok(Choice::Trees { settings: found.settings, rounds: found.rounds })
            }
            Learner::Logistic => {
                let mut best: Option<(f64, Choice)> = None;
                for (penalty, balanced) in LINEAR {
                    let choice = Choice::Linear { penalty, balanced };
                    let mut judgement = Judgement::default();
                    for fold in folds {
                        judgement.add(self.data, fold, &self.margins(fold, &choice)?);
                    }
                    let reached = judgement.average_precision();
                    if best.as_ref().is_none_or(|(highest, _)| reached > *highest) {
                        best = Some((reached, choice));
                    }
                }
                Ok(best.expect("there are penalties to choose from").1)
            }
        }
    }

    fn boosting(&self) -> Boosting<'_> {
        Boosting { data: self.data, seed: self.protocol.seed, threads: self.protocol.threads }
    }

    /// What a model that learnt from the earlier rows says of the later ones.
    fn margins(&self, fold: &Fold, choice: &Choice) -> Result<Vec<f64>, TrainError> {
        match choice {
            Choice::Trees { settings, rounds } => {
                let trees = self.boosting().fit(&fold.earlier, settings, *rounds, self.step)?;
                Ok(self.boosting().margins(&trees, &fold.later)?)
            }
            Choice::Linear { penalty, balanced } => {
                let linear = logistic::fit(&self.data.features, &self.data.sample(&fold.earlier), *penalty, *balanced)?;
                Ok(fold.later.iter().map(|&row| linear.margin(&self.data.row(row))).collect())
            }
        }
    }

    fn test(&self, period: &Period, fold: &Fold, choice: &Choice) -> Result<Tested, TrainError> {
        let margins = self.margins(fold, choice)?;
        let measures = measures(self.data, &fold.later, &margins);
        Ok(Tested {
            train_from: period.train.start,
            train_until: period.train.end,
            test_from: period.test.start,
            test_until: period.test.end,
            rows_trained: fold.earlier.len(),
            frauds_trained: self.data.frauds(&fold.earlier),
            rows_tested: fold.later.len(),
            frauds_tested: self.data.frauds(&fold.later),
            auc: measures.auc,
            average_precision: measures.average_precision,
            card_precision: self.cards.map(|cards| {
                let alerts = fold.later.iter().zip(&margins).map(|(&row, &margin)| Alert {
                    day: self.calendar.day(self.calendar.times[row], &period.test),
                    card: cards[row],
                    margin,
                    fraud: self.data.fraud[row],
                });
                card_precision(alerts, self.protocol.top)
            }),
        })
    }
}

/// A tested transaction.
struct Alert {
    day: f64,
    card: u64,
    margin: f64,
    fraud: bool,
}

/// What a day knows of a card: its highest score, and whether any of its transactions was fraud.
struct CardDay {
    margin: f64,
    fraud: bool,
}

/// Mean over the days of the share of compromised cards among the `top` that score highest that day; a card that was found on one day is
/// not looked at on later ones (the handbook's CP@k, chapter 4).
fn card_precision(alerts: impl Iterator<Item = Alert>, top: usize) -> f64 {
    let mut days: BTreeMap<i64, BTreeMap<u64, CardDay>> = BTreeMap::new();
    for alert in alerts {
        #[expect(clippy::cast_possible_truncation, reason = "days of a test")]
        let cards = days.entry(alert.day as i64).or_default();
        let card = cards.entry(alert.card).or_insert(CardDay { margin: f64::NEG_INFINITY, fraud: false });
        card.margin = card.margin.max(alert.margin);
        card.fraud |= alert.fraud;
    }
    let mut found = BTreeSet::new();
    let mut precisions = Vec::new();
    for cards in days.into_values() {
        let mut looked_at: Vec<(u64, CardDay)> = cards.into_iter().filter(|(card, _)| !found.contains(card)).collect();
        // Stable, so that cards of the same score come in the order of their numbers.
        looked_at.sort_by(|(_, one), (_, other)| other.margin.total_cmp(&one.margin));
        looked_at.truncate(top);
        let compromised = looked_at.iter().filter(|(_, card)| card.fraud).map(|(card, _)| *card);
        let before = found.len();
        found.extend(compromised);
        precisions.push((found.len() - before) as f64 / top as f64);
    }
    precisions.iter().sum::<f64>() / precisions.len() as f64
}

fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let values: Vec<f64> = values.collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    Spread { mean, standard_deviation: (squares / (count - 1.0)).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(day: f64, card: u64, margin: f64, fraud: bool) -> Alert {
        Alert { day, card, margin, fraud }
    }

    #[test]
    fn a_card_counts_once_a_day_by_its_highest_score_and_never_again_once_found() {
        let alerts = [
            // Day 0: the genuine payment of card 1 scores highest, its fraud low; card 2 is genuine; card 3 is beyond the top two.
            alert(0.0, 1, 9.0, false),
            alert(0.0, 1, 1.0, true),
            alert(0.0, 2, 8.0, false),
            alert(0.0, 3, 7.0, true),
            // Day 1: card 1 was found, so 3 and 2 are looked at.
            alert(1.0, 1, 9.0, true),
            alert(1.0, 3, 3.0, true),
            alert(1.0, 2, 2.0, false),
            alert(1.0, 4, 1.0, true),
        ];
        assert_eq!(card_precision(alerts.into_iter(), 2), 0.5);
    }

    #[test]
    fn a_spread_is_that_of_a_sample() {
        assert_eq!(spread([1.0, 3.0].into_iter()), Spread { mean: 2.0, standard_deviation: 2.0_f64.sqrt() });
    }
}
