//! `assay evaluate`: how good is a model on labelled transactions?

use std::path::PathBuf;

use assay_model::Artifact;
use assay_model::manifest::Threshold;
use assay_trainer::dataset::{Dataset, Roles};
use assay_trainer::duplicates::share_in_sketch;
use assay_trainer::evaluate::{Question, RESAMPLES, evaluate};
use assay_trainer::evaluation::{Evaluation, Importance};
use assay_trainer::report::{ModelSummary, Report, json, text};
use assay_trainer::rows::rows;
use clap::Args;

use super::prequential::{self, PrequentialArguments};
use super::train::{model_summary, write_report};
use super::{Failure, say};
use crate::flag_values::{positive, probability};
use crate::input_arguments::InputArguments;
use crate::progress::Steps;
use crate::{input, model_file};

/// Judge a model on labelled transactions that it has not seen.
#[derive(Args, Clone, Debug)]
pub struct Evaluate {
    /// The model file that `assay train` wrote; with --prequential there is none, and DATA comes first.
    pub model: PathBuf,

    /// Labelled transactions: CSV (also in .zip, .gz or .zst) or Parquet; paths or http(s) URLs.
    #[arg(required_unless_present = "prequential")]
    pub data: Vec<String>,

    #[command(flatten)]
    pub prequential: PrequentialArguments,

    /// Folder to write the report to: index.html and report.json.
    #[arg(long, value_name = "DIR", conflicts_with = "prequential")]
    pub report: Option<PathBuf>,

    /// Column of the label [default: the one that the model was trained on].
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,

    /// Column that says how many rows each row counts as [default: the one that the model was trained with, if it is there].
    #[arg(long, value_name = "COLUMN", conflicts_with = "prequential")]
    pub weight: Option<String>,

    /// Probability from which a transaction is flagged [default: the model's own].
    #[arg(long, value_name = "PROBABILITY", value_parser = probability, conflicts_with = "prequential")]
    pub threshold: Option<f64>,

    /// Cost of looking at one flagged transaction [default: the model's own].
    #[arg(long, value_name = "MONEY", value_parser = positive, conflicts_with = "prequential")]
    pub review_cost: Option<f64>,

    /// Cost of a missed fraud: a share of its amount, or without amounts the cost itself [default: the model's own].
    #[arg(long, value_name = "SHARE|MONEY", value_parser = positive, conflicts_with = "prequential")]
    pub fraud_cost: Option<f64>,

    /// Bootstrap resamples behind each 95 % interval.
    #[arg(long, default_value_t = RESAMPLES, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub resamples: u32,

    /// Seed of the resamples, or of what learns with --prequential.
    #[arg(long, default_value_t = 42)]
    pub seed: u32,

    /// Print the report as JSON instead of text.
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub input: InputArguments,
}

/// Scores the data, judges the scores, and says or writes the result.
pub fn run(arguments: &Evaluate) -> Result<(), Failure> {
    if arguments.prequential.prequential {
        return prequential::run(arguments);
    }
    let artifact = model_file::load(&arguments.model)?;
    let (evaluation, notes) = judge(arguments, &artifact)?;
    let importance = importance(&artifact);
    let report = Report {
        title: "How good is this fraud model on these transactions?",
        model: summary(&artifact, notes),
        evaluations: std::slice::from_ref(&evaluation),
        importance: &importance,
    };
    if let Some(folder) = &arguments.report {
        write_report(folder, &report)?;
    }
    if arguments.json {
        say(json(&report))?;
        return Ok(());
    }
    for note in &report.model.notes {
        say(note)?;
    }
    say(text(report.evaluations))?;
    if let Some(folder) = &arguments.report {
        say(format_args!("Report: {}", folder.join("index.html").display()))?;
    }
    Ok(())
}

fn judge(arguments: &Evaluate, artifact: &Artifact) -> Result<(Evaluation, Vec<String>), Failure> {
    let manifest = artifact.manifest();
    let mut options = arguments.input.options();
    options.read.kinds = super::score::kinds(artifact);
    let table = input::read(&arguments.data, &options)?;
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", arguments.data.join(", "));
    let mut probabilities = Vec::with_capacity(table.rows());
    let matrix = rows(&table, artifact.features(), 0).map_err(|error| in_file(&error))?;
    artifact.probabilities(&matrix, &mut probabilities);
    let in_training = share_in_sketch(matrix.chunks_exact(artifact.features().len()), &manifest.training.row_sketch);
    let usual_weight = manifest.training.weight_column.clone();
    let weight = arguments.weight.clone().or_else(|| usual_weight.clone().filter(|weight| table.column(weight).is_some()));
    let amount = manifest.threshold.amount_column.clone().filter(|amount| table.column(amount).is_some());
    let label = arguments.label.clone().unwrap_or_else(|| manifest.label.clone());
    let roles = Roles { label: Some(label), weight: weight.clone(), amount, ..Roles::default() };
    let data = Dataset::new(table, &roles).map_err(|error| in_file(&error))?;
    let threshold = Threshold {
        probability: arguments.threshold.unwrap_or(manifest.threshold.probability),
        review_cost: arguments.review_cost.unwrap_or(manifest.threshold.review_cost),
        fraud_cost: arguments.fraud_cost.unwrap_or(manifest.threshold.fraud_cost),
        amount_column: data.amount.as_ref().map(|amount| amount.column.clone()),
    };
    let steps = Steps::default();
    let question = Question {
        data: &data,
        rows: &(0..data.rows()).collect::<Vec<_>>(),
        probabilities: &probabilities,
        learnt_from: None,
        threshold: &threshold,
        described: &arguments.data.join(", "),
        resamples: arguments.resamples,
        seed: arguments.seed,
    };
    let evaluation = evaluate(&question, &|step, done, total| steps.show(step, done, total));
    steps.clear();
    Ok((evaluation, cautions(in_training, weight, usual_weight)))
}

/// Less than this much overlap with the training rows is chance repetition.
const SHARE_WORTH_A_WORD: f64 = 0.05;

/// What makes the figures tell something else than how good the model is.
fn cautions(in_training: f64, weight: Option<String>, usual_weight: Option<String>) -> Vec<String> {
    let overlap = (in_training >= SHARE_WORTH_A_WORD).then(|| {
        format!(
            "About {:.0} % of these transactions are rows that the model learnt from: on them it may simply remember the answer, so these \
             figures flatter. Judge it on transactions from after its training.",
            in_training * 100.0
        )
    });
    let weighting = match (weight, usual_weight) {
        (Some(weight), Some(usual)) if weight == usual => {
            Some(format!("Rows count by their weights in {weight}, as in training."))
        }
        (None, Some(usual)) => Some(format!(
            "The model was trained with weights in {usual}, a column these transactions do not have: each counts once, so a thinned-out \
             history looks richer in fraud than the stream it came from."
        )),
        _ => None,
    };
    overlap.into_iter().chain(weighting).collect()
}

fn importance(artifact: &Artifact) -> Vec<Importance> {
    let weights = artifact.importance();
    let total: f64 = weights.iter().sum();
    let share = |weight: f64| if total > 0.0 { weight / total } else { 0.0 };
    let named = artifact.features().iter().zip(weights);
    named.map(|(feature, weight)| Importance { feature: feature.name.clone(), share: share(weight) }).collect()
}

fn summary(artifact: &Artifact, notes: Vec<String>) -> ModelSummary {
    let simulated = artifact.manifest().training.simulated;
    let note = simulated.then(|| "The model was trained on a simulated history: it is for trying things out.".to_owned());
    model_summary(artifact, note.into_iter().chain(notes).collect())
}
