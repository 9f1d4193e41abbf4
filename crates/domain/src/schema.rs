//! Which columns a transaction has, and which of them say what it is, when it was and whether it was fraud.

use thiserror::Error;

use crate::time;
use crate::value::{Type, Value};
use crate::zone::Zone;

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
    /// Whose clocks parts of moments are read from; UTC when there is none.
    pub zone: Option<Zone>,
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
    /// Whether a value that looks like a card number is refused; see [`crate::card_data`].
    pub pan_check: bool,
    /// Whether it is a person's: it can be erased later, so that no feature may be made of it.
    pub personal: bool,
}

impl Schema {
    /// The place of the column called `name`, in any case of letters.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Whether values are a transaction that may have arrived at this moment, in microseconds since 1970: a value per column, of its type,
    /// none missing that may not be, and no event time further ahead than `max_skew`, which would empty every window.
    pub fn admit(&self, transaction: &[Value], arrived: i64) -> Result<(), AdmissionError> {
        if transaction.len() != self.fields.len() {
            return Err(AdmissionError::Columns { expected: self.fields.len(), found: transaction.len() });
        }
        for (field, value) in self.fields.iter().zip(transaction) {
            let column = || field.name.clone();
            match value.kind() {
                None if field.required => return Err(AdmissionError::Missing { column: column() }),
                Some(kind) if kind != field.kind => return Err(AdmissionError::Type { column: column(), expected: field.kind }),
                _ => {}
            }
            match *value {
                Value::Double(number) if !number.is_finite() => return Err(AdmissionError::NotFinite { column: column() }),
                Value::Timestamp(moment) if !(time::FIRST..=time::LAST).contains(&moment) => {
                    return Err(AdmissionError::Years { column: column() });
                }
                _ => {}
            }
        }
        let ahead = match transaction[self.event_time] {
            Value::Timestamp(moment) => moment.saturating_sub(arrived),
            _ => return Err(AdmissionError::Missing { column: self.fields[self.event_time].name.clone() }),
        };
        if ahead > self.max_skew {
            let (column, ahead_seconds) = (self.fields[self.event_time].name.clone(), ahead / time::SECOND);
            return Err(AdmissionError::Ahead { column, ahead_seconds, most_seconds: self.max_skew / time::SECOND });
        }
        Ok(())
    }
}

/// Why values are no transaction; no value is repeated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AdmissionError {
    /// Too few or too many values.
    #[error(
        "the transaction has {found} values, the definition {expected} columns; give one for each, NULL where nothing is known"
    )]
    Columns {
        /// Columns of the definition.
        expected: usize,
        /// Values.
        found: usize,
    },
    /// NULL where it may not be.
    #[error("`{column}` is missing, but the definition says NOT NULL; send it")]
    Missing {
        /// The column.
        column: String,
    },
    /// A value of another type.
    #[error("`{column}` is no {expected}, which the definition says it is")]
    Type {
        /// The column.
        column: String,
        /// What it should be.
        expected: Type,
    },
    /// A number that is none.
    #[error("`{column}` is not finite; send a number, or NULL")]
    NotFinite {
        /// The column.
        column: String,
    },
    /// A moment that no calendar here has.
    #[error("`{column}` lies outside the years 1 to 9999")]
    Years {
        /// The column.
        column: String,
    },
    /// An event time in the future.
    #[error(
        "`{column}` is {ahead_seconds} seconds after the arrival, at most {most_seconds} are possible (max_skew); correct the sender's clock"
    )]
    Ahead {
        /// The event time.
        column: String,
        /// How far ahead it is.
        ahead_seconds: i64,
        /// The most that is admitted.
        most_seconds: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl Fn(&mut Vec<Value>)) -> Result<(), AdmissionError> {
        let field = |name: &str, kind, required| Field { name: name.into(), kind, required, pan_check: true, personal: false };
        let fields =
            vec![field("id", Type::Text, true), field("at", Type::Timestamp, true), field("amount", Type::Double, false)];
        let (label, label_delay, max_lateness, max_skew) = (None, 0, 0, 60 * time::SECOND);
        let schema =
            Schema { table: "t".into(), fields, id: 0, event_time: 1, label, label_delay, max_lateness, max_skew, zone: None };
        let mut transaction = vec![Value::Text("a".into()), Value::Timestamp(1_000 * time::SECOND), Value::Double(1.0)];
        change(&mut transaction);
        schema.admit(&transaction, 990 * time::SECOND)
    }

    #[test]
    fn what_is_missing_mistyped_infinite_or_from_the_future_is_not_admitted() {
        let column = || "amount".to_owned();
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(check(|of| of[2] = Value::Null), Ok(()));
        assert_eq!(check(|of| of[0] = Value::Null), Err(AdmissionError::Missing { column: "id".into() }));
        assert_eq!(check(|of| of[2] = Value::Integer(1)), Err(AdmissionError::Type { column: column(), expected: Type::Double }));
        assert_eq!(check(|of| of[2] = Value::Double(f64::NAN)), Err(AdmissionError::NotFinite { column: column() }));
        assert_eq!(check(|of| of[1] = Value::Timestamp(i64::MIN)), Err(AdmissionError::Years { column: "at".into() }));
        let ahead = AdmissionError::Ahead { column: "at".into(), ahead_seconds: 61, most_seconds: 60 };
        assert_eq!(check(|of| of[1] = Value::Timestamp(1_051 * time::SECOND)), Err(ahead));
        assert_eq!(check(|of| of[1] = Value::Timestamp(1_050 * time::SECOND)), Ok(()));
        assert_eq!(check(|of| drop(of.pop())), Err(AdmissionError::Columns { expected: 3, found: 2 }));
    }
}
