//! Hands one message over, signed as Standard Webhooks says, and tells what the receiver made of it.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::file::{Hook, Secret};
use super::message::Message;
use super::patience::{Patience, wish};
use crate::clock;

/// What is read of an answer's body, so that its connection can be used again; a longer one costs a new connection.
const ANSWER_BYTES: u64 = 1 << 14;

/// What a receiver made of a message.
#[derive(Debug)]
pub enum Answer {
    /// It has it.
    Taken,
    /// It wants nothing more.
    Gone,
    /// It does not have it.
    Failed {
        /// Why, for the log.
        reason: String,
        /// How long it wishes to be left alone.
        wish: Option<Duration>,
    },
}

/// What connects. A proxy is used where the environment names one, redirects are not followed, certificates are checked.
pub fn agent(patience: &Patience) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(patience.timeout))
        .user_agent(concat!("assay/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(authorities()).build())
        .build()
        .into()
}

/// The authorities that this machine trusts, so that a company's own is among them; Mozilla's, which are part of the program, where it has
/// none, as in a container image that holds nothing else.
fn authorities() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        tracing::info!("this machine has no certificate authorities; webhooks trust those of Mozilla");
        return RootCerts::WebPki;
    }
    found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect::<Vec<_>>().into()
}

/// Hands a message over.
pub fn send(agent: &Agent, hook: &Hook, message: &Message) -> Answer {
    let timestamp = clock::timestamp().as_second();
    let sent = agent
        .post(&hook.url)
        .header("content-type", "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature(&hook.secret, &message.id, timestamp, &message.body))
        .send(&message.body);
    let mut answer = match sent {
        Ok(answer) => answer,
        Err(error) => return Answer::Failed { reason: reason(&error), wish: None },
    };
    // Whatever it says beside the status is not for us.
    let _ = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
    let status = answer.status();
    if status.is_success() {
        return Answer::Taken;
    }
    if status == StatusCode::GONE {
        return Answer::Gone;
    }
    let asks_for_time = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let retry_after = answer.headers().get("retry-after").filter(|_| asks_for_time).and_then(|value| value.to_str().ok());
    let advice = if status.is_redirection() { "; redirects are not followed, correct the url" } else { "" };
    Answer::Failed {
        reason: format!("it answers {}{advice}", status.as_u16()),
        wish: retry_after.and_then(|value| wish(value, clock::timestamp())),
    }
}

/// `v1,` and the Base64 of HMAC-SHA256 over id, timestamp and body.
fn signature(secret: &Secret, id: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Why nothing came back, without the URL, which may let in whoever knows it.
fn reason(error: &ureq::Error) -> String {
    let system = |error: &io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there; see to the receiver".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe => "it closed the connection before it answered; see to the receiver".to_owned(),
        io::ErrorKind::InvalidData => format!("TLS fails: {error}; see to its certificate"),
        _ => format!("the network fails: {error}; see to the network"),
    };
    match error {
        ureq::Error::Io(error) => system(error),
        ureq::Error::Timeout(_) => "it did not answer in time; see to the receiver".into(),
        ureq::Error::HostNotFound => "its name is not known; correct the url, or see to the name service".into(),
        ureq::Error::Rustls(error) => format!("TLS fails: {error}; see to its certificate"),
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            "no connection came about; see to the network and the proxy".into()
        }
        _ => "what it answers is no HTTP; correct the url, or see to the receiver".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::webhooks::file::parse;

    /// The example of the documentation of Svix, whom the specification comes from.
    #[test]
    fn a_signature_is_the_one_of_the_published_example() {
        let hook = json!({"name": "a", "url": "https://example.com", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "events": ["label"]});
        let hook = parse(json!({"webhooks": [hook]}).to_string().as_bytes()).unwrap().remove(0);
        let signed = signature(&hook.secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
