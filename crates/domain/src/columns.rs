//! Many transactions, column by column.

use std::sync::Arc;

use crate::value::{Type, Value};

/// The integer, and the moment, that stands for NULL in a column.
pub const NULL_INTEGER: i64 = i64::MIN;
/// The code that stands for NULL in a column of texts.
pub const NULL_CODE: u32 = u32::MAX;

/// The values of one column, of which each may be NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// True or false.
    Boolean(Vec<Option<bool>>),
    /// 64-bit integers; [`NULL_INTEGER`] stands for NULL.
    Integer(Vec<i64>),
    /// Finite numbers; NaN stands for NULL.
    Double(Vec<f64>),
    /// Texts: a place among the distinct ones.
    Text {
        /// The place of each row's text; [`NULL_CODE`] stands for NULL.
        codes: Vec<u32>,
        /// The distinct texts.
        texts: Vec<Arc<str>>,
    },
    /// Microseconds since 1970, UTC; [`NULL_INTEGER`] stands for NULL.
    Timestamp(Vec<i64>),
}

impl Column {
    /// What the values are.
    pub fn kind(&self) -> Type {
        match self {
            Self::Boolean(_) => Type::Boolean,
            Self::Integer(_) => Type::Integer,
            Self::Double(_) => Type::Double,
            Self::Text { .. } => Type::Text,
            Self::Timestamp(_) => Type::Timestamp,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Boolean(values) => values.len(),
            Self::Integer(values) | Self::Timestamp(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Text { codes, .. } => codes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value in `row`.
    pub fn value(&self, row: usize) -> Value {
        match self {
            Self::Boolean(values) => values[row].map_or(Value::Null, Value::Boolean),
            Self::Integer(values) if values[row] == NULL_INTEGER => Value::Null,
            Self::Integer(values) => Value::Integer(values[row]),
            Self::Double(values) => Value::double(values[row]),
            Self::Text { codes, texts } => texts.get(codes[row] as usize).map_or(Value::Null, |text| Value::Text(text.clone())),
            Self::Timestamp(values) if values[row] == NULL_INTEGER => Value::Null,
            Self::Timestamp(values) => Value::Timestamp(values[row]),
        }
    }
}
