//! `POST /v1/score`: our own door. Rows by position or by name in; probability and flag of each, and who says so, out.

use super::forms::{self, Rows};
use super::served::{self, Served};
use super::table::{OtherKeys, Table};
use super::{scored, write_number};
use crate::http::answer::{self, Answer};
use crate::http::refusal::Refusal;
use crate::http::worker::Worker;

/// Scores `body`.
pub fn answer(body: &[u8], worker: &Worker) -> Result<Answer, Refusal> {
    scored(
        worker,
        served::active(&worker.shared),
        |table| add(body, table),
        |served, (), probabilities| answer::json(write(served, probabilities)),
    )
}

/// Adds the rows of a body.
pub fn add(body: &[u8], table: &mut Table<'_>) -> Result<(), Refusal> {
    let (form, raw) = forms::only_one(body, ["rows", "transactions"])?;
    let form = if form == "rows" { Rows::Lists } else { Rows::Objects };
    forms::add(raw, form, table, OtherKeys::Refused)
}

fn write(served: &Served, probabilities: &[f64]) -> Vec<u8> {
    const LONGEST_SCORE: usize = 60;
    let mut text = Vec::with_capacity(256 + probabilities.len() * LONGEST_SCORE);
    let model = serde_json::json!({
        "name": served.model.name, "version": served.model.version, "fingerprint": served.model.artifact.manifest().fingerprint,
    });
    text.extend_from_slice(format!("{{\"model\":{model}").as_bytes());
    let threshold = served.threshold();
    if let Some(threshold) = threshold {
        text.extend_from_slice(b",\"threshold\":");
        write_number(threshold, &mut text);
    }
    text.extend_from_slice(b",\"scores\":");
    super::write_list(probabilities, &mut text, |probability, text| {
        text.extend_from_slice(b"{\"probability\":");
        write_number(probability, text);
        if let Some(threshold) = threshold {
            text.extend_from_slice(if probability >= threshold { b",\"flagged\":true" } else { b",\"flagged\":false" });
        }
        text.push(b'}');
    });
    text.push(b'}');
    text
}
