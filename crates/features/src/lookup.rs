//! A map that is asked and never gone through, so that its order reaches nothing.

#![expect(clippy::disallowed_types, reason = "nothing here gives the entries in their order")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values by key.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup<K: Hash + Eq, V: PartialEq>(HashMap<K, V>);

impl<K: Hash + Eq, V: PartialEq> Lookup<K, V> {
    /// With nothing in it.
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// The value of a key, to change it.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    /// Gives a key its value.
    pub fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }

    /// Takes a key away.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.0.remove(key);
    }
}
