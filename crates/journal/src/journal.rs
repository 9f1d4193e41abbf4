//! The one that writes: groups of entries, each durable as a whole or not at all.

use std::fs::{self, File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, ErrorCode, TransactionBehavior};

use crate::chain::{self, Head, Identity, Link, Salt};
use crate::entry::{MAX_GROUP, NewEntry};
use crate::error::JournalError;
use crate::gate::Gate;
use crate::ids::Ids;
use crate::layout;
use crate::reader::{self, Reader, Readers};
use crate::torn;
use crate::wal::{self, Wal};

/// Held while a process writes; empty.
const LOCK: &str = "journal.lock";
/// What a row takes beside its texts, in bytes, about.
const ROW_BYTES: usize = 100;
/// What a group takes beside its rows, in bytes, about.
const GROUP_BYTES: usize = 32 << 10;

/// The journal of a data folder, open for writing. There is one per folder.
pub struct Journal {
    // In the order in which they end: the writer after all others of this process, so that SQLite copies the log and removes it, and the lock
    // last.
    pub(crate) wal: Wal,
    reader: Reader,
    pub(crate) connection: Connection,
    ids: Arc<Ids>,
    gate: Arc<Gate>,
    identity: Identity,
    head: Head,
    path: PathBuf,
    has_stopped: bool,
    torn_bytes: u64,
    _lock: File,
}

