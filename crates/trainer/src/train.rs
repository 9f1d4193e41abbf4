//! From labelled rows to a model that has been judged: hold rows back, look for leaks, learn, calibrate, choose a threshold, judge.

mod trees;

use std::collections::BTreeMap;

use assay_model::manifest::{Baseline, GoldenRow, Histogram, Interval, Learner, Threshold, Training};
use assay_model::{Artifact, ArtifactError, Calibration, FeatureKind, Linear, Manifest};
use thiserror::Error;

use crate::Step;
use crate::boosted::BoostedError;
use crate::dataset::{Dataset, DatasetError};
use crate::duplicates;
use crate::evaluate::{Question, evaluate};
use crate::evaluation::{Evaluation, Importance};
use crate::leaks::{self, Leak};
use crate::logistic::{self, LogisticError};
use crate::reference::{Scored, reference};
use crate::split::{self, Split};

/// How a model is to be made.
#[derive(Clone, Debug)]
pub struct Options {
    /// What learns it.
    pub learner: Learner,
    /// How rows are held back.
    pub split: SplitBy,
    /// Seconds before the first row held back whose labels were not known yet.
    pub gap_seconds: f64,
    /// Seed of everything random.
    pub seed: u32,
    /// Threads to use; the model does not depend on it.
    pub threads: usize,
    /// Cost of looking at one flagged transaction.
    pub review_cost: f64,
    /// Cost of a missed fraud: a share of its amount, or the cost itself where there are no amounts.
    pub fraud_cost: f64,
    /// Share of the genuine transactions that the history kept, when it was thinned out.
    pub genuine_kept: Option<f64>,
    /// LightGBM's settings, instead of searching for them.
    pub settings: BTreeMap<String, String>,
    /// How many trees, instead of stopping early.
    pub rounds: Option<usize>,
    /// Resamples behind each interval.
    pub resamples: u32,
    /// Whether the history came from the simulator.
    pub simulated: bool,
    /// The SQL that made the features out of transactions, when something did.
    pub definition: Option<String>,
    /// Name and version of the program.
    pub made_by: String,
}

/// How rows are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// By time when there is one, else by chance.
    Default,
    /// The last fifth by time.
    Time,
    /// A fifth by chance.
    Random,
}

/// A model, and how it did.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model.
    pub artifact: Artifact,
    /// Its file.
    pub bytes: Vec<u8>,
    /// How it did on the rows held back; then, when there is a time, how the same learner does on the other split.
    pub evaluations: Vec<Evaluation>,
    /// What each feature does in it.
    pub importance: Vec<Importance>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Why there is no model.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The history is too small.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The history leaks.
    #[error(transparent)]
    Leak(#[from] Leak),
    /// The linear learner found nothing.
    #[error(transparent)]
    Logistic(#[from] LogisticError),
    /// The tree learner found nothing.
    #[error(transparent)]
    Boosted(#[from] BoostedError),
    /// A split by time without a time.
    #[error("there is no event time to split by: name its column with --time, or use --split random")]
    NoTime,
    /// One side of the split has no frauds, or nothing else.
    #[error(
        "of the {rows} rows {side}, {frauds} are frauds: both classes are needed on both sides; use a longer history, a shorter --gap, or --split random"
    )]
    OneClass {
        /// Which side.
        side: &'static str,
        /// Its rows.
        rows: usize,
        /// Its frauds.
        frauds: usize,
    },
    /// The model cannot be written down.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// What was learnt, before it is an artifact.
#[derive(Clone)]
struct Learnt {
    learner: Learner,
    trees: String,
    linear: Option<Linear>,
    calibration: Calibration,
    threshold: f64,
    settings: BTreeMap<String, String>,
    notes: Vec<String>,
}

/// Makes a model of `data` and judges it on the rows held back.
pub fn train(data: &Dataset, options: &Options, step: Step) -> Result<Trained, TrainError> {
    let gap = data.time.as_ref().map(|time| options.gap_seconds * time.units_per_second);
    let by_time = match (options.split, gap) {
        (SplitBy::Time, None) => return Err(TrainError::NoTime),
        (SplitBy::Random, _) | (SplitBy::Default, None) => false,
        (SplitBy::Time | SplitBy::Default, Some(_)) => true,
    };
    data.check_enough()?;
    let maker = Maker { data, options, gap: gap.unwrap_or(0.0), step };
    let split = maker.split(by_time)?;
    leaks::check(data, &split)?;
    let learnt = maker.learn(&split)?;
    let (draft, _) = Artifact::build(maker.manifest(&learnt, &split), &learnt.trees)?;
    let probabilities = maker.probabilities(&draft, &split.test);
    let mut evaluations = vec![maker.judge(&draft, &split, &probabilities)];
    if data.time.is_some() {
        evaluations.push(maker.other_split(&learnt, !by_time)?);
    }
    let manifest = Manifest {
        quality: quality(&evaluations[0]),
        baseline: maker.spreads(&draft, &split, &probabilities),
        ..draft.manifest().clone()
    };
    let (artifact, bytes) = Artifact::build(manifest, &learnt.trees)?;
    let importance = importance(&artifact, data, &split.train);
    Ok(Trained { artifact, bytes, evaluations, importance, notes: learnt.notes })
}

/// What all steps share.
struct Maker<'a> {
    data: &'a Dataset,
    options: &'a Options,
    /// In the event time's own unit.
    gap: f64,
    step: Step<'a>,
}

