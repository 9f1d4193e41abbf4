//! Lists: whom do we know already? Named sets of values that rules and policies look at, each entry with its expiry and where it came from.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use assay_domain::{Type, Value};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::moment;

/// Lists that there may be.
pub const MAX_LISTS: usize = 1_000;
/// Entries that all lists may have together. Each takes at most 52 bytes beside its texts: 40 in a vector that grows by a quarter, and 12 in a
/// table of places that is at least 7/16 full; while either grows, the old one lies beside the new.
pub const MAX_ENTRIES: usize = 10_000_000;
/// Bytes of all texts together, in values, sources, authors and notes: beyond them an entry is refused.
pub const MAX_TEXT_BYTES: usize = 2 << 30;
/// Bytes that a value, a name, a source or an author may have.
pub const MAX_NAME_BYTES: usize = 256;
/// Bytes that a note may have.
pub const MAX_NOTE_BYTES: usize = 1_000;

/// What values a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListKind {
    /// Texts.
    Text,
    /// 64-bit integers.
    Bigint,
}

impl ListKind {
    /// The same as the type of a column.
    pub fn column_type(self) -> Type {
        match self {
            Self::Text => Type::Text,
            Self::Bigint => Type::Integer,
        }
    }
}

/// A value on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ListValue {
    /// An integer.
    Integer(i64),
    /// A text.
    Text(Box<str>),
}

/// Where an entry came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Provenance {
    /// The system or the file.
    #[serde(default)]
    pub source: String,
    /// The person or the key.
    #[serde(default)]
    pub author: String,
    /// Why.
    #[serde(default)]
    pub note: String,
}

/// An entry as it is given and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What is on the list.
    pub value: ListValue,
    /// From this moment on it is not any more; never, when there is none. Microseconds since 1970.
    #[serde(with = "moment", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// Where it came from.
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// A change of the lists, as the journal records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum ListChange {
    /// A new, empty list.
    Create {
        /// Its name.
        list: String,
        /// What it holds.
        kind: ListKind,
    },
    /// A list is taken away with all that is on it.
    Drop {
        /// Its name.
        list: String,
    },
    /// Entries are put onto a list; one whose value is there takes its place.
    Add {
        /// Its name.
        list: String,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Entries are taken from a list; a value that is not there is no error.
    Remove {
        /// Its name.
        list: String,
        /// Their values.
        values: Vec<ListValue>,
    },
    /// Entries that expired before a moment are taken from a list.
    Prune {
        /// Its name.
        list: String,
        /// The moment.
        #[serde(with = "moment")]
        before: Option<i64>,
    },
}

/// Why a change of a list is refused; it changed nothing, and no value is repeated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ListError {
    /// Nobody knows it.
    #[error("there is no list of that name; create it first")]
    Unknown,
    /// It is there already.
    #[error("there is a list of that name already; add to it, or choose another name")]
    Exists,
    /// Rules could not name it.
    #[error("the name of a list is 1 to {MAX_NAME_BYTES} letters, digits, `_`, `-` or `.`")]
    Name,
    /// Too many lists.
    #[error("there are {MAX_LISTS} lists, the most there may be; drop one first")]
    TooManyLists,
    /// A value of the other type.
    #[error("entry {number} is no {kind:?} value, which the list holds; send values of that type or use another list")]
    Kind {
        /// The entry's number, from 1.
        number: usize,
        /// What the list holds.
        kind: ListKind,
    },
    /// A text is too long.
    #[error(
        "entry {number} has a text that is too long; values, sources and authors have at most {MAX_NAME_BYTES} bytes, notes {MAX_NOTE_BYTES}"
    )]
    Length {
        /// The entry's number, from 1.
        number: usize,
    },
    /// They would be too many.
    #[error(
        "the lists would have more than {MAX_ENTRIES} entries, the most they may have together; prune what has expired first"
    )]
    Full,
    /// Their texts would be too large.
    #[error(
        "the texts of the lists would have more than {MAX_TEXT_BYTES} bytes, the most they may have together; prune what has expired first"
    )]
    TextFull,
    /// A policy looks at it.
    #[error("the policy, or the shadow policy, looks at this list; change the policy first")]
    InUse,
}

