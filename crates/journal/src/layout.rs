//! What the file looks like: its tables, the views for analysts, and the format that every program checks before it reads on.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use crate::chain::{Hash, Identity};
use crate::error::JournalError;
use crate::wal::PATIENCE;

/// The file in the data folder.
pub const FILE: &str = "journal.sqlite";
/// The format that is written; all up to it are read.
pub const FORMAT: i64 = 1;
/// What SQLite's header says of the file: "Asay".
const APPLICATION: i64 = 0x4173_6179;
/// Bytes of a page: larger ones make fewer writes of a group, smaller ones less to write for a single entry.
pub const PAGE_BYTES: i64 = 8_192;
/// Bytes of pages that a connection keeps.
const CACHE_KIB: i64 = 16_384;
/// Bytes to which the write-ahead log is cut once it was larger. It reaches 96 MiB whenever somebody goes through the journal at length, and to
/// sync a file that grows takes the disk far longer than to sync one that is there.
const WAL_BYTES_KEPT: i64 = 192 << 20;

/// Everything in the file, by name, as SQLite keeps its text.
pub const OBJECTS: [(&str, &str); 9] = [
    (
        "journal",
        "CREATE TABLE journal (
  identity     BLOB    NOT NULL,
  cut_sequence INTEGER NOT NULL,
  cut_hash     BLOB    NOT NULL
) STRICT",
    ),
    (
        "entries",
        "CREATE TABLE entries (
  sequence INTEGER PRIMARY KEY,
  kind     TEXT    NOT NULL,
  id       TEXT,
  arrived  INTEGER NOT NULL,
  body     TEXT    NOT NULL,
  personal TEXT,
  salt     BLOB,
  digest   BLOB,
  hash     BLOB    NOT NULL
) STRICT",
    ),
    (
        "ids",
        "CREATE TABLE ids (
  first INTEGER PRIMARY KEY,
  marks BLOB    NOT NULL
) STRICT",
    ),
    ("entries_by_kind", "CREATE INDEX entries_by_kind ON entries (kind) WHERE kind NOT IN ('transaction', 'decision')"),
    (
        "history",
        "CREATE VIEW history AS
SELECT sequence, kind, id,
  strftime('%Y-%m-%dT%H:%M:%S', (arrived - (arrived % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
    || printf('.%06dZ', (arrived % 1000000 + 1000000) % 1000000) AS arrived,
  body, personal
FROM entries
WHERE sequence > (SELECT cut_sequence FROM journal)",
    ),
    (
        "decisions",
        "CREATE VIEW decisions AS
SELECT sequence, id, arrived,
  json_extract(body, '$.outcome')        AS outcome,
  json_extract(body, '$.probability')    AS probability,
  json_extract(body, '$.risk_score')     AS risk_score,
  json_extract(body, '$.model_version')  AS model,
  json_extract(body, '$.policy_version') AS policy,
  body, personal
FROM history
WHERE kind = 'decision'",
    ),
    (
        "transactions",
        "CREATE VIEW transactions AS
SELECT sequence, id, arrived,
  kind = 'decision'                                AS decided,
  coalesce(json_extract(body, '$.transaction'), body) AS fields,
  personal
FROM history
WHERE kind IN ('transaction', 'decision')",
    ),
    (
        "labels",
        "CREATE VIEW labels AS
SELECT sequence, id, arrived,
  json_extract(body, '$.label')  AS label,
  json_extract(body, '$.source') AS source,
  json_extract(body, '$.learnt') AS learnt,
  body
FROM history
WHERE kind = 'label'",
    ),
    (
        "changes",
        "CREATE VIEW changes AS
SELECT sequence, kind, id, arrived, body
FROM history
WHERE kind NOT IN ('transaction', 'decision', 'label')",
    ),
];

/// What the table `journal` says, in its one row.
pub struct Start {
    pub identity: Identity,
    /// The last entry that was cut off, 0 for none, and its hash.
    pub cut: crate::chain::Head,
}

/// A connection that writes, to a journal that is made if there is none.
pub fn writing(path: &Path, fresh: impl FnOnce() -> Result<(Identity, Hash), JournalError>) -> Result<Connection, JournalError> {
    let mut connection = opened(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    let is_empty = check(path, &connection)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        let source = std::io::Error::other("SQLite cannot keep a write-ahead log there");
        return Err(JournalError::Folder { path: path.to_owned(), source });
    }
    for (pragma, value) in
        [("synchronous", 2), ("wal_autocheckpoint", 0), ("secure_delete", 1), ("journal_size_limit", WAL_BYTES_KEPT)]
    {
        connection.pragma_update(None, pragma, value)?;
    }
    if is_empty {
        let (identity, origin) = fresh()?;
        let transaction = connection.transaction()?;
        for (_, sql) in OBJECTS {
            transaction.execute_batch(sql)?;
        }
        transaction.execute("INSERT INTO journal VALUES (?1, 0, ?2)", (identity, origin))?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()?;
    }
    Ok(connection)
}

/// A connection that only reads, to a journal that is there.
pub fn reading(path: &Path) -> Result<Connection, JournalError> {
    if !path.is_file() {
        return Err(JournalError::Missing { folder: path.parent().map(Path::to_owned).unwrap_or_default() });
    }
    let connection = opened(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    if check(path, &connection)? {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    Ok(connection)
}

/// The row of the table `journal`.
pub fn start(connection: &Connection) -> Result<Start, JournalError> {
    let row = connection
        .query_row("SELECT identity, cut_sequence, cut_hash FROM journal", [], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?))
        })
        .optional();
    let damaged = || JournalError::DamagedFile { what: "its first row is not as it was written".to_owned() };
    let (identity, sequence, hash) =
        row.map_err(|error| if is_io(&error) { error.into() } else { damaged() })?.ok_or_else(damaged)?;
    let sequence = u64::try_from(sequence).map_err(|_| damaged())?;
    Ok(Start { identity, cut: crate::chain::Head { sequence, hash } })
}

/// Whether the disk, not the content, is at fault.
fn is_io(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::OutOfMemory))
}