impl Journal {
    /// Opens the journal in `folder`; folder and journal are made if they are not there.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let lock = locked(folder)?;
        let path = layout::file_of(folder);
        let log = folder.join(format!("{}-wal", layout::FILE));
        let torn_bytes = torn::bytes(&log).map_err(|source| JournalError::Folder { path: log, source })?;
        let fresh = || {
            let identity = random::<Identity>()?;
            Ok((identity, chain::origin(&identity)))
        };
        let connection = layout::writing(&path, fresh)?;
        // A write that failed before the restart may be in the system's memory and not on the disk: copying the log writes it once more.
        wal::empty(&connection).map_err(JournalError::Write)?;
        sync_folder(folder)?;
        let identity = layout::start(&connection)?.identity;
        let ids = Arc::new(Ids::new());
        reader::follow(&connection, &ids, 0)?;
        let gate = Arc::new(Gate::default());
        let reader = Reader::beside(&path, &ids, &gate)?;
        let head = reader.head()?;
        Ok(Self {
            wal: Wal::start(&path, &gate)?,
            connection,
            reader,
            ids,
            gate,
            identity,
            head,
            path,
            has_stopped: false,
            torn_bytes,
            _lock: lock,
        })
    }

    /// Writes a group of entries. When it returns their sequences they are on the disk; when it returns an error none of them is, except
    /// that after [`JournalError::Write`] nobody knows before a restart.
    pub fn append(&mut self, entries: &[NewEntry<'_>]) -> Result<Range<u64>, JournalError> {
        self.write(entries, |_| Ok(()))
    }

    /// What can be read, by the thread that writes.
    pub fn read(&self) -> &Reader {
        &self.reader
    }

    /// One more reader, for another thread.
    pub fn reader(&self) -> Result<Reader, JournalError> {
        self.readers().open()
    }

    /// What opens more of them later.
    pub fn readers(&self) -> Readers {
        Readers { path: self.path.clone(), ids: self.ids.clone(), gate: self.gate.clone() }
    }

    /// The last entry.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Bytes at the end of the write-ahead log that opening dropped: of a group that was cut short, and that nobody was told of.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Whether the write-ahead log is on its way into the file: groups take longer meanwhile.
    pub fn is_copying_log(&self) -> bool {
        self.wal.is_copying()
    }

    /// Does what can wait until a group was acknowledged; [`Journal::append`] does it otherwise, before it writes.
    pub fn tend(&mut self) -> Result<(), JournalError> {
        if self.has_stopped || self.wal.has_failed() {
            self.has_stopped = true;
            return Err(JournalError::Stopped);
        }
        self.wal.finish(&self.connection).map_err(|error| {
            self.has_stopped = true;
            JournalError::Write(error)
        })
    }

    /// Writes entries, and what else belongs to them, as a whole.
    pub(crate) fn write(
        &mut self,
        entries: &[NewEntry<'_>],
        also: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Range<u64>, JournalError> {
        self.tend()?;
        let marks = self.admit(entries)?;
        let first = self.head.sequence + 1;
        if entries.is_empty() {
            return Ok(first..first);
        }
        let salts = salts(entries)?;
        let transaction = match self.connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => return Err(JournalError::Busy),
            begun => begun,
        };
        let written = transaction.and_then(|transaction| {
            let mut head = self.head;
            let mut insert = transaction.prepare_cached(INSERT)?;
            for (entry, salt) in entries.iter().zip(&salts) {
                head = insert_after(&mut insert, head, entry, salt.as_ref())?;
            }
            drop(insert);
            let blob: Vec<u8> = marks.iter().flat_map(|mark| mark.to_be_bytes()).collect();
            transaction.prepare_cached("INSERT INTO ids VALUES (?1, ?2)")?.execute((first.cast_signed(), blob))?;
            also(&transaction)?;
            transaction.commit()?;
            Ok(head)
        });
        match written {
            Ok(head) => self.head = head,
            Err(error) => {
                self.has_stopped = true;
                return Err(JournalError::Write(error));
            }
        }
        (first..).zip(&marks).for_each(|(sequence, &mark)| self.ids.add(mark, sequence));
        let texts = |entry: &NewEntry<'_>| entry.body.len() + entry.id.map_or(0, str::len) + entry.personal.map_or(0, str::len);
        self.wal.wrote(entries.iter().map(|entry| ROW_BYTES + texts(entry)).sum::<usize>() + GROUP_BYTES);
        Ok(first..self.head.sequence + 1)
    }

    /// The marks of a group that may be written: 0 where there is no id.
    fn admit(&self, entries: &[NewEntry<'_>]) -> Result<Vec<u64>, JournalError> {
        if entries.len() > MAX_GROUP {
            return Err(JournalError::TooMany { entries: entries.len(), most: MAX_GROUP });
        }
        for (place, entry) in entries.iter().enumerate() {
            entry.check(place)?;
        }
        let mark = |entry: &NewEntry<'_>| entry.id.map_or(0, |id| chain::mark(&self.identity, entry.kind.space(), id));
        let marks: Vec<u64> = entries.iter().map(mark).collect();
        let mut once: Vec<(u64, usize)> = Vec::with_capacity(entries.len());
        for (place, (entry, &mark)) in entries.iter().zip(&marks).enumerate() {
            if let (true, Some(id)) = (entry.kind.is_once(), entry.id) {
                if let Some(sequence) = self.reader.first_before(u64::MAX, mark, entry.kind.space(), id)? {
                    return Err(JournalError::Known { place, sequence });
                }
                once.push((mark, place));
            }
        }
        once.sort_unstable();
        for alike in once.chunk_by(|(first, _), (second, _)| first == second) {
            for (number, &(_, place)) in alike.iter().enumerate() {
                if let Some(&(_, first)) = alike[..number].iter().find(|&&(_, first)| entries[first].id == entries[place].id) {
                    return Err(JournalError::Twice { first, place });
                }
            }
        }
        Ok(marks)
    }

    /// Forgets entries that are cut off.
    pub(crate) fn forget(&self, sequences: Range<u64>, marks: &[u8]) {
        for (sequence, mark) in sequences.zip(reader::marks_of(marks)) {
            self.ids.remove(mark, sequence);
        }
    }

    /// Takes nothing more after an error of the disk.
    pub(crate) fn stop<T>(&mut self, result: rusqlite::Result<T>) -> Result<T, JournalError> {
        result.map_err(|error| {
            self.has_stopped = true;
            JournalError::Write(error)
        })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.has_stopped || self.wal.has_failed() {
            // What a disk that failed holds is looked at by the next start, not tidied up.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

const INSERT: &str = "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

fn insert_after(
    insert: &mut CachedStatement<'_>,
    head: Head,
    entry: &NewEntry<'_>,
    salt: Option<&Salt>,
) -> rusqlite::Result<Head> {
    let sequence = head.sequence + 1;
    let NewEntry { kind, id, arrived, body, personal } = *entry;
    let digest = salt.zip(personal).map(|(salt, personal)| chain::digest(salt, personal));
    let link = Link { sequence, arrived, kind: kind.name(), id, body, digest: digest.as_ref().map(<[u8; 32]>::as_slice) };
    let hash = link.hash(&head.hash);
    insert.execute((sequence.cast_signed(), kind.name(), id, arrived, body, personal, salt, digest, hash))?;
    Ok(Head { sequence, hash })
}

/// A salt for every entry that has fields of a person.
fn salts(entries: &[NewEntry<'_>]) -> Result<Vec<Option<Salt>>, JournalError> {
    let wanted = entries.iter().filter(|entry| entry.personal.is_some()).count();
    let mut bytes = vec![0; wanted * size_of::<Salt>()];
    if wanted > 0 {
        getrandom::fill(&mut bytes).map_err(JournalError::NoChance)?;
    }
    let (salts, _) = bytes.as_chunks();
    let mut salts = salts.iter();
    Ok(entries.iter().map(|entry| entry.personal.and_then(|_| salts.next().copied())).collect())
}

fn random<Bytes: Default + AsMut<[u8]>>() -> Result<Bytes, JournalError> {
    let mut bytes = Bytes::default();
    getrandom::fill(bytes.as_mut()).map_err(JournalError::NoChance)?;
    Ok(bytes)
}

/// The lock of a folder, which ends with the process however that ends.
fn locked(folder: &Path) -> Result<File, JournalError> {
    let cannot = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Folder { path, source }
    };
    fs::create_dir_all(folder).map_err(cannot(folder))?;
    let path = folder.join(LOCK);
    let lock = File::options().create(true).append(true).open(&path).map_err(cannot(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(JournalError::Open { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(cannot(&path)(source)),
    }
}

/// Makes the names of new files as durable as their content.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    let synced = File::open(folder).and_then(|opened| opened.sync_all());
    synced.map_err(|source| JournalError::Folder { path: folder.to_owned(), source })
}
