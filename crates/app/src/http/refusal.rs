//! Why a request is not served: every error a client can get, with its status, its stable code and its sentence.

use hyper::StatusCode;
use serde::Serialize;
use thiserror::Error;

use super::decisions;
use super::denial::Denial;
use super::doors::DoorRefusal;
use super::models::Problem;
use super::predict::Place;

/// One reason. Sentences name places, limits and features of the model, never a submitted value.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Refusal {
    /// The seed system's sentence.
    #[error("No features found in input")]
    NoFeatures,
    /// The seed system's sentence.
    #[error("No feature values available")]
    NoFeatureValues,
    /// Bytes that are no text.
    #[error("the body is not UTF-8 text; send JSON in UTF-8")]
    NotUtf8,
    /// The grammar of JSON is broken.
    #[error(
        "the body is not JSON: it breaks off or goes wrong at line {line}, character {character}{place}; \
         numbers are written like 12.5 or 1e-3, and NaN and Infinity do not exist in JSON"
    )]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Byte in the line, from 1.
        character: usize,
        /// The cell it is in, when it is in one.
        place: InCell,
    },
    /// JSON, but not `{…}`.
    #[error("the body is JSON, but not an object; send {{\"features\": [numbers]}}")]
    NotAnObject,
    /// Two keys `features`.
    #[error("the object has `features` twice; send it once")]
    DuplicateFeatures,
    /// An element that should be a list of values.
    #[error("row {row} is not a list; either every element of `features` is a list, or none is")]
    RowNotAList {
        /// Row, from 1.
        row: usize,
    },
    /// Too few values or too many.
    #[error(
        "row {row} has {found} values, but the model takes {expected}; /openapi.json lists them, and the label is none of them"
    )]
    WrongValueCount {
        /// Row, from 1.
        row: usize,
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A value of the wrong JSON type.
    #[error("{place} must be {expected}")]
    WrongValueKind {
        /// Where.
        place: Place,
        /// "a number" or "a text".
        expected: &'static str,
    },
    /// A number that no 64-bit float holds.
    #[error("{place} is too large for a 64-bit floating-point number")]
    NumberOutOfRange {
        /// Where.
        place: Place,
    },
    /// `null` where training never saw a missing value.
    #[error("{place} is null, but the model never learnt what a missing value means there; send a value")]
    MissingValue {
        /// Where.
        place: Place,
    },
    /// More rows than the limit.
    #[error("the request has more than {limit} rows; send them in several requests")]
    TooManyRows {
        /// The limit.
        limit: usize,
    },
    /// More bytes than the limit.
    #[error("the body has more than {limit} bytes; send its rows in several requests")]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body did not come in time.
    #[error("the body did not arrive within {seconds} seconds; send it faster or in parts")]
    BodyTimeout {
        /// The limit.
        seconds: f64,
    },
    /// The connection or its framing broke inside the body.
    #[error("the body broke off before its end, or its chunks are malformed; send it again")]
    BodyIncomplete,
    /// No body, and none announced.
    #[error("the request has no body; send JSON with a Content-Length")]
    LengthRequired,
    /// No such path.
    #[error("there is nothing at this path; /openapi.json lists what there is")]
    NotFound,
    /// The path is right, the method is not.
    #[error("this path does not take that method; the header Allow lists those it takes")]
    MethodNotAllowed,
    /// Too much at once.
    #[error("the server has as much to do as it may take on; try again in a second")]
    Busy,
    /// Too many wait to be scored.
    #[error("the server has more to score than it can in time; try again in a second, or send less at once")]
    Overloaded,
    /// The client will have gone.
    #[error("the answer would come later than the header Assay-Timeout-Ms allows; try again in a second, or allow more")]
    TooLate,
    /// The client's patience is no number.
    #[error("the header Assay-Timeout-Ms is not a whole number of milliseconds from 1 to 4294967295; correct it or leave it out")]
    BadTimeout,
    /// `/ready` on the way out.
    #[error("the server is shutting down; use another one")]
    Draining,
    /// What one of the doors beside `/predict` does not take.
    #[error(transparent)]
    Door(#[from] DoorRefusal),
    /// What is not decided, shown or changed.
    #[error(transparent)]
    Decisions(#[from] decisions::Problem),
    /// A change of the models that is not made.
    #[error(transparent)]
    Models(#[from] Problem),
    /// Who asks may not.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// A defect of ours.
    #[error("the server failed to answer; this is a defect, and its log says where")]
    Internal,
}

/// A place that may be none: nothing, or " (row 1, column 2, `V1`)".
#[derive(Clone, Debug, PartialEq)]
pub struct InCell(pub Option<Place>);

impl std::fmt::Display for InCell {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |place| write!(formatter, " ({place})"))
    }
}

impl Refusal {
    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Door(refusal) => refusal.status(),
            Self::Models(problem) => problem.status(),
            Self::Decisions(problem) => problem.status(),
            Self::Denied(denial) => denial.status(),
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::TooManyRows { .. } | Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy | Self::Overloaded | Self::TooLate | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The word for programs; it never changes, sentences may.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFeatures => "no_features",
            Self::NoFeatureValues => "no_feature_values",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson { .. } => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::DuplicateFeatures => "duplicate_features",
            Self::RowNotAList { .. } => "row_not_a_list",
            Self::WrongValueCount { .. } => "wrong_value_count",
            Self::WrongValueKind { .. } => "wrong_value_kind",
            Self::NumberOutOfRange { .. } => "number_out_of_range",
            Self::MissingValue { .. } => "missing_value",
            Self::TooManyRows { .. } => "too_many_rows",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTimeout { .. } => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::LengthRequired => "length_required",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Busy => "busy",
            Self::Overloaded => "overloaded",
            Self::TooLate => "too_late",
            Self::BadTimeout => "bad_timeout",
            Self::Draining => "draining",
            Self::Door(refusal) => refusal.code(),
            Self::Models(problem) => problem.code(),
            Self::Decisions(problem) => problem.code(),
            Self::Denied(denial) => denial.code(),
            Self::Internal => "internal",
        }
    }

    /// The body of the answer.
    pub fn json(&self) -> String {
        let place = if let Self::Decisions(problem) = self { problem.place() } else { None };
        let body = Body {
            error: self.to_string(),
            code: self.code(),
            rule: place.and_then(|place| place.rule.as_deref()),
            line: place.map(|place| place.line).filter(|&line| line > 0),
            column: place.map(|place| place.column).filter(|&column| column > 0),
        };
        serde_json::to_string(&body).expect("texts and numbers are JSON")
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: String,
    code: &'static str,
    /// Where a policy is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::http::doors;

    /// Every reason there is.
    pub fn one_of_each() -> Vec<Refusal> {
        let place = || Place::new(1, 2, "amount");
        let mut all = vec![
            Refusal::NoFeatures,
            Refusal::NoFeatureValues,
            Refusal::NotUtf8,
            Refusal::NotJson { line: 1, character: 2, place: InCell(Some(place())) },
            Refusal::NotAnObject,
            Refusal::DuplicateFeatures,
            Refusal::RowNotAList { row: 1 },
            Refusal::WrongValueCount { row: 1, found: 2, expected: 3 },
            Refusal::WrongValueKind { place: place(), expected: "a number" },
            Refusal::NumberOutOfRange { place: place() },
            Refusal::MissingValue { place: place() },
            Refusal::TooManyRows { limit: 1 },
            Refusal::BodyTooLarge { limit: 1 },
            Refusal::BodyTimeout { seconds: 0.5 },
            Refusal::BodyIncomplete,
            Refusal::LengthRequired,
            Refusal::NotFound,
            Refusal::MethodNotAllowed,
            Refusal::Busy,
            Refusal::Overloaded,
            Refusal::TooLate,
            Refusal::BadTimeout,
            Refusal::Draining,
            Refusal::Internal,
        ];
        all.extend(Problem::one_of_each().into_iter().map(Refusal::from));
        all.extend(decisions::Problem::one_of_each().into_iter().map(Refusal::from));
        all.extend(Denial::one_of_each().into_iter().map(Refusal::from));
        all.extend(doors::refusals().into_iter().map(Refusal::from));
        all
    }

    #[test]
    fn codes_are_words_and_no_two_are_the_same() {
        let mut codes: Vec<_> = one_of_each().iter().map(Refusal::code).collect();
        assert!(
            codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
        );
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), one_of_each().len());
    }
}
