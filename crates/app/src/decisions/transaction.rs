//! A transaction as JSON: an object whose keys are the definition's columns, read into values and written back in one way only.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use assay_domain::card_data::{self, CardDataError};
use assay_domain::{Field, Schema, Type, Value, time};
use assay_features::definition::did_you_mean;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use thiserror::Error;

/// A transaction that somebody sent, whole and of the definition's types.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// A value for each column.
    pub values: Vec<Value>,
    /// What it is known by.
    pub id: String,
    /// Its columns as canonical JSON, without those of a person: in the definition's order, missing ones left out.
    pub fields: String,
    /// The columns of a person, written the same way, if there are any with a value.
    pub personal: Option<String>,
}

/// Bytes that the id of a transaction may have.
pub const MAX_ID_BYTES: usize = 256;

/// Bytes that a transaction may have as canonical JSON; the journal takes sixteen times as many with the decision.
pub const MAX_TRANSACTION_BYTES: usize = 1 << 20;

/// Why an object is no transaction. No submitted value is repeated, and no submitted key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TransactionError {
    /// Not an object.
    #[error(
        "a transaction is an object whose keys are columns of the definition, as in {{\"{example}\": …}}, its numbers within 64 bits"
    )]
    NotAnObject {
        /// The column of the id.
        example: String,
    },
    /// A key that is no column.
    #[error("key {number} of the transaction is no column of the definition; the columns are {columns}{advice}")]
    UnknownKey {
        /// The key's number, from 1.
        number: usize,
        /// What it may have meant.
        advice: String,
        /// What there is.
        columns: String,
    },
    /// A column twice.
    #[error("`{column}` is given twice; send it once")]
    Twice {
        /// The column.
        column: String,
    },
    /// A value of another type.
    #[error("`{column}` must be {expected}")]
    Kind {
        /// The column.
        column: String,
        /// What to send.
        expected: &'static str,
    },
    /// The label comes with it.
    #[error("`{column}` is the label, which nobody knows when a transaction happens; send it to /v1/labels when it is known")]
    Label {
        /// The column.
        column: String,
    },
    /// An id that is none.
    #[error("`{column}`, the id, must have 1 to {MAX_ID_BYTES} bytes and no control characters")]
    Id {
        /// The column.
        column: String,
    },
    /// Texts that are too long.
    #[error("the transaction has more than {MAX_TRANSACTION_BYTES} bytes; shorten its texts")]
    TooLong,
    /// What must not be stored.
    #[error(transparent)]
    CardData(#[from] CardDataError),
}

impl TransactionError {
    /// The word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject { .. } => "not_a_transaction",
            Self::UnknownKey { .. } => "unknown_column",
            Self::Twice { .. } => "column_twice",
            Self::Kind { .. } => "wrong_column_kind",
            Self::Label { .. } => "label_in_transaction",
            Self::Id { .. } => "bad_transaction_id",
            Self::TooLong => "transaction_too_long",
            Self::CardData(_) => "card_data",
        }
    }
}

impl Transaction {
    /// Reads one that somebody sent for a decision. `json` is JSON.
    pub fn read(json: &str, schema: &Schema) -> Result<Self, TransactionError> {
        let values = values(json, schema)?;
        if let Some(label) = schema.label.filter(|&label| !values[label].is_null()) {
            return Err(TransactionError::Label { column: schema.fields[label].name.clone() });
        }
        card_data::check(schema, &values)?;
        Self::of(values, schema)
    }

    /// Of values that are known to fit the definition.
    pub fn of(values: Vec<Value>, schema: &Schema) -> Result<Self, TransactionError> {
        let id = text_of(&values[schema.id]);
        if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
            return Err(TransactionError::Id { column: schema.fields[schema.id].name.clone() });
        }
        let written = |personal: bool| written(&values, schema, |field| field.personal == personal);
        let (fields, personal) = (written(false), written(true));
        if fields.len() + personal.len() > MAX_TRANSACTION_BYTES {
            return Err(TransactionError::TooLong);
        }
        Ok(Self { id, fields, personal: Some(personal).filter(|personal| personal != "{}"), values })
    }
}

/// Reads what was written down: columns that this definition does not have are left out, those that it knows as something else are NULL, and
/// those of a person may have been erased.
pub fn recorded(fields: &str, personal: Option<&str>, schema: &Schema) -> Option<Vec<Value>> {
    let mut values = vec![Value::Null; schema.fields.len()];
    for json in std::iter::once(fields).chain(personal) {
        let mut problem = None;
        let seed = Columns { schema, values: &mut values, problem: &mut problem, unknown: Unknown::LeftOut };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        seed.deserialize(&mut deserializer).ok()?;
        if problem.is_some_and(|problem| !matches!(problem, TransactionError::Kind { .. })) {
            return None;
        }
    }
    Some(values)
}

/// A value as text: an integer by its digits, a moment as ISO 8601 has it.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Timestamp(moment) => moment_text(*moment),
        Value::Interval(_) | Value::Null => String::new(),
    }
}

