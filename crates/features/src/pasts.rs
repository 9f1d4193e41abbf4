//! The pasts of all keys of a partition: of every customer, of every terminal.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::history::{Event, History, Layout};
use crate::plan::{NULL, Plan};
use assay_domain::Type;

/// Keys of a partition that are remembered. A new key beyond them is looked at as if it had no past, and leaves none.
pub const MAX_KEYS: usize = 100_000_000;
/// Keys that are looked at for something to forget, per transaction: more than can be added, so that memory follows time.
const SWEPT: usize = 2;

/// The words of a key: nearly always one, which needs no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Of one column.
    One(u64),
    /// Of several.
    Several(Box<[u64]>),
}

/// The pasts of one partition.
#[derive(Clone, Debug)]
pub struct Pasts {
    /// How they are laid out.
    pub layout: Layout,
    /// Place of each aggregate of this partition in the plan.
    pub aggregates: Vec<usize>,
    /// Which words of a key are texts.
    text_columns: Vec<bool>,
    /// Places of the keys. Nothing goes through it in its own order, so that the hasher's seed reaches no output.
    places: HashTable<u32>,
    hasher: RandomState,
    keys: Vec<(Key, History)>,
    /// [`Layout::state_words`] for each key, side by side.
    states: Vec<u64>,
    /// The key that is swept next.
    pub next: usize,
    most: usize,
}

/// Where a key's past is, if it has one.
#[derive(Clone, Copy, Debug)]
pub struct Found(Option<usize>);

impl Key {
    /// Its words.
    pub fn words(&self) -> &[u64] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Several(words) => words,
        }
    }

    /// The key of these words.
    pub fn of(words: &[u64]) -> Self {
        match words {
            [word] => Self::One(*word),
            words => Self::Several(words.into()),
        }
    }
}

impl Pasts {
    /// With no key yet.
    pub fn new(plan: &Plan, partition: usize) -> Self {
        let aggregates: Vec<usize> =
            (0..plan.aggregates.len()).filter(|&place| plan.aggregates[place].partition == partition).collect();
        let asked: Vec<_> = aggregates.iter().map(|&place| plan.aggregates[place].clone()).collect();
        let description = &plan.partitions[partition];
        Self {
            layout: Layout::new(description, &asked, plan.schema.label, plan.schema.max_lateness),
            aggregates,
            text_columns: description.columns.iter().map(|&column| plan.schema.fields[column].kind == Type::Text).collect(),
            places: HashTable::new(),
            hasher: RandomState::default(),
            keys: Vec::new(),
            states: Vec::new(),
            next: 0,
            most: MAX_KEYS,
        }
    }

    /// How many keys have a past.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Keys with their pasts.
    pub fn keys(&self) -> &[(Key, History)] {
        &self.keys
    }

    /// Looks for a key.
    pub fn find(&self, key: &Key) -> Found {
        let found = self.places.find(self.hasher.hash_one(key), |&place| self.keys[place as usize].0 == *key);
        Found(found.map(|&place| place as usize))
    }

    /// Whether a key has a past.
    pub fn has(&self, key: &Key) -> bool {
        self.find(key).0.is_some()
    }

    /// Looks at the memory that [`Pasts::observe`] will need of a key, so that all of it is on its way at once; what it gives means nothing.
    pub fn touch(&self, found: Found) -> u64 {
        let width = self.layout.state_words();
        found.0.map_or(0, |place| self.keys[place].1.touch(&self.layout, &self.states[place * width..][..width]))
    }

    /// Reads the past at the event's time and, unless it is too late, remembers it.
    pub fn observe(&mut self, (key, found): (Key, Found), event: &Event, too_late: bool, newest: i64, answers: &mut [u64]) {
        let width = self.layout.state_words();
        if too_late || (found.0.is_none() && self.keys.len() >= self.most) {
            let known = found.0.map(|place| self.keys[place].1.clone());
            let mut state = found.0.map_or(vec![0; width], |place| self.states[place * width..][..width].to_vec());
            let mut past = known.unwrap_or_else(History::new);
            past.forget_before(&self.layout, &mut state, newest);
            past.observe(&self.layout, &mut state, event, answers);
            return;
        }
        let place = found.0.unwrap_or_else(|| self.add(key, History::new()));
        self.keys[place].1.observe(&self.layout, &mut self.states[place * width..][..width], event, answers);
        self.sweep(newest);
    }

