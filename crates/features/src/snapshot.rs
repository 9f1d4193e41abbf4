//! The state written down, so that a start need not go through the history again.
//!
//! A snapshot holds the transactions that windows still look at, and nothing that windows tell: that is worked out again from them, to the
//! same bits. It is a convenience: whoever deletes one, or has one of another definition, folds the history instead.

use std::io::{self, Read, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::Features;
use crate::definition::Definition;
use crate::history::History;
use crate::pasts::{Key, MAX_KEYS, Pasts};

/// First bytes of every snapshot.
const MAGIC: &[u8; 8] = b"assaysta";
/// The version that is written, and the only one so far.
const VERSION: u32 = 1;
/// Bytes of a checksum.
const CHECKSUM: usize = 32;
/// Bytes that one text may have.
const MAX_TEXT: u64 = 1 << 20;
/// Words that a past may have: as many as its limit of events allows, and more than any layout needs.
const MAX_WORDS: u64 = 1 << 34;

/// Why a snapshot cannot be used; the history can be folded instead.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It could not be read to its end.
    #[error("the snapshot cannot be read: {0}; delete it, and the history is folded again")]
    Unreadable(#[from] io::Error),
    /// It is something else.
    #[error("this is no snapshot of features; name another file")]
    NoSnapshot,
    /// It comes from another version of the program.
    #[error("the snapshot has version {0}, this program reads version {VERSION}; delete it, and the history is folded again")]
    Version(u32),
    /// It is of other features.
    #[error("the snapshot was made with another definition; delete it, and the history is folded again")]
    OtherDefinition,
    /// It was changed or cut.
    #[error("the snapshot is damaged: {0}; delete it, and the history is folded again")]
    Damaged(&'static str),
}

impl Features {
    /// Writes the state, with a checksum at its end. Take care that the file appears whole: write beside it, then rename.
    pub fn write_snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let mut out = Summed { inner: out, sum: Sha256::new() };
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&fingerprint(&self.definition))?;
        out.number(self.newest.cast_unsigned())?;
        out.number(self.texts_most as u64)?;
        out.number(self.texts.len() as u64)?;
        for text in self.texts.all() {
            out.number(text.len() as u64)?;
            out.write_all(text.as_bytes())?;
        }
        for pasts in &self.pasts {
            out.number(pasts.len() as u64)?;
            out.number(pasts.next as u64)?;
            for (key, history) in pasts.keys() {
                key.words().iter().try_for_each(|&word| out.number(word))?;
                let words = history.words();
                out.number(words.len() as u64)?;
                let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
                out.write_all(&bytes)?;
            }
        }
        let Summed { inner, sum } = out;
        inner.write_all(&sum.finalize())
    }

    /// The state that a snapshot holds; from then on it gives the bits that the one written down would have given.
    pub fn from_snapshot(definition: Definition, snapshot: &mut impl Read) -> Result<Self, SnapshotError> {
        let mut input = Checked { inner: snapshot, sum: Sha256::new() };
        let head: [u8; 8] = input.bytes().map_err(|_| SnapshotError::NoSnapshot)?;
        if head != *MAGIC {
            return Err(SnapshotError::NoSnapshot);
        }
        match u32::from_le_bytes(input.bytes()?) {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        if input.bytes::<CHECKSUM>()? != fingerprint(&definition) {
            return Err(SnapshotError::OtherDefinition);
        }
        let newest = input.number()?.cast_signed();
        let texts_most = usize::try_from(input.number()?).map_err(|_| SnapshotError::Damaged("a limit is too large"))?;
        let mut features = Self::new(definition);
        (features.newest, features.texts_most) = (newest, texts_most);
        for number in 0..input.at_most(u64::MAX, "")? {
            let length = input.at_most(MAX_TEXT, "a text is too long")?;
            let bytes = input.sized(length)?;
            let text: Arc<str> = String::from_utf8(bytes).map_err(|_| SnapshotError::Damaged("a text is not UTF-8"))?.into();
            if features.texts.number(&text) != number {
                return Err(SnapshotError::Damaged("a text stands twice"));
            }
        }
        let columns: Vec<usize> = features.definition.plan.partitions.iter().map(|partition| partition.columns.len()).collect();
        for (pasts, columns) in features.pasts.iter_mut().zip(columns) {
            read_pasts(pasts, columns, &mut input)?;
        }
        let sum = input.sum.clone().finalize();
        if input.bytes::<CHECKSUM>()?[..] != sum[..] {
            return Err(SnapshotError::Damaged("its checksum is another"));
        }
        Ok(features)
    }
}

fn read_pasts(pasts: &mut Pasts, columns: usize, input: &mut Checked<impl Read>) -> Result<(), SnapshotError> {
    let keys = input.at_most(MAX_KEYS as u64, "there are too many keys")?;
    pasts.next = usize::try_from(input.at_most(keys, "a place is none")?).expect("no more than there are keys");
    for _ in 0..keys {
        let key: Vec<u64> = (0..columns).map(|_| input.number()).collect::<Result<_, _>>()?;
        let key = Key::of(&key);
        let words = input.at_most(MAX_WORDS, "a past is too long")?;
        let bytes = input.sized(words * 8)?;
        let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect();
        let history = History::restored(&pasts.layout, words).ok_or(SnapshotError::Damaged("a past is out of order"))?;
        if pasts.has(&key) {
            return Err(SnapshotError::Damaged("a key stands twice"));
        }
        pasts.add(key, history);
    }
    Ok(())
}

/// What makes two definitions the same: their text.
fn fingerprint(definition: &Definition) -> [u8; CHECKSUM] {
    Sha256::digest(definition.text.as_bytes()).into()
}

/// Writes, and sums up what was written.
struct Summed<'a, W> {
    inner: &'a mut W,
    sum: Sha256,
}

impl<W: Write> Summed<'_, W> {
    fn number(&mut self, number: u64) -> io::Result<()> {
        self.write_all(&number.to_le_bytes())
    }
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads, and sums up what was read.
struct Checked<'a, R> {
    inner: &'a mut R,
    sum: Sha256,
}

impl<R: Read> Checked<'_, R> {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.sum.update(bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn at_most(&mut self, most: u64, problem: &'static str) -> Result<u64, SnapshotError> {
        let number = self.number()?;
        if number > most { Err(SnapshotError::Damaged(problem)) } else { Ok(number) }
    }

    /// So many bytes; a length that lies costs no more memory than there are bytes.
    fn sized(&mut self, length: u64) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = Vec::new();
        self.inner.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(SnapshotError::Damaged("it is cut short"));
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }
}