/// What the header of the file must say, and says.
pub fn header(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((number("application_id")?, number("user_version")?))
}

/// Whether the header says what this program writes.
pub fn is_current(header: (i64, i64)) -> bool {
    header == (APPLICATION, FORMAT)
}

fn opened(path: &Path, flags: OpenFlags) -> Result<Connection, JournalError> {
    let cannot = |error| refusal(path, error);
    // No file name is read as a URI, and each connection stays on the thread that has it.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(cannot)?;
    connection.busy_timeout(PATIENCE).map_err(cannot)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(cannot)?;
    connection.pragma_update(None, "cell_size_check", true).map_err(cannot)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(cannot)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(cannot)?;
    Ok(connection)
}

/// Whether the file holds nothing yet; it is refused unless it is a journal of a format that is known.
fn check(path: &Path, connection: &Connection) -> Result<bool, JournalError> {
    let foreign = || JournalError::Foreign { path: path.to_owned() };
    let header = header(connection).map_err(|error| refusal(path, error))?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    // SQLite takes a few bytes for no file at all, and would write over them.
    let is_file = path.metadata().map_or(true, |file| file.len() == 0 || file.len() >= 512);
    match header {
        (0, 0) if objects == 0 && is_file => Ok(true),
        (APPLICATION, found) if found > FORMAT => Err(JournalError::Newer { found }),
        (APPLICATION, 1..=FORMAT) => Ok(false),
        _ => Err(foreign()),
    }
}

/// Why a file cannot be opened: it is none of SQLite's, or the system does not let us.
fn refusal(path: &Path, error: rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => JournalError::Foreign { path: path.to_owned() },
        _ => JournalError::Folder { path: path.to_owned(), source: std::io::Error::other(error) },
    }
}

/// The journal of a data folder.
pub fn file_of(folder: &Path) -> PathBuf {
    folder.join(FILE)
}
