//! What each route answers.

use std::rc::Rc;

use bytes::Bytes;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONTENT_LENGTH, HeaderMap, HeaderName, TRANSFER_ENCODING};

use super::answer::{self, Answer};
use super::body::{self, Body};
use super::doors::{self, Door};
use super::models::Model;
use super::models::management::{self, Call};
use super::progress::Progress;
use super::refusal::Refusal;
use super::turns::{Turn, Turns};
use super::worker::Worker;
use super::{cors, decisions, metrics, predict, router};
use crate::clock;

/// Names of what can answer; the table of routes says where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Endpoint {
    /// Scores.
    Predict,
    /// Tells a browser whether its page may ask for scores.
    Preflight,
    /// Whether the process answers at all.
    Health,
    /// Whether requests should be sent here.
    Ready,
    /// Figures for Prometheus.
    Metrics,
    /// What all of this is.
    OpenApi,
    /// Decides, and what belongs to it.
    Decisions(decisions::Call),
    /// Tells and changes what models there are.
    Models(Call),
    /// The model, for clients of other servers.
    Door(Door),
}

/// Answers `request` at `endpoint`; `key` is the id of the key it came with.
pub async fn answer(
    endpoint: Endpoint,
    key: Option<String>,
    request: Request<Incoming>,
    worker: &Rc<Worker>,
    progress: &Rc<Progress>,
) -> Answer {
    let shared = &worker.shared;
    match endpoint {
        Endpoint::Predict => predict(request, worker, progress).await,
        Endpoint::Preflight => preflight(request.headers(), worker),
        Endpoint::Health => answer::text("text/plain", Bytes::from_static(b"OK")),
        Endpoint::Ready if !shared.lifecycle.is_ready() => answer::refusal(&Refusal::Draining),
        Endpoint::Ready => match shared.decisions.as_ref().map(|desk| desk.open()) {
            Some(Err(problem)) => answer::refusal(&decisions::Problem::from(problem).into()),
            None | Some(Ok(_)) => answer::json(Bytes::from_static(br#"{"status":"ready"}"#)),
        },
        Endpoint::Metrics => {
            shared.guard.count_keys();
            if let Some(desk) = &shared.decisions {
                desk.count();
            }
            answer::text(metrics::CONTENT_TYPE, shared.metrics.text())
        }
        Endpoint::OpenApi => answer::json(shared.models.now().active.openapi.clone()),
        Endpoint::Decisions(call) => decisions::answer(call, key, request, worker, progress).await,
        Endpoint::Models(call) => management::answer(call, key, request, worker, progress).await,
        Endpoint::Door(door) => doors::answer(door, request, worker, progress).await,
    }
}

async fn predict(request: Request<Incoming>, worker: &Rc<Worker>, progress: &Rc<Progress>) -> Answer {
    let (head, incoming) = request.into_parts();
    let admitted = admitted(&head.headers, incoming, worker, progress).await;
    let shared = &worker.shared;
    let mut answer = router::answer_or_500(&shared.metrics.failures, || {
        admitted.and_then(|(body, _turn)| score(&body, worker)).unwrap_or_else(|refusal| answer::refusal(&refusal))
    });
    shared.settings.origins.allow_reading(&head.headers, answer.headers_mut());
    answer
}

/// All of the body of a request that may be scored now, and its turn, to be held until it is.
pub async fn admitted(
    headers: &HeaderMap,
    incoming: Incoming,
    worker: &Rc<Worker>,
    progress: &Rc<Progress>,
) -> Result<(Body, Turn), Refusal> {
    let applicant = match Turns::apply(worker, headers) {
        Ok(applicant) => applicant,
        Err(refusal) => {
            body::pass_over(incoming, worker, progress).await;
            return Err(refusal);
        }
    };
    let body = whole_body(headers, incoming, worker, progress).await?;
    Ok((body, applicant.wait().await?))
}

async fn whole_body(headers: &HeaderMap, incoming: Incoming, worker: &Worker, progress: &Rc<Progress>) -> Result<Body, Refusal> {
    let has_body = !incoming.is_end_stream() || headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    if has_body { body::read(incoming, worker, progress).await } else { Err(Refusal::LengthRequired) }
}

/// One model answers, from the first value to the last score, whatever becomes active meanwhile.
fn score(body: &[u8], worker: &Worker) -> Result<Answer, Refusal> {
    let shared = &worker.shared;
    let lineup = shared.models.now();
    let mut scratch = worker.scratch.borrow_mut();
    let rows = predict::read(body, &lineup.active.artifact, shared.settings.limits.rows.get(), &mut scratch)?;
    let model = lineup.choose(scratch.rows());
    let started = clock::now();
    let json = predict::score(&model.artifact, &mut scratch);
    shared.metrics.scored(rows, clock::now() - started);
    shared.models.answered(&lineup, model, scratch.rows(), scratch.probabilities());
    let mut answer = answer::json(json);
    say_who_scored(model, &mut answer);
    Ok(answer)
}

/// Adds the header that says which model scored: `name@version`.
pub fn say_who_scored(model: &Model, answer: &mut Answer) {
    answer.headers_mut().insert(HeaderName::from_static("assay-model"), model.label.clone());
}

fn preflight(request: &HeaderMap, worker: &Worker) -> Answer {
    let mut answer = answer::empty();
    let headers = answer.headers_mut();
    headers.insert(ALLOW, router::allowed("/predict"));
    cors::allow_posting(headers);
    worker.shared.settings.origins.allow_reading(request, headers);
    answer
}
