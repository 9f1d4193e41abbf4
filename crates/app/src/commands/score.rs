//! `assay score`: a probability for every transaction of a file, whatever its size.

use std::collections::BTreeMap;
use std::path::PathBuf;

use assay_model::{Artifact, FeatureKind};
use assay_trainer::rows::rows;
use assay_trainer::table::{Column, Kind, Table, Values};
use clap::Args;
use rayon::prelude::*;

use super::{Failure, say};
use crate::input_arguments::InputArguments;
use crate::output::TableFile;
use crate::{input, model_file};

/// Rows that a thread scores at a time.
const PIECE_ROWS: usize = 4_096;

/// Score the transactions of a file: writes a column `probability`, rows in the order of the input.
#[derive(Args, Clone, Debug)]
pub struct Score {
    /// The model file that `assay train` wrote.
    pub model: PathBuf,

    /// Transactions: CSV (also in .zip, .gz or .zst) or Parquet; paths or http(s) URLs.
    #[arg(required = true)]
    pub data: Vec<String>,

    /// File to write: .csv or .parquet.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Column of the input to write beside the probability, like an id; may be repeated.
    #[arg(long, value_name = "COLUMN")]
    pub keep: Vec<String>,

    #[command(flatten)]
    pub input: InputArguments,
}

/// Scores batch after batch; the output appears when all of it is there.
pub fn run(arguments: &Score) -> Result<(), Failure> {
    let artifact = model_file::load(&arguments.model)?;
    let mut output = TableFile::begin(&arguments.output)?;
    let mut options = arguments.input.options();
    options.read.kinds = kinds(&artifact);
    options.read.columns = Some(columns(&artifact, &arguments.keep));
    let mut scored = 0;
    input::read_batches(&arguments.data, &options, |batch| -> Result<(), Failure> {
        let rows =
            rows(&batch, artifact.features(), scored).map_err(|error| format!("{}: {error}", arguments.data.join(", ")))?;
        scored += batch.rows() as u64;
        let table = scored_table(batch, &arguments.keep, probabilities(&artifact, &rows));
        output.write(&table)?;
        Ok(())
    })?;
    output.finish()?;
    say(format_args!("Scored {scored} transactions: {}", arguments.output.display()))?;
    Ok(())
}

/// The kinds that a model's features have as columns.
pub fn kinds(artifact: &Artifact) -> BTreeMap<String, Kind> {
    let kind = |kind: &FeatureKind| match kind {
        FeatureKind::Number => Kind::Numbers,
        FeatureKind::Category { .. } => Kind::Categories,
    };
    artifact.features().iter().map(|feature| (feature.name.clone(), kind(&feature.kind))).collect()
}

/// The columns to read: those of the features, and those to keep.
pub fn columns(artifact: &Artifact, keep: &[String]) -> Vec<String> {
    let features: Vec<String> = artifact.features().iter().map(|feature| feature.name.clone()).collect();
    let more = keep.iter().filter(|name| !features.contains(name)).cloned().collect();
    [features, more].concat()
}

fn probabilities(artifact: &Artifact, rows: &[f64]) -> Vec<f64> {
    let pieces = rows.par_chunks(PIECE_ROWS * artifact.features().len()).map(|piece| {
        let mut probabilities = Vec::with_capacity(PIECE_ROWS);
        artifact.probabilities(piece, &mut probabilities);
        probabilities
    });
    pieces.collect::<Vec<_>>().concat()
}

fn scored_table(batch: Table, keep: &[String], probabilities: Vec<f64>) -> Table {
    let mut columns: Vec<Column> = batch.columns.into_iter().filter(|column| keep.contains(&column.name)).collect();
    columns.push(Column { name: "probability".into(), values: Values::Numbers(probabilities) });
    Table { columns }
}
