//! What a definition asks for, ready to be worked out: expressions over a row, and aggregates over windows of a key's past.

use std::sync::Arc;

use assay_domain::{Schema, Type, Value};

use crate::expression::Expression;

/// Features and what they need.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The columns of a transaction.
    pub schema: Schema,
    /// The features, in order.
    pub features: Vec<Feature>,
    /// Pasts that the features look at, one per list of PARTITION BY columns.
    pub partitions: Vec<Partition>,
    /// The aggregates; [`Expression::Aggregate`] names one by its place here.
    pub aggregates: Vec<Aggregate>,
}

/// A feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// What it is.
    pub expression: Expression,
    /// The type of its values.
    pub kind: Type,
}

/// The pasts of the values of some columns: of each customer, of each terminal.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Places of the columns; two transactions have the same past when these are equal, NULL being equal to NULL.
    pub columns: Vec<usize>,
    /// What is remembered of a transaction, beside its time.
    pub arguments: Vec<Argument>,
    /// The windows on it.
    pub frames: Vec<Frame>,
    /// How many transactions must stay, however old, for `lag`.
    pub kept: usize,
}

/// A value that is remembered of each transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Over the columns of the transaction; NULL where a FILTER is not true.
    pub expression: Expression,
    /// The type of its values.
    pub kind: Type,
    /// Whether it depends on the label, which may be learnt later.
    pub of_label: bool,
    /// Whether it is known of every transaction, so that values need no counting beside transactions.
    pub never_null: bool,
}

/// A window: the transactions whose time is at least `start` before the current one's, and at most `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Microseconds.
    pub start: i64,
    /// Microseconds, not more than `start`; 0 ends at the current transaction, which is in the window.
    pub end: i64,
}

/// An aggregate over a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Place of its partition.
    pub partition: usize,
    /// Place of its frame in the partition; `lag` looks at no frame.
    pub frame: usize,
    /// What it tells.
    pub measure: Measure,
    /// Place of its argument in the partition.
    pub argument: usize,
    /// The type of its values.
    pub kind: Type,
}

/// What an aggregate tells of the values in its window that are not NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// How many transactions there are.
    Rows,
    /// How many values.
    Count,
    /// How many different values.
    CountDistinct,
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The smallest.
    Least,
    /// The largest.
    Greatest,
    /// Their sample standard deviation.
    Deviation,
    /// The value of the first transaction, NULL or not.
    First,
    /// The value of the transaction so many before the current one, NULL or not.
    Lag(usize),
}

/// NULL, of any type, as a history remembers it.
pub const NULL: u64 = u64::MAX;
/// Turns integers so that the smallest of all, which is taken for NULL, has the bits of [`NULL`].
const INTEGER_BITS: u64 = i64::MAX.cast_unsigned();

/// A value as the 64 bits that a history remembers; a text is its number among those seen.
pub fn word(value: &Value, text: impl FnOnce(&Arc<str>) -> u64) -> u64 {
    match value {
        Value::Null => NULL,
        Value::Boolean(truth) => (*truth).into(),
        Value::Integer(number) | Value::Timestamp(number) | Value::Interval(number) => integer_word(*number),
        Value::Double(number) => double_word(*number),
        Value::Text(of) => text(of),
    }
}

/// The word of an integer, a moment or a length of time.
pub fn integer_word(number: i64) -> u64 {
    number.cast_unsigned() ^ INTEGER_BITS
}

/// The word of a number, NULL unless it is finite. A finite number never has the bits of NULL; minus zero is the same number as zero.
pub fn double_word(number: f64) -> u64 {
    if number.is_finite() { (number + 0.0).to_bits() } else { NULL }
}

/// The value of a word.
pub fn value(word: u64, kind: Type, text: impl FnOnce(u64) -> Arc<str>) -> Value {
    match kind {
        _ if word == NULL => Value::Null,
        Type::Boolean => Value::Boolean(word == 1),
        Type::Integer => Value::Integer(integer(word)),
        Type::Timestamp => Value::Timestamp(integer(word)),
        Type::Interval => Value::Interval(integer(word)),
        Type::Double => Value::Double(f64::from_bits(word)),
        Type::Text => Value::Text(text(word)),
    }
}

/// The integer, moment or length of time in a word that is not NULL.
pub fn integer(word: u64) -> i64 {
    (word ^ INTEGER_BITS).cast_signed()
}
