//! The doors beside `/predict`: the same model for clients that speak our own JSON or another server's protocol.
//!
//! Each door reads its own form into one [`table`] of rows, which is scored in one place, so that the same values give the same
//! bits whichever way they came.

mod cell;
mod csv_rows;
mod forms;
mod invocations;
mod json;
mod open_inference;
mod refusal;
mod score;
mod served;
mod table;

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};

pub use refusal::DoorRefusal;
#[cfg(test)]
pub use refusal::tests::one_of_each as refusals;
use served::Served;
use table::Table;

use super::answer::{self, Answer};
use super::endpoints::whole_body;
use super::progress::Progress;
use super::refusal::Refusal;
use super::worker::Worker;
use super::{predict, router};
use crate::clock;

/// Names of the doors; the table of routes says where they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Door {
    /// Our own.
    Score,
    /// Open Inference Protocol: what server this is.
    Server,
    /// Open Inference Protocol: whether it lives.
    ServerLive,
    /// Open Inference Protocol: whether all models take requests.
    ServerReady,
    /// Open Inference Protocol: what a model takes and gives.
    Model,
    /// Open Inference Protocol: whether a model takes requests.
    ModelReady,
    /// Open Inference Protocol: scores.
    Infer,
    /// SageMaker and MLflow: whether requests should be sent here.
    Ping,
    /// SageMaker and MLflow: scores.
    Invocations,
    /// MLflow: the version of the server.
    Version,
}

/// Answers `request` at `door`.
pub async fn answer(door: Door, request: Request<Incoming>, worker: &Rc<Worker>, progress: &Rc<Progress>) -> Answer {
    let (head, incoming) = request.into_parts();
    if !matches!(door, Door::Score | Door::Infer | Door::Invocations) {
        return tell(door, &head, worker).unwrap_or_else(|refusal| answer::refusal(&refusal));
    }
    let body = match refuse_encoding(&head.headers) {
        Ok(()) => whole_body(&head.headers, incoming, worker, progress).await,
        Err(refusal) => Err(refusal),
    };
    router::answer_or_500(&worker.shared.metrics.failures, || {
        let answer = body.and_then(|body| match door {
            Door::Score => score::answer(&body, worker),
            Door::Infer => open_inference::infer(&head, &body, worker),
            _ => invocations::answer(&head.headers, &body, worker),
        });
        answer.unwrap_or_else(|refusal| answer::refusal(&refusal))
    })
}

/// What needs no body.
fn tell(door: Door, head: &Parts, worker: &Worker) -> Result<Answer, Refusal> {
    let shared = &worker.shared;
    if matches!(door, Door::ServerReady | Door::ModelReady | Door::Ping) && !shared.lifecycle.is_ready() {
        return Err(Refusal::Draining);
    }
    Ok(match door {
        Door::Server => open_inference::server(),
        Door::ServerLive => answer::json(r#"{"live":true}"#),
        Door::ServerReady => answer::json(r#"{"live":true,"ready":true}"#),
        Door::Model => open_inference::model(&served::at_path(shared, head.uri.path())?),
        Door::ModelReady => open_inference::model_ready(&served::at_path(shared, head.uri.path())?),
        Door::Version => answer::text("text/plain", env!("CARGO_PKG_VERSION")),
        _ => answer::text("text/plain", "\n"),
    })
}

/// A compressed body is not read: what it unpacks to has no limit that its sender must keep.
fn refuse_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let plain = headers.get_all(CONTENT_ENCODING).iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain { Ok(()) } else { Err(DoorRefusal::CompressedBody.into()) }
}

/// Reads rows by `read`, scores them, and lets `write` make the answer of what else was read and the probabilities.
fn scored<Asked>(
    worker: &Worker,
    served: &Served<'_>,
    read: impl FnOnce(&mut Table<'_>) -> Result<Asked, Refusal>,
    write: impl FnOnce(Asked, &[f64]) -> Answer,
) -> Result<Answer, Refusal> {
    let shared = &worker.shared;
    let mut scratch = worker.scratch.borrow_mut();
    let mut table = Table::new(served.model.features(), shared.settings.limits.rows.get(), scratch.empty());
    let asked = read(&mut table)?;
    let rows = table.count();
    if rows == 0 {
        return Err(DoorRefusal::NoRows.into());
    }
    let started = clock::now();
    let probabilities = predict::probabilities(served.model, &mut scratch);
    shared.metrics.scored(rows, clock::now() - started);
    let answer = write(asked, probabilities);
    debug_assert_eq!(answer.status(), StatusCode::OK);
    Ok(answer)
}

/// Adds `probability` as JSON and CSV write it: the shortest digits that read back as the same bits.
fn write_number(probability: f64, text: &mut Vec<u8>) {
    assert!(probability.is_finite(), "a model gives probabilities");
    text.extend_from_slice(zmij::Buffer::new().format_finite(probability).as_bytes());
}

/// Adds a list of `values`, written by `write`.
fn write_list<T: Copy>(values: &[T], text: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    text.push(b'[');
    for (place, &value) in values.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        write(value, text);
    }
    text.push(b']');
}
