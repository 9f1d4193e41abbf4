//! Fitting the map from margins to probabilities, on rows that are later than those the margins were learnt from.

use assay_model::Calibration;
use assay_model::calibration::logistic;

/// From this many frauds on, an isotonic fit has enough to go by; below it, two parameters do better.
pub const ISOTONIC_FRAUDS: usize = 1_000;

/// Steps of Newton's method in two dimensions; it needs about ten.
const MAX_STEPS: usize = 100;

/// A margin, what the row turned out to be, and how many rows it counts as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Log-odds that the learner gave.
    pub margin: f64,
    /// Whether it was a fraud.
    pub fraud: bool,
    /// How many rows it counts as.
    pub weight: f64,
}

/// Isotonic from [`ISOTONIC_FRAUDS`] on, Platt below; [`Calibration::None`] where neither can be fitted.
pub fn calibrate(outcomes: &[Outcome]) -> Calibration {
    let frauds = outcomes.iter().filter(|outcome| outcome.fraud).count();
    if frauds == 0 || frauds == outcomes.len() {
        return Calibration::None;
    }
    let fitted = if frauds >= ISOTONIC_FRAUDS { isotonic(outcomes) } else { platt(outcomes) };
    if fitted.problem().is_none() { fitted } else { Calibration::None }
}

/// Two parameters by maximum likelihood, with the targets of Platt (1999): (N₊ + 1) / (N₊ + 2) for a fraud and 1 / (N₋ + 2) for a
/// genuine row, so that few rows cannot make it certain.
pub fn platt(outcomes: &[Outcome]) -> Calibration {
    let total = |fraud| outcomes.iter().filter(|outcome| outcome.fraud == fraud).map(|outcome| outcome.weight).sum::<f64>();
    let (frauds, genuine) = (total(true), total(false));
    let target = |outcome: &Outcome| if outcome.fraud { (frauds + 1.0) / (frauds + 2.0) } else { 1.0 / (genuine + 2.0) };
    let loss = |slope: f64, intercept: f64| {
        outcomes
            .iter()
            .map(|outcome| outcome.weight * cross_entropy(slope * outcome.margin + intercept, target(outcome)))
            .sum::<f64>()
    };
    let (mut slope, mut intercept) = (1.0, 0.0);
    let mut here = loss(slope, intercept);
    for _ in 0..MAX_STEPS {
        let [slope_step, intercept_step] = platt_step(outcomes, &target, slope, intercept);
        let mut share = 1.0;
        let next = loop {
            let next = loss(slope - share * slope_step, intercept - share * intercept_step);
            if next < here || share < 1e-9 {
                break next;
            }
            share /= 2.0;
        };
        if next >= here {
            break;
        }
        (slope, intercept, here) = (slope - share * slope_step, intercept - share * intercept_step, next);
    }
    Calibration::Platt { slope, intercept }
}

