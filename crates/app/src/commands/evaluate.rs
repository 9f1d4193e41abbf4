//! `assay evaluate`: how good is a model on labelled transactions?

use std::path::PathBuf;

use assay_model::Artifact;
use assay_model::manifest::Threshold;
use assay_trainer::dataset::{Dataset, Roles};
use assay_trainer::evaluate::{Question, RESAMPLES, evaluate};
use assay_trainer::evaluation::{Evaluation, Importance};
use assay_trainer::report::{ModelSummary, Report, json, text};
use assay_trainer::rows::rows;
use clap::Args;

use super::train::{model_summary, write_report};
use super::{Failure, say};
use crate::flag_values::{positive, probability};
use crate::input_arguments::InputArguments;
use crate::progress::Steps;
use crate::{input, model_file};

/// Judge a model on labelled transactions that it has not seen.
#[derive(Args, Clone, Debug)]
pub struct Evaluate {
    /// The model file that `assay train` wrote.
    pub model: PathBuf,

    /// Labelled transactions: CSV (also in .zip, .gz or .zst) or Parquet; paths or http(s) URLs.
    #[arg(required = true)]
    pub data: Vec<String>,

    /// Folder to write the report to: index.html and report.json.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,

    /// Column of the label [default: the one that the model was trained on].
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,

    /// Column that says how many rows each row counts as.
    #[arg(long, value_name = "COLUMN")]
    pub weight: Option<String>,

    /// Probability from which a transaction is flagged [default: the model's own].
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    pub threshold: Option<f64>,

    /// Cost of looking at one flagged transaction [default: the model's own].
    #[arg(long, value_name = "MONEY", value_parser = positive)]
    pub review_cost: Option<f64>,

    /// Cost of a missed fraud: a share of its amount, or without amounts the cost itself [default: the model's own].
    #[arg(long, value_name = "SHARE|MONEY", value_parser = positive)]
    pub fraud_cost: Option<f64>,

    /// Bootstrap resamples behind each 95 % interval.
    #[arg(long, default_value_t = RESAMPLES, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub resamples: u32,

    /// Seed of the resamples.
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
    let artifact = model_file::load(&arguments.model)?;
    let evaluation = judge(arguments, &artifact)?;
    let importance = importance(&artifact);
    let report = Report {
        title: "How good is this fraud model on these transactions?",
        model: summary(&artifact),
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
    say(text(report.evaluations))?;
    if let Some(folder) = &arguments.report {
        say(format_args!("Report: {}", folder.join("index.html").display()))?;
    }
    Ok(())
}

fn judge(arguments: &Evaluate, artifact: &Artifact) -> Result<Evaluation, Failure> {
    let manifest = artifact.manifest();
    let mut options = arguments.input.options();
    options.read.kinds = super::score::kinds(artifact);
    let table = input::read(&arguments.data, &options)?;
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", arguments.data.join(", "));
    let mut probabilities = Vec::with_capacity(table.rows());
    artifact.probabilities(&rows(&table, artifact.features(), 0).map_err(|error| in_file(&error))?, &mut probabilities);
    let amount = manifest.threshold.amount_column.clone().filter(|amount| table.column(amount).is_some());
    let label = arguments.label.clone().unwrap_or_else(|| manifest.label.clone());
    let roles = Roles { label: Some(label), weight: arguments.weight.clone(), amount, ..Roles::default() };
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
    Ok(evaluation)
}

fn importance(artifact: &Artifact) -> Vec<Importance> {
    let weights = artifact.importance();
    let total: f64 = weights.iter().sum();
    let share = |weight: f64| if total > 0.0 { weight / total } else { 0.0 };
    let named = artifact.features().iter().zip(weights);
    named.map(|(feature, weight)| Importance { feature: feature.name.clone(), share: share(weight) }).collect()
}

fn summary(artifact: &Artifact) -> ModelSummary {
    let simulated = artifact.manifest().training.simulated;
    let note = simulated.then(|| "The model was trained on a simulated history: it is for trying things out.".to_owned());
    model_summary(artifact, note.into_iter().collect())
}
