//! `assay explain`: why transactions score what they do, feature by feature and in words.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use assay_model::Artifact;
use assay_model::explain::{Direction, Explainer, Explanation, Reason, reasons};
use assay_trainer::rows::rows;
use assay_trainer::table::{Column, Table, Values};
use clap::Args;
use rayon::prelude::*;

use super::score::{columns, kinds};
use super::{Failure, say};
use crate::input_arguments::InputArguments;
use crate::output::TableFile;
use crate::{input, model_file};

/// Rows that are told of when nobody says which.
const RISKIEST: usize = 5;

/// Tell why transactions score what they do: the features that raised and lowered the risk most, in words.
#[derive(Args, Clone, Debug)]
pub struct Explain {
    /// The model file that `assay train` wrote.
    pub model: PathBuf,

    /// Transactions: CSV (also in .zip, .gz or .zst) or Parquet; paths or http(s) URLs.
    #[arg(required = true)]
    pub data: Vec<String>,

    /// Row to tell of, counted from 1; may be repeated, or be several, as in 1,5 [default: the five that score highest].
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    pub row: Vec<u64>,

    /// Features to name on each side.
    #[arg(long, value_name = "NUMBER", default_value = "4")]
    pub top: NonZeroUsize,

    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,

    /// File to write for all rows, .csv or .parquet: the probability and what each feature contributes, in log-odds.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["row", "json"])]
    pub output: Option<PathBuf>,

    /// Column of the input to write into the file too, like an id; may be repeated.
    #[arg(long, value_name = "COLUMN", requires = "output")]
    pub keep: Vec<String>,

    #[command(flatten)]
    pub input: InputArguments,
}

/// Explains batch after batch; a file appears when all of it is there.
pub fn run(arguments: &Explain) -> Result<(), Failure> {
    let artifact = model_file::load(&arguments.model)?;
    let explainer = artifact.explainer().map_err(|error| format!("{}: {error}", arguments.model.display()))?;
    if let Some(path) = &arguments.output {
        let mut output = TableFile::begin(path)?;
        let mut explained = 0;
        read(arguments, &artifact, |batch, rows| {
            explained += batch.rows();
            Ok(output.write(&contributions(batch, &arguments.keep, &artifact, &explainer, rows))?)
        })?;
        output.finish()?;
        return say(format_args!("Explained {explained} transactions: {}", path.display()));
    }
    for told in chosen(arguments, &artifact, &explainer)? {
        if arguments.json {
            say(told.json(&artifact))?;
        } else {
            say(told.text())?;
        }
    }
    Ok(())
}

/// Gives each batch of the data to `each`, with its rows as the model takes them.
fn read(
    arguments: &Explain,
    artifact: &Artifact,
    mut each: impl FnMut(Table, &[f64]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut options = arguments.input.options();
    options.read.kinds = kinds(artifact);
    options.read.columns = Some(columns(artifact, &arguments.keep));
    let mut before = 0;
    input::read_batches(&arguments.data, &options, |batch| {
        let rows =
            rows(&batch, artifact.features(), before).map_err(|error| format!("{}: {error}", arguments.data.join(", ")))?;
        before += batch.rows() as u64;
        each(batch, &rows)
    })
}

/// A column for the probability, one for what contributions start from, and one per feature.
fn contributions(batch: Table, keep: &[String], artifact: &Artifact, explainer: &Explainer, rows: &[f64]) -> Table {
    let width = artifact.features().len();
    let explained: Vec<(f64, Explanation)> =
        rows.par_chunks(width).map(|row| (artifact.probability(row), explainer.explain(row))).collect();
    let mut columns: Vec<Column> = batch.columns.into_iter().filter(|column| keep.contains(&column.name)).collect();
    let mut add = |name: String, value: &dyn Fn(&(f64, Explanation)) -> f64| {
        columns.push(Column { name, values: Values::Numbers(explained.iter().map(value).collect()) });
    };
    add("probability".into(), &|(probability, _)| *probability);
    add("expected".into(), &|(_, explanation)| explanation.expected);
    for (place, feature) in artifact.features().iter().enumerate() {
        add(format!("{}_contribution", feature.name), &|(_, explanation)| explanation.contributions[place]);
    }
    Table { columns }
}

/// A row that is told of.
struct Told {
    number: u64,
    probability: f64,
    explanation: Explanation,
    raised: Vec<Reason>,
    lowered: Vec<Reason>,
}

/// The rows asked for, in their order; or those that score highest, the highest first.
fn chosen(arguments: &Explain, artifact: &Artifact, explainer: &Explainer) -> Result<Vec<Told>, Failure> {
    let wanted: BTreeSet<u64> = arguments.row.iter().copied().collect();
    let width = artifact.features().len();
    let mut kept: Vec<(u64, f64, Vec<f64>)> = Vec::new();
    let mut count = 0;
    read(arguments, artifact, |_, rows| {
        let mut probabilities = Vec::new();
        artifact.probabilities(rows, &mut probabilities);
        for (row, probability) in rows.chunks_exact(width).zip(probabilities) {
            count += 1;
            if wanted.is_empty() || wanted.contains(&count) {
                kept.push((count, probability, row.to_vec()));
            }
        }
        if wanted.is_empty() {
            kept.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
            kept.truncate(RISKIEST);
        }
        Ok(())
    })?;
    if let Some(absent) = wanted.iter().find(|row| !(1..=count).contains(*row)) {
        return Err(format!("there is no row {absent}: the data has {count}, counted from 1; correct --row").into());
    }
    let told = |(number, probability, row): (u64, f64, Vec<f64>)| {
        let explanation = explainer.explain(&row);
        let baseline = &artifact.manifest().baseline.features;
        let [raised, lowered] = [Direction::Raised, Direction::Lowered]
            .map(|direction| reasons(&explanation, artifact.features(), baseline, &row, direction, arguments.top.get()));
        Told { number, probability, explanation, raised, lowered }
    };
    Ok(kept.into_iter().map(told).collect())
}

impl Told {
    fn text(&self) -> String {
        let mut lines = vec![format!("Row {}: probability of fraud {:.4}", self.number, self.probability)];
        let line = |reason: &Reason| format!("  {:+.2}  {}", reason.impact, reason.words);
        lines.extend(self.raised.iter().chain(&self.lowered).map(line));
        lines.join("\n") + "\n"
    }

    fn json(&self, artifact: &Artifact) -> serde_json::Value {
        let reason = |reason: &Reason| {
            serde_json::json!({
                "feature": artifact.features()[reason.feature].name,
                "direction": if reason.direction == Direction::Raised { "raised" } else { "lowered" },
                "impact": reason.impact,
                "share": reason.share,
                "words": reason.words,
            })
        };
        let contributions: serde_json::Map<String, serde_json::Value> = (artifact.features().iter())
            .zip(&self.explanation.contributions)
            .map(|(feature, &contribution)| (feature.name.clone(), contribution.into()))
            .collect();
        serde_json::json!({
            "row": self.number,
            "probability": self.probability,
            "expected": self.explanation.expected,
            "contributions": contributions,
            "reasons": self.raised.iter().chain(&self.lowered).map(reason).collect::<Vec<_>>(),
        })
    }
}
