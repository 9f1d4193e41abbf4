//! One value of a transaction.

use std::fmt;
use std::sync::Arc;

/// What a value can be; NULL belongs to every type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// True or false.
    Boolean,
    /// A 64-bit integer.
    Integer,
    /// A finite 64-bit floating-point number.
    Double,
    /// Text in UTF-8.
    Text,
    /// A moment: microseconds since 1970, UTC.
    Timestamp,
    /// A length of time in microseconds: what lies between two moments. No column holds one.
    Interval,
}

impl fmt::Display for Type {
    /// The name that a definition gives it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Boolean => "BOOLEAN",
            Self::Integer => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Text => "TEXT",
            Self::Timestamp => "TIMESTAMP",
            Self::Interval => "INTERVAL",
        })
    }
}

/// A value, or NULL.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Not known.
    #[default]
    Null,
    /// True or false.
    Boolean(bool),
    /// A 64-bit integer.
    Integer(i64),
    /// A finite 64-bit floating-point number.
    Double(f64),
    /// Text.
    Text(Arc<str>),
    /// Microseconds since 1970, UTC.
    Timestamp(i64),
    /// Microseconds.
    Interval(i64),
}

impl Value {
    /// A number, or NULL when it is not finite: no transaction and no feature holds an infinity or a NaN.
    pub fn double(number: f64) -> Self {
        if number.is_finite() { Self::Double(number) } else { Self::Null }
    }

    /// What it is, unless it is NULL.
    pub fn kind(&self) -> Option<Type> {
        Some(match self {
            Self::Null => return None,
            Self::Boolean(_) => Type::Boolean,
            Self::Integer(_) => Type::Integer,
            Self::Double(_) => Type::Double,
            Self::Text(_) => Type::Text,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Interval(_) => Type::Interval,
        })
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}
