//! A model that was trained elsewhere meets labelled transactions: what do its margins mean on them, and where to flag?
//!
//! Trees and coefficients stay as they are. The calibration is the one that `train` fits, the baseline is how these rows are spread, and
//! some of them become golden rows. No quality is written down: rows that calibrated a model cannot judge it.

use assay_model::manifest::Threshold;
use assay_model::{Artifact, Manifest};

use crate::calibrate::{Outcome, calibrate};
use crate::dataset::{Dataset, DatasetError};
use crate::evaluate::{break_even, ranked};
use crate::reference::Scored;
use crate::train::{baseline, golden};

/// What mistakes cost.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// Of looking at one flagged transaction.
    pub review: f64,
    /// Of a missed fraud: a share of its amount, or the cost itself where there are no amounts.
    pub fraud: f64,
}

/// The manifest of `artifact`, calibrated on `data`, whose columns are the artifact's features in their order.
pub fn adopt(artifact: &Artifact, data: &Dataset, costs: Costs) -> Result<Manifest, DatasetError> {
    data.check_enough()?;
    let rows: Vec<usize> = (0..data.rows()).collect();
    let outcome =
        |&row: &usize| Outcome { margin: artifact.margin(&data.row(row)), fraud: data.fraud[row], weight: data.weight_of(row) };
    let outcomes: Vec<Outcome> = rows.iter().map(outcome).collect();
    let mut manifest = artifact.manifest().clone();
    manifest.calibration = calibrate(&outcomes);
    let probabilities: Vec<f64> = outcomes.iter().map(|outcome| manifest.calibration.probability(outcome.margin)).collect();
    manifest.threshold = Threshold {
        probability: break_even(&ranked(data, &rows, &probabilities, costs.fraud), costs.review),
        review_cost: costs.review,
        fraud_cost: costs.fraud,
        amount_column: data.amount.as_ref().map(|amount| amount.column.clone()),
    };
    let scored = Scored { rows: &rows, probabilities: &probabilities };
    manifest.baseline = baseline(data, &rows, scored, scored, manifest.genuine_kept);
    manifest.golden.extend(golden(data, &rows));
    Ok(manifest)
}
