//! Why is a score what it is? What each feature contributes to the margin of a row, and the reasons in words.
//!
//! Contributions are Shapley values: a feature's mean difference over all orders in which features can become known, where a tree's
//! answer to an unknown one is that of the training data at this node (exact path-dependent `TreeSHAP`: Lundberg et al. 2020,
//! DOI 10.1038/s42256-019-0138-9). They are what LightGBM calls `pred_contrib`, and add up to the margin.

mod fast;
mod linear;
mod plain;
mod quadrature;
mod reasons;
mod shares;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::Linear;
use crate::manifest::Histogram;

pub use fast::{ForestExplainer, MAX_PATH_FEATURES};
pub use plain::explain as explain_plainly;
pub use reasons::{Direction, Reason, reasons};
use shares::Shares;

/// What each feature contributes to the margin of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The mean margin of the training data, in log-odds: what contributions start from.
    pub expected: f64,
    /// By feature, in log-odds; with `expected` they add up to the margin. 0 for a feature that the model does not ask for.
    pub contributions: Vec<f64>,
}

/// What explains the scores of a model.
#[derive(Clone, Debug)]
pub enum Explainer {
    /// Of a forest.
    Forest(Box<ForestExplainer>),
    /// Of a linear model, with the spread of its features in training.
    Linear(Linear, Vec<Histogram>),
}

impl Explainer {
    /// Explains the margin of `row`.
    pub fn explain(&self, row: &[f64]) -> Explanation {
        match self {
            Self::Forest(forest) => forest.explain(row),
            Self::Linear(model, baseline) => linear::explain(model, baseline, row),
        }
    }
}

/// Why a forest cannot be explained.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ExplainError {
    /// Nobody knows how the training data fell.
    #[error(
        "tree {tree} does not say how much of the training data came by its nodes, without which no score can be explained; save the model with its counts"
    )]
    NoCovers {
        /// The tree's number, from 0.
        tree: usize,
    },
    /// A path asks for very many features.
    #[error("a way through tree {tree} asks for {features} different features, and at most {MAX_PATH_FEATURES} can be explained")]
    LongPath {
        /// The tree's number, from 0.
        tree: usize,
        /// How many.
        features: usize,
    },
}
