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
    let columns = read_history(&definition, &arguments.data, &arguments.input)?;
    let folded = fold_history(&definition, &columns);
    let mut tables = history::tables(&definition, &columns, &folded);
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

/// The transactions of a history, a column per column of the definition.
pub fn read_history(definition: &Definition, data: &[String], arguments: &InputArguments) -> Result<Vec<Column>, Failure> {
    let schema = &definition.plan.schema;
    let mut options = arguments.options();
    history::read_options(schema, &mut options.read);
    let table = input::read(data, &options)?;
    Ok(history::columns(table, schema).map_err(|error| format!("{}: {error}", data.join(", ")))?)
}

/// Goes through a history, with progress.
pub fn fold_history<'a>(definition: &'a Definition, columns: &'a [Column]) -> Folded<'a> {
    let steps = Steps::default();
    let folded = fold(&definition.plan, columns, &|done, total| steps.show("looking at the past", done, total));
    steps.clear();
    folded
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
    let columns = read_history(definition, data, arguments)?;
    let folded = fold_history(definition, &columns);
    let known = |row: &u32| !columns[label].value(*row as usize).is_null();
    let mut features = Table::default();
    for table in history::tables(definition, &columns, &folded) {
        if features.columns.is_empty() { features = table } else { features.append(table)? }
    }
    features.keep(|place| known(&folded.order()[place]));
    let rows: Vec<u32> = folded.order().iter().copied().filter(known).collect();
    Ok((features, beside.map(|place| history::values(&columns[place], Some(&rows)))))
}
