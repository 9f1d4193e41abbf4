//! Everything an artifact says about its model, as JSON: what a row is, what the model was made from, and how to check it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Calibration, Feature, FeatureKind, Linear, Reference};

/// The first part of an artifact. Fields are only ever added; a reader of this version opens every older one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name and version of the program that wrote it.
    pub made_by: String,
    /// What learnt it.
    pub learner: Learner,
    /// Name of the column it learnt to foretell.
    pub label: String,
    /// What the numbers of a row are, in order.
    pub features: Vec<Feature>,
    /// [`fingerprint`] of `features`: two models with the same one take the same rows.
    pub fingerprint: String,
    /// What it was trained on.
    pub training: Training,
    /// Figures on rows that were held back, by their keys in the report.
    pub quality: BTreeMap<String, Interval>,
    /// From margin to probability.
    pub calibration: Calibration,
    /// Share of the genuine transactions that the history kept, when it was thinned out; see [`crate::calibration::correct_for_sampling`].
    pub genuine_kept: Option<f64>,
    /// Where to flag.
    pub threshold: Threshold,
    /// How features and scores were spread when the model was made: what drift is measured against.
    pub baseline: Baseline,
    /// Rows with the probabilities they must give on any machine before the model may serve.
    pub golden: Vec<GoldenRow>,
    /// The model itself when it is linear; `None` when trees follow the manifest.
    pub linear: Option<Linear>,
    /// The SQL that made its features out of transactions, when something did.
    #[serde(default)]
    pub definition: Option<String>,
    /// Where it came from when another program trained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
}

impl Manifest {
    /// What learnt it, and whether that was elsewhere: a word for logs, metrics and reports.
    pub fn learner_name(&self) -> &'static str {
        match self.imported.as_ref().map(|imported| imported.format) {
            None => self.learner.name(),
            Some(TreesFormat::LightgbmText) => "imported-lightgbm",
            Some(TreesFormat::XgboostJson | TreesFormat::XgboostUbjson) => "imported-xgboost",
            Some(TreesFormat::LinearJson) => "imported-logistic",
        }
    }
}

/// The origin of a model that another program trained. Nothing is known of its training rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// What its file was, and what the trees of the artifact are.
    pub format: TreesFormat,
    /// SHA-256, in hex, of that file.
    pub sha256: String,
    /// By place of the feature: the code that the trees have for each level, where levels are texts.
    pub category_codes: BTreeMap<usize, Vec<u32>>,
}

/// Formats in which other programs write models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TreesFormat {
    /// LightGBM's text.
    LightgbmText,
    /// XGBoost's JSON.
    XgboostJson,
    /// XGBoost's UBJSON.
    XgboostUbjson,
    /// Coefficients in JSON; the artifact keeps them in its manifest.
    LinearJson,
}

impl TreesFormat {
    /// The format in words.
    pub fn described(self) -> &'static str {
        match self {
            Self::LightgbmText => "a LightGBM model (text)",
            Self::XgboostJson => "an XGBoost model (JSON)",
            Self::XgboostUbjson => "an XGBoost model (UBJSON)",
            Self::LinearJson => "a logistic regression (JSON)",
        }
    }
}

/// What learnt the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learner {
    /// Gradient-boosted trees.
    BoostedTrees,
    /// Logistic regression.
    Logistic,
}

impl Learner {
    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::BoostedTrees => "boosted-trees",
            Self::Logistic => "logistic",
        }
    }
}

/// What a model was trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Rows it learnt from.
    pub rows: u64,
    /// Frauds among them.
    pub frauds: u64,
    /// Name of the column that told event times.
    pub time_column: Option<String>,
    /// Event times of the first and the last row, as the column gives them (timestamps: microseconds since 1970, UTC).
    pub time_range: Option<(f64, f64)>,
    /// How rows were held back: `time` or `random`.
    pub split: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The learner's settings, chosen or given.
    pub settings: BTreeMap<String, String>,
    /// Whether the history came from the simulator: such a model is for trying things out.
    pub simulated: bool,
    /// Name of the column that told how many rows each row counts as.
    #[serde(default)]
    pub weight_column: Option<String>,
    /// The smallest hashes of the rows it learnt from, rising: enough to tell whether rows to be judged are among them.
    #[serde(default)]
    pub row_sketch: Vec<u64>,
}

/// A figure with its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// On the rows as they are.
    pub value: f64,
    /// Percentile 2.5 of the resamples.
    pub low: f64,
    /// Percentile 97.5 of the resamples.
    pub high: f64,
}

/// From which probability on a transaction is flagged, and the costs that put it there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Probability, 0…1.
    pub probability: f64,
    /// Cost of looking at one flagged transaction.
    pub review_cost: f64,
    /// Cost of a missed fraud: a share of its amount when there is an amount column, else the cost itself.
    pub fraud_cost: f64,
    /// The amount column.
    pub amount_column: Option<String>,
}

/// Spread of features and scores in training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// One per feature, in order.
    pub features: Vec<Histogram>,
    /// Of the probabilities on rows held back.
    pub score: Histogram,
    /// The same more finely, with how much it usually varies; models of formats 1 and 2 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

/// Shares of rows between edges.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Inner edges, rising; bin `i` holds values above edge `i − 1` and at most edge `i`. For a category: none, a bin per level.
    pub edges: Vec<f64>,
    /// Share of rows in each bin.
    pub shares: Vec<f64>,
    /// Share of rows without a value.
    pub missing: f64,
}

/// A row and the probability it must give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenRow {
    /// The row; `null` is a missing value.
    pub row: Vec<Option<f64>>,
    /// What it scores, to the last bit.
    pub probability: f64,
}

impl GoldenRow {
    /// The row as a scorer takes it.
    pub fn numbers(&self) -> Vec<f64> {
        self.row.iter().map(|cell| cell.unwrap_or(f64::NAN)).collect()
    }
}

/// SHA-256, in hex, over names, kinds and levels of features in their order.
pub fn fingerprint(features: &[Feature]) -> String {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for feature in features {
        text(&feature.name);
        match &feature.kind {
            FeatureKind::Number => text("number"),
            FeatureKind::Category { levels } => {
                text("category");
                text(&levels.len().to_string());
                for level in levels {
                    text(level);
                }
            }
        }
    }
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}
