//! The one that reads, beside the one that writes and without waiting for it.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::chain::{self, Head, Identity};
use crate::entry::{Entry, Kind};
use crate::error::JournalError;
use crate::gate::Gate;
use crate::ids::Ids;
use crate::journal::sync_folder;
use crate::layout;

/// Reads a journal. Each thread has its own; what it sees is always whole groups.
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) identity: Identity,
    ids: Arc<Ids>,
    gate: Arc<Gate>,
    /// Up to which entry the ids are known, when no writer of this process keeps them.
    followed: Option<Cell<u64>>,
}

/// Opens readers beside a writer of this process, on any thread; they know the ids that it knows.
#[derive(Clone)]
pub struct Readers {
    pub(crate) path: PathBuf,
    pub(crate) ids: Arc<Ids>,
    pub(crate) gate: Arc<Gate>,
}

impl Readers {
    /// One more.
    pub fn open(&self) -> Result<Reader, JournalError> {
        Reader::beside(&self.path, &self.ids, &self.gate)
    }
}

const COLUMNS: &str = "sequence, kind, id, arrived, body, personal, hash";
/// What retention has cut off is no more, even where it still has to be deleted.
const AFTER_CUT: &str = "sequence > (SELECT cut_sequence FROM journal)";

impl Reader {
    /// Opens the journal in `folder`, which another process may be writing.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let connection = layout::reading(&layout::file_of(folder))?;
        let identity = layout::start(&connection)?.identity;
        Ok(Self { connection, identity, ids: Arc::new(Ids::new()), gate: Arc::default(), followed: Some(Cell::new(0)) })
    }

    /// Reads beside a writer of this process, and knows the ids that it knows.
    pub(crate) fn beside(path: &Path, ids: &Arc<Ids>, gate: &Arc<Gate>) -> Result<Self, JournalError> {
        let connection = layout::reading(path)?;
        let identity = layout::start(&connection)?.identity;
        Ok(Self { connection, identity, ids: ids.clone(), gate: gate.clone(), followed: None })
    }

    /// The last entry, or what the journal begins with.
    pub fn head(&self) -> Result<Head, JournalError> {
        let sql = "SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1";
        let last =
            self.connection.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))).optional()?;
        match last {
            Some((sequence, hash)) => Ok(Head { sequence, hash }),
            None => Ok(layout::start(&self.connection)?.cut),
        }
    }

    /// The entry with this sequence, unless it is still to come or was cut off.
    pub fn entry(&self, sequence: u64) -> Result<Option<Entry>, JournalError> {
        let mut statement =
            self.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM entries WHERE sequence = ?1 AND {AFTER_CUT}"))?;
        let mut rows = statement.query([sequence.cast_signed()])?;
        rows.next()?.map(|row| entry_of(row).map(|entry| entry.to_owned())).transpose()
    }

    /// The entry of this kind with this id: the only one of a transaction or a decision, the first of another kind.
    pub fn find(&self, kind: Kind, id: &str) -> Result<Option<Entry>, JournalError> {
        Ok(self.all(kind, id)?.into_iter().next())
    }

    /// All entries of this kind with this id, earliest first.
    pub fn all(&self, kind: Kind, id: &str) -> Result<Vec<Entry>, JournalError> {
        self.follow()?;
        let mark = chain::mark(&self.identity, kind.space(), id);
        let mut found = Vec::new();
        for sequence in self.ids.candidates(mark) {
            found.extend(self.entry(sequence)?.filter(|entry| entry.kind == kind && entry.id.as_deref() == Some(id)));
        }
        Ok(found)
    }

    /// All labels of a transaction, as they were learnt.
    pub fn labels_of(&self, id: &str) -> Result<Vec<Entry>, JournalError> {
        self.all(Kind::Label, id)
    }

    /// Visits at most `limit` entries after the one with the sequence `after`, in order; tells how many there were. Beside a writer keep it short,
    /// a few hundred at a time: the log grows as long as somebody reads.
    pub fn replay<E: From<JournalError>>(
        &self,
        after: u64,
        limit: u64,
        visit: impl FnMut(&Entry<&str>) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.gate.pass();
        self.visit(
            &format!("SELECT {COLUMNS} FROM entries WHERE sequence > ?1 AND {AFTER_CUT} ORDER BY sequence LIMIT ?2"),
            after,
            limit,
            visit,
        )
    }

    /// Visits at most `limit` entries of one kind after the one with the sequence `after`, in order; tells how many there were. Of kinds other
    /// than transactions and decisions it looks at no others.
    pub fn replay_kind<E: From<JournalError>>(
        &self,
        kind: Kind,
        after: u64,
        limit: u64,
        visit: impl FnMut(&Entry<&str>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let kind = condition(kind);
        let sql =
            format!("SELECT {COLUMNS} FROM entries WHERE {kind} AND sequence > ?1 AND {AFTER_CUT} ORDER BY sequence LIMIT ?2");
        self.visit(&sql, after, limit, visit)
    }

    /// The last `limit` entries of one kind before the one with the sequence `before`, latest first.
    pub fn latest(&self, kind: Kind, before: u64, limit: u64) -> Result<Vec<Entry>, JournalError> {
        let kind = condition(kind);
        let sql = format!(
            "SELECT {COLUMNS} FROM entries WHERE {kind} AND sequence < ?1 AND {AFTER_CUT} ORDER BY sequence DESC LIMIT ?2"
        );
        let mut found = Vec::new();
        self.visit(&sql, before, limit, |entry| -> Result<(), JournalError> {
            found.push(entry.to_owned());
            Ok(())
        })?;
        Ok(found)
    }

    /// Writes a copy of the journal, as it is now, into `folder`, while writing goes on. To restore it, open that folder.
    pub fn backup(&self, folder: &Path) -> Result<(), JournalError> {
        let cannot = |path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Folder { path, source }
        };
        fs::create_dir_all(folder).map_err(cannot(folder))?;
        let (whole, part) = (layout::file_of(folder), folder.join(format!("{}.part", layout::FILE)));
        if whole.exists() {
            return Err(JournalError::Occupied { path: whole });
        }
        if part.exists() {
            fs::remove_file(&part).map_err(cannot(&part))?;
        }
        let name = part.to_str().ok_or_else(|| cannot(&part)(std::io::Error::other("its name is not UTF-8")))?;
        self.connection.execute("VACUUM INTO ?1", [name])?;
        File::open(&part).and_then(|copy| copy.sync_all()).map_err(cannot(&part))?;
        fs::rename(&part, &whole).map_err(cannot(&whole))?;
        sync_folder(folder)
    }

    /// The first entry before one that has this id in its space.
    pub(crate) fn first_before(&self, before: u64, mark: u64, space: &str, id: &str) -> Result<Option<u64>, JournalError> {
        for sequence in self.ids.candidates(mark).into_iter().take_while(|&sequence| sequence < before) {
            if self.entry(sequence)?.is_some_and(|entry| entry.kind.space() == space && entry.id.as_deref() == Some(id)) {
                return Ok(Some(sequence));
            }
        }
        Ok(None)
    }

    fn visit<E: From<JournalError>>(
        &self,
        sql: &str,
        from: u64,
        limit: u64,
        mut visit: impl FnMut(&Entry<&str>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let most = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql).map_err(JournalError::from)?;
        let mut rows = statement.query([most(from), most(limit)]).map_err(JournalError::from)?;
        let mut visited = 0;
        while let Some(row) = rows.next().map_err(JournalError::from)? {
            visit(&entry_of(row)?)?;
            visited += 1;
        }
        Ok(visited)
    }

    /// Learns the ids that another process has written.
    pub(crate) fn follow(&self) -> Result<(), JournalError> {
        if let Some(followed) = &self.followed {
            followed.set(follow(&self.connection, &self.ids, followed.get())?);
        }
        Ok(())
    }
}

