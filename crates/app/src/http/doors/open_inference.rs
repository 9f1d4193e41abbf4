//! The Open Inference Protocol, version 2, over REST: what KServe, Triton and MLServer speak, with Triton's binary tensor data.
//!
//! <https://github.com/kserve/open-inference-protocol>

mod request;
mod response;
mod tensor;

use assay_model::FeatureKind;
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::request::Parts;
use serde_json::json;

use super::served::{self, Served};
use super::{DoorRefusal, scored};
use crate::http::answer::{self, Answer};
use crate::http::refusal::Refusal;
use crate::http::worker::Worker;

/// The length of the JSON that binary data follows.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// A tensor that a model gives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Output {
    /// Probabilities of fraud.
    Probability,
    /// Whether the probability reaches the model's threshold.
    Flagged,
}

impl Output {
    fn name(self) -> &'static str {
        match self {
            Self::Probability => "probability",
            Self::Flagged => "flagged",
        }
    }

    fn datatype(self) -> &'static str {
        match self {
            Self::Probability => "FP64",
            Self::Flagged => "BOOL",
        }
    }

    /// What `served` gives.
    fn of(served: &Served) -> &'static [Self] {
        if served.threshold().is_some() { &[Self::Probability, Self::Flagged] } else { &[Self::Probability] }
    }
}

/// What this server is.
pub fn server() -> Answer {
    let body = json!({ "name": "assay", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"] });
    answer::json(body.to_string())
}

/// What a model takes and gives.
pub fn model(served: &Served) -> Answer {
    let tensor = |name: &str, datatype: &str| json!({ "name": name, "datatype": datatype, "shape": [-1] });
    let inputs = served.model.artifact.features().iter().map(|feature| {
        let datatype = if feature.kind == FeatureKind::Number { "FP64" } else { "BYTES" };
        tensor(&feature.name, datatype)
    });
    let outputs = Output::of(served).iter().map(|output| tensor(output.name(), output.datatype()));
    let body = json!({
        "name": served.model.name,
        "versions": [served.model.version],
        "platform": "assay",
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
    });
    answer::json(body.to_string())
}

/// That a model takes requests.
pub fn model_ready(served: &Served) -> Answer {
    answer::json(json!({ "name": served.model.name, "ready": true }).to_string())
}

/// Scores the tensors of `body`.
pub fn infer(head: &Parts, body: &[u8], worker: &Worker) -> Result<Answer, Refusal> {
    let served = served::at_path(&worker.shared, head.uri.path())?;
    let (json, binary) = split(&head.headers, body)?;
    let outputs = Output::of(&served);
    scored(
        worker,
        served,
        |table| request::read(json, binary, outputs, table),
        |served, asked, probabilities| response::write(served, &asked, probabilities),
    )
}

/// The JSON at the start of `body`, and the binary data behind it.
fn split<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Refusal> {
    let mut lengths = headers.get_all(JSON_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok((body, &[])) };
    let length =
        length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok());
    let parts = length.filter(|_| lengths.next().is_none()).and_then(|length| body.split_at_checked(length));
    parts.ok_or_else(|| DoorRefusal::WrongBinaryLength.into())
}

/// Reads tensors as a request does that wants all outputs.
pub fn read(json: &[u8], binary: &[u8], table: &mut super::table::Table<'_>) -> Result<(), Refusal> {
    request::read(json, binary, &[Output::Probability, Output::Flagged], table).map(drop)
}
