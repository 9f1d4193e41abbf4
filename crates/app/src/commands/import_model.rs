//! `assay import-model`: a model that was trained elsewhere, as an artifact like any other.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use assay_features::Definition;
use assay_model::foreign::Described;
use assay_model::{Artifact, Calibration, FeatureKind, Foreign, Manifest};
use assay_trainer::adopt::{Costs, adopt};
use assay_trainer::dataset::{Dataset, Roles};
use assay_trainer::rows::rows;
use clap::Args;

use super::features::{labelled_features, read_definition};
use super::train::roles_of;
use super::{Failure, say};
use crate::flag_values::{positive, probability, share};
use crate::input_arguments::InputArguments;
use crate::output::WholeFile;
use crate::{input, model_file};

/// Larger files are refused unread.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Bring a model that was trained elsewhere: LightGBM (text), XGBoost (JSON or UBJSON), or a logistic regression (JSON).
#[derive(Args, Clone, Debug)]
pub struct ImportModel {
    /// The model file; its format is found out from its content.
    pub file: PathBuf,

    /// File to write the model to.
    #[arg(long, value_name = "MODEL")]
    pub out: PathBuf,

    /// Names of the features in their order, separated by commas [default: those in FILE].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "features")]
    pub name_features: Vec<String>,

    /// JSON file with the features in their order: a name, or {"name": …, "levels": […]} for a category, its texts in the order of the
    /// model's codes.
    #[arg(long, value_name = "FILE")]
    pub features: Option<PathBuf>,

    /// SQL that makes the model's features out of transactions; the model then carries it.
    #[arg(long, value_name = "FILE")]
    pub definition: Option<PathBuf>,

    /// Labelled transactions to calibrate probabilities on, which the model has not seen in training; may be repeated.
    #[arg(long, value_name = "DATA")]
    pub calibration: Vec<String>,

    /// Column of the label [default: `fraud`; with --calibration, the last column of the data, or the label of the definition].
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,

    /// Column of the calibration data that says how many rows each row counts as.
    #[arg(long, value_name = "COLUMN", requires = "calibration", conflicts_with = "definition")]
    pub weight: Option<String>,

    /// Column of the amount in the calibration data [default: `Amount` or `TX_AMOUNT`].
    #[arg(long, value_name = "COLUMN", requires = "calibration")]
    pub amount: Option<String>,

    /// Probability from which a transaction is flagged [default: where a review pays for itself].
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    pub threshold: Option<f64>,

    /// Cost of looking at one flagged transaction, in the currency of the amounts.
    #[arg(long, value_name = "MONEY", default_value_t = 5.0, value_parser = positive)]
    pub review_cost: f64,

    /// Cost of a missed fraud: a share of its amount [default: 1], or without amounts the cost itself [default: 100].
    #[arg(long, value_name = "SHARE|MONEY", value_parser = positive)]
    pub fraud_cost: Option<f64>,

    /// Share of the genuine transactions that training kept, when it was thinned out; probabilities are corrected for it.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub genuine_kept: Option<f64>,

    #[command(flatten)]
    pub input: InputArguments,
}

/// Reads, checks, calibrates and writes the model.
pub fn run(arguments: &ImportModel) -> Result<(), Failure> {
    let out = WholeFile::begin(&arguments.out)?;
    let named = |error: &dyn std::fmt::Display| format!("cannot import {}: {error}", arguments.file.display());
    let foreign = Foreign::read(&read(&arguments.file, MAX_FILE_BYTES)?).map_err(|error| named(&error))?;
    let definition = arguments.definition.as_deref().map(read_definition).transpose()?;
    let label = arguments.label.clone().or_else(|| label_of(definition.as_ref())).unwrap_or_else(|| "fraud".into());
    let made_by = format!("assay {}", env!("CARGO_PKG_VERSION"));
    let mut manifest = foreign.manifest(&described(arguments)?, &label, &made_by).map_err(|error| named(&error))?;
    manifest.definition = definition.as_ref().map(|definition| definition.text.clone());
    model_file::check_definition(&manifest).map_err(|problem| named(&problem))?;
    manifest.genuine_kept = arguments.genuine_kept;
    let (mut artifact, mut bytes) =
        Artifact::build(uncalibrated(manifest, arguments), foreign.trees()).map_err(|error| named(&error))?;
    say(found(&foreign, &artifact))?;
    for note in &foreign.notes {
        say(note)?;
    }
    if !arguments.calibration.is_empty() {
        let data = data(arguments, definition.as_ref(), &artifact)?;
        let mut manifest = adopt(&artifact, &data, costs(arguments, data.amount.is_some()))?;
        manifest.label.clone_from(&data.label);
        manifest.threshold.probability = arguments.threshold.unwrap_or(manifest.threshold.probability);
        (artifact, bytes) = Artifact::build(manifest, foreign.trees()).map_err(|error| named(&error))?;
        say(calibrated(artifact.manifest(), &data))?;
    }
    out.write(&bytes)?;
    out.finish()?;
    say(format_args!("Flags from probability {:.4} on.", artifact.manifest().threshold.probability))?;
    say(format_args!("Model: {} ({} bytes)", arguments.out.display(), bytes.len()))?;
    say(format_args!("Serve it: assay serve --model {}", arguments.out.display()))
}

