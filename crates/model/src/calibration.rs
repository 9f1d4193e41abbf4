//! From a margin (log-odds as the learner left them) to a probability that means what it says.

mod exponential;

use serde::{Deserialize, Serialize};

/// How a margin becomes a probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Calibration {
    /// The logistic function of the margin.
    None,
    /// The same worked out as LightGBM does it, so that its own probabilities come out.
    Double,
    /// The same worked out in `f32`, as XGBoost does it.
    Single,
    /// The logistic function of `slope × margin + intercept` (Platt, 1999).
    Platt {
        /// Above 0, so that the order of rows stays.
        slope: f64,
        /// Log-odds at margin 0.
        intercept: f64,
    },
    /// Straight lines between the points of an isotonic fit (Zadrozny and Elkan, 2002), level beyond its ends.
    Isotonic {
        /// Margins, rising.
        margins: Vec<f64>,
        /// Probabilities at those margins, never falling.
        probabilities: Vec<f64>,
    },
}

impl Calibration {
    /// Probability of fraud, 0…1.
    pub fn probability(&self, margin: f64) -> f64 {
        match self {
            Self::None => logistic(margin),
            Self::Double => logistic_double(margin),
            Self::Single => logistic_single(margin),
            Self::Platt { slope, intercept } => logistic(slope * margin + intercept),
            Self::Isotonic { margins, probabilities } => interpolate(margins, probabilities, margin),
        }
    }

    /// What is wrong with it, if anything: a calibration that reverses the order or leaves 0…1 is refused on loading.
    pub fn problem(&self) -> Option<&'static str> {
        match self {
            Self::None | Self::Double | Self::Single => None,
            Self::Platt { slope, intercept } => {
                (!(slope.is_finite() && *slope > 0.0 && intercept.is_finite())).then_some("its slope is not above 0")
            }
            Self::Isotonic { margins, probabilities } => {
                let fits = !margins.is_empty()
                    && margins.len() == probabilities.len()
                    && margins.iter().all(|margin| margin.is_finite())
                    && margins.is_sorted_by(|low, high| low < high)
                    && probabilities.iter().all(|probability| (0.0..=1.0).contains(probability))
                    && probabilities.is_sorted();
                (!fits).then_some("its points do not rise")
            }
        }
    }
}

/// `1 / (1 + e^-x)`.
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// `1 / (1 + e^-x)` with the exponential of the C libraries.
fn logistic_double(x: f64) -> f64 {
    1.0 / (1.0 + exponential::double(-x))
}

/// The same, every step rounded to `f32`; XGBoost stops at 88.7, before `e^x` leaves the range.
#[expect(clippy::cast_possible_truncation, reason = "that is the rounding")]
fn logistic_single(x: f64) -> f64 {
    f64::from(1.0 / (1.0 + exponential::single((-x as f32).min(88.7))))
}

/// Corrects a probability learnt from a history that kept only the share `kept` of its genuine transactions:
/// `p = kept × q / (kept × q − q + 1)` (Dal Pozzolo et al. 2015, DOI 10.1109/SSCI.2015.33).
pub fn correct_for_sampling(probability: f64, kept: f64) -> f64 {
    kept * probability / (kept * probability - probability + 1.0)
}

fn interpolate(xs: &[f64], ys: &[f64], x: f64) -> f64 {
    let above = xs.partition_point(|&known| known < x);
    if above == 0 {
        return ys[0];
    }
    if above == xs.len() {
        return ys[above - 1];
    }
    let share = (x - xs[above - 1]) / (xs[above] - xs[above - 1]);
    ys[above - 1] + share * (ys[above] - ys[above - 1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_calibration_keeps_the_order_and_stays_between_0_and_1(low in -40.0..40.0, step in 0.0..10.0) {
            let isotonic = Calibration::Isotonic { margins: vec![-3.0, -1.0, 2.0], probabilities: vec![0.001, 0.001, 0.9] };
            let platt = Calibration::Platt { slope: 0.7, intercept: -2.0 };
            for calibration in [Calibration::None, Calibration::Double, Calibration::Single, platt, isotonic] {
                let (first, second) = (calibration.probability(low), calibration.probability(low + step));
                prop_assert!(0.0 <= first && first <= second && second <= 1.0);
            }
        }

        #[test]
        fn keeping_every_genuine_row_corrects_nothing(probability in 0.0..=1.0) {
            prop_assert!((correct_for_sampling(probability, 1.0) - probability).abs() < 1e-15);
        }
    }

    #[test]
    fn correcting_for_sampling_moves_the_odds_by_the_share_kept() {
        let corrected = correct_for_sampling(0.5, 0.01);
        assert!((corrected / (1.0 - corrected) - 0.01).abs() < 1e-15);
    }
}
