//! Is the journal what was written? Every entry is hashed again, and everything beside the entries is held against them.

use std::collections::BTreeSet;

use rusqlite::{Connection, ErrorCode, Row, Rows};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chain::{self, Hash, Head, Link};
use crate::entry::Kind;
use crate::error::JournalError;
use crate::layout::{self, OBJECTS, Start};
use crate::reader::{Reader, marks_of};

/// Entries after which progress is told.
const STEP: u64 = 10_000;

/// What was found to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Where the journal begins: the last entry that was cut off, if any was.
    pub cut: Head,
    /// Where it ends.
    pub head: Head,
    /// Entries whose personal part was erased.
    pub erased: u64,
}

impl Reader {
    /// Goes through the whole journal and says what is damaged, by the first entry that is. `progress` is told how many entries of how many
    /// were looked at. Writing goes on meanwhile, unseen.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64)) -> Result<Verified, JournalError> {
        self.follow()?;
        let snapshot = self.connection.unchecked_transaction()?;
        let start = layout::start(&snapshot)?;
        if start.cut.sequence == 0 && start.cut.hash != chain::origin(&start.identity) {
            return Err(JournalError::DamagedFile { what: "the hash before its first entry is another".to_owned() });
        }
        let verified = self.verify_entries(&snapshot, &start, &mut progress)?;
        verify_objects(&snapshot)?;
        snapshot.commit()?;
        Ok(verified)
    }

    /// Whether the journal still leads to a head that was exported from it.
    pub fn verify_head(&self, head: Head) -> Result<(), JournalError> {
        let cut = layout::start(&self.connection)?.cut;
        let other = |what| Err(JournalError::OtherHead { head, what });
        let hash = match head.sequence {
            0 => chain::origin(&self.identity),
            sequence if sequence < cut.sequence => {
                return other("that entry was cut off since; export heads more often than you cut");
            }
            sequence if sequence == cut.sequence => cut.hash,
            sequence => match self.entry(sequence)? {
                Some(entry) => entry.hash,
                None => return other("it ends before; entries were taken away, or this is an older copy"),
            },
        };
        if hash == head.hash { Ok(()) } else { other("another entry is there; this is another journal, or it was written anew") }
    }

    fn verify_entries(
        &self,
        snapshot: &Connection,
        start: &Start,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<Verified, JournalError> {
        let total = self.head()?.sequence.saturating_sub(start.cut.sequence);
        let sql = "SELECT sequence, kind, id, arrived, body, personal, salt, digest, hash FROM entries WHERE sequence > ?1 ORDER BY sequence";
        let mut statement = snapshot.prepare(sql)?;
        let mut rows = statement.query([start.cut.sequence.cast_signed()])?;
        let mut marks = Marks::of(snapshot, start)?;
        let mut marks = marks.open()?;
        let mut promises = Promises::default();
        let mut head = start.cut;
        loop {
            let sequence = head.sequence + 1;
            let damaged = |what| JournalError::Damaged { sequence, what };
            let Some(row) = next(&mut rows, sequence, "it cannot be read")? else { break };
            let row = Checked::of(row).ok_or(damaged("a column is not of its type"))?;
            if row.sequence != sequence.cast_signed() {
                return Err(damaged("it is missing"));
            }
            head = Head { sequence, hash: row.check(&head.hash).map_err(damaged)? };
            let mark = row.link.id.map_or(0, |id| chain::mark(&start.identity, row.kind.space(), id));
            if marks.next(sequence)? != Some(mark) {
                return Err(damaged("the mark of its id is another"));
            }
            if let (true, Some(id)) = (row.kind.is_once(), row.link.id)
                && self.first_before(sequence, mark, row.kind.space(), id)?.is_some()
            {
                return Err(damaged("its id is that of an earlier entry"));
            }
            promises.hear(&row).map_err(damaged)?;
            if sequence.is_multiple_of(STEP) {
                progress(sequence - start.cut.sequence, total);
            }
        }
        if marks.next(head.sequence + 1)?.is_some() {
            return Err(JournalError::Damaged { sequence: head.sequence + 1, what: "it is missing, though its id is not" });
        }
        promises.check(start)?;
        progress(total, total);
        Ok(Verified { cut: start.cut, head, erased: promises.erased.len() as u64 })
    }
}

/// A row whose columns are of their types.
struct Checked<'a> {
    sequence: i64,
    kind: Kind,
    link: Link<'a>,
    personal: Option<&'a str>,
    salt: Option<&'a [u8]>,
    hash: &'a [u8],
}

impl<'a> Checked<'a> {
    fn of(row: &'a Row<'_>) -> Option<Self> {
        let text = |place: usize| row.get_ref(place).ok()?.as_str_or_null().ok();
        let bytes = |place: usize| row.get_ref(place).ok()?.as_blob_or_null().ok();
        let number = |place: usize| row.get_ref(place).ok()?.as_i64().ok();
        let (sequence, kind) = (number(0)?, text(1)??);
        let link = Link {
            sequence: sequence.cast_unsigned(),
            arrived: number(3)?,
            kind,
            id: text(2)?,
            body: text(4)??,
            digest: bytes(7)?,
        };
        Some(Self { sequence, kind: kind.parse().ok()?, link, personal: text(5)?, salt: bytes(6)?, hash: bytes(8)?? })
    }

    /// The hash, if it and the digest of the personal part are those of the texts.
    fn check(&self, previous: &Hash) -> Result<Hash, &'static str> {
        let hash = self.link.hash(previous);
        if self.hash != hash {
            return Err("its hash is not that of its content and of the entry before it");
        }
        match (self.personal, self.salt, self.link.digest) {
            (None, None, _) => Ok(hash),
            (Some(personal), Some(salt), Some(digest)) if chain::digest(salt, personal) == digest => Ok(hash),
            _ => Err("its personal part is not the one that was written"),
        }
    }
}