impl Maker<'_> {
    fn split(&self, by_time: bool) -> Result<Split, TrainError> {
        let split = match &self.data.time {
            Some(time) if by_time => split::by_time(&time.values, self.gap),
            _ => split::by_chance(self.data.rows(), self.options.seed),
        };
        for (side, rows) in [("to learn from", &split.train), ("held back", &split.test)] {
            let frauds = self.data.frauds(rows);
            if frauds == 0 || frauds == rows.len() {
                return Err(TrainError::OneClass { side, rows: rows.len(), frauds });
            }
        }
        Ok(split)
    }

    fn learn(&self, split: &Split) -> Result<Learnt, TrainError> {
        match self.options.learner {
            Learner::Logistic => self.learn_as_the_seed(&split.train),
            Learner::BoostedTrees => self.learn_trees(split),
        }
    }

    /// The seed system's learner, to the letter: flagged from one half on, no calibration.
    fn learn_as_the_seed(&self, train: &[usize]) -> Result<Learnt, TrainError> {
        let (features, sample) = (&self.data.features, self.data.sample(train));
        let search = logistic::search(features, &sample, &logistic::SEED_PENALTIES, logistic::SEED_FOLDS, self.step)?;
        let tried = search.macro_recall.iter().map(|(penalty, recall)| format!("C = {penalty}: {recall:.4}"));
        let note =
            format!("Macro recall by {}-fold cross-validation: {}.", logistic::SEED_FOLDS, tried.collect::<Vec<_>>().join(", "));
        Ok(Learnt {
            learner: Learner::Logistic,
            trees: String::new(),
            linear: Some(search.linear),
            calibration: Calibration::None,
            threshold: 0.5,
            settings: linear_settings(search.penalty, true),
            notes: vec![note],
        })
    }

    /// The same learner with the same settings, learnt and judged on the other split.
    fn other_split(&self, learnt: &Learnt, by_time: bool) -> Result<Evaluation, TrainError> {
        let split = self.split(by_time)?;
        let mut other = learnt.clone();
        match learnt.linear {
            Some(_) => {
                let setting = |name: &str| learnt.settings.get(name).map(String::as_str);
                let penalty = setting("C").and_then(|penalty| penalty.parse().ok()).unwrap_or(1.0);
                let balanced = setting("class_weight") == Some("balanced");
                let sample = self.data.sample(&split.train);
                other.linear = Some(logistic::fit(&self.data.features, &sample, penalty, balanced)?);
            }
            None => other.trees = self.grow_again(learnt, &split.train)?,
        }
        let (artifact, _) = Artifact::build(self.manifest(&other, &split), &other.trees)?;
        Ok(self.judge(&artifact, &split, &self.probabilities(&artifact, &split.test)))
    }

    fn probabilities(&self, artifact: &Artifact, rows: &[usize]) -> Vec<f64> {
        let mut probabilities = Vec::with_capacity(rows.len());
        artifact.probabilities(&self.data.row_major(rows), &mut probabilities);
        probabilities
    }

    /// How features were spread that were learnt from, and scores on what was held back, whose probabilities are given.
    fn spreads(&self, artifact: &Artifact, split: &Split, probabilities: &[f64]) -> Baseline {
        let rows = [split.train.as_slice(), &split.test].concat();
        let everywhere = [self.probabilities(artifact, &split.train).as_slice(), probabilities].concat();
        let held_back = Scored { rows: &split.test, probabilities };
        let all = Scored { rows: &rows, probabilities: &everywhere };
        baseline(self.data, &split.train, held_back, all, self.options.genuine_kept)
    }

    fn judge(&self, artifact: &Artifact, split: &Split, probabilities: &[f64]) -> Evaluation {
        let question = Question {
            data: self.data,
            rows: &split.test,
            probabilities,
            learnt_from: Some(&split.train),
            threshold: &artifact.manifest().threshold,
            described: &split.described,
            resamples: self.options.resamples,
            seed: self.options.seed,
        };
        evaluate(&question, self.step)
    }

    fn manifest(&self, learnt: &Learnt, split: &Split) -> Manifest {
        let (data, options) = (self.data, self.options);
        let range = |values: &[f64]| {
            let times = || split.train.iter().map(|&row| values[row]);
            (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max))
        };
        Manifest {
            made_by: options.made_by.clone(),
            learner: learnt.learner,
            label: data.label.clone(),
            features: data.features.clone(),
            fingerprint: String::new(),
            training: Training {
                rows: split.train.len() as u64,
                frauds: data.frauds(&split.train) as u64,
                time_column: data.time.as_ref().map(|time| time.column.clone()),
                time_range: data.time.as_ref().map(|time| range(&time.values)),
                split: if split.by_time { "time" } else { "random" }.into(),
                seed: u64::from(options.seed),
                settings: learnt.settings.clone(),
                simulated: options.simulated,
                weight_column: data.weight_column.clone(),
                row_sketch: duplicates::sketch(data, &split.train),
            },
            quality: BTreeMap::new(),
            calibration: learnt.calibration.clone(),
            genuine_kept: options.genuine_kept,
            threshold: Threshold {
                probability: learnt.threshold,
                review_cost: options.review_cost,
                fraud_cost: options.fraud_cost,
                amount_column: data.amount.as_ref().map(|amount| amount.column.clone()),
            },
            baseline: Baseline::default(),
            golden: golden(data, &split.test),
            linear: learnt.linear.clone(),
            definition: options.definition.clone(),
            imported: None,
        }
    }
}

