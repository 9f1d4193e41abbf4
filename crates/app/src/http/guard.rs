//! May this client have this? Decided in one place for every route, by the route's scope and the key that was shown, before any body is
//! read.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::header::{AUTHORIZATION, HeaderMap};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::denial::Denial;
use super::metrics::registered;
use crate::clock;
use crate::keys::{Keyring, Scope, file};
use crate::watch::{Content, watch};

/// The other header that a key may come in.
const KEY_HEADER: &str = "x-api-key";

/// What an open server neither shows nor lets anybody change.
const CLOSED: &[Scope] = &[Scope::Models, Scope::Policy, Scope::Erase];

/// Who may call a server.
pub enum Access {
    /// Whoever is on this machine: the server listens nowhere else.
    ThisMachine,
    /// Whoever reaches it; models and policies are neither shown nor changed, and nothing is erased.
    Everybody,
    /// Whoever has one of these keys.
    Holders {
        /// The keys at the start.
        keyring: Keyring,
        /// Where they came from and what was there, when that may change.
        file: Option<(PathBuf, Vec<u8>)>,
    },
}

/// Lets in who may.
pub struct Guard {
    keyring: Option<ArcSwap<Keyring>>,
    /// What asks for a key that nobody can have.
    closed: &'static [Scope],
    denied: BTreeMap<&'static str, IntCounter>,
    valid: IntGauge,
}

/// A request that was let in.
#[derive(Debug)]
pub struct Admitted {
    /// The id of the key it came with, where one was asked for.
    pub key: Option<String>,
}

impl Guard {
    /// Begins to guard, to count in `registry`, and to follow the file of keys.
    pub fn start(access: Access, registry: &Registry) -> io::Result<Arc<Self>> {
        let (keyring, file, closed) = match access {
            Access::ThisMachine => (None, None, &[][..]),
            Access::Everybody => (None, None, CLOSED),
            Access::Holders { keyring, file } => (Some(ArcSwap::from_pointee(keyring)), file, &[][..]),
        };
        let reasons =
            IntCounterVec::new(Opts::new("assay_http_denied_total", "Requests that were not let in, by reason."), &["reason"]);
        let reasons = registered(registry, reasons);
        let denied =
            Denial::one_of_each().iter().map(|denial| (denial.code(), reasons.with_label_values(&[denial.code()]))).collect();
        let valid = registered(registry, IntGauge::new("assay_keys_valid", "Keys that are neither revoked nor expired."));
        let guard = Arc::new(Self { keyring, closed, denied, valid });
        if let Some((path, known)) = file {
            guard.follow(path, known, registry)?;
        }
        Ok(guard)
    }

    /// Lets a request of these headers have what needs `scope`, or says why not.
    pub fn admit(&self, scope: Scope, headers: &HeaderMap) -> Result<Admitted, Denial> {
        let admitted = self.known(scope, headers);
        if let Err(denial) = &admitted {
            self.denied[denial.code()].inc();
        }
        admitted
    }

    /// Brings the figures up to date that time alone changes.
    pub fn count_keys(&self) {
        let valid = self.keyring.as_ref().map_or(0, |keyring| keyring.load().valid(clock::timestamp()));
        self.valid.set(i64::try_from(valid).unwrap_or(i64::MAX));
    }

    fn known(&self, scope: Scope, headers: &HeaderMap) -> Result<Admitted, Denial> {
        let Some(keyring) = self.keyring.as_ref().filter(|_| scope != Scope::Public) else {
            return if self.closed.contains(&scope) { Err(Denial::KeysNeeded) } else { Ok(Admitted { key: None }) };
        };
        let keyring = keyring.load();
        let holder = keyring.holder(shown(headers)?, clock::timestamp())?;
        let key = holder.id().as_str().to_owned();
        if !holder.may(scope) {
            return Err(Denial::WrongScope(scope));
        }
        holder.take().map_err(|wait| Denial::TooFast { seconds: wait.as_secs() + u64::from(wait.subsec_nanos() > 0) })?;
        Ok(Admitted { key: Some(key) })
    }

