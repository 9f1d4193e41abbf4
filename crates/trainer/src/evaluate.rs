//! Judging probabilities by labels: every figure with the interval that resampling the rows gives it.

use assay_model::manifest::Threshold;
use assay_model::metrics::{Cumulative, Measures, RankedRow, Ranking, Working};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::Step;
use crate::dataset::Dataset;
use crate::duplicates;
use crate::evaluation::{Confusion, CostPoint, Costs, Evaluation, Figure, Point, ReliabilityBin, ScoreBin};

/// Resamples behind an interval, unless asked otherwise.
pub const RESAMPLES: u32 = 1_000;
/// How many transactions a day's team looks at, for precision among the top.
pub const TOP: f64 = 100.0;

/// Bins of the score distribution, equally far apart in log-odds between 10⁻⁵ and 1 − 10⁻⁵.
const SCORE_BINS: u8 = 40;
/// The smallest reliability bin; each bin holds half of what the bins below it left.
const SMALLEST_BIN: f64 = 30.0;
/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// What is judged, and how.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The labelled rows …
    pub data: &'a Dataset,
    /// … of which these were scored,
    pub rows: &'a [usize],
    /// with these probabilities.
    pub probabilities: &'a [f64],
    /// Rows that the model learnt from, when they are in `data`.
    pub learnt_from: Option<&'a [usize]>,
    /// Where the model works, and what mistakes cost.
    pub threshold: &'a Threshold,
    /// What the rows are, in words.
    pub described: &'a str,
    /// Resamples behind each interval.
    pub resamples: u32,
    /// Seed of the resamples.
    pub seed: u32,
}

/// Answers it.
pub fn evaluate(question: &Question, step: Step) -> Evaluation {
    let Question { data, rows, probabilities, threshold, .. } = *question;
    let ranking = Ranking::new(ranked(data, rows, probabilities, threshold.fraud_cost));
    let working = Working { threshold: threshold.probability, top: TOP, review_cost: threshold.review_cost };
    let measures = ranking.measure(&working);
    let resampled = resample(&ranking, &working, question, step);
    let steps = ranking.cumulative();
    let total = steps.last().copied().unwrap_or_default();
    let curve = thin(&steps);
    Evaluation {
        rows_described: question.described.to_owned(),
        rows: rows.len() as u64,
        frauds: data.frauds(rows) as u64,
        fraud_rate: total.frauds / (total.frauds + total.genuine),
        weighted: data.weight.is_some(),
        duplicate_rows: duplicates::within(data, rows),
        rows_seen_in_training: question.learnt_from.map(|learnt_from| duplicates::also_in(data, rows, learnt_from)),
        resamples: question.resamples,
        figures: figures(&measures, &resampled),
        confusion: confusion(threshold.probability, &measures),
        costs: costs(threshold),
        precision_recall: curve
            .iter()
            .map(|at| Point { x: at.frauds / total.frauds, y: at.frauds / (at.frauds + at.genuine) })
            .collect(),
        roc: curve.iter().map(|at| Point { x: at.genuine / total.genuine, y: at.frauds / total.frauds }).collect(),
        reliability: reliability(ranking.rows()),
        score_distribution: score_distribution(ranking.rows(), &total),
        cost_curve: cost_curve(&curve, &total, threshold.review_cost),
    }
}

/// The probability from which a review pays for itself: its cost over what the frauds among `rows` cost on average (Elkan, 2001, for
/// calibrated probabilities). The cheapest threshold on a few dozen frauds would follow their amounts rather than the model.
pub fn break_even(rows: &[RankedRow], review_cost: f64) -> f64 {
    let frauds = || rows.iter().filter(|row| row.fraud);
    let mean_cost = frauds().map(|row| row.weight * row.fraud_cost).sum::<f64>() / frauds().map(|row| row.weight).sum::<f64>();
    if mean_cost > 0.0 { (review_cost / mean_cost).min(1.0) } else { 0.5 }
}

/// Rows as a ranking takes them; a fraud costs a share of its amount, or `fraud_cost` itself where there are no amounts.
pub fn ranked(data: &Dataset, rows: &[usize], probabilities: &[f64], fraud_cost: f64) -> Vec<RankedRow> {
    let cost = |row: usize| data.amount.as_ref().map_or(fraud_cost, |amount| amount.values[row] * fraud_cost);
    rows.iter()
        .zip(probabilities)
        .map(|(&row, &probability)| RankedRow {
            probability,
            fraud: data.fraud[row],
            weight: data.weight_of(row),
            fraud_cost: cost(row),
        })
        .collect()
}

