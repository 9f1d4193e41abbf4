//! `assay features`: what does each transaction of a history look like next to its past?

use std::path::{Path, PathBuf};

use assay_domain::Column;
use assay_features::fold::Folded;
use assay_features::{Definition, fold};
use assay_trainer::table::{Table, Values};
use clap::Args;

use super::{Failure, say};
use crate::input_arguments::InputArguments;
use crate::output::TableFile;
use crate::progress::Steps;
use crate::{history, input};

/// Work out the features of a definition for a history of transactions.
#[derive(Args, Clone, Debug)]
pub struct Features {
    /// The definition: SQL that says what a transaction is and what its features are.
    pub definition: PathBuf,

    /// Transactions: CSV (also in .zip, .gz or .zst) or Parquet; paths or http(s) URLs, read one after another.
    #[arg(required = true)]
    pub data: Vec<String>,

    /// File to write: .csv or .parquet.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    #[command(flatten)]
    pub input: InputArguments,
}

/// Writes id, event time, features and label of every transaction, in the order of their events.
pub fn run(arguments: &Features) -> Result<(), Failure> {
    let definition = read_definition(&arguments.definition)?;
    let mut output = TableFile::begin(&arguments.output)?;
    let history = read_history(&definition, &arguments.data, &arguments.input)?;
    let folded = fold_history(&definition, &history, 2 * history::PIECE_ROWS)?;
    let mut tables = history::tables(&definition, &history.columns, &folded);
    let mut next = tables.next();
    while let Some(table) = next {
        // The next piece is worked out while this one is written.
        let (written, following) = rayon::join(|| output.write(&table), || tables.next());
        written?;
        next = following;
    }
    output.finish()?;
    let (features, rows) = (definition.plan.features.len(), folded.order().len());
    say(format_args!("Worked out {features} features of {rows} transactions: {}", arguments.output.display()))?;
    Ok(())
}

/// Reads and understands a definition.
pub fn read_definition(path: &Path) -> Result<Definition, Failure> {
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|error| format!("{name}: cannot be read: {error}; check the path and its permissions"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: this is not UTF-8 text; a definition is SQL in UTF-8"))?;
    Ok(Definition::parse(&text, &name)?)
}

/// A history as it was read.
struct History {
    /// A column per column of the definition.
    columns: Vec<Column>,
    /// What they are called in messages.
    files: String,
    /// What its table takes of the memory that it may take.
    bytes: u64,
    limit_bytes: u64,
}

/// Reads the transactions of a history.
fn read_history(definition: &Definition, data: &[String], arguments: &InputArguments) -> Result<History, Failure> {
    let schema = &definition.plan.schema;
    let mut options = arguments.options();
    history::read_options(schema, &mut options.read);
    let table = input::read(data, &options)?;
    let (files, bytes, limit_bytes) = (data.join(", "), table.bytes(), options.read.memory_limit_bytes);
    let columns = history::columns(table, schema).map_err(|error| format!("{files}: {error}"))?;
    Ok(History { columns, files, bytes, limit_bytes })
}

/// Goes through a history, with progress, unless memory would not hold what windows need and the features of `held` transactions at once.
fn fold_history<'a>(definition: &'a Definition, history: &'a History, held: usize) -> Result<Folded<'a>, Failure> {
    let plan = &definition.plan;
    let rows = history.columns[plan.schema.id].len();
    let beside = usize::from(plan.schema.label.is_some()) + 2;
    let needed = (rows * fold::bytes_per_row(plan) + rows.min(held) * (plan.features.len() + beside) * size_of::<f64>()) as u64;
    if history.bytes.saturating_add(needed) > history.limit_bytes {
        let [bytes, needed, limit] = [history.bytes, needed, history.limit_bytes].map(|bytes| bytes as f64 / 1e6);
        let files = &history.files;
        return Err(format!(
            "{files}: {rows} transactions take {bytes:.1} MB and their windows and features about {needed:.1} MB more, together more than the \
             limit of {limit:.1} MB; raise --memory-limit if the machine has more, ask for fewer windows, or have Spark run the same SELECT \
             (docs/scale.md)"
        )
        .into());
    }
    let steps = Steps::default();
    let folded = fold(plan, &history.columns, &|done, total| steps.show("looking at the past", done, total));
    steps.clear();
    folded.map_err(|error| format!("{}: {error}", history.files).into())
}

/// The features of the transactions of a history whose label is known, and whatever column of the schema is wanted beside them.
pub fn labelled_features(
    definition: &Definition,
    data: &[String],
    arguments: &InputArguments,
    beside: Option<usize>,
) -> Result<(Table, Option<Values>), Failure> {
    let Some(label) = definition.plan.schema.label else {
        return Err("the definition names no label to learn from; write label = '…' into WITH".into());
    };
    let history = read_history(definition, data, arguments)?;
    let columns = &history.columns;
    let folded = fold_history(definition, &history, usize::MAX)?;
    let known = |row: &u32| !columns[label].value(*row as usize).is_null();
    let mut features = Table::default();
    for table in history::tables(definition, columns, &folded) {
        if features.columns.is_empty() { features = table } else { features.append(table)? }
    }
    features.keep(|place| known(&folded.order()[place]));
    let rows: Vec<u32> = folded.order().iter().copied().filter(known).collect();
    Ok((features, beside.map(|place| history::values(&columns[place], Some(&rows)))))
}
