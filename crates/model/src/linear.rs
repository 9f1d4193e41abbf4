//! A linear model: an intercept and one coefficient per term.

use serde::{Deserialize, Serialize};

/// Log-odds as a weighted sum of a row's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Log-odds of a row whose terms are all zero.
    pub intercept: f64,
    /// The terms, in the order in which they are added.
    pub terms: Vec<Term>,
}

/// One summand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Place of the feature in the row.
    pub feature: usize,
    /// For a category: the level whose presence counts 1. For a number: `None`, and the value itself counts.
    pub level: Option<u32>,
    /// Log-odds per unit.
    pub coefficient: f64,
    /// What counts where a number is missing: its mean in training.
    pub when_missing: f64,
}

impl Linear {
    /// Log-odds of fraud for `row`.
    pub fn margin(&self, row: &[f64]) -> f64 {
        self.terms.iter().fold(self.intercept, |sum, term| sum + term.coefficient * term.value(row))
    }
}

impl Term {
    /// What this term sees of `row`, before its coefficient.
    pub fn value(&self, row: &[f64]) -> f64 {
        self.value_of(row[self.feature])
    }

    /// What this term makes of its feature's value.
    pub fn value_of(&self, value: f64) -> f64 {
        match self.level {
            Some(level) => f64::from(u8::from(value == f64::from(level))),
            None if value.is_nan() => self.when_missing,
            None => value,
        }
    }
}