/// The settings of a logistic regression, as a manifest holds them.
pub(crate) fn linear_settings(penalty: f64, balanced: bool) -> BTreeMap<String, String> {
    let class_weight = if balanced { "balanced" } else { "none" };
    BTreeMap::from([("C".into(), penalty.to_string()), ("class_weight".into(), class_weight.into())])
}

/// Golden rows per class.
const GOLDEN_ROWS: usize = 8;
/// Bins of a feature's baseline: deciles.
const BASELINE_BINS: usize = 10;

/// Some frauds and some genuine rows, spread evenly over `rows`; their probabilities are filled in when the artifact is built.
pub(crate) fn golden(data: &Dataset, rows: &[usize]) -> Vec<GoldenRow> {
    let of_class = |fraud: bool| rows.iter().copied().filter(|&row| data.fraud[row] == fraud).collect::<Vec<_>>();
    let spread_out = |rows: Vec<usize>| {
        let step = rows.len().div_ceil(GOLDEN_ROWS).max(1);
        rows.into_iter().step_by(step).collect::<Vec<_>>()
    };
    let cell = |value: f64| if value.is_nan() { None } else { Some(value) };
    [spread_out(of_class(true)), spread_out(of_class(false))]
        .concat()
        .into_iter()
        .map(|row| GoldenRow { row: data.row(row).into_iter().map(cell).collect(), probability: 0.0 })
        .collect()
}