/// All lists.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// A list keeps its place for as long as it is there.
    slots: Vec<Option<List>>,
    entries: usize,
    text_bytes: usize,
}

/// A list.
#[derive(Clone, Debug)]
pub struct List {
    name: Arc<str>,
    kind: ListKind,
    /// Places of the entries. Nothing goes through it in its own order, so that the hasher's seed reaches no output.
    places: HashTable<u32>,
    hasher: RandomState,
    stored: Vec<Stored>,
    provenances: Provenances,
}

#[derive(Clone, Debug)]
struct Stored {
    value: ListValue,
    /// `i64::MAX` is never.
    expires: i64,
    provenance: u32,
}

/// Each provenance once, however many entries have it: entries come by the file.
#[derive(Clone, Debug, Default)]
struct Provenances {
    numbers: BTreeMap<Arc<Provenance>, u32>,
    /// With how many entries have it.
    known: Vec<(Arc<Provenance>, u32)>,
    free: Vec<u32>,
}

impl Lists {
    /// With their types, each at the place that [`Self::holds`] takes, by name.
    pub fn names(&self) -> Vec<(Arc<str>, Type, usize)> {
        let list =
            |(place, slot): (usize, &Option<List>)| slot.as_ref().map(|list| (list.name.clone(), list.kind.column_type(), place));
        let mut names: Vec<_> = self.slots.iter().enumerate().filter_map(list).collect();
        names.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        names
    }

    /// A list by its name.
    pub fn list(&self, name: &str) -> Option<&List> {
        self.slots.iter().flatten().find(|list| &*list.name == name)
    }

    /// Whether the list at a place holds a value at a moment.
    pub fn holds(&self, place: usize, value: &Value, at: i64) -> bool {
        self.slots.get(place).and_then(Option::as_ref).is_some_and(|list| list.holds(value, at))
    }

    /// Entries of all lists, those that have expired too.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes that entries and their tables take, their texts included.
    pub fn memory_bytes(&self) -> usize {
        let of_list = |list: &List| list.stored.capacity() * size_of::<Stored>() + list.places.allocation_size();
        self.slots.iter().flatten().map(of_list).sum::<usize>() + self.text_bytes
    }