fn platt_step(outcomes: &[Outcome], target: &impl Fn(&Outcome) -> f64, slope: f64, intercept: f64) -> [f64; 2] {
    let (mut gradient, mut hessian) = ([0.0; 2], [0.0, 0.0, 1e-12]);
    for outcome in outcomes {
        let probability = logistic(slope * outcome.margin + intercept);
        let pull = outcome.weight * (probability - target(outcome));
        let bend = outcome.weight * probability * (1.0 - probability);
        gradient[0] += pull * outcome.margin;
        gradient[1] += pull;
        hessian[0] += bend * outcome.margin * outcome.margin;
        hessian[1] += bend * outcome.margin;
        hessian[2] += bend;
    }
    let determinant = (hessian[0] + 1e-12) * hessian[2] - hessian[1] * hessian[1];
    [
        (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
        (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
    ]
}

fn cross_entropy(margin: f64, target: f64) -> f64 {
    margin.max(0.0) - margin * target + libm::log1p(libm::exp(-margin.abs()))
}

/// Pools neighbours that are out of order until shares of fraud never fall; each pool becomes a point at its mean margin.
pub fn isotonic(outcomes: &[Outcome]) -> Calibration {
    let mut sorted = outcomes.to_vec();
    sorted.sort_by(|first, second| first.margin.total_cmp(&second.margin));
    let mut pools: Vec<Pool> = Vec::new();
    for outcome in sorted {
        let mut pool = Pool::of(&outcome);
        // Rows of one margin belong together whatever their labels.
        while let Some(last) = pools.pop_if(|last| last.share() >= pool.share() || last.highest == pool.lowest) {
            pool = last.with(&pool);
        }
        pools.push(pool);
    }
    let lowest_above_zero = pools.iter().map(Pool::share).find(|&share| share > 0.0).unwrap_or(1.0);
    let probabilities = pools.iter().map(|pool| pool.probability(lowest_above_zero)).collect();
    Calibration::Isotonic { margins: pools.iter().map(Pool::mean).collect(), probabilities }
}

struct Pool {
    lowest: f64,
    highest: f64,
    margins: f64,
    frauds: f64,
    weight: f64,
}

impl Pool {
    fn of(outcome: &Outcome) -> Self {
        let frauds = if outcome.fraud { outcome.weight } else { 0.0 };
        Self {
            lowest: outcome.margin,
            highest: outcome.margin,
            margins: outcome.margin * outcome.weight,
            frauds,
            weight: outcome.weight,
        }
    }

    fn with(self, higher: &Self) -> Self {
        Self {
            lowest: self.lowest,
            highest: higher.highest,
            margins: self.margins + higher.margins,
            frauds: self.frauds + higher.frauds,
            weight: self.weight + higher.weight,
        }
    }

    fn share(&self) -> f64 {
        self.frauds / self.weight
    }

    /// Its share of fraud; a pool without any does not promise that fraud cannot happen, but half a fraud in one row more, unless
    /// the next pool, whose share is `next`, says less.
    fn probability(&self, next: f64) -> f64 {
        if self.frauds > 0.0 { self.share() } else { next.min(0.5 / (self.weight + 1.0)) }
    }

    fn mean(&self) -> f64 {
        (self.margins / self.weight).clamp(self.lowest, self.highest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Margins 0, 0.01, … 1 in turn, fraud with the probability that `truth` gives (drawn by a fixed sequence).
    fn outcomes(count: usize, truth: impl Fn(f64) -> f64) -> Vec<Outcome> {
        let outcome = |place: usize| {
            let margin = (place % 101) as f64 / 12.0 - 6.0;
            let drawn = (place as f64 * 0.618_033_988_749_894_9).fract();
            Outcome { margin, fraud: drawn < truth(margin), weight: 1.0 }
        };
        (0..count).map(outcome).collect()
    }

    #[test]
    fn platt_finds_the_line_that_made_the_labels() {
        let Calibration::Platt { slope, intercept } = platt(&outcomes(200_000, |margin| logistic(0.5 * margin - 1.0))) else {
            panic!("Platt's fit is Platt's")
        };
        assert!((slope - 0.5).abs() < 0.02 && (intercept + 1.0).abs() < 0.03, "{slope} {intercept}");
    }

    #[test]
    fn isotonic_is_chosen_only_with_a_thousand_frauds() {
        let truth = |margin: f64| logistic(margin - 1.0);
        assert!(matches!(calibrate(&outcomes(20_000, truth)), Calibration::Isotonic { .. }));
        assert!(matches!(calibrate(&outcomes(1_000, truth)), Calibration::Platt { .. }));
    }

    #[test]
    fn scores_that_rank_backwards_are_not_turned_round() {
        assert_eq!(calibrate(&outcomes(1_000, |margin| logistic(-margin))), Calibration::None);
    }

    proptest! {
        #[test]
        fn an_isotonic_fit_never_falls(rows in prop::collection::vec((-5..5_i8, any::<bool>(), 1..4_u8), 1..60)) {
            let outcome = |(margin, fraud, weight): (i8, bool, u8)| Outcome { margin: f64::from(margin), fraud, weight: f64::from(weight) };
            let rows: Vec<Outcome> = rows.into_iter().map(outcome).collect();
            prop_assert_eq!(isotonic(&rows).problem(), None);
        }
    }
}
