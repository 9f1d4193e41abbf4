//! One value of a row: from JSON or CSV to the number that the model takes, as `/predict` reads it.

use std::borrow::Cow;

use assay_model::{Feature, FeatureKind};

use super::json;
use crate::http::predict::{Place, number};
use crate::http::refusal::Refusal;

/// A value as a door met it.
pub enum Value<'a> {
    /// No value.
    Missing,
    /// A number; true and false are 1 and 0, as features in SQL have them.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
}

/// The number that stands for `value` in a row.
pub fn place(value: &Value<'_>, feature: &Feature, place: &dyn Fn() -> Place) -> Result<f64, Refusal> {
    match (value, &feature.kind) {
        (Value::Missing, _) => missing(feature, place),
        (Value::Number(number), FeatureKind::Number) => Ok(*number),
        (Value::Text(text), FeatureKind::Category { .. }) => {
            Ok(feature.code(text).expect("a category has a number for every text"))
        }
        _ => Err(wrong_kind(feature, place)),
    }
}

/// A value of JSON.
pub fn from_json(raw: &str, feature: &Feature, at: &dyn Fn() -> Place) -> Result<f64, Refusal> {
    let value = match raw.as_bytes() {
        [b'n', ..] => Value::Missing,
        [b't', ..] => Value::Number(1.0),
        [b'f', ..] => Value::Number(0.0),
        [b'-' | b'0'..=b'9', ..] => Value::Number(from_digits(raw).ok_or_else(|| Refusal::NumberOutOfRange { place: at() })?),
        _ => Value::Text(json::text(raw)?.ok_or_else(|| wrong_kind(feature, at))?),
    };
    place(&value, feature, at)
}

/// A cell of CSV; an empty one is missing.
pub fn from_csv(cell: &str, feature: &Feature, at: &dyn Fn() -> Place) -> Result<f64, Refusal> {
    let value = match (cell.trim_ascii(), &feature.kind) {
        ("", _) => Value::Missing,
        (number, FeatureKind::Number) => {
            let number = assay_decimal::parse(number.as_bytes()).ok_or_else(|| wrong_kind(feature, at))?;
            if number.is_infinite() {
                return Err(Refusal::NumberOutOfRange { place: at() });
            }
            Value::Number(number)
        }
        (_, FeatureKind::Category { .. }) => Value::Text(cell.into()),
    };
    place(&value, feature, at)
}

/// The number of JSON that `raw` is; `None` when no float holds it.
pub fn from_digits(raw: &str) -> Option<f64> {
    number::parse(raw.as_bytes()).filter(|(_, length)| *length == raw.len()).map(|(value, _)| value)
}

/// A missing value, where training saw one.
pub fn missing(feature: &Feature, place: &dyn Fn() -> Place) -> Result<f64, Refusal> {
    if feature.missing_seen { Ok(f64::NAN) } else { Err(Refusal::MissingValue { place: place() }) }
}

fn wrong_kind(feature: &Feature, place: &dyn Fn() -> Place) -> Refusal {
    let expected = if feature.kind == FeatureKind::Number { "a number" } else { "a text" };
    Refusal::WrongValueKind { place: place(), expected }
}
