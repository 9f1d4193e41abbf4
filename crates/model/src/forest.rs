//! A forest of decision trees: what it is, and the plain scorer that is obviously right.
//!
//! [`Forest::margin`] walks one tree after another as LightGBM's own documentation tells it, and stays as it is for ever: it is the
//! oracle of every faster way ([`batch`]), which must give the same bits.

pub mod batch;
pub mod lightgbm_text;
mod probe;
mod recode;
mod ubjson;
pub mod xgboost;

use thiserror::Error;

/// More trees than this are refused.
pub const MAX_TREES: usize = 100_000;
/// More features than this are refused.
pub const MAX_FEATURES: usize = 100_000;
/// Sets of categories may take so many words of 32 bits together: 256 MB. A short text can ask for a large set.
const MAX_CATEGORY_WORDS: usize = 1 << 26;

/// What LightGBM takes for zero where a node treats zeros as missing (`kZeroThreshold` in its `meta.h`).
const ZERO_THRESHOLD: f64 = 1e-35_f32 as f64;

/// Why a file holds no forest that we score.
#[derive(Debug, Error, PartialEq)]
pub enum ForestError {
    /// The header lacks something or asks for what we do not do.
    #[error("the trees' header: {0}")]
    Header(String),
    /// A tree contradicts itself or the header.
    #[error("tree {tree}: {problem}")]
    Tree {
        /// The tree's number in the file, from 0.
        tree: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Trees whose leaf values are summed, and the link from that sum to a probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    trees: Vec<Tree>,
    feature_count: usize,
    /// What the sum begins with.
    start: f64,
    precision: Precision,
    link_slope: f64,
    average: bool,
}

/// How a sum of leaves is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// As `f64`.
    Double,
    /// After every addition to `f32`, as XGBoost does. The sum of two `f32` as `f64`, rounded to `f32`, is the one that `f32` itself
    /// would give: an `f64` has more than twice its digits.
    Single,
}

/// One tree. Node 0 is the root; a tree without nodes is its only leaf.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) leaves: Vec<f64>,
    /// How much of the training data fell into each leaf; all zero when the model does not say.
    pub(crate) leaf_covers: Vec<f64>,
}

/// A question to a row, and where each answer leads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) feature: usize,
    pub(crate) split: Split,
    pub(crate) yes: Child,
    pub(crate) no: Child,
    pub(crate) gain: f64,
    /// How much of the training data came by; zero when the model does not say.
    pub(crate) cover: f64,
}

/// The question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Split {
    /// Is the value at most the threshold?
    AtMost { threshold: f64, missing: Missing, missing_goes_yes: bool },
    /// Is the category one of these? Bit `code % 32` of word `code / 32` says so. An unseen one is not.
    OneOf { levels: Vec<u32>, missing_goes_yes: bool },
}

/// Which values a node takes for missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Missing {
    /// None: an absent value counts as 0.
    Never,
    /// Absent and zero values.
    Zero,
    /// Absent values.
    NaN,
}

/// Where an answer leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    Node(usize),
    Leaf(usize),
}

impl Forest {
    /// How many numbers a row has.
    pub fn feature_count(&self) -> usize {
        self.feature_count
    }

    /// How many trees there are.
    pub fn tree_count(&self) -> usize {
        self.trees.len()
    }

    /// The sum of the leaves that `row` falls into, in tree order, times the link's slope: log-odds of fraud.
    ///
    /// `row` has [`Self::feature_count`] numbers; `NaN` is a missing value.
    pub fn margin(&self, row: &[f64]) -> f64 {
        assert_eq!(row.len(), self.feature_count, "a row has one number per feature");
        self.finish(self.trees.iter().fold(self.start, |sum, tree| self.precision.round(sum + tree.leaf_value(row))))
    }

    /// Total gain of each feature's splits, by feature: how much it did for the model while it was trained.
    pub fn gain_by_feature(&self) -> Vec<f64> {
        let mut gain = vec![0.0; self.feature_count];
        for node in self.trees.iter().flat_map(|tree| &tree.nodes) {
            gain[node.feature] += node.gain;
        }
        gain
    }

    /// The trees, in the order in which they are summed.
    pub(crate) fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// What the sum of leaves starts from.
    pub(crate) fn start(&self) -> f64 {
        self.start
    }

    /// What one unit of a leaf's value is in log-odds.
    pub(crate) fn leaf_unit(&self) -> f64 {
        if self.average { self.link_slope / self.trees.len() as f64 } else { self.link_slope }
    }

    /// From the sum of leaves to log-odds.
    fn finish(&self, sum: f64) -> f64 {
        let raw = if self.average { sum / self.trees.len() as f64 } else { sum };
        raw * self.link_slope
    }
}

impl Precision {
    fn round(self, sum: f64) -> f64 {
        match self {
            Self::Double => sum,
            Self::Single => to_single(sum),
        }
    }
}

/// Rounded to `f32`.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "that is the rounding")]
fn to_single(value: f64) -> f64 {
    f64::from(value as f32)
}

impl Tree {
    /// Where a row begins.
    pub(crate) fn root(&self) -> Child {
        if self.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) }
    }

    /// The value of the leaf that `row` falls into.
    pub(crate) fn leaf_value(&self, row: &[f64]) -> f64 {
        let mut child = self.root();
        loop {
            match child {
                Child::Leaf(leaf) => return self.leaves[leaf],
                Child::Node(node) => child = self.nodes[node].answer(row),
            }
        }
    }
}

impl Node {
    fn answer(&self, row: &[f64]) -> Child {
        if self.split.says_yes(row[self.feature]) { self.yes } else { self.no }
    }
}

impl Split {
    pub(crate) fn says_yes(&self, value: f64) -> bool {
        match self {
            Self::AtMost { threshold, missing, missing_goes_yes } => {
                if missing.includes(value) {
                    *missing_goes_yes
                } else if value.is_nan() {
                    0.0 <= *threshold
                } else {
                    value <= *threshold
                }
            }
            Self::OneOf { missing_goes_yes, .. } if value.is_nan() => *missing_goes_yes,
            Self::OneOf { levels, .. } => contains(levels, value),
        }
    }
}

impl Missing {
    pub(crate) fn includes(self, value: f64) -> bool {
        match self {
            Self::Never => false,
            // LightGBM reads an absent value as 0 here, and then takes 0 for missing.
            Self::Zero => value.is_nan() || value.abs() <= ZERO_THRESHOLD,
            Self::NaN => value.is_nan(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn contains(levels: &[u32], value: f64) -> bool {
    if !(0.0..f64::from(i32::MAX)).contains(&value) {
        return false;
    }
    let code = value as usize;
    levels.get(code / 32).is_some_and(|word| word >> (code % 32) & 1 == 1)
}
