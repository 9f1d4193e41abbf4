//! The doors beside `/predict`: the same model for clients that speak our own JSON or another server's protocol.
//!
//! Each door reads its own form into one [`table`] of rows, which is scored in one place, so that the same values give the same
//! bits whichever way they came.

pub mod bodies;
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

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use hyper::http::request::Parts;

pub use refusal::DoorRefusal;
#[cfg(test)]
pub use refusal::tests::one_of_each as refusals;
use served::Served;
use table::Table;

use super::answer::{self, Answer};
use super::endpoints::{admitted, say_who_scored};
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
    // Read even when it will be refused: a connection with an unread body cannot be used again.
    let admitted = admitted(&head.headers, incoming, worker, progress).await;
    router::answer_or_500(&worker.shared.metrics.failures, || {
        let answer = admitted.and_then(|(body, _turn)| {
            refuse_encoding(&head.headers)?;
            match door {
                Door::Score => score::answer(&body, worker),
                Door::Infer => open_inference::infer(&head, &body, worker),
                _ => invocations::answer(&head.headers, &body, worker),
            }
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

/// A compressed body is not unpacked: what it unpacks to has no limit that its sender must keep.
fn refuse_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let plain = headers.get_all(CONTENT_ENCODING).iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain { Ok(()) } else { Err(DoorRefusal::CompressedBody.into()) }
}

/// Reads rows by `read`, scores them, and lets `write` make the answer of what else was read and the probabilities.
fn scored<Asked>(
    worker: &Worker,
    served: Served,
    read: impl FnOnce(&mut Table<'_>) -> Result<Asked, Refusal>,
    write: impl FnOnce(&Served, Asked, &[f64]) -> Answer,
) -> Result<Answer, Refusal> {
    let shared = &worker.shared;
    let mut scratch = worker.scratch.borrow_mut();
    let mut table = Table::new(served.model.artifact.features(), shared.settings.limits.rows.get(), scratch.empty());
    let asked = read(&mut table)?;
    let rows = table.count();
    if rows == 0 {
        return Err(DoorRefusal::NoRows.into());
    }
    let served = served.decided(scratch.rows());
    let started = clock::now();
    predict::probabilities(&served.model.artifact, &mut scratch);
    shared.metrics.scored(rows, clock::now() - started);
    if served.is_named {
        served.model.requests.inc();
    } else {
        shared.models.answered(&served.lineup, &served.model, scratch.rows(), scratch.probabilities());
    }
    let mut answer = write(&served, asked, scratch.probabilities());
    say_who_scored(&served.model, &mut answer);
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

#[cfg(test)]
mod tests {
    use assay_model::{Feature, FeatureKind};
    use proptest::prelude::*;

    use super::*;

    fn features() -> Vec<Feature> {
        let levels = ["DE", "FR"].map(String::from).to_vec();
        vec![
            Feature { name: "amount".into(), kind: FeatureKind::Number, missing_seen: false },
            Feature { name: "hour".into(), kind: FeatureKind::Number, missing_seen: true },
            Feature { name: "country".into(), kind: FeatureKind::Category { levels }, missing_seen: true },
        ]
    }

    /// Whatever a door makes of `body`, it is whole rows of numbers within the limit, or a refusal.
    fn check(name: &str, read: impl Fn(&[u8], &mut Table<'_>) -> Result<(), Refusal>, body: &[u8]) {
        const ROWS_LIMIT: usize = 3;
        let features = features();
        let mut rows = Vec::new();
        let mut table = Table::new(&features, ROWS_LIMIT, &mut rows);
        let outcome = read(body, &mut table);
        let count = table.count();
        assert!(count <= ROWS_LIMIT && rows.len() == count * features.len(), "{name}");
        assert!(rows.iter().all(|value| !value.is_infinite()), "{name}");
        // A value that must be there is there, in every row that was read to its end.
        assert!(outcome.is_err() || rows.chunks(3).all(|row| !row[0].is_nan()), "{name}: {}", String::from_utf8_lossy(body));
    }

    fn check_all(body: &[u8]) {
        for form in ["rows", "transactions"] {
            let rows = if form == "rows" { forms::Rows::Lists } else { forms::Rows::Objects };
            let read = |body: &[u8], table: &mut Table<'_>| {
                let (_, raw) = forms::only_one(body, [form])?;
                forms::add(raw, rows, table, table::OtherKeys::Refused)
            };
            check(form, read, body);
        }
        check("invocations", invocations::add_json, body);
        check("CSV", csv_rows::add, body);
        for json_length in [body.len(), body.iter().rposition(|&byte| byte == b'}').map_or(0, |end| end + 1)] {
            let (json, binary) = body.split_at(json_length);
            check("tensors", |_, table| open_inference::read(json, binary, table), body);
        }
    }

    /// Right bodies of every form.
    fn right() -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = [
            r#"{"rows":[[1,2.5,"FR"],[-1e-3,null,"x\u0041"]]}"#,
            r#"{"transactions":[{"amount":1,"hour":2,"country":"DE"},{"amount":true}]}"#,
            r#"{"dataframe_split":{"columns":["country","x","hour","amount"],"data":[["FR",[{}],null,12]]}}"#,
            r#"{"dataframe_records":[{"amount":1,"hour":2,"country":null,"x":"y"}],"params":{"a":[1]}}"#,
            r#"{"instances":[[1,2,"FR"],{"features":[1,2,"FR"]},{"amount":1,"hour":2,"country":"FR"}]}"#,
            r#"{"inputs":{"amount":[1,2],"hour":[[3],[null]],"country":["FR",null]}}"#,
            r#"{"features":[1,2,"FR"]}"#,
            "1,2,FR\n3,,\"D\"\"E\"\n",
            "country,hour,amount\r\nFR,1,2\r\n",
            r#"{"id":"7","parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[2,3],"datatype":"FP16","data":[[1,2,null],[3,4,null]]}],"outputs":[{"name":"probability","parameters":{"binary_data":true}}]}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec();
        let tensors = r#"{"inputs":[{"name":"amount","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"hour","shape":[2,1],"datatype":"INT16","parameters":{"binary_data_size":4}},{"name":"country","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":10}}]}"#;
        all.push([tensors.as_bytes(), b"\0\0\x80?\0\0\0@", b"\x01\0\xff\xff", b"\x02\0\0\0FR\0\0\0\0"].concat());
        all
    }

    #[test]
    fn right_bodies_of_every_form_are_read_by_one_door_or_another() {
        for body in right() {
            check_all(&body);
        }
        let (features, mut rows) = (features(), Vec::new());
        let body = right().pop().unwrap();
        let (json, binary) = body.split_at(body.len() - 22);
        open_inference::read(json, binary, &mut Table::new(&features, 3, &mut rows)).unwrap();
        assert_eq!(rows, [1.0, 1.0, 1.0, 2.0, -1.0, -1.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn bodies_that_are_nearly_right_are_read_or_refused(
            body in prop::sample::select(right()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..4),
            other in prop::sample::select(right()),
        ) {
            let mut body = body;
            for (place, byte, change) in changes {
                let place = place.index(body.len().max(1)).min(body.len().saturating_sub(1));
                match change {
                    0 if !body.is_empty() => body[place] = byte,
                    1 if !body.is_empty() => body[place] = b"0123456789-.eE[]{},:\"null"[usize::from(byte) % 25],
                    2 => body.truncate(place),
                    _ => body.splice(place..place, other[other.len() / 2..].iter().copied().take(usize::from(byte) % 40)).for_each(drop),
                }
            }
            check_all(&body);
        }
    }
}
