//! What can be learnt from the journal? Every transaction next to its past as it came, with its label as it was known at some moment.
//!
//! The rows are those that decisions were made from, to the bit: the same fold, in the order of the journal.

use std::path::Path;

use assay_domain::Value;
use assay_domain::time::{FIRST, LAST};
use assay_features::fold::column_of;
use assay_features::{Definition, Features};
use assay_journal::Reader;
use assay_trainer::table::{Column, Problem, Table, Values};
use thiserror::Error;

use super::data_folder::DataFolder;
use super::fold::{FoldError, State};
use super::past::{self, Happened, Labels, Learnt, Told};
use crate::history;

/// Rows of a piece of the table.
const PIECE_ROWS: usize = 65_536;
/// Entries after which progress is told.
const STEP: u64 = 10_000;

/// Rows to learn from.
#[derive(Debug)]
pub struct Lessons {
    /// What a transaction is, and its features.
    pub definition: Definition,
    /// As of when labels are known.
    pub as_of: i64,
    /// Of every transaction whose label is known: the number of its entry in the place of its id, its event time, features, label.
    pub table: Table,
    /// Transactions whose label is not known yet.
    pub immature: u64,
    /// Transactions that were declined, of which nobody will ever know.
    pub declined: u64,
    /// Transactions that the definition does not admit.
    pub not_admitted: u64,
}

/// Why nothing can be learnt.
#[derive(Debug, Error)]
pub enum LessonsError {
    /// The journal cannot be gone through.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// There is no definition.
    #[error("the journal names no definition: import a history, or name a definition with --definition")]
    NoDefinition,
    /// There is nothing to learn.
    #[error("the definition names no label to learn from; write label = '…' into WITH")]
    NoLabel,
    /// Nothing happened.
    #[error("the journal holds no transaction whose label was known by then")]
    Nothing,
    /// The table cannot be put together.
    #[error("the features cannot be put into a table: {0}")]
    Table(Problem),
}

impl From<assay_journal::JournalError> for LessonsError {
    fn from(problem: assay_journal::JournalError) -> Self {
        Self::Fold(problem.into())
    }
}

/// Goes through the journal in `folder` up to what had arrived by `as_of`, else to its end. `progress` is told how many entries of how many
/// are done.
pub fn lessons(
    folder: &Path,
    definition: Option<Definition>,
    as_of: Option<i64>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Lessons, LessonsError> {
    let reader = Reader::open(folder)?;
    let checkpoint = past::checkpoint(&reader, &DataFolder::at(folder))?;
    let definition = definition.map_or_else(|| past::definition(&reader, checkpoint.as_ref()), |given| Ok(Some(given)))?;
    let definition = definition.ok_or(LessonsError::NoDefinition)?;
    let schema = definition.plan.schema.clone();
    let label = schema.label.ok_or(LessonsError::NoLabel)?;
    let total = reader.head()?.sequence;
    let as_of = as_of.map_or_else(|| past::end(&reader), |at| Ok(Some(at.clamp(FIRST, LAST))))?.unwrap_or(FIRST);
    let mut rows = Rows::new(beginning(checkpoint, &definition));
    past::visit(&reader, &schema, as_of, |sequence, happened| -> Result<(), LessonsError> {
        if sequence.is_multiple_of(STEP) {
            progress(sequence, total);
        }
        rows.take(happened)
    })?;
    rows.cut_piece()?;
    let Rows { mut table, transactions, labels, not_admitted, .. } = rows;
    let truths: Vec<Option<bool>> =
        transactions.iter().map(|told| told.truth(labels.get(&told.sequence).copied(), &schema, as_of)).collect();
    let unknown = || transactions.iter().zip(&truths).filter(|(_, truth)| truth.is_none()).map(|(told, _)| told);
    let declined = unknown().filter(|told| told.is_mature(&schema, as_of)).count() as u64;
    let immature = unknown().count() as u64 - declined;
    if truths.iter().all(Option::is_none) {
        return Err(LessonsError::Nothing);
    }
    let number = |truth: &Option<bool>| truth.map_or(f64::NAN, |fraud| f64::from(u8::from(fraud)));
    let values = Values::Numbers(truths.iter().map(number).collect());
    table.columns.push(Column { name: schema.fields[label].name.clone(), values });
    table.keep(|row| truths[row].is_some());
    Ok(Lessons { definition, as_of, table, immature, declined, not_admitted })
}

/// The features before the first entry: of a journal whose beginning was cut off those of its checkpoint, if they are the same.
fn beginning(checkpoint: Option<State>, definition: &Definition) -> Features {
    let features = checkpoint.map(|state| state.engine.features().clone());
    let same = features.filter(|features| features.definition().text == definition.text);
    same.unwrap_or_else(|| Features::new(definition.clone()))
}

/// Rows in the making.
struct Rows {
    features: Features,
    /// Values of the piece that is not in the table yet, by column: event time, then features.
    piece: Vec<Vec<Value>>,
    table: Table,
    transactions: Vec<Told>,
    labels: Labels,
    not_admitted: u64,
}

impl Rows {
    fn new(features: Features) -> Self {
        let piece = vec![Vec::new(); 1 + features.definition().plan.features.len()];
        let (table, transactions, labels) = (Table::default(), Vec::new(), Labels::new());
        Self { features, piece, table, transactions, labels, not_admitted: 0 }
    }

    fn take(&mut self, happened: Happened) -> Result<(), LessonsError> {
        match happened {
            Happened::Transaction(came) => {
                let observed = self.features.observe(&came.values).features;
                let values = std::iter::once(Value::Timestamp(came.event)).chain(observed);
                self.piece.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
                self.transactions.push(Told::by(&came, &self.features.definition().plan.schema));
                if self.piece[0].len() == PIECE_ROWS {
                    self.cut_piece()?;
                }
            }
            Happened::Label(Learnt { of, values, fraud }) => {
                self.features.relabel(&values, Some(fraud));
                self.labels.insert(of, fraud);
            }
            Happened::NotAdmitted => self.not_admitted += 1,
            Happened::List(_) => {}
        }
        Ok(())
    }

    /// Adds the piece to the table.
    fn cut_piece(&mut self) -> Result<(), LessonsError> {
        let plan = &self.features.definition().plan;
        let rows = self.piece[0].len();
        let entries = self.transactions[self.transactions.len() - rows..].iter().map(|told| told.sequence as f64);
        let name = |place: usize| plan.schema.fields[place].name.clone();
        let mut columns = vec![Column { name: name(plan.schema.id), values: Values::Numbers(entries.collect()) }];
        let time = (name(plan.schema.event_time), assay_domain::Type::Timestamp);
        let named = std::iter::once(time).chain(plan.features.iter().map(|feature| (feature.name.clone(), feature.kind)));
        columns.extend(named.zip(&mut self.piece).map(|((name, kind), values)| {
            let column = column_of(kind, std::mem::take(values).into_iter());
            Column { name, values: history::values(&column, None) }
        }));
        let piece = Table { columns };
        if self.table.columns.is_empty() {
            self.table = piece;
        } else {
            self.table.append(piece).map_err(LessonsError::Table)?;
        }
        Ok(())
    }
}
