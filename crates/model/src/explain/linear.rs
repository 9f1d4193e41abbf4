//! What each feature contributes to the margin of a linear model.

use super::Explanation;
use crate::manifest::Histogram;
use crate::{Linear, linear::Term};

/// Explains the margin of `row`: coefficient times the distance from the mean, term by term. That is the Shapley value of a linear model
/// whose features are taken as independent (Štrumbelj and Kononenko 2014, DOI 10.1007/s10115-013-0679-x).
///
/// Means are those of training: [`Term::when_missing`] for a number; for a level of a category its share in `baseline`, 0 where it has none.
pub fn explain(linear: &Linear, baseline: &[Histogram], row: &[f64]) -> Explanation {
    let mut explanation = Explanation { expected: linear.intercept, contributions: vec![0.0; row.len()] };
    for term in &linear.terms {
        let mean = mean(term, baseline);
        explanation.expected += term.coefficient * mean;
        explanation.contributions[term.feature] += term.coefficient * (term.value(row) - mean);
    }
    explanation
}

fn mean(term: &Term, baseline: &[Histogram]) -> f64 {
    let share = |level: u32| baseline.get(term.feature)?.shares.get(level as usize).copied();
    term.level.map_or(term.when_missing, |level| share(level).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_are_distances_from_the_mean_and_add_up_to_the_margin() {
        let term = |feature, level, coefficient, when_missing| Term { feature, level, coefficient, when_missing };
        let terms = vec![term(0, None, 2.0, 3.0), term(1, Some(0), 1.0, 0.0), term(1, Some(1), -4.0, 0.0)];
        let linear = Linear { intercept: 0.5, terms };
        let baseline = [Histogram::default(), Histogram { edges: vec![], shares: vec![0.25, 0.5], missing: 0.25 }];
        let explanation = explain(&linear, &baseline, &[5.0, 1.0]);
        assert_eq!(explanation.expected, 0.5 + 6.0 + 0.25 - 2.0);
        assert_eq!(explanation.contributions, [4.0, -0.25 - 2.0]);
        let sum = explanation.expected + explanation.contributions.iter().sum::<f64>();
        assert_eq!(sum, linear.margin(&[5.0, 1.0]));
        assert_eq!(explain(&linear, &baseline, &[f64::NAN, 1.0]).contributions[0], 0.0);
    }
}
