//! Why a door turns a request away, beyond the reasons that all of them share.

use hyper::StatusCode;
use thiserror::Error;

use crate::http::predict::Place;

/// One reason. Sentences name places, limits and features of the model, never a submitted value or name.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DoorRefusal {
    /// None of the forms that a door reads, or more than one.
    #[error("the body must be an object with exactly one of {forms}")]
    NotOneForm {
        /// The keys.
        forms: String,
    },
    /// A key that may be there once.
    #[error("`{key}` is there twice; send it once")]
    DuplicateKey {
        /// The key, one of ours.
        key: &'static str,
    },
    /// A part of the request that is of another kind.
    #[error("{what} must be {expected}")]
    WrongForm {
        /// Which part.
        what: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A row that is of another kind.
    #[error("row {row} must be {expected}")]
    WrongRow {
        /// Row, from 1.
        row: usize,
        /// What it should be.
        expected: &'static str,
    },
    /// A list of rows without one.
    #[error("the request has no rows; send at least one")]
    NoRows,
    /// A key that is no feature's name.
    #[error("row {row} has a key that names none of the model's features{nearest}; /openapi.json lists them")]
    UnknownFeature {
        /// Row, from 1.
        row: usize,
        /// ", did you mean `…`?" or nothing.
        nearest: String,
    },
    /// A feature that a row does not name.
    #[error("row {row} has no `{feature}`; give it, as null where it is missing and the model knows what that means")]
    AbsentFeature {
        /// Row, from 1.
        row: usize,
        /// The feature.
        feature: String,
    },
    /// A feature that no column has.
    #[error("no column or tensor is named `{feature}`, which the model needs; check the spelling of those you sent")]
    AbsentColumn {
        /// The feature.
        feature: String,
    },
    /// More columns than anybody needs.
    #[error("the request has more than {limit} columns; leave out those that the model does not take")]
    TooManyColumns {
        /// The limit.
        limit: usize,
    },
    /// A feature named twice.
    #[error("`{feature}` is there twice; send it once")]
    DuplicateFeature {
        /// The feature.
        feature: String,
    },
    /// A column that is no list.
    #[error("`{feature}` must be a list of values, one for each row")]
    WrongColumn {
        /// The feature.
        feature: String,
    },
    /// Columns of different lengths.
    #[error("`{feature}` has {found} values, but there are {expected} rows; all columns are as long as the first")]
    UnequalColumns {
        /// The feature.
        feature: String,
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A string that stands for no text, or bytes that are none.
    #[error("a string is not text: its bytes are not UTF-8, or it escapes half of a character")]
    NotText,
    /// Not the model that is served.
    #[error(
        "no model of this name and version is served here; a model is named after its file, and POST /v1/score says which one scored"
    )]
    UnknownModel,
    /// More tensors than could be told apart.
    #[error("there are more than {limit} input tensors, but the model has no more features")]
    TooManyInputs {
        /// The number of features.
        limit: usize,
    },
    /// A tensor that is no feature.
    #[error(
        "input {input} is named like none of the model's features{nearest}; send a tensor for each feature, or a single one of \
         shape [rows, {features}]"
    )]
    UnknownInput {
        /// The tensor, from 1.
        input: usize,
        /// ", did you mean `…`?" or nothing.
        nearest: String,
        /// How many features the model has.
        features: usize,
    },
    /// A tensor that lacks a part, or has one of the wrong kind.
    #[error(
        "input {input} must be an object with `name`, `shape`, `datatype` and either a list `data` or the parameter \
         `binary_data_size`"
    )]
    IncompleteInput {
        /// The tensor, from 1.
        input: usize,
    },
    /// Binary texts whose lengths do not add up.
    #[error("input {input} breaks off inside a text; each is its length in four bytes, little-endian, and then its bytes")]
    BrokenText {
        /// The tensor, from 1.
        input: usize,
    },
    /// A datatype that is none of the protocol's.
    #[error("input {input} must be of one of the datatypes BOOL, INT8 to INT64, UINT8 to UINT64, FP16, FP32, FP64 and BYTES")]
    UnknownDatatype {
        /// The tensor, from 1.
        input: usize,
    },
    /// A shape that holds no rows of the model.
    #[error("input {input} must have the shape {expected}, its dimensions being whole numbers")]
    WrongTensorShape {
        /// The tensor, from 1.
        input: usize,
        /// The shapes that it may have.
        expected: String,
    },
    /// Tensors of different numbers of rows.
    #[error("input {input} has another number of rows than the first input; all have the same")]
    UnequalTensors {
        /// The tensor, from 1.
        input: usize,
    },
    /// Data that is not as long as its shape.
    #[error("input {input} does not hold as many {unit} as its shape and datatype ask for; there must be {expected}")]
    WrongTensorSize {
        /// The tensor, from 1.
        input: usize,
        /// "elements" or "bytes".
        unit: &'static str,
        /// How many there should be.
        expected: usize,
    },
    /// An element that its datatype does not have.
    #[error("{place} must be {expected}, as its tensor's datatype says")]
    WrongElement {
        /// Where.
        place: Place,
        /// What it should be.
        expected: &'static str,
    },
    /// An integer that a float would round.
    #[error("{place} is an integer beyond 2^53, which a 64-bit floating-point number would round; send it as FP64 if it may be")]
    IntegerTooLarge {
        /// Where.
        place: Place,
    },
    /// Sizes of binary data that do not add up.
    #[error(
        "the binary data does not fit: Inference-Header-Content-Length must be the length of the JSON, and the body must go on \
         with the `binary_data_size` bytes of each input in turn and end there"
    )]
    WrongBinaryLength,
    /// An output that the model does not have.
    #[error("output {output} is none of the model's outputs, or there twice; they are {outputs}")]
    UnknownOutput {
        /// The output asked for, from 1.
        output: usize,
        /// Those that there are.
        outputs: String,
    },
    /// A part of the protocol that is not spoken here.
    #[error("shared memory and classification are not offered here; ask for tensors")]
    Unsupported,
    /// An identifier that would send a card number back.
    #[error("`id` looks like a card number, and would be sent back; give the request another identifier")]
    CardNumberAsId,
    /// A type of body that `/invocations` does not read.
    #[error("Content-Type must be text/csv or application/json, with no parameter but charset=utf-8")]
    UnsupportedMediaType,
    /// A compressed body.
    #[error("the body is compressed; send it as it is, without Content-Encoding")]
    CompressedBody,
}

