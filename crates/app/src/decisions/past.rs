//! What happened, as values of one definition? The journal gone through for those who try something else, or learn from it.

use std::collections::BTreeMap;

use assay_domain::{Outcome, Schema, Value};
use assay_engine::ListChange;
use assay_features::Definition;
use assay_journal::{Entry, Kind, Reader};

use super::data_folder::DataFolder;
use super::fold::{self, FoldError, STEP, State};
use super::record::{DefinitionChange, Glance, Label, ListEntry};
use super::transaction;

/// Something that happened.
pub enum Happened {
    /// A transaction came.
    Transaction(Came),
    /// A transaction came that the definition does not admit.
    NotAdmitted,
    /// A label was learnt.
    Label(Learnt),
    /// A list changed.
    List(ListChange),
}

/// A transaction that came.
pub struct Came {
    /// Its entry.
    pub sequence: u64,
    /// Its id.
    pub id: String,
    /// When it arrived.
    pub arrived: i64,
    /// When it happened.
    pub event: i64,
    /// Its columns.
    pub values: Vec<Value>,
    /// What was done, where something was decided.
    pub outcome: Option<Outcome>,
}

/// A label that was learnt.
pub struct Learnt {
    /// The entry of its transaction.
    pub of: u64,
    /// The columns of its transaction, with the label that was known before.
    pub values: Vec<Value>,
    /// The label.
    pub fraud: bool,
}

/// Labels that are known, by the entries of their transactions.
pub type Labels = BTreeMap<u64, bool>;

/// Visits all that had arrived by `until`, in order; `visit` is also told the entry's number.
pub fn visit<E: From<FoldError>>(
    reader: &Reader,
    schema: &Schema,
    until: i64,
    mut visit: impl FnMut(u64, Happened) -> Result<(), E>,
) -> Result<(), E> {
    let mut known = Labels::new();
    let mut after = 0;
    loop {
        let before = after;
        let read = |entry: &Entry<&str>| -> Result<(), Stop<E>> {
            after = entry.sequence;
            if entry.arrived > until {
                return Ok(());
            }
            match happened(entry, reader, schema, &mut known)? {
                Some(happened) => visit(entry.sequence, happened).map_err(Stop::Visitor),
                None => Ok(()),
            }
        };
        reader.replay(before, STEP, read).map_err(|stop| match stop {
            Stop::Fold(problem) => problem.into(),
            Stop::Visitor(problem) => problem,
        })?;
        if after == before {
            return Ok(());
        }
    }
}

/// Who stopped the visit.
enum Stop<E> {
    Fold(FoldError),
    Visitor(E),
}

impl<E, Problem: Into<FoldError>> From<Problem> for Stop<E> {
    fn from(problem: Problem) -> Self {
        Self::Fold(problem.into())
    }
}

fn happened(entry: &Entry<&str>, reader: &Reader, schema: &Schema, known: &mut Labels) -> Result<Option<Happened>, FoldError> {
    Ok(match entry.kind {
        Kind::Transaction | Kind::Decision => Some(came(entry, schema)?.map_or(Happened::NotAdmitted, Happened::Transaction)),
        Kind::Label => {
            let label: Label = fold::body(entry)?;
            let Some(of) = fold::find(reader, entry.id.unwrap_or_default())? else { return Ok(None) };
            let fraud = label.label.is_fraud();
            let earlier = known.insert(of.sequence, fraud);
            came(&fold::borrowed(&of), schema)?.map(|Came { mut values, .. }| {
                if let (Some(label), Some(earlier)) = (schema.label, earlier) {
                    values[label] = Value::Boolean(earlier);
                }
                Happened::Label(Learnt { of: of.sequence, values, fraud })
            })
        }
        Kind::List => {
            let change: ListEntry = fold::body(entry)?;
            Some(Happened::List(change.list))
        }
        _ => None,
    })
}

/// A transaction as the definition sees it, if it admits it.
fn came(entry: &Entry<&str>, schema: &Schema) -> Result<Option<Came>, FoldError> {
    let glance: Glance = fold::body(entry)?;
    let values = transaction::recorded(glance.transaction.get(), entry.personal, schema);
    let Some(values) = values.filter(|values| schema.admit(values, i64::MAX).is_ok()) else { return Ok(None) };
    let Value::Timestamp(event) = values[schema.event_time] else { return Ok(None) };
    let id = entry.id.unwrap_or_default().to_owned();
    Ok(Some(Came { sequence: entry.sequence, id, arrived: entry.arrived, event, values, outcome: glance.outcome }))
}

/// The labels that are known at the end.
pub fn last_labels(reader: &Reader) -> Result<Labels, FoldError> {
    let mut labels = Labels::new();
    reader.replay_kind(Kind::Label, 0, u64::MAX, |entry| -> Result<(), FoldError> {
        let label: Label = fold::body(entry)?;
        if let Some(of) = fold::find(reader, entry.id.unwrap_or_default())? {
            labels.insert(of.sequence, label.label.is_fraud());
        }
        Ok(())
    })?;
    Ok(labels)
}

/// What a transaction itself says of whether it was fraud.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Its entry.
    pub sequence: u64,
    /// When it happened.
    pub event: i64,
    /// The label that came with it.
    pub label: Option<bool>,
    /// Whether it was declined, so that nobody will report it.
    pub declined: bool,
}

impl Told {
    /// By a transaction.
    pub fn by(came: &Came, schema: &Schema) -> Self {
        let label = match schema.label.map(|label| &came.values[label]) {
            Some(Value::Boolean(fraud)) => Some(*fraud),
            _ => None,
        };
        let declined = came.outcome == Some(Outcome::Decline);
        Self { sequence: came.sequence, event: came.event, label, declined }
    }

    /// Whether its label would be known by a moment, if there ever is one.
    pub fn is_mature(&self, schema: &Schema, at: i64) -> bool {
        self.event.saturating_add(schema.label_delay) <= at
    }

    /// Whether it was fraud, as is known at a moment: by the last label learnt; else, once the label delay has passed, by the one that came
    /// with it, or because nobody reported it, unless it was declined. None where nobody knows.
    pub fn truth(&self, learnt: Option<bool>, schema: &Schema, at: i64) -> Option<bool> {
        let unreported = || (!self.declined).then_some(false);
        learnt.or_else(|| if self.is_mature(schema, at) { self.label.or_else(unreported) } else { None })
    }
}

/// When the last entry arrived; none in an empty journal.
pub fn end(reader: &Reader) -> Result<Option<i64>, FoldError> {
    let last = reader.head()?.sequence;
    Ok(reader.entry(last)?.map(|entry| entry.arrived))
}

/// The state that a journal goes on from whose beginning was cut off.
pub fn checkpoint(reader: &Reader, folder: &DataFolder) -> Result<Option<State>, FoldError> {
    match reader.latest(Kind::Cut, u64::MAX, 1)?.pop() {
        Some(cut) => State::from_checkpoint(&cut, folder).map(Some),
        None => Ok(None),
    }
}

/// The definition that the journal names last, or that of its checkpoint.
pub fn definition(reader: &Reader, checkpoint: Option<&State>) -> Result<Option<Definition>, FoldError> {
    let Some(entry) = reader.latest(Kind::Definition, u64::MAX, 1)?.pop() else {
        return Ok(checkpoint.map(|state| state.engine.features().definition().clone()));
    };
    let change: DefinitionChange = fold::body(&fold::borrowed(&entry))?;
    fold::parsed(&change.sql, entry.sequence).map(Some)
}