fn quality(evaluation: &Evaluation) -> BTreeMap<String, Interval> {
    let finite =
        evaluation.figures.iter().filter(|figure| figure.value.is_finite() && figure.low.is_finite() && figure.high.is_finite());
    finite.map(|figure| (figure.key.clone(), Interval { value: figure.value, low: figure.low, high: figure.high })).collect()
}

/// How the rows `learnt` and the scores of those `held_back` are spread.
pub(crate) fn baseline(data: &Dataset, learnt: &[usize], held_back: Scored, all: Scored, genuine_kept: Option<f64>) -> Baseline {
    Baseline {
        features: baselines(data, learnt),
        score: spread(held_back.probabilities),
        reference: Some(reference(data, learnt, held_back, all, genuine_kept)),
    }
}

fn baselines(data: &Dataset, rows: &[usize]) -> Vec<Histogram> {
    data.features
        .iter()
        .zip(&data.columns)
        .map(|(feature, column)| {
            let values: Vec<f64> = rows.iter().map(|&row| column[row]).collect();
            match &feature.kind {
                FeatureKind::Number => spread(&values),
                FeatureKind::Category { levels } => shares(&values, levels.len()),
            }
        })
        .collect()
}

/// Shares of numbers between their own deciles.
fn spread(values: &[f64]) -> Histogram {
    let mut present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    present.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = match present.len() {
        0 => Vec::new(),
        count => (1..BASELINE_BINS).map(|bin| present[(count - 1) * bin / BASELINE_BINS]).collect(),
    };
    edges.dedup();
    let upto: Vec<usize> =
        edges.iter().map(|edge| present.partition_point(|value| value <= edge)).chain([present.len()]).collect();
    let counts = upto.iter().scan(0, |before, &upto| Some(upto - std::mem::replace(before, upto)));
    let shares = counts.map(|count| count as f64 / values.len().max(1) as f64).collect();
    Histogram { edges, shares, missing: (values.len() - present.len()) as f64 / values.len().max(1) as f64 }
}

fn shares(codes: &[f64], levels: usize) -> Histogram {
    let share = |level: usize| codes.iter().filter(|&&code| code == level as f64).count() as f64 / codes.len().max(1) as f64;
    let missing = codes.iter().filter(|code| code.is_nan()).count() as f64 / codes.len().max(1) as f64;
    Histogram { edges: Vec::new(), shares: (0..levels).map(share).collect(), missing }
}

/// Shares of what features do: gain of their splits, or |coefficient| × spread of the column.
fn importance(artifact: &Artifact, data: &Dataset, train: &[usize]) -> Vec<Importance> {
    let mut weights = artifact.importance();
    if artifact.manifest().linear.is_some() {
        for (weight, column) in weights.iter_mut().zip(&data.columns) {
            let values = || train.iter().map(|&row| column[row]).filter(|value| !value.is_nan());
            let count = values().count().max(1) as f64;
            let mean = values().sum::<f64>() / count;
            *weight *= (values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt();
        }
    }
    let total: f64 = weights.iter().sum();
    let named = data.features.iter().zip(weights);
    let mut importance: Vec<Importance> = named
        .map(|(feature, weight)| Importance {
            feature: feature.name.clone(),
            share: if total > 0.0 { weight / total } else { 0.0 },
        })
        .collect();
    importance.sort_by(|first, second| second.share.total_cmp(&first.share));
    importance
}
