//! The write-ahead log goes back into the file on a thread of its own, so that no group waits for more than its own way to the disk.
//!
//! SQLite begins the log anew only when all of it is in the file, which a writer that never rests would never see. So the thread copies
//! nearly all of it, and the writer, between two groups, the few pages that came meanwhile. Readers that follow each other without a pause would
//! keep it from beginning anew, too: while it is too long they wait at the gate.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::error::JournalError;
use crate::gate::Gate;
use crate::layout;

/// Bytes of entries after which the log goes back into the file.
const BYTES: usize = 32 << 20;
/// Bytes of the log from which on readers wait until it has begun anew.
const TOO_LONG: u64 = 96 << 20;
/// How long a group waits for another program that writes to the file.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The thread, and how far it is.
pub struct Wal {
    wake: Option<SyncSender<()>>,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
    gate: Arc<Gate>,
    bytes: usize,
    is_awake: bool,
}

#[derive(Default)]
struct Progress {
    passed: AtomicBool,
    failed: AtomicBool,
}

impl Wal {
    /// Starts the thread for the journal at `path`.
    pub fn start(path: &Path, gate: &Arc<Gate>) -> Result<Self, JournalError> {
        let connection = layout::writing(path, || Err(JournalError::Foreign { path: path.to_owned() }))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let progress = Arc::new(Progress::default());
        let (wake, woken) = sync_channel(1);
        let thread = Builder::new().name("journal-wal".to_owned()).spawn({
            let progress = progress.clone();
            move || copy_when_woken(&connection, &woken, &progress)
        });
        let thread = thread.map_err(|source: io::Error| JournalError::Folder { path: path.to_owned(), source })?;
        Ok(Self { wake: Some(wake), progress, thread: Some(thread), gate: gate.clone(), bytes: 0, is_awake: false })
    }

    /// Counts what was written, and wakes the thread when it is much.
    pub fn wrote(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= BYTES && !self.is_awake {
            self.is_awake = self.wake.as_ref().is_some_and(|wake| wake.try_send(()).is_ok());
        }
    }

    /// Whether the log is on its way into the file, so that the disk has more to do than the next group.
    pub fn is_copying(&self) -> bool {
        self.is_awake
    }

    /// Whether the thread met a disk that does not keep what it is given.
    pub fn has_failed(&self) -> bool {
        self.progress.failed.load(Ordering::Acquire)
    }

    /// Copies the rest of the log once the thread has copied the most of it. `connection` is the writer's, between two groups.
    pub fn finish(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.progress.passed.swap(false, Ordering::AcqRel) {
            (self.is_awake, self.bytes) = (false, 0);
            let pages = copy(connection)?;
            self.gate.set_closed(pages * layout::PAGE_BYTES.cast_unsigned() > TOO_LONG);
        }
        Ok(())
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to say that the next start would not.
            let _ = thread.join();
        }
    }
}

fn copy_when_woken(connection: &Connection, woken: &Receiver<()>, progress: &Progress) {
    while woken.recv().is_ok() {
        match copy(connection) {
            Ok(_) => progress.passed.store(true, Ordering::Release),
            Err(_) => progress.failed.store(true, Ordering::Release),
        }
    }
}

/// Copies what no reader still needs as it was, and waits for none; the pages of the log.
fn copy(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1))
        .map(|pages| pages.max(0).cast_unsigned())
}

/// Copies all of the log and empties it; tells whether no reader stood in the way. It waits for none.
pub fn empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(Duration::ZERO)?;
    let in_the_way = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(PATIENCE)?;
    Ok(in_the_way? == 0)
}
