//! Gradient-boosted trees: a small search over settings on later slices of the past, then one fit on all of it.

mod lightgbm;

use std::collections::BTreeMap;

use assay_model::forest::ForestError;
use assay_model::forest::batch::BatchForest;
use assay_model::{Feature, FeatureKind, Forest};
use thiserror::Error;

use self::lightgbm::{BinnedRows, Booster, LightGbmError};
use crate::Step;
use crate::dataset::{Dataset, Sample};
use crate::folds::{Fold, Judgement};

/// Trees that a search may grow to; early stopping ends nearly all far sooner.
pub const MOST_ROUNDS: usize = 1_000;
/// Rounds without a lower log-loss on the later rows before a search stops.
pub const PATIENCE: usize = 50;
/// Genuine rows that a search learns from: of more, every second counts twice, every third three times, and so on. Frauds all stay.
pub const SEARCH_ROWS: usize = 50_000;
/// Rounds when there are too few frauds to stop by.
pub const DEFAULT_ROUNDS: usize = 100;

/// Why no trees were grown.
#[derive(Debug, Error, PartialEq)]
pub enum BoostedError {
    /// LightGBM said no.
    #[error(transparent)]
    LightGbm(#[from] LightGbmError),
    /// There is no such setting.
    #[error("LightGBM has no setting `{0}`; see its documentation of parameters for their names")]
    NoSetting(String),
    /// A setting that is not free.
    #[error("LightGBM's setting `{name}` cannot be given with --set: {instead}")]
    NotFree {
        /// As it was given.
        name: String,
        /// Why not, or what to use instead.
        instead: &'static str,
    },
    /// What LightGBM wrote is not a forest we score.
    #[error("the trees that LightGBM grew cannot be scored: {0}")]
    Forest(#[from] ForestError),
}

/// LightGBM's settings, by its own names; see its documentation of parameters.
pub type Settings = BTreeMap<String, String>;

/// A learner for one dataset. The trees do not depend on `threads`.
#[derive(Clone, Copy)]
pub struct Boosting<'a> {
    /// The rows.
    pub data: &'a Dataset,
    /// Seed of everything that LightGBM draws.
    pub seed: u32,
    /// Threads to use.
    pub threads: usize,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The best settings.
    pub settings: Settings,
    /// How many trees.
    pub rounds: usize,
    /// How they did on the later rows.
    pub judgement: Judgement,
}

/// By how much a later candidate's average precision must be higher to be taken.
const WORTHWHILE: f64 = 0.002;

/// The candidates, the most robust first: a later one must do better to be taken.
///
/// At the start of training the Hessians of all rows sum up to about the number of frauds, so a leaf's least Hessian and the L2 penalty
/// count in frauds. LightGBM's own defaults (0.001 and 0) allow leaves that a thousandth of a fraud decides, and come apart on rare frauds:
/// average precision 0.003 on weighted ULB data. Weighting frauds up changes little once that is mended, and costs calibration.
///
/// The last tells values apart that the usual 255 bins put together. A rule like "above 220" then costs no precision in the sparse tail
/// where it matters: on the handbook's cards average precision goes from 0.655 to 0.691. It takes several times as long as another.
pub fn candidates() -> Vec<Settings> {
    const COMMON: [(&str, &str); 6] = [
        ("learning_rate", "0.05"),
        ("feature_fraction", "0.7"),
        ("bagging_fraction", "0.8"),
        ("bagging_freq", "1"),
        ("lambda_l2", "5"),
        ("min_sum_hessian_in_leaf", "0.1"),
    ];
    let candidate =
        |own: &[(&str, &str)]| COMMON.iter().chain(own).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    vec![
        candidate(&[("num_leaves", "15"), ("min_data_in_leaf", "20")]),
        candidate(&[("num_leaves", "7"), ("min_data_in_leaf", "10")]),
        candidate(&[("num_leaves", "31"), ("min_data_in_leaf", "20"), ("lambda_l2", "10"), ("min_sum_hessian_in_leaf", "1")]),
        candidate(&[("num_leaves", "63"), ("min_data_in_leaf", "50"), ("lambda_l2", "10"), ("min_sum_hessian_in_leaf", "1")]),
        candidate(&[
            ("num_leaves", "8"),
            ("max_depth", "3"),
            ("min_data_in_leaf", "1"),
            ("min_sum_hessian_in_leaf", "1"),
            ("lambda_l2", "1"),
            ("feature_fraction", "1"),
            ("bagging_fraction", "1"),
            ("max_bin", "8191"),
            ("min_data_in_bin", "1"),
        ]),
    ]
}

/// What a model cannot be made with, or what it is made with by other means.
const NOT_FREE: [(&str, &str); 12] = [
    ("objective", "a fraud model tells two classes apart"),
    ("num_class", "a fraud model tells two classes apart"),
    ("deterministic", "the same history and seed must give the same model"),
    ("force_row_wise", "the same history and seed must give the same model"),
    ("force_col_wise", "the same history and seed must give the same model"),
    ("feature_pre_filter", "rows are binned once for all settings"),
    ("categorical_feature", "use --category"),
    ("seed", "use --seed"),
    ("num_threads", "use --threads"),
    ("num_iterations", "use --rounds"),
    ("early_stopping_round", "leave --rounds away, and training stops early by itself"),
    ("metric", "early stopping goes by log-loss"),
];

/// Refuses settings that LightGBM does not know, which it would pass over in silence, and those that are not free.
pub fn check_settings(settings: &Settings) -> Result<(), BoostedError> {
    let known = lightgbm::settings()?;
    for name in settings.keys() {
        let is_it = |(own, others): &(&String, &Vec<String>)| *own == name || others.contains(name);
        let Some((own, _)) = known.iter().find(is_it) else { return Err(BoostedError::NoSetting(name.clone())) };
        if let Some((_, instead)) = NOT_FREE.iter().find(|(not_free, _)| not_free == own) {
            return Err(BoostedError::NotFree { name: name.clone(), instead });
        }
    }
    Ok(())
}

impl Boosting<'_> {
    /// Tries `candidates` on `folds`, of which there is at least one, and gives the one with the highest average precision. Without
    /// `rounds` it stops early; with them it judges models of that many trees, as the one to be made will have.
    pub fn search(
        &self,
        candidates: &[Settings],
        folds: &[Fold],
        rounds: Option<usize>,
        step: Step,
    ) -> Result<Found, BoostedError> {
        let what = "searching settings of boosted trees";
        let fixed = self.fixed_parameters();
        let mut binned: Option<(Settings, Vec<Slice>)> = None;
        let mut best: Option<Found> = None;
        for (place, settings) in candidates.iter().enumerate() {
            step(what, place as u64, candidates.len() as u64);
            let slices = match binned.take() {
                Some((like, slices)) if BINNING.iter().all(|name| like.get(*name) == settings.get(*name)) => slices,
                _ => {
                    let parameters = with(&fixed, settings);
                    folds.iter().map(|fold| Slice::new(self.data, fold, &parameters)).collect::<Result<Vec<_>, _>>()?
                }
            };
            let found = self.try_out(settings, &slices, rounds)?;
            binned = Some((settings.clone(), slices));
            let is_better = |best: &Found| found.judgement.average_precision() > best.judgement.average_precision() + WORTHWHILE;
            if best.as_ref().is_none_or(is_better) {
                best = Some(found);
            }
        }
        step(what, candidates.len() as u64, candidates.len() as u64);
        Ok(best.expect("there is at least one candidate"))
    }

