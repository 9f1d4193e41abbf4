//! How good is a model on rows it has not seen? The numbers, with their intervals, and the curves behind the plots.

use serde::{Deserialize, Serialize};

/// One model on one set of labelled rows. The HTML report and its JSON twin are made from this and nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    /// What was evaluated, in words: "last 20 % by time", "random 20 %, seed 42", a file's name.
    pub rows_described: String,
    /// Rows, as counted.
    pub rows: u64,
    /// Frauds, as counted.
    pub frauds: u64,
    /// Share of fraud by weight, 0…1: what the weights say the true rate is.
    pub fraud_rate: f64,
    /// Whether each row counted with a weight of its own.
    pub weighted: bool,
    /// Rows that repeat another row of the same set to the last bit of every feature.
    pub duplicate_rows: u64,
    /// Rows whose features also occur, all of them, in the rows the model was trained on; `None` when those are not at hand.
    pub rows_seen_in_training: Option<u64>,
    /// How many bootstrap resamples the intervals come from.
    pub resamples: u32,
    /// Every figure, in the order in which a reader wants them.
    pub figures: Vec<Figure>,
    /// Counts at the chosen threshold.
    pub confusion: Confusion,
    /// The costs that `money_saved` and the cost curve are reckoned with.
    pub costs: Costs,
    /// Precision against recall, by falling threshold.
    pub precision_recall: Vec<Point>,
    /// True positive rate against false positive rate, by falling threshold.
    pub roc: Vec<Point>,
    /// Mean score against share of fraud, in bins of equal weight.
    pub reliability: Vec<ReliabilityBin>,
    /// Where the scores of each class lie.
    pub score_distribution: Vec<ScoreBin>,
    /// Cost of working at each threshold, and of having no model.
    pub cost_curve: Vec<CostPoint>,
}

/// A figure with its 95 % bootstrap interval (percentiles 2.5 and 97.5).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Stable key in JSON: `average_precision`, `auc`, `recall_at_fpr_1_percent`, `precision_at_100`, `brier`, `ece`,
    /// `macro_recall`, `precision`, `recall`, `money_saved`.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// The figure on the rows as they are.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// One sentence on what it says and which way is better.
    pub meaning: String,
}

/// Weighted counts at a threshold: a row is flagged when its probability is at or above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// Probability from which a transaction is flagged.
    pub threshold: f64,
    /// Frauds that were flagged.
    pub frauds_flagged: f64,
    /// Frauds that were not.
    pub frauds_missed: f64,
    /// Genuine transactions that were flagged.
    pub genuine_flagged: f64,
    /// Genuine transactions that were not.
    pub genuine_passed: f64,
}

/// What mistakes cost, in the currency of the amounts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Costs {
    /// Cost of looking at one flagged transaction.
    pub review: f64,
    /// Column that holds the amounts; `None` when there is none and every fraud costs `fraud`.
    pub amount_column: Option<String>,
    /// Cost of a missed fraud as a share of its amount; without amounts, the cost itself.
    pub fraud: f64,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Along.
    pub x: f64,
    /// Up.
    pub y: f64,
}

/// Rows whose scores are neighbours.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Mean probability.
    pub predicted: f64,
    /// Share of fraud.
    pub observed: f64,
    /// Lower end of the share's 95 % interval (Wilson).
    pub low: f64,
    /// Upper end of the share's 95 % interval (Wilson).
    pub high: f64,
    /// Rows in the bin.
    pub rows: u64,
}

/// How many rows of each class have a probability in `[from, to)`; edges are equally far apart in log-odds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ScoreBin {
    /// Lower edge, 0…1.
    pub from: f64,
    /// Upper edge, 0…1.
    pub to: f64,
    /// Share of all genuine rows that lie here.
    pub genuine: f64,
    /// Share of all frauds that lie here.
    pub fraud: f64,
}

/// What working at a threshold costs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CostPoint {
    /// Probability from which a transaction is flagged.
    pub threshold: f64,
    /// Reviews plus missed frauds, in the currency of the amounts.
    pub cost: f64,
    /// Flagged rows, by weight.
    pub flagged: f64,
}

/// How much a feature does in a model, as a share of all features' total (gain of its splits, or |coefficient| × spread).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Importance {
    /// The feature's name.
    pub feature: String,
    /// Share of the total, 0…1.
    pub share: f64,
}