/// What entries say of other entries.
#[derive(Default)]
struct Promises {
    erased: BTreeSet<u64>,
    told: BTreeSet<u64>,
    cut: Option<(u64, String)>,
}

#[derive(Deserialize)]
struct CutBody<'a> {
    through: u64,
    hash: String,
    #[serde(borrow, rename = "state")]
    _state: &'a RawValue,
}

#[derive(Deserialize)]
struct ErasureBody {
    entries: Vec<u64>,
}

impl Promises {
    fn hear(&mut self, row: &Checked<'_>) -> Result<(), &'static str> {
        if row.link.digest.is_some() && row.personal.is_none() {
            self.erased.insert(row.link.sequence);
        }
        match row.kind {
            Kind::Erasure => {
                let body: ErasureBody = serde_json::from_str(row.link.body).map_err(|_| "it does not say what was erased")?;
                self.told.extend(body.entries);
            }
            Kind::Cut => {
                let body: CutBody<'_> = serde_json::from_str(row.link.body).map_err(|_| "it does not say what was cut off")?;
                self.cut = Some((body.through, body.hash));
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&self, start: &Start) -> Result<(), JournalError> {
        if let Some(&sequence) = self.erased.difference(&self.told).next() {
            return Err(JournalError::Damaged { sequence, what: "its personal part is gone, and no entry tells of an erasure" });
        }
        let begins = (start.cut.sequence > 0).then(|| (start.cut.sequence, chain::hexadecimal(&start.cut.hash)));
        if self.cut != begins {
            let sequence = start.cut.sequence + 1;
            return Err(JournalError::Damaged { sequence, what: "what is before it is gone, and no entry tells of this cut" });
        }
        Ok(())
    }
}

/// The marks of all ids, group by group.
struct Marks<'a> {
    statement: rusqlite::Statement<'a>,
    cut: u64,
}

struct OpenMarks<'a> {
    rows: Rows<'a>,
    cut: u64,
    first: u64,
    group: Vec<u64>,
}

impl<'a> Marks<'a> {
    fn of(snapshot: &'a Connection, start: &Start) -> Result<Self, JournalError> {
        Ok(Self { statement: snapshot.prepare("SELECT first, marks FROM ids ORDER BY first")?, cut: start.cut.sequence })
    }

    fn open(&mut self) -> Result<OpenMarks<'_>, JournalError> {
        Ok(OpenMarks { rows: self.statement.query([])?, cut: self.cut, first: 0, group: Vec::new() })
    }
}

impl OpenMarks<'_> {
    /// The mark of the entry after those asked for so far.
    fn next(&mut self, sequence: u64) -> Result<Option<u64>, JournalError> {
        let damaged = JournalError::Damaged { sequence, what: "the marks of its group's ids are not those that were written" };
        while sequence >= self.first + self.group.len() as u64 {
            let Some(row) = next(&mut self.rows, sequence, "the marks of its group's ids cannot be read")? else {
                return Ok(None);
            };
            let first = row.get_ref(0)?.as_i64().ok().and_then(|first| u64::try_from(first).ok());
            let (Some(first), Ok(blob)) = (first, row.get_ref(1)?.as_blob()) else { return Err(damaged) };
            // Of what was cut off there may be groups and parts of one; after that they follow each other without gaps.
            let follows = if self.first == 0 { first <= self.cut + 1 } else { first == self.first + self.group.len() as u64 };
            if !follows || blob.is_empty() || blob.len() % 8 != 0 {
                return Err(damaged);
            }
            (self.first, self.group) = (first, marks_of(blob).collect());
        }
        Ok(usize::try_from(sequence - self.first).ok().and_then(|place| self.group.get(place)).copied())
    }
}

/// The next row; that SQLite cannot read it is damage to the entry, that the disk cannot is not.
fn next<'rows, 'stmt>(
    rows: &'rows mut Rows<'stmt>,
    sequence: u64,
    what: &'static str,
) -> Result<Option<&'rows Row<'stmt>>, JournalError> {
    rows.next().map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => JournalError::Damaged { sequence, what },
        _ => error.into(),
    })
}

/// Whether header, tables, index and views are those that were made, and SQLite finds them sound.
fn verify_objects(snapshot: &Connection) -> Result<(), JournalError> {
    let damaged = |what: String| JournalError::DamagedFile { what };
    if !layout::is_current(layout::header(snapshot)?) {
        return Err(damaged("its header is another".to_owned()));
    }
    let rows: i64 = snapshot.query_row("SELECT count(*) FROM journal", [], |row| row.get(0))?;
    if rows != 1 {
        return Err(damaged("its table of the beginning has not one row".to_owned()));
    }
    for (name, sql) in OBJECTS {
        let kind = sql.split(' ').nth(1).unwrap_or_default().to_lowercase();
        let table = if kind == "index" { "entries" } else { name };
        let query = "SELECT sql FROM sqlite_schema WHERE name = ?1 AND type = ?2 AND tbl_name = ?3";
        let found = snapshot.query_row(query, [name, &kind, table], |row| row.get::<_, String>(0));
        if found.as_deref() != Ok(sql) {
            return Err(damaged(format!("{name} is not as it was made")));
        }
    }
    let triggers: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", [], |row| row.get(0))?;
    if triggers > 0 {
        return Err(damaged("something was added that changes what is written".to_owned()));
    }
    // What SQLite says names pages and rows, but no content.
    let soundness = snapshot.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    match soundness {
        Ok(sound) if sound == "ok" => Ok(()),
        Ok(fault) => Err(damaged(fault)),
        Err(error) => Err(damaged(error.to_string())),
    }
}