    /// Takes the keys anew whenever their file changes; while it is damaged or gone, those that were there last are good.
    fn follow(self: &Arc<Self>, path: PathBuf, known: Vec<u8>, registry: &Registry) -> io::Result<()> {
        let results =
            IntCounterVec::new(Opts::new("assay_keys_reads_total", "Changes of the file of keys, by result."), &["result"]);
        let results = registered(registry, results);
        let [taken, refused] = ["taken", "refused"].map(|result| results.with_label_values(&[result]));
        let (guard, name) = (self.clone(), path.display().to_string());
        let changed = move |[content]: &[Content; 1]| match content.clone().and_then(|bytes| file::parse(&bytes)) {
            Ok(keys) => {
                // Who is guarded by a file has a keyring.
                let Some(current) = &guard.keyring else { return };
                let keyring = current.load().renewed(keys);
                let valid = keyring.valid(clock::timestamp());
                current.store(Arc::new(keyring));
                taken.inc();
                tracing::info!(file = name, valid, "the keys were read again");
            }
            Err(problem) => {
                refused.inc();
                tracing::error!(file = name, "the keys that were there last stay good, as they cannot be read again: {problem}");
            }
        };
        watch("keys", [path], file::bytes, [Ok(known)], changed)
    }
}

/// The key among these headers: one, in one of both.
fn shown(headers: &HeaderMap) -> Result<&[u8], Denial> {
    let bearers = headers.get_all(AUTHORIZATION).iter().map(|value| bearer(value.as_bytes()));
    let mut all = bearers.chain(headers.get_all(KEY_HEADER).iter().map(|value| Some(value.as_bytes())));
    match (all.next(), all.next()) {
        (None, _) => Err(Denial::NoKey),
        (Some(Some(key)), None) => Ok(key),
        _ => Err(Denial::NotAKey),
    }
}

/// What stands behind `Bearer`, a word that may be written in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, key) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn found(headers: &[(&'static str, &'static str)]) -> Result<String, Denial> {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        shown(&map).map(|key| String::from_utf8(key.to_vec()).unwrap())
    }

    #[test]
    fn a_key_comes_once_and_in_either_header() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc "] {
            assert_eq!(found(&[("authorization", value)]).as_deref(), Ok("abc"), "{value}");
        }
        assert_eq!(found(&[("x-api-key", "abc")]).as_deref(), Ok("abc"));
        assert_eq!(found(&[("cookie", "abc")]), Err(Denial::NoKey));
        for value in ["Basic abc", "Bearerabc", "abc", "", "Bearer"] {
            assert_eq!(found(&[("authorization", value)]), Err(Denial::NotAKey), "{value}");
        }
        assert_eq!(found(&[("authorization", "Bearer abc"), ("x-api-key", "abc")]), Err(Denial::NotAKey));
        assert_eq!(found(&[("x-api-key", "abc"), ("x-api-key", "abc")]), Err(Denial::NotAKey));
    }

    #[test]
    fn without_keys_models_are_for_this_machine_alone() {
        let admitted = |access, scope| {
            let guard = Guard::start(access, &Registry::new()).unwrap();
            guard.admit(scope, &HeaderMap::new()).map(|admitted| admitted.key)
        };
        let holders = || Access::Holders { keyring: Keyring::default(), file: None };
        assert_eq!(admitted(Access::ThisMachine, Scope::Models), Ok(None));
        assert_eq!(admitted(Access::Everybody, Scope::Models), Err(Denial::KeysNeeded));
        assert_eq!(admitted(Access::Everybody, Scope::Score), Ok(None));
        for scope in [Scope::Score, Scope::Metrics, Scope::Models] {
            assert_eq!(admitted(holders(), scope), Err(Denial::NoKey));
        }
        assert_eq!(admitted(holders(), Scope::Public), Ok(None));
    }
}
