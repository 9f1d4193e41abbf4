//! Entries to write, and looks at the file from outside.

#![allow(
    clippy::unwrap_used,
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses some of it; what fails here fails the test"
)]

use std::path::Path;

use assay_journal::{JournalError, Kind, NewEntry};
use rusqlite::types::ValueRef;

/// An entry of a kind about an id.
pub fn entry<'a>(kind: Kind, id: &'a str, body: &'a str) -> NewEntry<'a> {
    NewEntry { kind, id: Some(id), arrived: 1_700_000_000_000_000, body, personal: None }
}

/// A small decision.
pub fn decision(id: &str) -> NewEntry<'_> {
    entry(Kind::Decision, id, r#"{"outcome":"approve","probability":0.25}"#)
}

/// The sentence of a refusal.
pub fn error_of<T>(result: Result<T, JournalError>) -> String {
    result.err().expect("this must be refused").to_string()
}

/// What SQLite answers about the file of a folder: a text per row.
pub fn rows_of(folder: &Path, sql: &str) -> Vec<String> {
    let file = folder.join(assay_journal::FILE);
    let connection = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let row =
        |row: &rusqlite::Row<'_>| Ok((0..columns).map(|place| text(row.get_ref(place).unwrap())).collect::<Vec<_>>().join("|"));
    let rows = statement.query_map([], row).unwrap().collect::<Result<_, _>>();
    rows.unwrap()
}

/// Numbers that look like chance and are the same in every run.
pub struct Draws(pub u64);

impl Draws {
    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
