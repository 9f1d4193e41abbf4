//! What do we understand of a body? The readers of every door, without a server around them: for what tries bodies by the million.

use assay_model::Feature;

use super::table::Table;
use super::{DoorRefusal, csv_rows, invocations, open_inference, score};
use crate::http::predict;
use crate::http::refusal::Refusal;

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reader {
    /// As `/predict` reads it, in a hurry: what is wrong is not said.
    Predict,
    /// As `/predict` reads it again to say what is wrong.
    PredictSlowly,
    /// As `/v1/score` reads it.
    Score,
    /// As `/invocations` reads JSON.
    InvocationsJson,
    /// As `/invocations` reads CSV.
    InvocationsCsv,
    /// As the Open Inference Protocol reads it, with so many bytes of JSON before the binary tensors.
    Infer {
        /// The bytes of JSON.
        json_bytes: usize,
    },
}

/// The rows of `body` for a model of these features, one after the other, at most `rows_limit` of them; or the code that it is refused with.
pub fn rows(reader: Reader, body: &[u8], features: &[Feature], rows_limit: usize) -> Result<Vec<f64>, &'static str> {
    let mut rows = Vec::new();
    let read = match reader {
        Reader::Predict => {
            let read = predict::read_fast(body, features, rows_limit, &mut rows);
            return read.map(|_| rows).ok_or("not_understood");
        }
        Reader::PredictSlowly => predict::read_slowly(body, features, rows_limit, &mut rows).map(drop),
        other => read_at_door(other, body, &mut Table::new(features, rows_limit, &mut rows)),
    };
    read.map(|()| rows).map_err(|refusal| refusal.code())
}

fn read_at_door(reader: Reader, body: &[u8], table: &mut Table<'_>) -> Result<(), Refusal> {
    match reader {
        Reader::Score => score::add(body, table),
        Reader::InvocationsJson => invocations::add_json(body, table),
        Reader::InvocationsCsv => csv_rows::add(body, table),
        Reader::Infer { json_bytes } => {
            let (json, binary) = body.split_at_checked(json_bytes).ok_or(DoorRefusal::WrongBinaryLength)?;
            open_inference::read(json, binary, table)
        }
        Reader::Predict | Reader::PredictSlowly => unreachable!("/predict reads without a table"),
    }
}