    /// Makes a change, all of it or none; `in_use` says at which lists a policy looks.
    pub fn change(&mut self, change: &ListChange, in_use: impl Fn(usize) -> bool) -> Result<(), ListError> {
        match change {
            ListChange::Create { list, kind } => self.create(list, *kind).map(drop),
            ListChange::Drop { list } => {
                let place = self.place(list)?;
                if in_use(place) {
                    return Err(ListError::InUse);
                }
                if let Some(gone) = self.slots[place].take() {
                    self.entries -= gone.stored.len();
                    self.text_bytes -= gone.text_bytes();
                }
                Ok(())
            }
            ListChange::Add { list, entries } => {
                let place = self.place(list)?;
                self.check(place, entries)?;
                for entry in entries {
                    self.put(place, entry.value.clone(), entry.expires, &entry.provenance);
                }
                Ok(())
            }
            ListChange::Remove { list, values } => {
                let place = self.place(list)?;
                for value in values {
                    self.remove(place, value);
                }
                Ok(())
            }
            ListChange::Prune { list, before } => {
                let place = self.place(list)?;
                let before = before.unwrap_or(i64::MIN);
                let is_old =
                    |list: &List| list.stored.iter().filter(|one| one.expires <= before).map(|one| one.value.clone()).collect();
                let old: Vec<ListValue> = self.slots[place].as_ref().map(is_old).unwrap_or_default();
                for value in &old {
                    self.remove(place, value);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn create(&mut self, name: &str, kind: ListKind) -> Result<usize, ListError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(plain) {
            return Err(ListError::Name);
        }
        if self.place(name).is_ok() {
            return Err(ListError::Exists);
        }
        let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if free == MAX_LISTS {
            return Err(ListError::TooManyLists);
        }
        if free == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[free] = Some(List::new(name, kind));
        Ok(free)
    }

    fn place(&self, name: &str) -> Result<usize, ListError> {
        let is = |slot: &Option<List>| slot.as_ref().is_some_and(|list| &*list.name == name);
        self.slots.iter().position(is).ok_or(ListError::Unknown)
    }

    /// Whether entries may be added. Values that are there already count as new, so that one pass is enough.
    pub(crate) fn check(&self, place: usize, entries: &[Entry]) -> Result<(), ListError> {
        let Some(list) = self.slots.get(place).and_then(Option::as_ref) else { return Err(ListError::Unknown) };
        let mut text_bytes = self.text_bytes;
        for (place, Entry { value, provenance, .. }) in entries.iter().enumerate() {
            let number = place + 1;
            let length = match (value, list.kind) {
                (ListValue::Integer(_), ListKind::Bigint) => 0,
                (ListValue::Text(text), ListKind::Text) => text.len(),
                _ => return Err(ListError::Kind { number, kind: list.kind }),
            };
            let names = [length, provenance.source.len(), provenance.author.len()];
            if names.iter().any(|&length| length > MAX_NAME_BYTES) || provenance.note.len() > MAX_NOTE_BYTES {
                return Err(ListError::Length { number });
            }
            text_bytes += length + provenance.text_bytes();
        }
        let known = |entry: &&Entry| list.find(&entry.value).is_none();
        // Counting what is new costs a look-up each, so it is done where it matters.
        if self.entries + entries.len() > MAX_ENTRIES && self.entries + entries.iter().filter(known).count() > MAX_ENTRIES {
            return Err(ListError::Full);
        }
        if text_bytes > MAX_TEXT_BYTES { Err(ListError::TextFull) } else { Ok(()) }
    }

    pub(crate) fn put(&mut self, place: usize, value: ListValue, expires: Option<i64>, provenance: &Provenance) {
        let Some(list) = self.slots[place].as_mut() else { return };
        let before = (list.stored.len(), list.text_bytes_of(&value));
        self.text_bytes = self.text_bytes + list.put(value, expires, provenance) - before.1;
        self.entries += list.stored.len() - before.0;
    }

    fn remove(&mut self, place: usize, value: &ListValue) {
        let Some(list) = self.slots[place].as_mut() else { return };
        if let Some(text_bytes) = list.remove(value) {
            self.text_bytes -= text_bytes;
            self.entries -= 1;
        }
    }
}

impl List {
    fn new(name: &str, kind: ListKind) -> Self {
        let (places, hasher, stored) = (HashTable::new(), RandomState::default(), Vec::new());
        Self { name: name.into(), kind, places, hasher, stored, provenances: Provenances::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    pub fn kind(&self) -> ListKind {
        self.kind
    }

    /// How many entries it has, those that have expired too.
    pub fn len(&self) -> usize {
        self.stored.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// Its entries, in an order that depends on the changes made and on nothing else.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.stored.iter().map(|stored| self.entry(stored))
    }

    /// The entry of a value.
    pub fn get(&self, value: &ListValue) -> Option<Entry> {
        self.find(value).map(|place| self.entry(&self.stored[place]))
    }

    /// Whether it holds a value at a moment.
    pub fn holds(&self, value: &Value, at: i64) -> bool {
        let is = |stored: &Stored| match (&stored.value, value) {
            (ListValue::Integer(one), Value::Integer(other)) => one == other,
            (ListValue::Text(one), Value::Text(other)) => **one == **other,
            _ => false,
        };
        let hash = match value {
            Value::Integer(number) => self.hasher.hash_one(number),
            Value::Text(text) => self.hasher.hash_one(&**text),
            _ => return false,
        };
        let found = self.places.find(hash, |&place| is(&self.stored[place as usize]));
        found.is_some_and(|&place| at < self.stored[place as usize].expires)
    }

    fn entry(&self, stored: &Stored) -> Entry {
        let expires = (stored.expires != i64::MAX).then_some(stored.expires);
        Entry { value: stored.value.clone(), expires, provenance: self.provenances.get(stored.provenance).clone() }
    }

    fn find(&self, value: &ListValue) -> Option<usize> {
        let found = self.places.find(hash(&self.hasher, value), |&place| self.stored[place as usize].value == *value);
        found.map(|&place| place as usize)
    }

    /// Texts of the entry of a value, as [`Self::put`] counts them; 0 when there is none.
    fn text_bytes_of(&self, value: &ListValue) -> usize {
        self.find(value)
            .map_or(0, |place| self.stored[place].value.text_bytes() + self.provenances.share(self.stored[place].provenance))
    }

    /// Puts a value on the list and gives the bytes of its texts, as far as they are its own.
    fn put(&mut self, value: ListValue, expires: Option<i64>, provenance: &Provenance) -> usize {
        let expires = expires.unwrap_or(i64::MAX);
        if let Some(place) = self.find(&value) {
            self.stored[place].expires = expires;
            self.provenances.release(self.stored[place].provenance);
            let (number, own) = self.provenances.hold(provenance);
            self.stored[place].provenance = number;
            return value.text_bytes() + own;
        }
        let (number, own) = self.provenances.hold(provenance);
        let (place, text_bytes) = (self.stored.len(), value.text_bytes() + own);
        if place == self.stored.capacity() {
            // A quarter more rather than twice as much: lists are long.
            self.stored.reserve_exact((place / 4).max(16));
        }
        let (hash_of, stored) = (hash(&self.hasher, &value), &self.stored);
        let small = u32::try_from(place).expect("the limit of entries is below 2^32");
        self.places.insert_unique(hash_of, small, |&place| hash(&self.hasher, &stored[place as usize].value));
        self.stored.push(Stored { value, expires, provenance: number });
        text_bytes
    }

    /// Takes a value away and gives the bytes of its texts; the last one takes its place.
    fn remove(&mut self, value: &ListValue) -> Option<usize> {
        let place = self.find(value)?;
        let last = self.stored.len() - 1;
        let of = hash(&self.hasher, value);
        self.places.find_entry(of, |&known| known as usize == place).expect("every entry has its place").remove();
        if place != last {
            let of_last = hash(&self.hasher, &self.stored[last].value);
            let moved = self.places.find_mut(of_last, |&known| known as usize == last).expect("every entry has its place");
            *moved = u32::try_from(place).expect("the limit of entries is below 2^32");
        }
        let gone = self.stored.swap_remove(place);
        let own = self.provenances.share(gone.provenance);
        self.provenances.release(gone.provenance);
        Some(gone.value.text_bytes() + own)
    }

    fn text_bytes(&self) -> usize {
        let values: usize = self.stored.iter().map(|stored| stored.value.text_bytes()).sum();
        let used = self.provenances.known.iter().filter(|(_, entries)| *entries > 0);
        values + used.map(|(provenance, _)| provenance.text_bytes()).sum::<usize>()
    }
}

impl Provenances {
    fn get(&self, number: u32) -> &Provenance {
        &self.known[number as usize].0
    }

    /// Bytes that are gone when one of its entries goes.
    fn share(&self, number: u32) -> usize {
        let (provenance, entries) = &self.known[number as usize];
        if *entries == 1 { provenance.text_bytes() } else { 0 }
    }

    /// The number for one entry more, and the bytes that were not there before.
    fn hold(&mut self, provenance: &Provenance) -> (u32, usize) {
        if let Some(&number) = self.numbers.get(provenance) {
            self.known[number as usize].1 += 1;
            return (number, 0);
        }
        let shared = Arc::new(provenance.clone());
        let number = self.free.pop().unwrap_or_else(|| {
            self.known.push((shared.clone(), 0));
            u32::try_from(self.known.len() - 1).expect("the limit of entries is below 2^32")
        });
        self.known[number as usize] = (shared.clone(), 1);
        self.numbers.insert(shared, number);
        (number, provenance.text_bytes())
    }

    fn release(&mut self, number: u32) {
        let (provenance, entries) = &mut self.known[number as usize];
        *entries -= 1;
        if *entries == 0 {
            self.numbers.remove(&**provenance);
            *provenance = Arc::new(Provenance::default());
            self.free.push(number);
        }
    }
}

impl Provenance {
    fn text_bytes(&self) -> usize {
        self.source.len() + self.author.len() + self.note.len()
    }
}

impl ListValue {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Integer(_) => 0,
            Self::Text(text) => text.len(),
        }
    }
}

/// The hash that a transaction's value has too.
fn hash(hasher: &RandomState, value: &ListValue) -> u64 {
    match value {
        ListValue::Integer(number) => hasher.hash_one(number),
        ListValue::Text(text) => hasher.hash_one(&**text),
    }
}