    /// Grows `rounds` trees on `rows`; gives the text of the forest.
    pub fn fit(&self, rows: &[usize], settings: &Settings, rounds: usize, step: Step) -> Result<String, BoostedError> {
        let parameters = with(&self.fixed_parameters(), settings);
        let binned = binned(self.data, &self.data.sample(rows), &parameters, None)?;
        let mut booster = Booster::new(&binned, None, &parameters)?;
        for round in 1..=rounds {
            if !booster.round()? {
                break;
            }
            step("growing trees", round as u64, rounds as u64);
        }
        Ok(booster.text(rounds)?)
    }

    /// What the trees of a text say of `rows`.
    pub fn margins(&self, trees: &str, rows: &[usize]) -> Result<Vec<f64>, BoostedError> {
        let forest = BatchForest::new(Forest::from_lightgbm_text(trees)?);
        let mut margins = Vec::with_capacity(rows.len());
        forest.margins(&self.data.row_major(rows), &mut margins);
        Ok(margins)
    }

    fn try_out(&self, settings: &Settings, slices: &[Slice], rounds: Option<usize>) -> Result<Found, BoostedError> {
        let parameters = with(&self.fixed_parameters(), settings);
        let (most, patience) = rounds.map_or((MOST_ROUNDS, PATIENCE), |rounds| (rounds, rounds));
        let grown =
            slices.iter().map(|slice| slice.grow(self.data, &parameters, most, patience)).collect::<Result<Vec<_>, _>>()?;
        let rounds = rounds.unwrap_or_else(|| best_round(&grown));
        let mut judgement = Judgement::default();
        for (slice, grown) in slices.iter().zip(&grown) {
            judgement.add(self.data, slice.fold, &self.margins(&grown.booster.text(rounds)?, &slice.fold.later)?);
        }
        Ok(Found { settings: settings.clone(), rounds, judgement })
    }