fn label_of(definition: Option<&Definition>) -> Option<String> {
    let schema = &definition?.plan.schema;
    schema.label.map(|place| schema.fields[place].name.clone())
}

/// The features as flags describe them; none when they do not.
fn described(arguments: &ImportModel) -> Result<Vec<Described>, Failure> {
    let Some(path) = &arguments.features else {
        return Ok(arguments.name_features.iter().cloned().map(Described::Name).collect());
    };
    let bytes = read(path, MAX_FILE_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "{}: line {line}, column {column}: this is no list of features; write a JSON list of names, or of {{\"name\": …, \"levels\": […]}} \
             for categories",
            path.display()
        )
        .into()
    })
}

fn uncalibrated(mut manifest: Manifest, arguments: &ImportModel) -> Manifest {
    let costs = costs(arguments, false);
    manifest.threshold.probability = arguments.threshold.unwrap_or((costs.review / costs.fraud).min(1.0));
    (manifest.threshold.review_cost, manifest.threshold.fraud_cost) = (costs.review, costs.fraud);
    manifest
}

fn costs(arguments: &ImportModel, amounts: bool) -> Costs {
    Costs { review: arguments.review_cost, fraud: arguments.fraud_cost.unwrap_or(if amounts { 1.0 } else { 100.0 }) }
}

/// The calibration data, its columns as the model takes them.
fn data(arguments: &ImportModel, definition: Option<&Definition>, artifact: &Artifact) -> Result<Dataset, Failure> {
    let (table, roles) = if let Some(definition) = definition {
        let (features, _) = labelled_features(definition, &arguments.calibration, &arguments.input, None)?;
        (features, roles_of(&definition.plan.schema, arguments.amount.clone()))
    } else {
        let mut options = arguments.input.options();
        options.read.kinds = super::score::kinds(artifact);
        let (label, weight, amount) = (arguments.label.clone(), arguments.weight.clone(), arguments.amount.clone());
        (input::read(&arguments.calibration, &options)?, Roles { label, weight, amount, ..Roles::default() })
    };
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", arguments.calibration.join(", "));
    let matrix = rows(&table, artifact.features(), 0).map_err(|error| named(&error))?;
    let data = Dataset::new(table, &roles).map_err(|error| named(&error))?;
    let width = artifact.features().len();
    let column = |place: usize| matrix.iter().skip(place).step_by(width).copied().collect();
    Ok(Dataset { features: artifact.features().to_vec(), columns: (0..width).map(column).collect(), ..data })
}

fn found(foreign: &Foreign, artifact: &Artifact) -> String {
    let categories = artifact.features().iter().filter(|feature| matches!(feature.kind, FeatureKind::Category { .. })).count();
    let trees = artifact.manifest().training.settings.get("trees").map_or(String::new(), |trees| format!("{trees} trees, "));
    let features = artifact.features().len();
    format!("Found {}: {trees}{features} features, {categories} of them categories.", foreign.format().described())
}

fn calibrated(manifest: &Manifest, data: &Dataset) -> String {
    let how = match manifest.calibration {
        Calibration::Platt { .. } => "Calibrated by Platt's two parameters",
        Calibration::Isotonic { .. } => "Calibrated by isotonic regression",
        Calibration::None | Calibration::Double | Calibration::Single => {
            "Not calibrated, since the scores do not rank the frauds first,"
        }
    };
    let frauds = data.fraud.iter().filter(|&&fraud| fraud).count();
    format!("{how} on {} rows, {frauds} of them frauds.", data.rows())
}

fn read(path: &Path, most_bytes: u64) -> Result<Vec<u8>, Failure> {
    let refused = |problem: String| format!("cannot read {}: {problem}", path.display());
    if path.is_dir() {
        return Err(refused("it is a folder; name a file in it".into()).into());
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most_bytes + 1).read_to_end(&mut bytes));
    read.map_err(|error| refused(format!("{error}; check the path and its permissions")))?;
    if bytes.len() as u64 > most_bytes {
        return Err(refused("it is larger than 1 GiB".into()).into());
    }
    Ok(bytes)
}
