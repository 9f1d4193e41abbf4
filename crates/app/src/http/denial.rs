//! Why a client may not, with the status, the stable code, the sentence and the headers that say what to do about it.

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use thiserror::Error;

use crate::keys::{Scope, Unknown};

/// One reason. None repeats what was shown.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Denial {
    /// A key is asked for and none was shown.
    #[error("this needs a key; send the one you were given as `Authorization: Bearer …` or as `X-Api-Key: …`")]
    NoKey,
    /// Something else than a key, or more than one.
    #[error("what was sent as a key is none: it is mistyped or cut off, or there is more than one; send it once and whole")]
    NotAKey,
    /// A key, but none of ours.
    #[error("this key is not known here; it may be that of another server, or a newer one took its place")]
    UnknownKey,
    /// A key whose time is over.
    #[error("this key has expired; ask whoever gave it to you for a new one")]
    ExpiredKey,
    /// A key that was taken back.
    #[error("this key was revoked; ask whoever gave it to you for a new one")]
    RevokedKey,
    /// A key for something else.
    #[error("this key is not good for that: it lacks the scope `{}`", .0.word())]
    WrongScope(Scope),
    /// More calls than the key is good for.
    #[error(
        "this key has called more often than its rate allows; call again in {seconds} s, or ask whoever gave it to you for a higher one"
    )]
    TooFast {
        /// After how many seconds another call is worth it.
        seconds: u64,
    },
    /// A server without keys that others than this machine reach.
    #[error(
        "models, policies and lists are neither shown nor changed here, and nothing is erased: this server asks nobody for a key, and \
         other machines can reach it; start it with --keys, or on 127.0.0.1"
    )]
    KeysNeeded,
}

impl Denial {
    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::WrongScope(_) | Self::KeysNeeded => StatusCode::FORBIDDEN,
            Self::TooFast { .. } => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The word for programs, and for the metric; it never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::NotAKey => "not_a_key",
            Self::UnknownKey => "unknown_key",
            Self::ExpiredKey => "expired_key",
            Self::RevokedKey => "revoked_key",
            Self::WrongScope(_) => "wrong_scope",
            Self::TooFast { .. } => "too_fast",
            Self::KeysNeeded => "keys_needed",
        }
    }

    /// Adds when to come again, or what RFC 6750 asks for: how to show who one is, and what was wrong with it.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        let challenge = match self {
            Self::TooFast { seconds } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
                return;
            }
            Self::NoKey => r#"Bearer realm="assay""#.to_owned(),
            Self::WrongScope(scope) => format!(r#"Bearer realm="assay", error="insufficient_scope", scope="{}""#, scope.word()),
            _ if self.status() == StatusCode::UNAUTHORIZED => r#"Bearer realm="assay", error="invalid_token""#.to_owned(),
            _ => return,
        };
        headers.insert(WWW_AUTHENTICATE, HeaderValue::try_from(challenge).expect("words and quotes are a header"));
    }

    /// Every reason there is.
    pub fn one_of_each() -> Vec<Self> {
        vec![
            Self::NoKey,
            Self::NotAKey,
            Self::UnknownKey,
            Self::ExpiredKey,
            Self::RevokedKey,
            Self::WrongScope(Scope::Score),
            Self::TooFast { seconds: 1 },
            Self::KeysNeeded,
        ]
    }
}

impl From<Unknown> for Denial {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::NotAKey => Self::NotAKey,
            Unknown::NoSuchKey => Self::UnknownKey,
            Unknown::Expired => Self::ExpiredKey,
            Unknown::Revoked => Self::RevokedKey,
        }
    }
}
