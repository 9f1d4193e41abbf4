//! Who may call, and for what? The keys that were given out, and what is known of each: never its secret, only the secret's SHA-256.

pub mod file;
mod ring;
mod text;

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use ring::{Keyring, Unknown};
use text::{Id, Secret};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everybody; no key needs it.
    #[value(skip)]
    #[serde(skip)]
    Public,
    /// Who may have transactions scored.
    Score,
    /// Who may look at figures.
    Metrics,
    /// Who may see and change which models score.
    Models,
    /// Who may have transactions decided, and ask for a decision by its id.
    Decide,
    /// Who may tell what became known of transactions.
    Label,
    /// Who may look through decisions and say what they were.
    Review,
    /// Who may see and change policies and lists.
    Policy,
    /// Who may have the fields of a person erased.
    Erase,
}

impl Scope {
    /// Its word in files, flags and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Score => "score",
            Self::Metrics => "metrics",
            Self::Models => "models",
            Self::Decide => "decide",
            Self::Label => "label",
            Self::Review => "review",
            Self::Policy => "policy",
            Self::Erase => "erase",
        }
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Which one it is: the part of the key that logs may name.
    pub id: Id,
    /// Whose it is.
    pub name: String,
    /// SHA-256 of its secret. A plain hash is enough for 256 random bits, which nobody can try out.
    pub secret_sha256: SecretHash,
    /// What its holder may do.
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is no longer taken.
    pub expires: Option<Timestamp>,
    /// When it was taken back.
    pub revoked: Option<Timestamp>,
    /// How often its holder may call; as often as the server can, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// How often the holder of a key may call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a second, in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once, after a rest.
    pub burst: NonZeroU32,
}

/// A SHA-256, in files as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecretHash([u8; 32]);

/// Whether a key is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// It is.
    Valid,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

/// What a new key is to be.
pub struct Wanted {
    /// Whose it is.
    pub name: String,
    /// What its holder may do.
    pub scopes: BTreeSet<Scope>,
    /// How long it is taken; for ever, if it is not said.
    pub lifetime: Option<SignedDuration>,
    /// How often its holder may call.
    pub rate: Option<Rate>,
}

/// Why the keys cannot be changed like this.
#[derive(Debug, PartialEq, Error)]
pub enum KeyError {
    /// A name that would break a line or a table.
    #[error("write the name with 1 to {NAME_LETTERS} letters, digits, `-`, `_`, `.` and `@`: it says whose key it is")]
    BadName,
    /// No such key.
    #[error(
        "there is no key with this id; `assay keys list` shows those there are, and an id is what stands between the `_` of a key"
    )]
    NotFound,
    /// It is not taken any more, so there is nothing to go on from.
    #[error("this key is revoked or has expired; make a new one with `assay keys create`")]
    NotValid,
    /// More than are read back.
    #[error("there are {KEYS} keys, which is all that one file may hold; use another file, or remove those that are revoked")]
    TooMany,
    /// A time beyond the calendar.
    #[error("that is more time than the calendar has; give a shorter one")]
    TooLong,
    /// The system has no random bytes.
    #[error("the operating system gives no random bytes ({0}), without which a key would be guessed; look into its log")]
    NoRandomness(String),
}

/// Letters of a key's name.
const NAME_LETTERS: usize = 64;

/// Keys in one file.
const KEYS: usize = 1_000;

/// Makes a key among `keys`, and returns the text that its holder gets: the only time that anybody sees it.
pub fn create(keys: &mut Vec<Key>, wanted: Wanted, now: Timestamp) -> Result<String, KeyError> {
    if !is_name(&wanted.name) {
        return Err(KeyError::BadName);
    }
    if keys.len() >= KEYS {
        return Err(KeyError::TooMany);
    }
    let expires = wanted.lifetime.map(|lifetime| now.checked_add(lifetime).map_err(|_| KeyError::TooLong)).transpose()?;
    let secret = Secret::random()?;
    let id = new_id(keys)?;
    let text = text::write(&id, &secret);
    keys.push(Key {
        id,
        name: wanted.name,
        secret_sha256: SecretHash::of(&secret),
        scopes: wanted.scopes,
        created: now,
        expires,
        revoked: None,
        rate: wanted.rate,
    });
    Ok(text)
}

/// Makes a key in the place of another, which is taken for `overlap` more so that clients can change over.
pub fn rotate(
    keys: &mut Vec<Key>,
    id: &str,
    overlap: SignedDuration,
    lifetime: Option<SignedDuration>,
    now: Timestamp,
) -> Result<String, KeyError> {
    let place = place(keys, id)?;
    let old = &keys[place];
    if old.state(now) != State::Valid {
        return Err(KeyError::NotValid);
    }
    // The new one lives as long as the old one was made for.
    let lifetime = lifetime.or_else(|| old.expires.map(|expires| expires.duration_since(old.created)));
    let wanted = Wanted { name: old.name.clone(), scopes: old.scopes.clone(), lifetime, rate: old.rate };
    let text = create(keys, wanted, now)?;
    let until = now.checked_add(overlap).map_err(|_| KeyError::TooLong)?;
    let old = &mut keys[place];
    old.expires = Some(old.expires.map_or(until, |expires| expires.min(until)));
    Ok(text)
}

