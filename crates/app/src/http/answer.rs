//! Answers as they leave: status, the headers that all of them carry, body.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

use super::limits::RETRY_AFTER_SECONDS;
use super::refusal::Refusal;

/// A whole answer; hyper adds Date and Content-Length.
pub type Answer = Response<Full<Bytes>>;

/// 200 with JSON.
pub fn json(body: impl Into<Bytes>) -> Answer {
    with_body(StatusCode::OK, "application/json", body.into())
}

/// 200 with a text of `content_type`.
pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    with_body(StatusCode::OK, content_type, body.into())
}

/// 204: nothing but headers.
pub fn empty() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Why not, as JSON.
pub fn refusal(refusal: &Refusal) -> Answer {
    let mut answer = with_body(refusal.status(), "application/json", refusal.json().into());
    if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    if let Refusal::Denied(denial) = refusal {
        denial.add_headers(answer.headers_mut());
    }
    answer
}

/// A 503 as it goes over the wire, for who has no request that hyper read; `last_header` is what it has besides.
pub fn unavailable(refusal: &Refusal, last_header: &str) -> Vec<u8> {
    let body = refusal.json();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: {RETRY_AFTER_SECONDS}\r\ncache-control: no-store\r\n{last_header}\r\n\r\n{body}",
        body.len(),
    )
    .into_bytes()
}

/// Nothing may be stored on the way or guessed to be something else: answers are about people's cards.
fn with_body(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