/// Adds the ids of all entries after one; tells which is the last.
pub fn follow(connection: &Connection, ids: &Ids, after: u64) -> Result<u64, JournalError> {
    let cut = layout::start(connection)?.cut.sequence;
    // Groups are found by their first entry, and end where the next begins.
    let sql = "SELECT first, marks FROM ids WHERE first > ?1 ORDER BY first";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([after.cast_signed()])?;
    let mut last = after;
    while let Some(row) = rows.next()? {
        let first = row.get::<_, i64>(0)?.cast_unsigned();
        let damaged = JournalError::Damaged { sequence: first, what: "the marks of its group's ids cannot be read" };
        let marks = row.get_ref(1)?.as_blob().map_err(|_| damaged)?;
        for (sequence, mark) in (first..).zip(marks_of(marks)) {
            if sequence > cut {
                ids.add(mark, sequence);
            }
            last = sequence;
        }
    }
    Ok(last)
}

/// The marks of a group, 0 where an entry has no id.
pub fn marks_of(blob: &[u8]) -> impl Iterator<Item = u64> {
    let (marks, _) = blob.as_chunks();
    marks.iter().map(|mark| u64::from_be_bytes(*mark))
}

/// What tells SQLite of which kind an entry must be, and that the index of all but transactions and decisions knows it.
fn condition(kind: Kind) -> String {
    let rare = if kind.is_once() { "" } else { " AND kind NOT IN ('transaction', 'decision')" };
    format!("kind = '{kind}'{rare}")
}

fn entry_of<'row>(row: &'row Row<'_>) -> Result<Entry<&'row str>, JournalError> {
    let sequence = row.get::<_, i64>(0)?.cast_unsigned();
    let damaged = |what| move |_| JournalError::Damaged { sequence, what };
    let text = |place: usize| row.get_ref(place).map(|value| value.as_str());
    let optional = |place: usize| row.get_ref(place).map(|value| value.as_str_or_null());
    Ok(Entry {
        sequence,
        kind: text(1)?
            .map_err(damaged("its kind is no text"))?
            .parse()
            .map_err(|()| JournalError::Damaged { sequence, what: "its kind is none" })?,
        id: optional(2)?.map_err(damaged("its id is no text"))?,
        arrived: row.get_ref(3)?.as_i64().map_err(damaged("its arrival is no number"))?,
        body: text(4)?.map_err(damaged("its body is no text"))?,
        personal: optional(5)?.map_err(damaged("its personal part is no text"))?,
        hash: row
            .get_ref(6)?
            .as_blob()
            .ok()
            .and_then(|hash| hash.try_into().ok())
            .ok_or(JournalError::Damaged { sequence, what: "its hash is none" })?,
    })
}