/// Takes a key back. One that was taken back before stays as it is.
pub fn revoke(keys: &mut [Key], id: &str, now: Timestamp) -> Result<(), KeyError> {
    let place = place(keys, id)?;
    keys[place].revoked.get_or_insert(now);
    Ok(())
}

impl Key {
    /// Whether it is taken at `now`.
    pub fn state(&self, now: Timestamp) -> State {
        match (self.revoked, self.expires) {
            (Some(_), _) => State::Revoked,
            (None, Some(expires)) if expires <= now => State::Expired,
            _ => State::Valid,
        }
    }
}

impl SecretHash {
    fn of(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.bytes()).into())
    }
}

impl Serialize for SecretHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text::hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes =
            text::bytes(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("a SHA-256 has 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

fn place(keys: &[Key], id: &str) -> Result<usize, KeyError> {
    keys.iter().position(|key| key.id.as_str() == id).ok_or(KeyError::NotFound)
}

/// An id that no other key has.
fn new_id(keys: &[Key]) -> Result<Id, KeyError> {
    loop {
        let id = Id::random()?;
        if keys.iter().all(|key| key.id != id) {
            return Ok(id);
        }
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    (1..=NAME_LETTERS).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn wanted(name: &str, seconds: Option<i64>) -> Wanted {
        Wanted { name: name.into(), scopes: [Scope::Score].into(), lifetime: seconds.map(SignedDuration::from_secs), rate: None }
    }

    #[test]
    fn a_key_is_taken_from_its_making_to_its_expiry_or_revocation() {
        let mut keys = Vec::new();
        create(&mut keys, wanted("shop", Some(100)), at(1_000)).unwrap();
        create(&mut keys, wanted("shop", None), at(1_000)).unwrap();
        assert_ne!(keys[0].id, keys[1].id);
        let states = |keys: &[Key], now| keys.iter().map(|key| key.state(at(now))).collect::<Vec<_>>();
        assert_eq!(states(&keys, 1_099), [State::Valid, State::Valid]);
        assert_eq!(states(&keys, 1_100), [State::Expired, State::Valid]);
        let id = keys[1].id.as_str().to_owned();
        revoke(&mut keys, &id, at(1_050)).unwrap();
        revoke(&mut keys, &id, at(1_060)).unwrap();
        assert_eq!(keys[1].revoked, Some(at(1_050)));
        assert_eq!(states(&keys, 1_050), [State::Valid, State::Revoked]);
        assert_eq!(revoke(&mut keys, "00000000", at(1_050)), Err(KeyError::NotFound));
    }

    #[test]
    fn rotation_gives_a_like_key_and_ends_the_old_one_after_the_overlap() {
        let mut keys = Vec::new();
        let rate = Some(Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::MAX });
        create(&mut keys, Wanted { rate, ..wanted("shop", Some(1_000)) }, at(0)).unwrap();
        let id = keys[0].id.as_str().to_owned();
        rotate(&mut keys, &id, SignedDuration::from_secs(60), None, at(500)).unwrap();
        assert_eq!((keys[1].name.as_str(), &keys[1].scopes), ("shop", &[Scope::Score].into()));
        assert_eq!((keys[0].expires, keys[1].expires), (Some(at(560)), Some(at(1_500))));
        assert_eq!(keys[1].rate, rate);
        // An overlap does not lengthen a life.
        let id = keys[1].id.as_str().to_owned();
        rotate(&mut keys, &id, SignedDuration::from_hours(99), None, at(1_400)).unwrap();
        assert_eq!(keys[1].expires, Some(at(1_500)));
        assert_eq!(rotate(&mut keys, &id, SignedDuration::ZERO, None, at(1_500)), Err(KeyError::NotValid));
    }

    #[test]
    fn names_are_words_that_fit_a_line() {
        let mut keys = Vec::new();
        for name in ["", "two words", "line\nbreak", "\u{e9}", &"x".repeat(65)] {
            assert_eq!(create(&mut keys, wanted(name, None), at(0)), Err(KeyError::BadName), "{name:?}");
        }
        create(&mut keys, wanted("checkout.eu-1@shop_2", None), at(0)).unwrap();
        assert_eq!(create(&mut keys, wanted("shop", Some(i64::MAX)), at(0)), Err(KeyError::TooLong));
    }

    #[test]
    fn the_word_of_a_scope_is_that_of_files_and_flags() {
        for scope in Scope::value_variants() {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.word());
            assert_eq!(scope.to_possible_value().unwrap().get_name(), scope.word());
        }
        assert!(serde_json::from_str::<Scope>("\"public\"").is_err());
    }
}
