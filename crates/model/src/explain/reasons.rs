//! Which features moved a score most, in words that a cardholder or an auditor understands.

use std::fmt::Write;

use super::Explanation;
use crate::feature::UNSEEN_CATEGORY;
use crate::manifest::Histogram;
use crate::{Feature, FeatureKind};

/// Which way a feature moved the risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Up.
    Raised,
    /// Down.
    Lowered,
}

/// A feature that moved a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Its place in the row.
    pub feature: usize,
    /// Which way it moved the risk.
    pub direction: Direction,
    /// How far, in log-odds; below 0 where it lowered the risk.
    pub impact: f64,
    /// The share of the training data whose value is lower, as far as the baseline's bins tell; for a category the share that has this one.
    pub share: Option<f64>,
    /// One sentence.
    pub words: String,
}

/// The features that moved the score of `row` most in one direction, at most `most` of them, the furthest first; of equals the first in the row.
///
/// `baseline` is the spread of `features` in training; where it is empty, words do without it.
pub fn reasons(
    explanation: &Explanation,
    features: &[Feature],
    baseline: &[Histogram],
    row: &[f64],
    direction: Direction,
    most: usize,
) -> Vec<Reason> {
    let moved = |&feature: &usize| match direction {
        Direction::Raised => explanation.contributions[feature] > 0.0,
        Direction::Lowered => explanation.contributions[feature] < 0.0,
    };
    let mut places: Vec<usize> = (0..features.len()).filter(moved).collect();
    places.sort_by(|&one, &other| explanation.contributions[other].abs().total_cmp(&explanation.contributions[one].abs()));
    places.truncate(most);
    let reason = |feature: usize| {
        let (told, share) = told(&features[feature], baseline.get(feature), row[feature]);
        let verb = if direction == Direction::Raised { "raised" } else { "lowered" };
        let words = format!("`{}` is {told} and {verb} the risk", features[feature].name);
        Reason { feature, direction, impact: explanation.contributions[feature], share, words }
    };
    places.into_iter().map(reason).collect()
}

/// A value, and how usual it is.
fn told(feature: &Feature, spread: Option<&Histogram>, value: f64) -> (String, Option<f64>) {
    let spread = spread.filter(|spread| !spread.shares.is_empty());
    if value.is_nan() {
        let share = spread.map(|spread| spread.missing);
        return (as_in("missing", share), share);
    }
    match &feature.kind {
        FeatureKind::Category { levels } => {
            if value == UNSEEN_CATEGORY {
                return ("one that training never saw".into(), Some(0.0));
            }
            let level = levels.iter().zip(0_u32..).find(|(_, code)| f64::from(*code) == value);
            let share = level.and_then(|(_, code)| spread?.shares.get(code as usize).copied());
            (as_in(level.map_or("unknown", |(name, _)| name), share), share)
        }
        FeatureKind::Number => {
            let mut words = value.to_string();
            let sides = spread.map(|spread| spread.sides(value));
            let _ = match sides {
                Some((below, _)) if below >= 0.5 => {
                    write!(words, ", higher than {:.0} % of transactions,", whole_percent(below))
                }
                Some((_, above)) if above >= 0.5 => {
                    write!(words, ", lower than {:.0} % of transactions,", whole_percent(above))
                }
                Some(_) => write!(words, ", an ordinary value,"),
                None => Ok(()),
            };
            (words, sides.map(|(below, _)| below))
        }
    }
}

fn as_in(value: &str, share: Option<f64>) -> String {
    share.map_or_else(|| value.to_owned(), |share| format!("{value}, as in {} of transactions,", percent(share)))
}

/// Rounded down, but for what a sum of shares has lost.
fn whole_percent(share: f64) -> f64 {
    (share * 100.0 + 1e-9).floor()
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 0.5 => "less than 1 %".into(),
        percent => format!("{percent:.0} %"),
    }
}

impl Histogram {
    /// Of the rows with a value, the shares whose value lies in a lower and in a higher bin than `value` does.
    pub fn sides(&self, value: f64) -> (f64, f64) {
        let bin = self.edges.partition_point(|&edge| edge < value).min(self.shares.len() - 1);
        // The sum of nothing would be -0.
        let share = |bins: &[f64]| bins.iter().fold(0.0, |sum, bin| sum + bin) / (1.0 - self.missing).max(f64::MIN_POSITIVE);
        (share(&self.shares[..bin]), share(&self.shares[bin + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: FeatureKind, spread: &Histogram, value: f64, contribution: f64) -> String {
        let feature = Feature { name: "x".into(), kind, missing_seen: true };
        let explanation = Explanation { expected: 0.0, contributions: vec![contribution] };
        let direction = if contribution > 0.0 { Direction::Raised } else { Direction::Lowered };
        let reasons = reasons(&explanation, &[feature], std::slice::from_ref(spread), &[value], direction, 4);
        assert_eq!(reasons.len(), 1);
        reasons[0].words.clone()
    }

    #[test]
    fn a_value_is_told_beside_those_of_other_transactions() {
        let spread = Histogram { edges: vec![1.0, 5.0], shares: vec![0.2, 0.596, 0.004], missing: 0.2 };
        let number = || FeatureKind::Number;
        assert_eq!(said(number(), &spread, 8.25, 1.0), "`x` is 8.25, higher than 99 % of transactions, and raised the risk");
        assert_eq!(said(number(), &spread, 1.0, -1.0), "`x` is 1, lower than 75 % of transactions, and lowered the risk");
        let narrow = Histogram { edges: vec![0.0], shares: vec![0.9, 0.1], missing: 0.0 };
        assert_eq!(said(number(), &narrow, 0.0, -1.0), "`x` is 0, an ordinary value, and lowered the risk");
        assert_eq!(said(number(), &spread, f64::NAN, 1.0), "`x` is missing, as in 20 % of transactions, and raised the risk");
        assert_eq!(said(number(), &Histogram::default(), 8.25, 1.0), "`x` is 8.25 and raised the risk");
        let category = || FeatureKind::Category { levels: vec!["DE".into(), "FR".into()] };
        let spread = Histogram { edges: vec![], shares: vec![0.97, 0.03], missing: 0.0 };
        assert_eq!(said(category(), &spread, 1.0, 1.0), "`x` is FR, as in 3 % of transactions, and raised the risk");
        assert_eq!(said(category(), &spread, UNSEEN_CATEGORY, 1.0), "`x` is one that training never saw and raised the risk");
    }

    #[test]
    fn the_furthest_come_first_and_of_equals_the_first_in_the_row() {
        let features: Vec<Feature> =
            ["a", "b", "c", "d"].map(|name| Feature { name: name.into(), kind: FeatureKind::Number, missing_seen: false }).into();
        let explanation = Explanation { expected: 0.0, contributions: vec![1.0, -3.0, 2.0, 1.0] };
        let places = |direction, most| {
            let reasons = reasons(&explanation, &features, &[], &[0.0; 4], direction, most);
            reasons.into_iter().map(|reason| reason.feature).collect::<Vec<_>>()
        };
        assert_eq!(places(Direction::Raised, 4), [2, 0, 3]);
        assert_eq!(places(Direction::Raised, 2), [2, 0]);
        assert_eq!(places(Direction::Lowered, 4), [1]);
    }
}
