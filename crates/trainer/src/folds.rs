//! Choosing between models without touching the rows held back: learn from earlier rows, judge by later ones.

use assay_model::metrics::{Measures, RankedRow, Ranking, Working};

use crate::calibrate::Outcome;
use crate::dataset::Dataset;
use crate::split::stratified_folds;

/// A slice with fewer frauds than this says nothing about a model.
pub const FEWEST_FRAUDS: usize = 3;

/// Where the past is cut: each later slice is judged by what came before it.
const CUTS: [(f64, f64); 2] = [(0.6, 0.8), (0.8, 1.0)];
/// Folds when rows have no time.
const FOLDS_BY_CHANCE: usize = 3;

/// Rows to learn from and rows to judge by, as places in a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Learn from these.
    pub earlier: Vec<usize>,
    /// Judge by these.
    pub later: Vec<usize>,
}

/// How a model did on the later rows of all folds.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// What it said of each later row, by place in the dataset.
    pub outcomes: Vec<(usize, Outcome)>,
    average_precision: f64,
    frauds: f64,
}

/// Folds of `train`: by time when `gap` is given (the rows are in order of time then), else by chance, stratified. Folds with fewer than
/// [`FEWEST_FRAUDS`] frauds on either side are left out, so there may be none.
pub fn folds(data: &Dataset, train: &[usize], gap: Option<f64>) -> Vec<Fold> {
    let folds: Vec<Fold> = match (gap, &data.time) {
        (Some(gap), Some(time)) => CUTS.iter().map(|cut| fold_by_time(train, &time.values, gap, *cut)).collect(),
        _ => folds_by_chance(data, train),
    };
    folds.into_iter().filter(|fold| data.frauds(&fold.earlier).min(data.frauds(&fold.later)) >= FEWEST_FRAUDS).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn fold_by_time(train: &[usize], times: &[f64], gap: f64, (from, to): (f64, f64)) -> Fold {
    let place = |share: f64| (train.len() as f64 * share) as usize;
    let later = train[place(from)..place(to)].to_vec();
    let begins = later.first().map_or(f64::INFINITY, |&row| times[row]);
    let known = |row: &usize| times[*row] < begins - gap || (gap == 0.0 && times[*row] == begins);
    Fold { earlier: train[..place(from)].iter().copied().filter(known).collect(), later }
}

fn folds_by_chance(data: &Dataset, train: &[usize]) -> Vec<Fold> {
    let fraud: Vec<bool> = train.iter().map(|&row| data.fraud[row]).collect();
    let fold_of = stratified_folds(&fraud, FOLDS_BY_CHANCE);
    let side = |fold: usize, held_back: bool| {
        train.iter().zip(&fold_of).filter(|&(_, &of)| (of == fold) == held_back).map(|(&row, _)| row).collect()
    };
    (0..FOLDS_BY_CHANCE).map(|fold| Fold { earlier: side(fold, false), later: side(fold, true) }).collect()
}

impl Judgement {
    /// Adds what a model said of a fold's later rows.
    pub fn add(&mut self, data: &Dataset, fold: &Fold, margins: &[f64]) {
        let frauds = data.frauds(&fold.later) as f64;
        self.average_precision += frauds * measures(data, &fold.later, margins).average_precision;
        self.frauds += frauds;
        self.outcomes.extend(
            fold.later
                .iter()
                .zip(margins)
                .map(|(&row, &margin)| (row, Outcome { margin, fraud: data.fraud[row], weight: data.weight_of(row) })),
        );
    }

    /// Mean of the folds' average precision, each by its frauds; 0 when there was no fold.
    pub fn average_precision(&self) -> f64 {
        if self.frauds > 0.0 { self.average_precision / self.frauds } else { 0.0 }
    }
}

/// How margins rank `rows`; the threshold and the money among the measures mean nothing.
pub fn measures(data: &Dataset, rows: &[usize], margins: &[f64]) -> Measures {
    let ranked = rows.iter().zip(margins).map(|(&row, &margin)| RankedRow {
        probability: margin,
        fraud: data.fraud[row],
        weight: data.weight_of(row),
        fraud_cost: 0.0,
    });
    Ranking::new(ranked.collect()).measure(&Working { threshold: 0.0, top: 1.0, review_cost: 0.0 })
}
