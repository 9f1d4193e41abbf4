//! Why the journal refuses.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::chain::Head;
use crate::layout::FORMAT;

/// Why the journal refuses, and what to do. No text of an entry is in it.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The folder or a file in it cannot be used.
    #[error("{} cannot be used: {source}; the journal needs a folder in which it may make and write files, and room on its disk", path.display())]
    Folder {
        /// What cannot be used.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("the journal in {} is open already; stop the process that has it, or name another data folder", folder.display())]
    Open {
        /// The data folder.
        folder: PathBuf,
    },
    /// There is none.
    #[error("{} holds no journal; name the data folder of a server or of an import", folder.display())]
    Missing {
        /// The data folder.
        folder: PathBuf,
    },
    /// The file is of something else.
    #[error("{} is no journal; move it away, or name another data folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later program wrote it.
    #[error(
        "the journal has format {found}, this program knows formats up to {FORMAT}; use the program that wrote it, or a later one"
    )]
    Newer {
        /// The format it has.
        found: i64,
    },
    /// A backup would overwrite something.
    #[error("{} is there already; name a folder for the backup that holds no journal", path.display())]
    Occupied {
        /// What is there.
        path: PathBuf,
    },
    /// An entry of a group has an id that is taken.
    #[error("entry {place} of the group has the id of entry {sequence} of the journal; nothing of the group was written")]
    Known {
        /// Its place in the group, from 0.
        place: usize,
        /// The entry that has the id.
        sequence: u64,
    },
    /// Two entries of a group have one id.
    #[error("entries {first} and {place} of the group have the same id; nothing of the group was written")]
    Twice {
        /// The place of the first, from 0.
        first: usize,
        /// The place of the second.
        place: usize,
    },
    /// A group is too large.
    #[error("the group has {entries} entries, at most {most} are written at once; write several groups")]
    TooMany {
        /// How many it has.
        entries: usize,
        /// How many it may have.
        most: usize,
    },
    /// A text of an entry is too long.
    #[error("entry {place} of the group has a {what} of more than {most} bytes; nothing of the group was written")]
    TooLong {
        /// Its place in the group, from 0.
        place: usize,
        /// Which text.
        what: &'static str,
        /// How many bytes it may have.
        most: usize,
    },
    /// A text of an entry is no JSON.
    #[error("entry {place} of the group has a {what} that is no JSON; nothing of the group was written")]
    NotJson {
        /// Its place in the group, from 0.
        place: usize,
        /// Which text.
        what: &'static str,
    },
    /// The disk refused; nobody knows how much of the group is on it.
    #[error(
        "the journal could not be written: {0}; see to the disk, then restart: it holds all that it acknowledged, and takes nothing more"
    )]
    Write(#[source] rusqlite::Error),
    /// Another program holds the file.
    #[error("another program is writing to the file of the journal; end it; nothing of the group was written")]
    Busy,
    /// The system has no random bytes.
    #[error("the system gives no random bytes: {0}; nothing was written")]
    NoChance(#[source] getrandom::Error),
    /// The disk refused before.
    #[error("the journal takes nothing since a write failed; see to the disk, then restart")]
    Stopped,
    /// Something else went wrong with reading.
    #[error("the journal could not be read: {0}; check the disk, then run `assay verify`")]
    Read(#[from] rusqlite::Error),
    /// An entry is not what was written.
    #[error("entry {sequence} of the journal is damaged: {what}; restore a backup")]
    Damaged {
        /// The first entry that is not as it was.
        sequence: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Something else in the file is not what was written.
    #[error("the file of the journal is damaged: {what}; restore a backup")]
    DamagedFile {
        /// What is wrong.
        what: String,
    },
    /// The journal is not the one that a head was exported from, or was changed since.
    #[error("the journal does not lead to the exported head at entry {}: {what}", head.sequence)]
    OtherHead {
        /// The head as it was exported.
        head: Head,
        /// What differs.
        what: &'static str,
    },
}