    /// Changes the label of a remembered event; whether there was one.
    pub fn relabel(&mut self, key: &Key, event: &Event) -> bool {
        let width = self.layout.state_words();
        self.find(key)
            .0
            .is_some_and(|place| self.keys[place].1.relabel(&self.layout, &mut self.states[place * width..][..width], event))
    }

    /// Adds a key that has no past here yet.
    pub fn add(&mut self, key: Key, history: History) -> usize {
        let (place, width) = (self.keys.len(), self.layout.state_words());
        let number = u32::try_from(place).expect("the limit of keys is below 2^32");
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.places.insert_unique(hasher.hash_one(&key), number, |&place| hasher.hash_one(&keys[place as usize].0));
        if place == self.keys.capacity() {
            // A quarter more rather than twice as much, as the events of a key.
            self.keys.reserve_exact((place / 4).max(64));
            self.states.reserve_exact((place / 4).max(64) * width);
        }
        self.keys.push((key, history));
        self.states.resize(self.states.len() + width, 0);
        place
    }

    fn sweep(&mut self, newest: i64) {
        let width = self.layout.state_words();
        for _ in 0..SWEPT {
            if self.next >= self.keys.len() {
                self.next = 0;
            }
            let history = &mut self.keys[self.next].1;
            history.forget_before(&self.layout, &mut self.states[self.next * width..][..width], newest);
            if history.is_empty() {
                self.remove(self.next);
                if self.keys.is_empty() {
                    return;
                }
            } else {
                self.next += 1;
            }
        }
    }

    /// Takes a key away; the last one takes its place.
    fn remove(&mut self, place: usize) {
        let (width, last) = (self.layout.state_words(), self.keys.len() - 1);
        let hash = self.hasher.hash_one(&self.keys[place].0);
        self.places.find_entry(hash, |&known| known as usize == place).expect("every key has its place").remove();
        if place != last {
            let hash = self.hasher.hash_one(&self.keys[last].0);
            let moved = self.places.find_mut(hash, |&known| known as usize == last).expect("every key has its place");
            *moved = u32::try_from(place).expect("the limit of keys is below 2^32");
            self.states.copy_within(last * width.., place * width);
        }
        self.keys.swap_remove(place);
        self.states.truncate(last * width);
    }

    /// Gives every text another number.
    pub fn renumber(&mut self, number: &mut impl FnMut(u64) -> u64) {
        let old = std::mem::take(&mut self.keys);
        let width = self.layout.state_words();
        let states = std::mem::take(&mut self.states);
        self.places.clear();
        for (place, (key, mut history)) in old.into_iter().enumerate() {
            let of_word = |(&word, &is_text): (&u64, &bool)| if is_text && word != NULL { number(word) } else { word };
            let words: Vec<u64> = key.words().iter().zip(&self.text_columns).map(of_word).collect();
            let mut state = states[place * width..][..width].to_vec();
            history.renumber(&self.layout, &mut state, number);
            let place = self.add(Key::of(&words), history);
            self.states[place * width..].copy_from_slice(&state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Definition;

    #[test]
    fn a_new_key_beyond_the_limit_has_no_past_and_leaves_none() {
        let sql = "CREATE TABLE t (id BIGINT PRIMARY KEY, at TIMESTAMP NOT NULL, card BIGINT) WITH (event_time = 'at');
                   CREATE VIEW f AS SELECT count(*) OVER (PARTITION BY card ORDER BY at
                     RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) AS payments FROM t;";
        let definition = Definition::parse(sql, "test").unwrap();
        let mut pasts = Pasts { most: 2, ..Pasts::new(&definition.plan, 0) };
        let mut payments = |card: u64, time: i64| {
            let (key, mut answers) = (Key::One(card), [NULL]);
            let found = pasts.find(&key);
            pasts.observe((key, found), &Event { time, fraud: false, id: 0, words: &[] }, false, time, &mut answers);
            crate::plan::integer(answers[0])
        };
        let day = assay_domain::time::DAY;
        assert_eq!([(1, 0), (2, 0), (3, 0), (3, 1), (1, 1)].map(|(card, time)| payments(card, time)), [1, 1, 1, 1, 2]);
        // A week on, the others are forgotten, and there is room.
        assert_eq!([(1, 7 * day), (3, 7 * day), (3, 7 * day)].map(|(card, time)| payments(card, time)), [1, 1, 2]);
    }
}