    /// The settings that are the same for every fit: the same data and seed give the same trees.
    fn fixed_parameters(&self) -> String {
        let is_category = |feature: &Feature| matches!(feature.kind, FeatureKind::Category { .. });
        let features = self.data.features.iter().enumerate();
        let categories: Vec<String> =
            features.filter(|(_, feature)| is_category(feature)).map(|(place, _)| place.to_string()).collect();
        let categories =
            if categories.is_empty() { String::new() } else { format!(" categorical_feature={}", categories.join(",")) };
        format!(
            "objective=binary deterministic=true force_row_wise=true feature_pre_filter=false metric=None verbosity=-1 \
             seed={} num_threads={}{categories}",
            self.seed, self.threads
        )
    }
}

/// The settings by which candidates bin rows differently.
const BINNING: [&str; 2] = ["max_bin", "min_data_in_bin"];

/// A fold's rows, binned once for all candidates that bin alike.
struct Slice<'a> {
    fold: &'a Fold,
    earlier: BinnedRows,
    later: BinnedRows,
}

/// Trees grown on a slice, and the log-loss on its later rows after each of them.
struct Grown<'a> {
    booster: Booster<'a>,
    losses: Vec<f64>,
}

impl<'a> Slice<'a> {
    fn new(data: &Dataset, fold: &'a Fold, parameters: &str) -> Result<Self, BoostedError> {
        let earlier = binned(data, &thinned(data, &fold.earlier), parameters, None)?;
        let later = binned(data, &data.sample(&fold.later), parameters, Some(&earlier))?;
        Ok(Self { fold, earlier, later })
    }

    /// Adds at most so many trees, until the log-loss on the later rows has not fallen for `patience` rounds.
    fn grow(&self, data: &Dataset, parameters: &str, most: usize, patience: usize) -> Result<Grown<'_>, BoostedError> {
        let mut booster = Booster::new(&self.earlier, Some(&self.later), parameters)?;
        let (mut losses, mut probabilities) = (Vec::new(), Vec::new());
        let (mut best, mut best_round) = (f64::INFINITY, 0);
        while losses.len() < most && losses.len() < best_round + patience && booster.round()? {
            booster.watched_probabilities(&mut probabilities)?;
            let loss = log_loss(data, &self.fold.later, &probabilities);
            losses.push(loss);
            if loss < best {
                (best, best_round) = (loss, losses.len());
            }
        }
        Ok(Grown { booster, losses })
    }
}

/// The round whose log-loss, summed over slices, is lowest; at least 1.
fn best_round(grown: &[Grown]) -> usize {
    let rounds = grown.iter().map(|grown| grown.losses.len()).min().unwrap_or(0);
    let loss = |round: usize| grown.iter().map(|grown| grown.losses[round]).sum::<f64>();
    (0..rounds).min_by(|&first, &second| loss(first).total_cmp(&loss(second))).map_or(1, |round| round + 1)
}

fn log_loss(data: &Dataset, rows: &[usize], probabilities: &[f64]) -> f64 {
    let of_row = |(&row, &probability): (&usize, &f64)| {
        let right = if data.fraud[row] { probability } else { 1.0 - probability };
        -data.weight_of(row) * libm::log(right.max(1e-15))
    };
    rows.iter().zip(probabilities).map(of_row).sum()
}

/// The rows with at most [`SEARCH_ROWS`] genuine ones, spread evenly and weighted up to what they stand for.
fn thinned(data: &Dataset, rows: &[usize]) -> Sample {
    let step = (rows.len() - data.frauds(rows)).div_ceil(SEARCH_ROWS).max(1);
    let mut genuine = 0;
    let kept: Vec<usize> = rows
        .iter()
        .copied()
        .filter(|&row| {
            genuine += usize::from(!data.fraud[row]);
            data.fraud[row] || genuine % step == 0
        })
        .collect();
    let mut sample = data.sample(&kept);
    for (weight, fraud) in sample.weight.iter_mut().zip(&sample.fraud) {
        *weight *= if *fraud { 1.0 } else { step as f64 };
    }
    sample
}

fn binned(data: &Dataset, sample: &Sample, parameters: &str, like: Option<&BinnedRows>) -> Result<BinnedRows, BoostedError> {
    let names: Vec<String> = data.features.iter().map(|feature| feature.name.clone()).collect();
    Ok(BinnedRows::new(sample, &names, parameters, like)?)
}

fn with(fixed: &str, settings: &Settings) -> String {
    settings.iter().fold(fixed.to_owned(), |all, (name, value)| format!("{all} {name}={value}"))
}
