//! The file of webhooks: who wants to know what, and the secret that both sides sign with. Read whole or refused.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use assay_domain::card_data::holds_card_number;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::Uri;

use super::message::Event;
use crate::small_file;

/// A hundred webhooks are a tenth of this; more is no file of webhooks.
const BYTES: u64 = 1 << 20;
/// Webhooks that a file may have: each has a thread and a reader of the journal.
const WEBHOOKS: usize = 100;
/// Characters that a name may have; it names a file and a series of metrics.
const NAME: usize = 64;
/// Characters that a URL may have.
const URL: usize = 2_048;
/// What a secret begins with, by Standard Webhooks.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes that a secret may have, by Standard Webhooks.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Somebody who wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What the operator calls it, in log lines and metrics.
    pub name: String,
    /// Where it is. Whoever knows it may be let in, so that it is not logged.
    pub url: String,
    /// What both sides sign with.
    pub secret: Secret,
    /// What it wants to know.
    pub events: BTreeSet<Event>,
}

/// The bytes that both sides sign with; they are shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// To sign with.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hooks {
    webhooks: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    url: String,
    secret: String,
    events: Vec<String>,
}

/// All that is in the file, or why it cannot be had.
pub fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    small_file::read(path, BYTES)
}

/// The webhooks that these bytes are, or what is wrong with them; what stands there is not repeated.
pub fn parse(bytes: &[u8]) -> Result<Vec<Hook>, String> {
    let Hooks { webhooks } = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "it is no file of webhooks, or a damaged one, at line {}, column {}; write it as docs/webhooks.md shows",
            error.line(),
            error.column()
        )
    })?;
    if webhooks.len() > WEBHOOKS {
        return Err(format!("it has {} webhooks, and {WEBHOOKS} is the most; let one receiver pass events on", webhooks.len()));
    }
    let mut hooks: Vec<Hook> = Vec::with_capacity(webhooks.len());
    for (number, written) in (1..).zip(webhooks) {
        let hook = hook(written).map_err(|problem| format!("webhook {number} {problem}"))?;
        if let Some(place) = hooks.iter().position(|earlier| earlier.name == hook.name) {
            return Err(format!("webhooks {} and {number} have the same name; call one of them differently", place + 1));
        }
        hooks.push(hook);
    }
    Ok(hooks)
}

fn hook(written: Written) -> Result<Hook, String> {
    let Written { name, url, secret, events } = written;
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if name.is_empty() || name.len() > NAME || !name.chars().all(is_plain) || holds_card_number(&name) {
        return Err(format!("needs a name of up to {NAME} small letters, digits and hyphens, and no card number"));
    }
    check_url(&url)?;
    let secret = secret_of(&secret).ok_or_else(|| {
        format!(
            "needs a secret that is `{SECRET_PREFIX}` and the Base64 of {} to {} random bytes; `echo \"{SECRET_PREFIX}$(openssl rand \
             -base64 32)\"` makes one",
            SECRET_BYTES.start(),
            SECRET_BYTES.end()
        )
    })?;
    let known = |name: &String| Event::ALL.into_iter().find(|event| event.name() == name);
    let events: Option<BTreeSet<Event>> = events.iter().map(known).collect();
    match events {
        Some(events) if !events.is_empty() => Ok(Hook { name, url, secret, events }),
        _ => Err(format!("needs `events` that are among {}", Event::ALL.map(Event::name).join(", "))),
    }
}

fn check_url(url: &str) -> Result<(), String> {
    if url.len() > URL {
        return Err(format!("has a url of more than {URL} characters; give a shorter one"));
    }
    let Ok(parsed) = url.parse::<Uri>() else {
        return Err("has a url that is none; write it as in https://example.com/hook".into());
    };
    if !matches!(parsed.scheme_str(), Some("https" | "http")) || parsed.host().is_none_or(str::is_empty) {
        return Err(
            "has a url that begins with neither https:// nor http:// and a host; write it as in https://example.com/hook".into(),
        );
    }
    if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("has a url with a user in it; leave user and password out, receivers know us by the signature".into());
    }
    Ok(())
}

