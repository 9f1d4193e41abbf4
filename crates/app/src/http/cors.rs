//! Which web pages may call `/predict` from a browser (CORS).
//!
//! Every origin may, unless the operator names some: the seed system's web client comes from anywhere. Credentials are never
//! allowed along, so that a page learns nothing that any other client on the network could not.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};
use thiserror::Error;

/// Seconds for which a browser need not ask again; Chromium takes no more.
const MAX_AGE_SECONDS: &str = "7200";

/// The origins whose pages may call.
#[derive(Clone, Debug)]
pub enum AllowedOrigins {
    /// All of them.
    Every,
    /// These.
    Listed(Vec<HeaderValue>),
}

/// An argument that no browser would send as its origin.
#[derive(Debug, Error)]
#[error(
    "--cors-origin {0} is no web origin; write scheme, host and port only, like https://shop.example or http://localhost:8080"
)]
pub struct OriginError(String);

impl AllowedOrigins {
    /// From the values of `--cors-origin`; `*` among them allows every origin.
    pub fn from_arguments(arguments: &[String]) -> Result<Self, OriginError> {
        if arguments.iter().any(|argument| argument == "*") {
            return Ok(Self::Every);
        }
        arguments.iter().map(|argument| origin(argument)).collect::<Result<_, _>>().map(Self::Listed)
    }

    /// Adds what lets the page at the request's origin read the answer.
    pub fn allow_reading(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        match self {
            Self::Every => {
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::Listed(listed) => {
                answer.insert(VARY, HeaderValue::from_static("origin"));
                let asked = request.get(ORIGIN);
                if let Some(origin) = listed.iter().find(|&origin| Some(origin) == asked) {
                    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                }
            }
        }
    }
}

/// Adds what a preflight asks for: that JSON may be posted, with whatever headers a client's library sets. The one that carries a key is
/// not among those that `*` stands for.
pub fn allow_posting(answer: &mut HeaderMap) {
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, authorization"));
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
}

fn origin(argument: &str) -> Result<HeaderValue, OriginError> {
    let host = argument.strip_prefix("https://").or_else(|| argument.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte))
    });
    // Browsers send hosts in lower case.
    let value = HeaderValue::from_str(&argument.to_ascii_lowercase());
    value.ok().filter(|_| is_origin).ok_or_else(|| OriginError(argument.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(arguments: &[&str], asked: &'static str) -> Option<String> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let origins = AllowedOrigins::from_arguments(&arguments).unwrap();
        let request = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(asked))]);
        let mut answer = HeaderMap::new();
        origins.allow_reading(&request, &mut answer);
        answer.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn every_origin_or_the_listed_ones_may_read() {
        assert_eq!(allowed(&["*"], "https://any.example").as_deref(), Some("*"));
        let listed = ["https://Shop.example", "http://localhost:8080"];
        assert_eq!(allowed(&listed, "https://shop.example").as_deref(), Some("https://shop.example"));
        assert_eq!(allowed(&listed, "http://localhost:8080").as_deref(), Some("http://localhost:8080"));
        for other in ["http://shop.example", "https://shop.example.evil.example", "null", "*"] {
            assert_eq!(allowed(&listed, other), None, "{other}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_at_the_start() {
        for wrong in ["shop.example", "https://", "https://shop.example/", "https://shop.example/path", "ftp://shop.example", ""]
        {
            assert!(AllowedOrigins::from_arguments(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
