//! `assay import`: a history of transactions and their labels, written into the journal as if it had happened there.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use assay_domain::columns::NULL_INTEGER;
use assay_domain::time::SECOND;
use assay_domain::{Column, Schema, Value, card_data};
use assay_features::Definition;
use assay_journal::{Journal, JournalError, Kind, NewEntry, Reader};
use clap::Args;
use serde::Serialize;

use super::features::read_definition;
use super::{Failure, say};
use crate::decisions::fold;
use crate::decisions::record::{self, DefinitionChange, Glance, Label, Truth, json};
use crate::decisions::transaction::{self, Transaction};
use crate::input_arguments::InputArguments;
use crate::progress::Steps;
use crate::{clock, history, input};

/// Entries that are written as one.
const GROUP: usize = 4_096;
/// Rows after which progress is told.
const STEP: usize = 10_000;
/// From whom labels of an import are.
const SOURCE: &str = "import";

/// Write a history into the journal of a data folder, as the past that features and models are made of.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// History: CSV (also in .zip, .gz or .zst) or Parquet; paths or http(s) URLs, read one after another.
    #[arg(required = true)]
    pub data: Vec<String>,

    /// The data folder; it is made if it is not there. No server may be writing in it.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,

    /// SQL that says what a transaction is.
    #[arg(long, value_name = "FILE")]
    pub definition: PathBuf,

    /// Column of the moment at which each label was learnt: labels become entries of their own at that moment. Without it they come with
    /// their transactions, and count once the label delay has passed.
    #[arg(long, value_name = "COLUMN")]
    pub learnt: Option<String>,

    /// Print what was imported as JSON instead of text.
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub input: InputArguments,
}

/// What was imported, for programs.
#[derive(Debug, Default, Serialize)]
struct Imported {
    transactions: u64,
    frauds: u64,
    labels: u64,
    known: u64,
    from: Option<String>,
    to: Option<String>,
    head: String,
    seconds: f64,
}

/// A history that is to be written.
struct Past<'a> {
    definition: &'a Definition,
    columns: Vec<Column>,
    learnt: Option<Moments>,
    /// When it is written, after which nothing of it can have happened.
    now: i64,
}

/// The moments at which labels were learnt, and the column that says so.
struct Moments {
    column: String,
    of_rows: Vec<i64>,
}

/// Something that happened in it: its time; transactions before labels; the row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Happening {
    at: i64,
    is_label: bool,
    row: usize,
}

/// Reads, checks everything, then writes.
pub fn run(arguments: &Import) -> Result<(), Failure> {
    let began = clock::now();
    let definition = read_definition(&arguments.definition)?;
    let past = read(arguments, &definition)?;
    let steps = Steps::default();
    let imported = import(arguments, &past, &steps);
    steps.clear();
    let mut imported = imported?;
    imported.seconds = (clock::now() - began).as_secs_f64();
    if arguments.json { say(serde_json::to_string_pretty(&imported)?) } else { tell(arguments, &imported) }
}

fn tell(arguments: &Import, imported: &Imported) -> Result<(), Failure> {
    let Imported { transactions, frauds, labels, known, from, to, head, seconds } = imported;
    let range = from.as_ref().zip(to.as_ref()).map_or(String::new(), |(from, to)| format!(", from {from} to {to}"));
    say(format_args!("Imported {transactions} transactions, {frauds} of them frauds{range}, in {seconds:.1} s."))?;
    if arguments.learnt.is_some() {
        say(format_args!("{labels} labels were written at the moments when they were learnt."))?;
    }
    if *known > 0 {
        say(format_args!("{known} more were known already, the same in every column."))?;
    }
    say(format_args!("Journal: {}, head {head}", arguments.data_dir.display()))
}

fn read<'a>(arguments: &Import, definition: &'a Definition) -> Result<Past<'a>, Failure> {
    let schema = &definition.plan.schema;
    for field in &schema.fields {
        card_data::check_name(&field.name)?;
    }
    let mut options = arguments.input.options();
    history::read_options(schema, &mut options.read);
    if let Some(learnt) = arguments.learnt.as_ref().filter(|learnt| schema.place(learnt).is_none()) {
        options.read.columns.get_or_insert_default().push(learnt.clone());
    }
    let files = arguments.data.join(", ");
    let table = input::read(&arguments.data, &options)?;
    let learnt = match &arguments.learnt {
        Some(_) if schema.label.is_none() => {
            return Err("the definition names no label, so there is none to learn: write label = '…' into WITH".into());
        }
        Some(name) => {
            let of_rows = history::moments(&table, name).map_err(|error| format!("{files}: {error}"))?;
            Some(Moments { column: name.clone(), of_rows })
        }
        None => None,
    };
    let columns = history::columns(table, schema).map_err(|error| format!("{files}: {error}"))?;
    Ok(Past { definition, columns, learnt, now: clock::microseconds() })
}

