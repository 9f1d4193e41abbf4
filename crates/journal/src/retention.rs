//! What goes away, and what stays in its place: the fields of a person, and entries that are too old to keep.

use rusqlite::Connection;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chain::{self, Head};
use crate::entry::{Kind, NewEntry};
use crate::error::JournalError;
use crate::journal::Journal;
use crate::layout;
use crate::wal;

/// What was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// The entries whose personal part is gone.
    pub sequences: Vec<u64>,
    /// Whether it is gone from the write-ahead log as well; not as long as a reader looks at an earlier state. Erasing again tries again.
    pub is_gone_from_log: bool,
}

/// Where the journal begins, after old entries were cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The last entry that was cut off.
    pub through: Head,
    /// How many were.
    pub entries: u64,
}

/// What the entry of a cut says; it chains the beginning to the end.
#[derive(Serialize)]
struct CutBody<'a> {
    through: u64,
    hash: String,
    state: &'a RawValue,
}

/// What the entry of an erasure says.
#[derive(Serialize)]
struct ErasureBody<'a> {
    entries: &'a [u64],
}

impl Journal {
    /// Erases the fields of a person from all entries about `id`, of every kind. The chain stays whole: it covers a digest of them, which tells
    /// nothing once the salt is gone. That it happened is an entry of its own.
    pub fn erase(&mut self, id: &str, arrived: i64) -> Result<Erased, JournalError> {
        let mut sequences = Vec::new();
        for &kind in Kind::ALL {
            let entries = self.read().all(kind, id)?;
            sequences.extend(entries.into_iter().filter(|entry| entry.personal.is_some()).map(|entry| entry.sequence));
        }
        sequences.sort_unstable();
        if !sequences.is_empty() {
            let body = json(&ErasureBody { entries: &sequences });
            let entry = NewEntry { kind: Kind::Erasure, id: Some(id), arrived, body: &body, personal: None };
            self.write(&[entry], |connection| {
                let mut erase =
                    connection.prepare_cached("UPDATE entries SET personal = NULL, salt = NULL WHERE sequence = ?1")?;
                sequences.iter().try_for_each(|sequence| erase.execute([sequence.cast_signed()]).map(|_| ()))
            })?;
        }
        let emptied = wal::empty(&self.connection);
        Ok(Erased { sequences, is_gone_from_log: self.stop(emptied)? })
    }

    /// Cuts off the entries before the first that arrived at `since` or later. `state` is JSON of what the caller must know of them to go on
    /// from there; it is kept in the entry of the cut. What is cut off can no longer be read; [`Journal::sweep`] then deletes it.
    pub fn retain(&mut self, since: i64, arrived: i64, state: &str) -> Result<Option<Cut>, JournalError> {
        let Ok(state) = serde_json::from_str(state) else {
            return Err(JournalError::NotJson { place: 0, what: "state" });
        };
        let before = layout::start(&self.connection)?.cut;
        let first_kept = "SELECT sequence FROM entries WHERE sequence > ?1 AND arrived >= ?2 ORDER BY sequence LIMIT 1";
        let first_kept =
            self.connection.query_row(first_kept, (before.sequence.cast_signed(), since), |row| row.get::<_, i64>(0));
        let last = match first_kept {
            Ok(sequence) => sequence.cast_unsigned() - 1,
            Err(rusqlite::Error::QueryReturnedNoRows) => self.head().sequence,
            Err(error) => return Err(error.into()),
        };
        if last <= before.sequence {
            return Ok(None);
        }
        let hash = self.read().entry(last)?.ok_or(JournalError::Damaged { sequence: last, what: "it is missing" })?.hash;
        let body = json(&CutBody { through: last, hash: chain::hexadecimal(&hash), state });
        let entry = NewEntry { kind: Kind::Cut, id: None, arrived, body: &body, personal: None };
        self.write(&[entry], |connection| {
            connection.execute("UPDATE journal SET cut_sequence = ?1, cut_hash = ?2", (last.cast_signed(), hash)).map(|_| ())
        })?;
        Ok(Some(Cut { through: Head { sequence: last, hash }, entries: last - before.sequence }))
    }

    /// Deletes entries that were cut off, about `most` of them; tells whether some are left. Do it between groups, a few thousand at a time.
    pub fn sweep(&mut self, most: u64) -> Result<bool, JournalError> {
        self.tend()?;
        let cut = layout::start(&self.connection)?.cut.sequence;
        let first = "SELECT sequence FROM entries ORDER BY sequence LIMIT 1";
        let first = match self.connection.query_row(first, [], |row| row.get::<_, i64>(0)) {
            Ok(first) => first.cast_unsigned(),
            Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let last = cut.min(first.saturating_add(most) - 1);
        if first > last {
            return Ok(false);
        }
        // The marks of a group stay as long as one of its entries does.
        let groups = groups_through(&self.connection, last)?;
        let is_over = |group: &&(u64, Vec<u8>)| end_of(group) <= last + 1;
        let over = groups.iter().filter(is_over).map(|group| group.0).next_back();
        let deleted = self.connection.transaction().and_then(|transaction| {
            transaction.execute("DELETE FROM entries WHERE sequence <= ?1", [last.cast_signed()])?;
            if let Some(over) = over {
                transaction.execute("DELETE FROM ids WHERE first <= ?1", [over.cast_signed()])?;
            }
            transaction.commit()
        });
        self.stop(deleted)?;
        for group in &groups {
            self.forget(group.0..end_of(group).min(last + 1), &group.1);
        }
        let bytes = usize::try_from(last + 1 - first).unwrap_or(usize::MAX).saturating_mul(1 << 10);
        self.wal.wrote(bytes);
        Ok(last < cut)
    }
}

/// The groups that begin with an entry up to `last`: their first entry, and the marks of all.
fn groups_through(connection: &Connection, last: u64) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
    let mut groups = connection.prepare_cached("SELECT first, marks FROM ids WHERE first <= ?1 ORDER BY first")?;
    let groups = groups.query_map([last.cast_signed()], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))?;
    groups.collect()
}

/// The entry after a group.
fn end_of((first, marks): &(u64, Vec<u8>)) -> u64 {
    first + marks.len() as u64 / 8
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("numbers, texts and JSON are JSON")
}
