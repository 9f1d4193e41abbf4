//! Boosted trees as the learner: settings searched, a baseline to beat, probabilities calibrated.

use assay_model::Calibration;
use assay_model::manifest::Learner;

use super::{Learnt, Maker, TrainError, linear_settings};
use crate::boosted::{self, Boosting};
use crate::calibrate::{Outcome, calibrate};
use crate::evaluate::{break_even, ranked};
use crate::folds::{Fold, Judgement, folds};
use crate::logistic;
use crate::split::Split;

/// The best of a few logistic regressions.
struct LinearBaseline {
    penalty: f64,
    balanced: bool,
    judgement: Judgement,
}

impl Maker<'_> {
    /// Trees with the settings that do best on later slices, unless a logistic regression does better there.
    pub(super) fn learn_trees(&self, split: &Split) -> Result<Learnt, TrainError> {
        let train = &split.train;
        boosted::check_settings(&self.options.settings)?;
        let folds = folds(self.data, train, split.by_time.then_some(self.gap));
        let candidates =
            if self.options.settings.is_empty() { boosted::candidates() } else { vec![self.options.settings.clone()] };
        let mut notes = Vec::new();
        let (settings, rounds, judgement) = if folds.is_empty() {
            notes.push(
                "Too few frauds to choose settings by: the plainest were taken, and probabilities are not calibrated.".to_owned(),
            );
            (candidates[0].clone(), self.options.rounds.unwrap_or(boosted::DEFAULT_ROUNDS), Judgement::default())
        } else {
            let found = self.boosting().search(&candidates, &folds, self.options.rounds, self.step)?;
            (found.settings, found.rounds, found.judgement)
        };
        if self.options.settings.is_empty()
            && let Some(baseline) = self.baseline(&folds)
            && baseline.judgement.average_precision() > judgement.average_precision()
        {
            return self.learn_baseline(train, &baseline, judgement.average_precision());
        }
        let trees = self.boosting().fit(train, &settings, rounds, self.step)?;
        let mut settings = settings;
        settings.insert("num_iterations".into(), rounds.to_string());
        let (calibration, threshold) = self.calibrate(&judgement);
        Ok(Learnt { learner: Learner::BoostedTrees, trees, linear: None, calibration, threshold, settings, notes })
    }

    fn boosting(&self) -> Boosting<'_> {
        Boosting { data: self.data, seed: self.options.seed, threads: self.options.threads }
    }

    /// The best of a few logistic regressions on the folds; `None` when there are no folds, or too many categories.
    fn baseline(&self, folds: &[Fold]) -> Option<LinearBaseline> {
        let tried = [(0.01, false), (1.0, false), (0.01, true), (1.0, true)];
        let judged = tried.into_iter().filter_map(|(penalty, balanced)| {
            let mut judgement = Judgement::default();
            for fold in folds {
                let linear = logistic::fit(&self.data.features, &self.data.sample(&fold.earlier), penalty, balanced).ok()?;
                let margins: Vec<f64> = fold.later.iter().map(|&row| linear.margin(&self.data.row(row))).collect();
                judgement.add(self.data, fold, &margins);
            }
            Some(LinearBaseline { penalty, balanced, judgement })
        });
        judged
            .max_by(|first, second| first.judgement.average_precision().total_cmp(&second.judgement.average_precision()))
            .filter(|_| !folds.is_empty())
    }

    fn learn_baseline(&self, train: &[usize], baseline: &LinearBaseline, trees: f64) -> Result<Learnt, TrainError> {
        let linear = logistic::fit(&self.data.features, &self.data.sample(train), baseline.penalty, baseline.balanced)?;
        let (calibration, threshold) = self.calibrate(&baseline.judgement);
        let note = format!(
            "On later slices of the training rows a logistic regression (AP {:.3}) did better than boosted trees (AP {trees:.3}), so it is the model.",
            baseline.judgement.average_precision()
        );
        Ok(Learnt {
            learner: Learner::Logistic,
            trees: String::new(),
            linear: Some(linear),
            calibration,
            threshold,
            settings: linear_settings(baseline.penalty, baseline.balanced),
            notes: vec![note],
        })
    }

    /// From what a model said of rows later than those it learnt from: the map to probabilities, and the threshold.
    fn calibrate(&self, judgement: &Judgement) -> (Calibration, f64) {
        let outcomes: Vec<Outcome> = judgement.outcomes.iter().map(|(_, outcome)| *outcome).collect();
        let calibration = calibrate(&outcomes);
        let rows: Vec<usize> = judgement.outcomes.iter().map(|(row, _)| *row).collect();
        let probabilities: Vec<f64> = outcomes.iter().map(|outcome| calibration.probability(outcome.margin)).collect();
        let ranked = ranked(self.data, &rows, &probabilities, self.options.fraud_cost);
        let threshold = break_even(&ranked, self.options.review_cost);
        (calibration, threshold)
    }

    pub(super) fn grow_again(&self, learnt: &Learnt, train: &[usize]) -> Result<String, TrainError> {
        let mut settings = learnt.settings.clone();
        let rounds = settings.remove("num_iterations").and_then(|rounds| rounds.parse().ok()).unwrap_or(boosted::DEFAULT_ROUNDS);
        Ok(self.boosting().fit(train, &settings, rounds, self.step)?)
    }
}
