//! Which requests are refused by their first bytes, while more wait than can be scored in time?
//!
//! Refusing has to cost next to nothing, or a server under five times the load it can bear does nothing else. So these requests never reach
//! hyper: their head is looked at, a ready-made 503 goes back, and their body is thrown away unread. Whatever is not plain goes on to
//! hyper and is refused there.

use std::sync::LazyLock;

use hyper::Method;

use super::limits::PASSED_OVER_BYTES;
use super::refusal::Refusal;
use super::{answer, router};
use crate::keys::Scope;

/// Headers of a head that is looked at here; one with more goes on.
const MAX_HEADERS: usize = 64;

/// A request that is refused.
#[derive(Debug, PartialEq)]
pub struct Refused {
    /// Where it went, as the table of routes says it.
    pub route: &'static str,
    /// Bytes of its body that have not been read.
    pub unread_bytes: u64,
}

/// What becomes of a request that begins with `first`: refused, if it came to have rows scored, and its head says in plain words where
/// it ends.
pub fn refused(first: &[u8]) -> Option<Refused> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = request.parse(first).ok()? else { return None };
    let path = request.path?.split('?').next()?;
    let route = router::route(&Method::from_bytes(request.method?.as_bytes()).ok()?, path)?;
    if request.version != Some(1) || route.method != Method::POST || route.scope != Scope::Score {
        return None;
    }
    let mut body_bytes = None;
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("transfer-encoding") || is("connection") || is("expect") || is("origin") {
            return None;
        }
        if is("content-length") {
            let bytes = std::str::from_utf8(header.value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
            let bytes: u64 = bytes.parse().ok().filter(|&bytes| bytes <= PASSED_OVER_BYTES)?;
            if body_bytes.replace(bytes).is_some() {
                return None;
            }
        }
    }
    // What is here beyond the body is the next request.
    let unread_bytes = body_bytes?.checked_sub((first.len() - head_bytes) as u64)?;
    Some(Refused { route: route.path, unread_bytes })
}

/// The 503 that goes back.
pub fn answer() -> &'static [u8] {
    static ANSWER: LazyLock<Vec<u8>> =
        LazyLock::new(|| answer::unavailable(&Refusal::Overloaded, "x-content-type-options: nosniff"));
    &ANSWER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(request: &str) -> Option<u64> {
        refused(request.as_bytes()).map(|refused| refused.unread_bytes)
    }

    #[test]
    fn a_plain_request_for_scores_is_refused_and_its_body_counted() {
        let head = "POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
        for (body, left) in [("", 10), ("01234", 5), ("0123456789", 0)] {
            let found = refused(format!("{head}{body}").as_bytes());
            assert_eq!(found, Some(Refused { route: "/predict", unread_bytes: left }));
        }
        let infer = refused(b"POST /v2/models/fraud/infer?x=1 HTTP/1.1\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert_eq!(infer, Refused { route: "/v2/models/{model}/infer", unread_bytes: 0 });
    }

    #[test]
    fn whatever_is_not_plain_goes_on() {
        let with = |line: &str| format!("POST /predict HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n");
        for request in [
            "POST /predict HTTP/1.1\r\nContent-Length: 10\r\n".to_owned(),
            "POST /predict HTTP/1.0\r\nContent-Length: 1\r\n\r\n".to_owned(),
            "GET /predict HTTP/1.1\r\nContent-Length: 1\r\n\r\n".to_owned(),
            "GET /health HTTP/1.1\r\n\r\n".to_owned(),
            "POST /nowhere HTTP/1.1\r\nContent-Length: 1\r\n\r\n".to_owned(),
            "POST /v1/models HTTP/1.1\r\nContent-Length: 1\r\n\r\n".to_owned(),
            with("Host: h"),
            with("Content-Length: +1"),
            with("Content-Length: "),
            with("Content-Length: 1, 1"),
            with("Content-Length: 1048577"),
            with("Content-Length: 1\r\nContent-Length: 1"),
            with("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            with("Content-Length: 1\r\nConnection: close"),
            with("Content-Length: 1\r\nExpect: 100-continue"),
            // Its page may only read an answer that names its origin.
            with("Content-Length: 1\r\nOrigin: https://example.com"),
            // More than the body: the next request must not be thrown away with it.
            format!("{}xGET /health HTTP/1.1\r\n", with("Content-Length: 0")),
            "\u{0}\u{1}".to_owned(),
        ] {
            assert_eq!(unread(&request), None, "{request}");
        }
    }
}