impl DoorRefusal {
    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownModel => StatusCode::NOT_FOUND,
            Self::TooManyColumns { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::CompressedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The word for programs; it never changes, sentences may.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOneForm { .. } => "not_one_form",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::WrongForm { .. } => "wrong_form",
            Self::WrongRow { .. } => "wrong_row",
            Self::NoRows => "no_rows",
            Self::UnknownFeature { .. } => "unknown_feature",
            Self::AbsentFeature { .. } => "absent_feature",
            Self::AbsentColumn { .. } => "absent_column",
            Self::TooManyColumns { .. } => "too_many_columns",
            Self::DuplicateFeature { .. } => "duplicate_feature",
            Self::WrongColumn { .. } => "wrong_column",
            Self::UnequalColumns { .. } => "unequal_columns",
            Self::NotText => "not_text",
            Self::UnknownModel => "unknown_model",
            Self::TooManyInputs { .. } => "too_many_inputs",
            Self::UnknownInput { .. } => "unknown_input",
            Self::IncompleteInput { .. } => "incomplete_input",
            Self::BrokenText { .. } => "broken_text",
            Self::UnknownDatatype { .. } => "unknown_datatype",
            Self::WrongTensorShape { .. } => "wrong_tensor_shape",
            Self::UnequalTensors { .. } => "unequal_tensors",
            Self::WrongTensorSize { .. } => "wrong_tensor_size",
            Self::WrongElement { .. } => "wrong_element",
            Self::IntegerTooLarge { .. } => "integer_too_large",
            Self::WrongBinaryLength => "wrong_binary_length",
            Self::UnknownOutput { .. } => "unknown_output",
            Self::Unsupported => "unsupported",
            Self::CardNumberAsId => "card_number_as_id",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::CompressedBody => "compressed_body",
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Every reason there is.
    pub fn one_of_each() -> Vec<DoorRefusal> {
        let place = || Place::new(1, 2, "amount");
        let text = || String::from("amount");
        vec![
            DoorRefusal::NotOneForm { forms: text() },
            DoorRefusal::DuplicateKey { key: "rows" },
            DoorRefusal::WrongForm { what: "`rows`", expected: "a list" },
            DoorRefusal::WrongRow { row: 1, expected: "a list" },
            DoorRefusal::NoRows,
            DoorRefusal::UnknownFeature { row: 1, nearest: text() },
            DoorRefusal::AbsentFeature { row: 1, feature: text() },
            DoorRefusal::AbsentColumn { feature: text() },
            DoorRefusal::TooManyColumns { limit: 1 },
            DoorRefusal::DuplicateFeature { feature: text() },
            DoorRefusal::WrongColumn { feature: text() },
            DoorRefusal::UnequalColumns { feature: text(), found: 1, expected: 2 },
            DoorRefusal::NotText,
            DoorRefusal::UnknownModel,
            DoorRefusal::TooManyInputs { limit: 1 },
            DoorRefusal::UnknownInput { input: 1, nearest: text(), features: 3 },
            DoorRefusal::IncompleteInput { input: 1 },
            DoorRefusal::BrokenText { input: 1 },
            DoorRefusal::UnknownDatatype { input: 1 },
            DoorRefusal::WrongTensorShape { input: 1, expected: text() },
            DoorRefusal::UnequalTensors { input: 1 },
            DoorRefusal::WrongTensorSize { input: 1, unit: "bytes", expected: 2 },
            DoorRefusal::WrongElement { place: place(), expected: "a number" },
            DoorRefusal::IntegerTooLarge { place: place() },
            DoorRefusal::WrongBinaryLength,
            DoorRefusal::UnknownOutput { output: 1, outputs: text() },
            DoorRefusal::Unsupported,
            DoorRefusal::CardNumberAsId,
            DoorRefusal::UnsupportedMediaType,
            DoorRefusal::CompressedBody,
        ]
    }
}