/// Draws as many rows as there are, with replacement, `resamples` times; each resample has a generator of its own.
fn resample(ranking: &Ranking, working: &Working, question: &Question, step: Step) -> Vec<Measures> {
    let done = std::sync::atomic::AtomicU64::new(0);
    (0..question.resamples)
        .into_par_iter()
        .map(|number| {
            let mut random = Xoshiro256PlusPlus::seed_from_u64((u64::from(question.seed) << 32) | u64::from(number));
            let times = draw(ranking.rows().len(), &mut random);
            let finished = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            step("resampling for intervals", finished, u64::from(question.resamples));
            ranking.measure_resample(working, &times)
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below the number of rows")]
fn draw(rows: usize, random: &mut Xoshiro256PlusPlus) -> Vec<u32> {
    let mut times = vec![0; rows];
    for _ in 0..rows {
        // Lemire's multiplication; with 64 random bits its bias is far below anything an interval shows.
        times[((u128::from(random.next_u64()) * rows as u128) >> 64) as usize] += 1;
    }
    times
}

fn figures(measures: &Measures, resampled: &[Measures]) -> Vec<Figure> {
    type Read = fn(&Measures) -> f64;
    let figures: [(&str, &str, Read, &str); 10] = [
        (
            "average_precision",
            "Average precision (AP)",
            |of| of.average_precision,
            "Precision averaged over all recalls: how clean the top of the ranking is. Higher is better; the fraud rate is what chance gives.",
        ),
        (
            "auc",
            "Area under the ROC curve (AUC)",
            |of| of.auc,
            "Chance that a fraud scores above a genuine transaction. Higher is better; 0.5 is chance. Flattering when frauds are rare.",
        ),
        (
            "recall_at_fpr_1_percent",
            "Recall at 1 % false positives",
            |of| of.recall_at_fpr_1_percent,
            "Share of frauds caught when 1 % of the genuine transactions are flagged. Higher is better.",
        ),
        (
            "precision_at_100",
            "Precision among the top 100",
            |of| of.precision_at_top,
            "Share of fraud among the 100 transactions that score highest. Higher is better.",
        ),
        ("brier", "Brier score", |of| of.brier, "Mean squared difference between probability and outcome. Lower is better."),
        (
            "ece",
            "Expected calibration error (ECE)",
            |of| of.ece,
            "How far probabilities are from what came true, over 20 bins of equally many transactions. Lower is better. Resampling adds noise, which this figure only ever takes for error, so its interval may lie above it.",
        ),
        (
            "precision",
            "Precision at the threshold",
            |of| of.confusion.precision(),
            "Share of fraud among the flagged transactions. Higher is better.",
        ),
        (
            "recall",
            "Recall at the threshold",
            |of| of.confusion.recall(),
            "Share of the frauds that are flagged. Higher is better.",
        ),
        (
            "macro_recall",
            "Macro recall at the threshold",
            |of| of.confusion.macro_recall(),
            "Mean of the shares of frauds flagged and of genuine transactions passed. Higher is better.",
        ),
        (
            "money_saved",
            "Money saved",
            |of| of.money_saved,
            "What the flagged frauds would have cost, less the reviews, at the stated costs. Higher is better; 0 is having no model.",
        ),
    ];
    figures
        .into_iter()
        .map(|(key, name, read, meaning)| {
            let (low, high) = interval(resampled.iter().map(read).collect());
            Figure { key: key.into(), name: name.into(), value: read(measures), low, high, meaning: meaning.into() }
        })
        .collect()
}

/// Percentiles 2.5 and 97.5 of the resamples in which the figure exists.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn interval(mut values: Vec<f64>) -> (f64, f64) {
    values.retain(|value| !value.is_nan());
    if values.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (at(0.025), at(0.975))
}

fn confusion(threshold: f64, measures: &Measures) -> Confusion {
    let counts = measures.confusion;
    Confusion {
        threshold,
        frauds_flagged: counts.frauds_flagged,
        frauds_missed: counts.frauds_missed,
        genuine_flagged: counts.genuine_flagged,
        genuine_passed: counts.genuine_passed,
    }
}

fn costs(threshold: &Threshold) -> Costs {
    Costs { review: threshold.review_cost, amount_column: threshold.amount_column.clone(), fraud: threshold.fraud_cost }
}

/// Leaves out points that no plot could tell from their neighbours: less than a thousandth of the frauds and 1 % of the genuine on.
fn thin(steps: &[Cumulative]) -> Vec<Cumulative> {
    let Some(last) = steps.last() else { return Vec::new() };
    let mut kept: Vec<Cumulative> = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let far = kept.last().is_none_or(|kept: &Cumulative| {
            step.frauds - kept.frauds >= last.frauds / 1_000.0 || step.genuine >= kept.genuine * 1.01
        });
        if far || place + 1 == steps.len() {
            kept.push(*step);
        }
    }
    kept
}

fn cost_curve(steps: &[Cumulative], total: &Cumulative, review_cost: f64) -> Vec<CostPoint> {
    let no_model = CostPoint { threshold: 1.0, cost: total.fraud_cost, flagged: 0.0 };
    let points = steps.iter().map(|at| {
        let flagged = at.frauds + at.genuine;
        CostPoint { threshold: at.probability, cost: total.fraud_cost - at.fraud_cost + review_cost * flagged, flagged }
    });
    std::iter::once(no_model).chain(points).collect()
}

/// Bins from the lowest scores up, each with half of what is left, so that the rare high scores get bins of their own.
fn reliability(falling: &[RankedRow]) -> Vec<ReliabilityBin> {
    let mut left = falling;
    let mut bins = Vec::new();
    while !left.is_empty() {
        let take = if (left.len() as f64) < 2.0 * SMALLEST_BIN { left.len() } else { left.len().div_ceil(2) };
        let (rest, bin) = left.split_at(left.len() - take);
        bins.push(reliability_bin(bin));
        left = rest;
    }
    bins
}

fn reliability_bin(rows: &[RankedRow]) -> ReliabilityBin {
    let sum = |of: &dyn Fn(&RankedRow) -> f64| rows.iter().map(of).sum::<f64>();
    let weight = sum(&|row| row.weight);
    let observed = sum(&|row| if row.fraud { row.weight } else { 0.0 }) / weight;
    // Kish's effective number of rows.
    let (low, high) = wilson(observed, weight * weight / sum(&|row| row.weight * row.weight));
    ReliabilityBin { predicted: sum(&|row| row.weight * row.probability) / weight, observed, low, high, rows: rows.len() as u64 }
}

/// Wilson's interval for a share (E. B. Wilson, 1927).
fn wilson(share: f64, rows: f64) -> (f64, f64) {
    let z2 = Z * Z / rows;
    let centre = (share + z2 / 2.0) / (1.0 + z2);
    let half = Z / (1.0 + z2) * (share * (1.0 - share) / rows + z2 / (4.0 * rows)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

fn score_distribution(rows: &[RankedRow], total: &Cumulative) -> Vec<ScoreBin> {
    let reach = libm::log((1.0 - 1e-5) / 1e-5);
    let edge = |bin: u8| match bin {
        0 => 0.0,
        SCORE_BINS => 1.0,
        _ => assay_model::calibration::logistic(reach * (2.0 * f64::from(bin) / f64::from(SCORE_BINS) - 1.0)),
    };
    let mut bins: Vec<ScoreBin> =
        (0..SCORE_BINS).map(|bin| ScoreBin { from: edge(bin), to: edge(bin + 1), genuine: 0.0, fraud: 0.0 }).collect();
    for row in rows {
        let bin = bins.partition_point(|bin| bin.to <= row.probability).min(bins.len() - 1);
        if row.fraud {
            bins[bin].fraud += row.weight / total.frauds;
        } else {
            bins[bin].genuine += row.weight / total.genuine;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fraud: bool, weight: f64, fraud_cost: f64) -> RankedRow {
        RankedRow { probability: 0.5, fraud, weight, fraud_cost }
    }

    #[test]
    fn a_review_pays_from_its_cost_over_the_mean_fraud_on() {
        let rows = [row(true, 1.0, 100.0), row(true, 3.0, 20.0), row(false, 9.0, 1e6)];
        assert_eq!(break_even(&rows, 4.0), 0.1);
    }

    #[test]
    fn when_reviews_cost_more_than_frauds_only_certain_frauds_are_flagged() {
        assert_eq!(break_even(&[row(true, 1.0, 1.0)], 5.0), 1.0);
    }

    #[test]
    fn without_a_known_cost_the_threshold_is_one_half() {
        assert_eq!(break_even(&[row(false, 1.0, 1.0)], 5.0), 0.5);
    }

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // Newcombe (1998), table I: 81 of 263 is 0.2553 to 0.3662.
        let (low, high) = wilson(81.0 / 263.0, 263.0);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
    }
}
