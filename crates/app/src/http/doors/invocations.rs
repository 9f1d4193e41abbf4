//! `POST /invocations`: what SageMaker and MLflow clients send: CSV, or JSON in any of their forms and ours.

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap};

use super::forms::{self, Rows};
use super::served;
use super::table::{OtherKeys, Table};
use super::{DoorRefusal, csv_rows, json, scored, write_list, write_number};
use crate::http::answer::{self, Answer};
use crate::http::refusal::Refusal;
use crate::http::worker::Worker;

const FORMS: [&str; 7] = ["dataframe_split", "dataframe_records", "instances", "inputs", "features", "rows", "transactions"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Csv,
    Json,
}

/// Scores `body`, which is of the type that `headers` say, and answers in the one that they accept.
pub fn answer(headers: &HeaderMap, body: &[u8], worker: &Worker) -> Result<Answer, Refusal> {
    let read: fn(&[u8], &mut Table<'_>) -> Result<(), Refusal> = match sent(headers)? {
        Format::Csv => csv_rows::add,
        Format::Json => add_json,
    };
    let format = accepted(headers);
    scored(worker, served::active(&worker.shared), |table| read(body, table), |_, (), probabilities| write(format, probabilities))
}

/// Adds the rows of a body in one of the forms of JSON.
pub fn add_json(body: &[u8], table: &mut Table<'_>) -> Result<(), Refusal> {
    let (form, raw) = forms::only_one(body, FORMS)?;
    match form {
        "dataframe_split" => forms::add_split(raw, table),
        "dataframe_records" => forms::add(raw, Rows::Objects, table, OtherKeys::PassedOver),
        "inputs" if json::is_object(raw) => forms::add_columns(raw, table),
        "features" => forms::add_features(raw, table),
        "rows" => forms::add(raw, Rows::Lists, table, OtherKeys::Refused),
        "transactions" => forms::add(raw, Rows::Objects, table, OtherKeys::Refused),
        _ => forms::add(raw, Rows::Either, table, OtherKeys::PassedOver),
    }
}

/// What Content-Type says, MLflow's way: no parameter but the charset, and no charset but UTF-8.
fn sent(headers: &HeaderMap) -> Result<Format, Refusal> {
    let refused = || Refusal::from(DoorRefusal::UnsupportedMediaType);
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
    let mut parts = value.split(';').map(str::trim);
    let format = format(parts.next().unwrap_or_default()).ok_or_else(refused)?;
    let only_utf8 = parts.filter(|parameter| !parameter.is_empty()).all(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset") && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    });
    if only_utf8 { Ok(format) } else { Err(refused()) }
}

/// The first of our formats that Accept names; JSON if it names none.
fn accepted(headers: &HeaderMap) -> Format {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut named = values.flat_map(|value| value.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let format = format(parts.next()?)?;
        let unwanted = parts.any(|parameter| parameter.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)));
        (!unwanted).then_some(format)
    });
    named.next().unwrap_or(Format::Json)
}

fn format(media_type: &str) -> Option<Format> {
    if media_type.eq_ignore_ascii_case("text/csv") {
        Some(Format::Csv)
    } else if media_type.eq_ignore_ascii_case("application/json") {
        Some(Format::Json)
    } else {
        None
    }
}

/// A line per row, or `{"predictions":[…]}`.
fn write(format: Format, probabilities: &[f64]) -> Answer {
    const LONGEST_NUMBER: usize = 25;
    let mut text = Vec::with_capacity(32 + probabilities.len() * LONGEST_NUMBER);
    match format {
        Format::Csv => {
            for &probability in probabilities {
                write_number(probability, &mut text);
                text.push(b'\n');
            }
            answer::text("text/csv; charset=utf-8", text)
        }
        Format::Json => {
            text.extend_from_slice(b"{\"predictions\":");
            write_list(probabilities, &mut text, write_number);
            text.push(b'}');
            answer::json(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn header(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn content_types_are_those_of_mlflow() {
        for (value, expected) in [
            ("text/csv", Some(Format::Csv)),
            ("Text/CSV; charset=UTF-8", Some(Format::Csv)),
            ("application/json", Some(Format::Json)),
            ("application/json; charset=\"utf-8\"", Some(Format::Json)),
            ("application/json;", Some(Format::Json)),
            ("application/json; charset=latin-1", None),
            ("application/json; charset=utf-8; x=y", None),
            ("text/csv; header=present", None),
            ("text/plain", None),
            ("application/x-recordio-protobuf", None),
            ("", None),
        ] {
            assert_eq!(sent(&header(CONTENT_TYPE, value)).ok(), expected, "{value}");
        }
        assert!(sent(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_answer_is_json_unless_csv_is_asked_for_first() {
        for (value, expected) in [
            ("*/*", Format::Json),
            ("text/csv", Format::Csv),
            ("image/png, text/csv;q=0.9, application/json", Format::Csv),
            ("application/json, text/csv", Format::Json),
            ("text/csv;q=0, */*", Format::Json),
            ("text/*", Format::Json),
        ] {
            assert_eq!(accepted(&header(ACCEPT, value)), expected, "{value}");
        }
    }
}
