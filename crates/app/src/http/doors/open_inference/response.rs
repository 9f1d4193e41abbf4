//! An inference response: outputs as JSON or as binary data behind it.

use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::request::Asked;
use super::{JSON_LENGTH, Output};
use crate::http::answer::{self, Answer};
use crate::http::doors::served::Served;
use crate::http::doors::{write_list, write_number};

/// Writes what was asked for.
pub fn write(served: &Served, asked: &Asked, probabilities: &[f64]) -> Answer {
    const LONGEST_NUMBER: usize = 25;
    let mut text = Vec::with_capacity(512 + probabilities.len() * LONGEST_NUMBER);
    let quoted = |text: &str| serde_json::to_string(text).expect("a text is JSON");
    let mut add = |part: &str| text.extend_from_slice(part.as_bytes());
    add(&format!("{{\"model_name\":{},\"model_version\":{}", quoted(&served.model.name), quoted(&served.model.version)));
    if let Some(id) = &asked.id {
        add(&format!(",\"id\":{}", quoted(id)));
    }
    add(",\"outputs\":");
    let threshold = served.threshold().unwrap_or(f64::INFINITY);
    let mut binary = Vec::new();
    write_list(&asked.outputs, &mut text, |(output, as_binary), text| {
        let (name, datatype) = (output.name(), output.datatype());
        let opening = format!("{{\"name\":\"{name}\",\"datatype\":\"{datatype}\",\"shape\":[{}],", probabilities.len());
        text.extend_from_slice(opening.as_bytes());
        if as_binary {
            let bytes = if output == Output::Probability { 8 } else { 1 };
            text.extend_from_slice(format!("\"parameters\":{{\"binary_data_size\":{}}}", probabilities.len() * bytes).as_bytes());
        } else {
            text.extend_from_slice(b"\"data\":");
            write_list(probabilities, text, |probability, text| match output {
                Output::Probability => write_number(probability, text),
                Output::Flagged if probability >= threshold => text.extend_from_slice(b"true"),
                Output::Flagged => text.extend_from_slice(b"false"),
            });
        }
        text.push(b'}');
    });
    text.push(b'}');
    for (output, _) in asked.outputs.iter().filter(|(_, as_binary)| *as_binary) {
        match output {
            Output::Probability => binary.extend(probabilities.iter().flat_map(|probability| probability.to_le_bytes())),
            Output::Flagged => binary.extend(probabilities.iter().map(|&probability| u8::from(probability >= threshold))),
        }
    }
    let json_length = text.len();
    text.extend_from_slice(&binary);
    let mut answer = answer::json(text);
    if !binary.is_empty() {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        answer.headers_mut().insert(JSON_LENGTH, json_length.into());
    }
    answer
}