fn import(arguments: &Import, past: &Past, steps: &Steps) -> Result<Imported, Failure> {
    let mut happenings = past.happenings()?;
    let repeated = past.check(&happenings, steps)?;
    happenings.retain(|happening| !repeated.contains(&happening.row));
    let mut journal = Journal::open(&arguments.data_dir)?;
    let definition = past.describes(journal.read())?;
    let news = past.news(happenings, journal.read(), steps)?;
    let mut imported = Imported::default();
    if let (Some(body), Some(first)) = (definition, news.first()) {
        journal.append(&[NewEntry { kind: Kind::Definition, id: None, arrived: first.at, body: &body, personal: None }])?;
    }
    for (number, group) in news.chunks(GROUP).enumerate() {
        steps.show("writing the journal", (number * GROUP) as u64, news.len() as u64);
        past.write(group, &mut journal, &mut imported)?;
    }
    imported.known = past.rows() as u64 - imported.transactions;
    imported.head = journal.head().to_string();
    Ok(imported)
}

impl Past<'_> {
    fn schema(&self) -> &Schema {
        &self.definition.plan.schema
    }

    fn rows(&self) -> usize {
        self.columns[self.schema().id].len()
    }

    /// Everything in the order in which it became known; what is of one instant as it stood in the file.
    fn happenings(&self) -> Result<Vec<Happening>, Failure> {
        let mut happenings = Vec::with_capacity(self.rows());
        for row in 0..self.rows() {
            let Value::Timestamp(at) = self.columns[self.schema().event_time].value(row) else {
                return Err(of_row(row, "its event time is empty; every transaction has one"));
            };
            self.has_happened(row, at, &self.schema().fields[self.schema().event_time].name)?;
            happenings.push(Happening { at, is_label: false, row });
            let (Some(learnt), Some(_)) = (self.learnt_at(row), self.fraud(row)) else { continue };
            self.has_happened(row, learnt, self.learnt.as_ref().map_or("", |learnt| &learnt.column))?;
            if learnt < at {
                return Err(of_row(row, "its label was learnt before it happened; correct the one moment or the other"));
            }
            happenings.push(Happening { at: learnt, is_label: true, row });
        }
        happenings.sort_unstable();
        Ok(happenings)
    }

    /// A moment years ahead would be the newest of the journal, and every decision after it too late.
    fn has_happened(&self, row: usize, at: i64, column: &str) -> Result<(), Failure> {
        let most = self.schema().max_skew;
        if at.saturating_sub(self.now) <= most {
            return Ok(());
        }
        let seconds = most / SECOND;
        let problem = format!(
            "`{column}` is further ahead of this machine's clock than the {seconds} seconds of max_skew, so it has not happened; \
             correct the history, or the clock"
        );
        Err(of_row(row, problem))
    }

    fn learnt_at(&self, row: usize) -> Option<i64> {
        self.learnt.as_ref().map(|learnt| learnt.of_rows[row]).filter(|&learnt| learnt != NULL_INTEGER)
    }

    fn fraud(&self, row: usize) -> Option<bool> {
        match self.columns[self.schema().label?].value(row) {
            Value::Boolean(fraud) => Some(fraud),
            _ => None,
        }
    }

    /// A row as the journal has it: without its label, where that becomes an entry of its own.
    fn transaction(&self, row: usize) -> Result<Transaction, Failure> {
        let mut values = self.values(row);
        if let (Some(_), Some(label)) = (&self.learnt, self.schema().label) {
            values[label] = Value::Null;
        }
        Transaction::of(values, self.schema()).map_err(|problem| of_row(row, problem))
    }

    fn values(&self, row: usize) -> Vec<Value> {
        self.columns.iter().map(|column| column.value(row)).collect()
    }

    /// Whether every row may enter, and none has the id of another that says something else; the rows that repeat an earlier one.
    fn check(&self, happenings: &[Happening], steps: &Steps) -> Result<BTreeSet<usize>, Failure> {
        let mut ids = Vec::with_capacity(self.rows());
        let transactions = happenings.iter().filter(|happening| !happening.is_label);
        for (number, &Happening { at, row, .. }) in transactions.enumerate() {
            if number.is_multiple_of(STEP) {
                steps.show("checking", number as u64, self.rows() as u64);
            }
            let transaction = self.transaction(row)?;
            self.schema().admit(&transaction.values, at).map_err(|problem| of_row(row, problem))?;
            card_data::check(self.schema(), &transaction.values).map_err(|problem| of_row(row, problem))?;
            let mut hash = DefaultHasher::new();
            transaction.id.hash(&mut hash);
            ids.push((hash.finish(), number, row));
        }
        ids.sort_unstable();
        let mut repeated = BTreeSet::new();
        for alike in ids.chunk_by(|(one, ..), (other, ..)| one == other).filter(|alike| alike.len() > 1) {
            let mut first_of = BTreeMap::new();
            for &(_, _, row) in alike {
                let first = *first_of.entry(self.transaction(row)?.id).or_insert(row);
                if self.values(first) != self.values(row) {
                    let problem = format!("it has the id of row {}, but other columns; an id is of one transaction", first + 1);
                    return Err(of_row(row, problem));
                }
                if first != row {
                    repeated.insert(row);
                }
            }
        }
        Ok(repeated)
    }

    /// The definition as an entry, if the journal has none or another.
    fn describes(&self, reader: &Reader) -> Result<Option<String>, Failure> {
        let body = json(&DefinitionChange { sql: self.definition.text.clone() });
        let last = reader.latest(Kind::Definition, u64::MAX, 1)?.pop();
        if last.is_some_and(|last| last.body == body) {
            return Ok(None);
        }
        if reader.latest(Kind::Model, u64::MAX, 1)?.is_empty() {
            return Ok(Some(body));
        }
        let advice = "import with that one, or into another data folder";
        Err(format!("the model that decides in this journal was trained on another definition; {advice}").into())
    }

    /// What the journal does not have yet. What it has must say the same; what is new must not lie before it.
    fn news(&self, happenings: Vec<Happening>, reader: &Reader, steps: &Steps) -> Result<Vec<Happening>, Failure> {
        let Some(newest) = newest(reader)? else { return Ok(happenings) };
        let (mut news, total) = (Vec::new(), happenings.len() as u64);
        for (number, happening) in happenings.into_iter().enumerate() {
            if number.is_multiple_of(STEP) {
                steps.show("comparing with the journal", number as u64, total);
            }
            let Happening { at, is_label, row } = happening;
            if if is_label { self.has_label(row, reader)? } else { self.has_transaction(row, reader)? } {
                continue;
            }
            if at < newest {
                let what = if is_label { "its label was learnt" } else { "it happened" };
                let problem = format!(
                    "{what} before the newest transaction of the journal, and what is decided stays decided; import earlier histories \
                     first, or into a data folder of their own"
                );
                return Err(of_row(row, problem));
            }
            news.push(happening);
        }
        Ok(news)
    }

    /// Whether the journal has the transaction of a row; it must be the same in every column that was not erased.
    fn has_transaction(&self, row: usize, reader: &Reader) -> Result<bool, Failure> {
        let transaction = self.transaction(row)?;
        let Some(entry) = fold::find(reader, &transaction.id)? else { return Ok(false) };
        let entry = fold::borrowed(&entry);
        let glance: Glance = fold::body(&entry)?;
        let recorded = transaction::recorded(glance.transaction.get(), entry.personal, self.schema());
        let is_erased = entry.personal.is_none();
        let is_same = recorded.is_some_and(|recorded| {
            let mut columns = self.schema().fields.iter().zip(recorded.iter().zip(&transaction.values));
            columns.all(|(field, (recorded, given))| recorded == given || (field.personal && is_erased))
        });
        if is_same {
            return Ok(true);
        }
        let problem =
            format!("the journal has its id in entry {}, with other columns; an id is of one transaction", entry.sequence);
        Err(of_row(row, problem))
    }

    /// Whether the journal has the label of a row.
    fn has_label(&self, row: usize, reader: &Reader) -> Result<bool, Failure> {
        let (id, label) = (self.transaction(row)?.id, json(&self.label(row)));
        Ok(reader.labels_of(&id)?.iter().any(|entry| entry.body == label))
    }

    fn label(&self, row: usize) -> Label {
        let learnt = self.learnt_at(row).unwrap_or_default();
        let label = Truth::of(self.fraud(row) == Some(true));
        Label { label, source: SOURCE.into(), learnt: record::moment(learnt), by: None }
    }

    /// Writes a group.
    fn write(&self, group: &[Happening], journal: &mut Journal, imported: &mut Imported) -> Result<(), Failure> {
        let mut written = Vec::with_capacity(group.len());
        for &Happening { at, is_label, row } in group {
            let transaction = self.transaction(row)?;
            if is_label {
                written.push((Kind::Label, transaction.id, at, json(&self.label(row)), None));
                imported.labels += 1;
            } else {
                let body = record::transaction_body(&transaction.fields);
                written.push((Kind::Transaction, transaction.id, at, body, transaction.personal));
                imported.transactions += 1;
                imported.frauds += u64::from(self.fraud(row) == Some(true));
                imported.from.get_or_insert_with(|| record::moment(at));
                imported.to = Some(record::moment(at));
            }
        }
        let entries: Vec<NewEntry<'_>> = written
            .iter()
            .map(|(kind, id, arrived, body, personal)| {
                let (id, personal) = (Some(id.as_str()), personal.as_deref());
                NewEntry { kind: *kind, id, arrived: *arrived, body, personal }
            })
            .collect();
        journal.append(&entries)?;
        Ok(())
    }
}

/// When the newest transaction arrived.
fn newest(reader: &Reader) -> Result<Option<i64>, JournalError> {
    let latest = |kind| Ok::<_, JournalError>(reader.latest(kind, u64::MAX, 1)?.pop().map(|entry| entry.arrived));
    Ok(latest(Kind::Transaction)?.max(latest(Kind::Decision)?))
}

fn of_row(row: usize, problem: impl Display) -> Failure {
    format!("row {}: {problem}", row + 1).into()
}
