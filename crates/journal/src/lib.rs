//! What happened, in order? Everything that can change a decision, as entries that nothing changes again, in one SQLite file of the data
//! folder.
//!
//! Begin with [`Journal`], which writes; a [`Reader`] reads beside it, on any thread. docs/journal.md describes the file.

mod chain;
mod entry;
mod error;
mod gate;
mod ids;
mod journal;
mod layout;
mod reader;
mod retention;
mod torn;
mod verify;
mod wal;

pub use chain::Head;
pub use entry::{Entry, Kind, MAX_GROUP, MAX_ID, MAX_TEXT, NewEntry};
pub use error::JournalError;
pub use journal::Journal;
pub use layout::{FILE, FORMAT};
pub use reader::{Reader, Readers};
pub use retention::{Cut, Erased};
pub use verify::Verified;
