//! Which entries may have this id? A table in memory over the marks of all ids, eight bytes an entry.
//!
//! An index of SQLite over random ids would change one page for every entry, each to be written twice; measured at ten million ids, that
//! alone is more work than all the rest. The marks are written as one row per group and read again at a start.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use hashbrown::HashTable;

/// Parts of the table, as a power of two. Each grows by itself, in a fraction of a millisecond where the whole would take a second.
const SHARD_BITS: u32 = 10;
/// Bits of a slot that are a sequence; a million entries a second fill them in twelve days.
const SEQUENCE_BITS: u32 = 40;
const SEQUENCES: u64 = (1 << SEQUENCE_BITS) - 1;

/// Places of entries by marks of their ids. It may name an entry of another id, but leaves none out.
pub struct Ids {
    shards: Vec<RwLock<HashTable<u64>>>,
}

impl Ids {
    pub fn new() -> Self {
        Self { shards: (0..1 << SHARD_BITS).map(|_| RwLock::default()).collect() }
    }

    /// Entries that may have the id of this mark, earliest first.
    pub fn candidates(&self, mark: u64) -> Vec<u64> {
        let sought = slot(mark, 0);
        let shard = self.shard(mark);
        let alike = shard.iter_hash(hash(sought)).filter(|&&slot| slot & !SEQUENCES == sought);
        let mut sequences: Vec<u64> = alike.map(|slot| slot & SEQUENCES).collect();
        sequences.sort_unstable();
        sequences
    }

    /// Remembers an entry, unless it has no id.
    pub fn add(&self, mark: u64, sequence: u64) {
        if mark != 0 {
            let slot = slot(mark, sequence);
            let mut shard = self.shards[place(mark)].write().unwrap_or_else(PoisonError::into_inner);
            shard.insert_unique(hash(slot), slot, |&slot| hash(slot));
        }
    }

    /// Forgets an entry.
    pub fn remove(&self, mark: u64, sequence: u64) {
        let slot = slot(mark, sequence);
        let mut shard = self.shards[place(mark)].write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(found) = shard.find_entry(hash(slot), |&other| other == slot) {
            found.remove();
        }
    }

    fn shard(&self, mark: u64) -> RwLockReadGuard<'_, HashTable<u64>> {
        self.shards[place(mark)].read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(mark: u64) -> usize {
    usize::try_from(mark >> (u64::BITS - SHARD_BITS)).expect("a few bits")
}

/// 24 bits of the mark that the place of its shard does not tell, then the sequence.
fn slot(mark: u64, sequence: u64) -> u64 {
    mark << SHARD_BITS & !SEQUENCES | sequence & SEQUENCES
}

/// The table looks at the lowest bits and at the highest.
fn hash(slot: u64) -> u64 {
    slot & !SEQUENCES | slot >> SEQUENCE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_entry_is_among_the_candidates_of_its_mark(marks in prop::collection::vec(prop_oneof![any::<u64>(), 0..4_u64], 0..200)) {
            let ids = Ids::new();
            for (sequence, &mark) in (1..).zip(&marks) {
                ids.add(mark, sequence);
            }
            for (sequence, &mark) in (1..).zip(&marks) {
                let candidates = ids.candidates(mark);
                prop_assert!(candidates.is_sorted());
                prop_assert_eq!(candidates.contains(&sequence), mark != 0);
                ids.remove(mark, sequence);
                prop_assert!(!ids.candidates(mark).contains(&sequence));
            }
        }
    }
}
