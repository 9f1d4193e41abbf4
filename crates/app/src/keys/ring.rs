//! Whose key is this? What serving asks of the keys, for every request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::text::{self, Id};
use super::{Key, Rate, Scope, SecretHash, State};
use crate::allowance::{Allowance, Pace};
use crate::clock;

/// The keys of a moment, found by their ids.
#[derive(Debug, Default)]
pub struct Keyring(BTreeMap<String, Holder>);

/// What the holder of a key may do, and has done.
#[derive(Debug)]
pub struct Holder {
    key: Key,
    /// What it takes from, which outlives a ring.
    allowance: Option<(Pace, Arc<Allowance>)>,
}

/// Why nobody is known by what was shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unknown {
    /// It is not written like a key.
    NotAKey,
    /// No key has this id, or the secret is another one: a stranger learns no difference.
    NoSuchKey,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl Keyring {
    /// Of these keys, whose holders have not called yet.
    pub fn of(keys: Vec<Key>) -> Self {
        Self::default().renewed(keys)
    }

    /// Of these keys instead of ours: who stays and may call as often as before has taken what was taken, so that a change of the file gives nobody
    /// a second burst.
    pub fn renewed(&self, keys: Vec<Key>) -> Self {
        let begun = clock::now();
        let fresh = |Rate { per_second, burst }: Rate| {
            (Pace::new(f64::from(per_second.get()), burst.get()), Arc::new(Allowance::new(begun)))
        };
        let holder = |key: Key| {
            let is_same = |holder: &&Holder| (holder.key.secret_sha256, holder.key.rate) == (key.secret_sha256, key.rate);
            let known = self.0.get(key.id.as_str()).filter(is_same);
            let allowance = known.and_then(|holder| holder.allowance.clone()).or_else(|| key.rate.map(fresh));
            (key.id.as_str().to_owned(), Holder { key, allowance })
        };
        Self(keys.into_iter().map(holder).collect())
    }

    /// How many of them are taken at `now`.
    pub fn valid(&self, now: Timestamp) -> usize {
        self.0.values().filter(|holder| holder.key.state(now) == State::Valid).count()
    }

    /// Who shows this key at `now`.
    ///
    /// An id is no secret, so it is looked up like any word. Secrets are compared as hashes and in constant time; of a key without such an
    /// id the hash is made all the same, so that the time it takes says nothing either.
    pub fn holder(&self, shown: &[u8], now: Timestamp) -> Result<&Holder, Unknown> {
        let (id, secret) = text::read(shown).ok_or(Unknown::NotAKey)?;
        let found = SecretHash::of(&secret);
        let holder = self.0.get(id);
        let expected = holder.map_or(SecretHash([0; 32]), |holder| holder.key.secret_sha256);
        let is_same = bool::from(found.0.ct_eq(&expected.0));
        let holder = holder.filter(|_| is_same).ok_or(Unknown::NoSuchKey)?;
        match holder.key.state(now) {
            State::Valid => Ok(holder),
            State::Expired => Err(Unknown::Expired),
            State::Revoked => Err(Unknown::Revoked),
        }
    }
}

impl Holder {
    /// Which key it is.
    pub fn id(&self) -> &Id {
        &self.key.id
    }

    /// Takes one call from what its rate allows, or says how long to wait for it.
    pub fn take(&self) -> Result<(), Duration> {
        self.allowance.as_ref().map_or(Ok(()), |(pace, allowance)| allowance.take(*pace, clock::now()))
    }

    /// Whether the key is good for that.
    pub fn may(&self, scope: Scope) -> bool {
        self.key.scopes.contains(&scope)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use jiff::SignedDuration;

    use super::*;
    use crate::keys::{Wanted, create, revoke};

    #[test]
    fn who_stays_has_taken_what_was_taken_and_who_gets_another_rate_begins_anew() {
        let now = Timestamp::from_second(1_000).unwrap();
        let rate = |burst| Some(Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(burst).unwrap() });
        let wanted = || Wanted { name: "shop".into(), scopes: [Scope::Score].into(), lifetime: None, rate: rate(1_000) };
        let mut keys = Vec::new();
        let shown = create(&mut keys, wanted(), now).unwrap();
        let taken = |ring: &Keyring| (0..1_000).filter(|_| ring.holder(shown.as_bytes(), now).unwrap().take().is_ok()).count();
        let first = Keyring::of(keys.clone());
        assert_eq!(taken(&first), 1_000);
        create(&mut keys, wanted(), now).unwrap();
        let second = first.renewed(keys.clone());
        // What a second each was paid for meanwhile.
        assert!(taken(&second) < 900);
        keys[0].rate = rate(2_000);
        assert_eq!(taken(&second.renewed(keys.clone())), 1_000);
        keys[0].rate = None;
        assert_eq!(taken(&second.renewed(keys)), 1_000);
    }

    #[test]
    fn a_holder_is_known_by_the_whole_key_and_by_nothing_less() {
        let now = Timestamp::from_second(1_000).unwrap();
        let wanted = || Wanted {
            name: "shop".into(),
            scopes: [Scope::Score].into(),
            lifetime: Some(SignedDuration::from_secs(9)),
            rate: None,
        };
        let (mut keys, mut others) = (Vec::new(), Vec::new());
        let [first, second] = [(); 2].map(|()| create(&mut keys, wanted(), now).unwrap());
        let stranger = create(&mut others, wanted(), now).unwrap();
        // The id of one key with the secret of another, checksum and all.
        let (_, secret) = text::read(stranger.as_bytes()).unwrap();
        let mixed = text::write(&keys[0].id, &secret);
        let id = keys[1].id.as_str().to_owned();
        revoke(&mut keys, &id, now).unwrap();
        let ring = Keyring::of(keys);
        let shown = |text: &str, now: Timestamp| ring.holder(text.as_bytes(), now).map(Holder::id);
        let holder = ring.holder(first.as_bytes(), now).unwrap();
        assert!(holder.may(Scope::Score) && !holder.may(Scope::Models) && first.contains(holder.id().as_str()));
        assert_eq!(shown(&second, now), Err(Unknown::Revoked));
        assert_eq!(shown(&first, now + SignedDuration::from_secs(9)), Err(Unknown::Expired));
        for strange in [&stranger, &mixed] {
            assert_eq!(shown(strange, now), Err(Unknown::NoSuchKey));
        }
        assert_eq!(shown(&first[..86], now), Err(Unknown::NotAKey));
        assert_eq!(ring.valid(now), 1);
    }
}