/// A moment as the journal and answers have it.
pub fn moment_text(moment: i64) -> String {
    let mut text = Vec::with_capacity(27);
    let written = time::write(&mut text, moment.clamp(time::FIRST, time::LAST));
    debug_assert!(written.is_ok(), "a vector takes any bytes");
    String::from_utf8(text).unwrap_or_default()
}

fn values(json: &str, schema: &Schema) -> Result<Vec<Value>, TransactionError> {
    let mut values = vec![Value::Null; schema.fields.len()];
    let mut problem = None;
    let seed = Columns { schema, values: &mut values, problem: &mut problem, unknown: Unknown::Refused };
    let read = seed.deserialize(&mut serde_json::Deserializer::from_str(json));
    match problem {
        Some(problem) => Err(problem),
        None if read.is_err() => Err(TransactionError::NotAnObject { example: schema.fields[schema.id].name.clone() }),
        None => Ok(values),
    }
}

/// Writes those columns that have a value and are wanted.
fn written(values: &[Value], schema: &Schema, wanted: impl Fn(&Field) -> bool) -> String {
    let mut json = String::with_capacity(32 * values.len());
    json.push('{');
    for (field, value) in schema.fields.iter().zip(values) {
        if value.is_null() || !wanted(field) {
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        push_text(&mut json, &field.name);
        json.push(':');
        match value {
            Value::Text(text) => push_text(&mut json, text),
            Value::Timestamp(moment) => {
                json.push('"');
                json.push_str(&moment_text(*moment));
                json.push('"');
            }
            Value::Double(number) => json.push_str(zmij::Buffer::new().format_finite(*number)),
            Value::Integer(number) => drop(write!(json, "{number}")),
            Value::Boolean(truth) => drop(write!(json, "{truth}")),
            Value::Null | Value::Interval(_) => json.push_str("null"),
        }
    }
    json.push('}');
    json
}

fn push_text(json: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// What is done with a key that is no column.
#[derive(Clone, Copy, PartialEq)]
enum Unknown {
    Refused,
    LeftOut,
}

/// Reads an object into the values of its columns. What is wrong is told beside serde, whose own errors may hold what was sent.
struct Columns<'a> {
    schema: &'a Schema,
    values: &'a mut [Value],
    problem: &'a mut Option<TransactionError>,
    unknown: Unknown,
}

impl<'de> DeserializeSeed<'de> for Columns<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { schema, values, problem, unknown } = self;
        let mut given = vec![false; values.len()];
        let mut number = 0;
        while let Some(place) = map.next_key_seed(Key { schema, problem, unknown, number: &mut number })? {
            let Some(place) = place else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut given[place], true) {
                problem.get_or_insert(TransactionError::Twice { column: schema.fields[place].name.clone() });
            }
            let Field { name, kind, .. } = &schema.fields[place];
            if let Some(value) = map.next_value_seed(Cell(*kind))? {
                values[place] = value;
            } else {
                problem.get_or_insert(TransactionError::Kind { column: name.clone(), expected: expected(*kind) });
            }
        }
        Ok(())
    }
}

/// The place of a column by its name.
struct Key<'a> {
    schema: &'a Schema,
    problem: &'a mut Option<TransactionError>,
    unknown: Unknown,
    number: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a column")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        *self.number += 1;
        let place = self.schema.fields.iter().position(|field| field.name == name).or_else(|| self.schema.place(name));
        if place.is_none() && self.unknown == Unknown::Refused && self.problem.is_none() {
            *self.problem = Some(match card_data::check_name(name) {
                Err(secret) => secret.into(),
                Ok(()) => TransactionError::UnknownKey {
                    number: *self.number,
                    advice: did_you_mean(name, self.schema.fields.iter().map(|field| field.name.as_str())),
                    columns: self.schema.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", "),
                },
            });
        }
        Ok(place)
    }
}

/// One value of a column; none where it is of another type.
struct Cell(Type);

impl<'de> DeserializeSeed<'de> for Cell {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Value::Null))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok((self.0 == Type::Boolean).then_some(Value::Boolean(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(match self.0 {
            Type::Integer => Some(Value::Integer(number)),
            Type::Double => Some(Value::Double(number as f64)),
            _ => None,
        })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(match self.0 {
            Type::Integer => i64::try_from(number).ok().map(Value::Integer),
            Type::Double => Some(Value::Double(number as f64)),
            _ => None,
        })
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok((self.0 == Type::Double && number.is_finite()).then_some(Value::Double(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(match self.0 {
            Type::Text => Some(Value::Text(Arc::from(text))),
            Type::Timestamp => time::parse(text.as_bytes()).map(Value::Timestamp),
            _ => None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// What a column takes, in words.
fn expected(kind: Type) -> &'static str {
    match kind {
        Type::Boolean => "true or false",
        Type::Integer => "a whole number of 64 bits, without a fraction or an exponent",
        Type::Double => "a number",
        Type::Text => "a text in quotes",
        Type::Timestamp => "a moment in quotes, as in \"2026-09-30T12:34:56Z\"",
        Type::Interval => "left out",
    }
}
