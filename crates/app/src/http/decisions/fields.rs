//! What may stand in queries and bodies, and what may never.

use assay_domain::card_data::{holds_card_number, is_double_card_number, is_integer_card_number};
use assay_engine::lists::ListValue;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Problem;

/// Items of a page when nobody says how many.
const PAGE: usize = 50;
/// The most items of a page.
const LONGEST_PAGE: usize = 1_000;
/// Bytes of a text that people write.
const TEXT_BYTES: usize = 1_000;

/// The values of a query by their keys.
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// Of a request's query, in which nothing but `known` may stand.
    pub fn of(query: &'a str, known: &[&str], form: &'static str) -> Result<Self, Problem> {
        let mut keys = query.split('&').filter(|part| !part.is_empty()).map(|part| part.split('=').next().unwrap_or(part));
        if keys.all(|key| known.contains(&key)) { Ok(Self(query)) } else { Err(Problem::BadQuery(form)) }
    }

    /// The value of `key`.
    pub fn text(&self, key: &str) -> Option<String> {
        let mut parts = self.0.split('&').filter_map(|part| part.split_once('='));
        let (_, value) = parts.find(|(name, _)| *name == key)?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    }

    /// The number that `key` has.
    pub fn number(&self, key: &str, form: &'static str) -> Result<Option<u64>, Problem> {
        self.text(key).map(|text| text.parse().map_err(|_| Problem::BadQuery(form))).transpose()
    }

    /// How many items are wanted.
    pub fn limit(&self, form: &'static str) -> Result<usize, Problem> {
        let limit = self.number("limit", form)?.map_or(Ok(PAGE), usize::try_from).map_err(|_| Problem::BadQuery(form))?;
        if (1..=LONGEST_PAGE).contains(&limit) { Ok(limit) } else { Err(Problem::BadQuery(form)) }
    }
}

/// A body of a known form.
pub fn read<T: DeserializeOwned>(body: &[u8], form: &'static str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|_| Problem::BadBody(form))
}

/// Refuses a text that is too long or holds what looks like a card number.
pub fn check_text(field: &'static str, text: &str, form: &'static str) -> Result<(), Problem> {
    if text.len() > TEXT_BYTES || text.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Err(Problem::BadBody(form));
    }
    if holds_card_number(text) { Err(Problem::CardNumber(field)) } else { Ok(()) }
}

/// Refuses JSON with what looks like a card number in any text, key or number. What is no JSON is for its own reader to refuse.
pub fn check_json(what: &'static str, json: &str) -> Result<(), Problem> {
    let is_clean = serde_json::from_str(json).map_or(true, |value: Value| !holds_any(&value));
    if is_clean { Ok(()) } else { Err(Problem::CardNumber(what)) }
}

fn holds_any(value: &Value) -> bool {
    match value {
        Value::String(text) => holds_card_number(text),
        Value::Number(number) => {
            number.as_f64().is_some_and(is_double_card_number) || number.as_i64().is_some_and(is_integer_card_number)
        }
        Value::Array(items) => items.iter().any(holds_any),
        Value::Object(fields) => fields.iter().any(|(key, value)| holds_card_number(key) || holds_any(value)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// Refuses a value of a list that looks like a card number.
pub fn check_value(value: &ListValue) -> Result<(), Problem> {
    let is_card_number = match value {
        ListValue::Integer(number) => is_integer_card_number(*number),
        ListValue::Text(text) => holds_card_number(text),
    };
    if is_card_number { Err(Problem::CardNumber("value")) } else { Ok(()) }
}