fn secret_of(text: &str) -> Option<Secret> {
    let bytes = STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok()?;
    SECRET_BYTES.contains(&bytes.len()).then_some(Secret(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn written(change: impl FnOnce(&mut Value)) -> Result<Vec<Hook>, String> {
        let hook = json!({"name": "case-system", "url": "https://example.com/hook", "secret": SECRET, "events": ["label", "decision.review"]});
        let mut file = json!({"webhooks": [hook]});
        change(&mut file);
        parse(file.to_string().as_bytes())
    }

    #[test]
    fn a_file_says_who_wants_to_know_what() {
        let hooks = written(|_| ()).unwrap();
        assert_eq!(hooks[0].events, [Event::Review, Event::Label].into());
        assert_eq!(hooks[0].secret.bytes().len(), 24);
        assert!(!format!("{hooks:?}").contains("MfKQ"), "{hooks:?}");
        assert!(parse(b"{\"webhooks\": []}").unwrap().is_empty());
    }

    #[test]
    fn whatever_is_wrong_is_refused_with_a_sentence_that_repeats_nothing() {
        let bytes = |count| format!("whsec_{}", STANDARD.encode(vec![7_u8; count]));
        let cases = [
            ("name", json!("Case System"), "webhook 1 needs a name"),
            ("name", json!(""), "webhook 1 needs a name"),
            ("name", json!("../x"), "webhook 1 needs a name"),
            ("name", json!("x".repeat(65)), "webhook 1 needs a name"),
            ("name", json!("4111111111111111"), "webhook 1 needs a name"),
            ("name", json!("hush-4111-1111-1111-1111"), "webhook 1 needs a name"),
            ("url", json!("ftp://example.com"), "begins with neither"),
            ("url", json!("/hook"), "begins with neither"),
            ("url", json!("https://"), "has a url that is none"),
            ("url", json!("https://exa mple.com"), "has a url that is none"),
            ("url", json!("https://bob:hush@example.com"), "has a url with a user"),
            ("url", json!(format!("https://example.com/{}", "x".repeat(URL))), "more than 2048 characters"),
            ("secret", json!("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "needs a secret"),
            ("secret", json!("whsec_hush!"), "needs a secret"),
            ("secret", json!(bytes(23)), "needs a secret"),
            ("secret", json!(bytes(65)), "needs a secret"),
            ("events", json!([]), "needs `events` that are among decision.approve, "),
            ("events", json!(["decision.hush"]), "needs `events` that are among"),
            ("events", json!("label"), "damaged one, at line 1"),
            ("retries", json!(3), "damaged one, at line 1"),
        ];
        for (field, value, sentence) in cases {
            let problem = written(|file| file["webhooks"][0][field] = value.clone()).unwrap_err();
            assert!(problem.contains(sentence), "{field} {value}: {problem}");
            assert!(!problem.contains("hush") && !problem.contains("1111") && !problem.contains("LPZIo2LaLa"), "{problem}");
        }
        assert!(written(|file| file["webhooks"][0]["secret"] = json!(bytes(64))).is_ok());
        let twice = written(|file| file["webhooks"] = json!([file["webhooks"][0], file["webhooks"][0]])).unwrap_err();
        assert!(twice.contains("webhooks 1 and 2 have the same name"), "{twice}");
        let many = written(|file| file["webhooks"] = vec![file["webhooks"][0].clone(); 101].into()).unwrap_err();
        assert!(many.contains("it has 101 webhooks"), "{many}");
    }

    #[test]
    fn a_refusal_repeats_no_marker_from_any_place_of_the_file() {
        for marker in ["cAnAry7f3e9", "4111111111111111"] {
            let mut texts = vec![marker.to_owned(), format!("{{\"{marker}\":[]}}"), format!("{{\"webhooks\":\"{marker}\"}}")];
            for field in ["name", "url", "secret", "events", marker] {
                let written = |value: Value| {
                    let mut hook = json!({"name": "a", "url": "https://example.com/hook", "secret": SECRET, "events": ["label"]});
                    hook[field] = value;
                    json!({"webhooks": [hook]}).to_string()
                };
                let values = [json!(marker), json!([marker]), json!({ marker: marker }), json!(4_111_111_111_111_111_u64)];
                texts.extend(values.map(written));
                let url = written(json!(format!("https://{marker}@{marker}.example/{marker}")));
                texts.extend([url, written(json!(format!("{marker}://{marker}"))), written(json!(format!("whsec_{marker}!")))]);
            }
            for text in texts {
                let end = text.rfind(marker).map_or(text.len(), |place| place + marker.len());
                for broken in [&text, &text[..end], &text.replace('"', ""), &format!("{text}]")] {
                    let problem = parse(broken.as_bytes()).expect_err(broken);
                    assert!(!problem.contains(marker), "{problem}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_file_is_taken_or_refused_with_one_sentence(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            is_sentence(&bytes)?;
        }

        #[test]
        fn so_is_any_damaged_one(place in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..4), drop in 0..9_usize) {
            let hook = json!({"name": "a", "url": "https://example.com/hook", "secret": SECRET, "events": ["label"]});
            let mut bytes = json!({"webhooks": [hook]}).to_string().into_bytes();
            let from = place.index(bytes.len());
            let to = (from + drop).min(bytes.len());
            bytes.splice(from..to, with);
            is_sentence(&bytes)?;
        }
    }

    fn is_sentence(bytes: &[u8]) -> Result<(), TestCaseError> {
        match parse(bytes) {
            Ok(hooks) => prop_assert!(hooks.iter().all(|hook| !hook.name.is_empty() && !hook.events.is_empty())),
            Err(problem) => {
                prop_assert!(!problem.contains('\n') && problem.is_ascii() && problem.len() < 300, "{problem}");
                prop_assert!(!problem.contains("LPZIo2LaLa"), "{problem}");
            }
        }
        Ok(())
    }
}
