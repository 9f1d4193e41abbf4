//! Which columns a transaction has, and which of them say what it is, when it was and whether it was fraud.

use crate::value::Type;

/// The columns of a transaction and their roles.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Name of the table, as the definition gives it.
    pub table: String,
    /// The columns, in the order of the definition.
    pub fields: Vec<Field>,
    /// Place of the column that tells one transaction from every other.
    pub id: usize,
    /// Place of the event time.
    pub event_time: usize,
    /// Place of the label, when there is one.
    pub label: Option<usize>,
    /// How long after its event a label is known, in microseconds.
    pub label_delay: i64,
    /// How much earlier than the newest transaction one may be and still count for later ones, in microseconds.
    pub max_lateness: i64,
    /// How much later than its arrival the event time of a transaction may be, in microseconds.
    pub max_skew: i64,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, in lower case as SQL has it.
    pub name: String,
    /// What it holds.
    pub kind: Type,
    /// Whether NULL is refused.
    pub required: bool,
}

impl Schema {
    /// The place of the column called `name`, in any case of letters.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name))
    }
}
