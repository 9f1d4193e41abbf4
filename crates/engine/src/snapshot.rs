//! The engine written down, so that a start need not fold the journal from its beginning.
//!
//! ```text
//! assayeng 1                         name and version, as bytes
//! <head: JSON>                       policies, model, what was reviewed today
//! <lists>                            each with its entries
//! <SHA-256 of all that>
//! <snapshot of the features>         with a checksum of its own
//! ```

use std::io::{self, Read, Write};

use assay_features::snapshot::SnapshotError as FeaturesError;
use assay_features::{Definition, Features};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::engine::Acting;
use crate::lists::{Entry, ListKind, ListValue, Lists, MAX_ENTRIES, MAX_LISTS, MAX_NAME_BYTES, Provenance};
use crate::rules::Rules;
use crate::{ApplyError, Engine, Model, Policy};

const MAGIC: &[u8; 8] = b"assayeng";
/// The version that is written, and the only one so far.
const VERSION: u32 = 1;
/// Bytes that the head, or what stands before the entries of a list, may have.
const MAX_HEAD_BYTES: u64 = 16 << 20;
/// Bytes that a provenance may have in JSON, each of its bytes escaped.
const MAX_PROVENANCE_BYTES: u64 = 16 << 10;
/// Stands for an entry that never expires.
const NEVER: i64 = i64::MAX;

/// Why a snapshot cannot be used; the journal can be folded instead.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It could not be read to its end.
    #[error("the snapshot of the engine cannot be read: {0}; delete it, and the journal is folded again")]
    Unreadable(#[from] io::Error),
    /// It is something else, or changed, or from another version.
    #[error("the snapshot of the engine is none that this program can use: {0}; delete it, and the journal is folded again")]
    Unusable(String),
    /// Another model was active.
    #[error(
        "the snapshot was made under model `{needed}`, but model `{given}` was given; give that one, or delete the snapshot, and the journal is folded again"
    )]
    OtherModel {
        /// The model that it needs.
        needed: String,
        /// The model that was given.
        given: String,
    },
    /// The features are not usable.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// Its parts do not fit together.
    #[error("the snapshot of the engine contradicts itself: {0}; delete it, and the journal is folded again")]
    Contradiction(#[from] ApplyError),
}

#[derive(Serialize, Deserialize)]
struct Head {
    model_version: String,
    live: ActingHead,
    shadow: Option<ActingHead>,
    lists: usize,
}

#[derive(Serialize, Deserialize)]
struct ActingHead {
    policy: Policy,
    day: i64,
    reviewed: u64,
}

#[derive(Serialize, Deserialize)]
struct ListHead {
    name: String,
    kind: ListKind,
    entries: usize,
}

impl Engine {
    /// Writes the state down. Take care that the file appears whole: write beside it, then rename.
    pub fn write_snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let mut summed = Summed { inner: out, sum: Sha256::new() };
        summed.write_all(MAGIC)?;
        summed.write_all(&VERSION.to_le_bytes())?;
        let acting = |acting: &Acting| {
            let Acting { rules, day, reviewed, .. } = acting;
            ActingHead { policy: rules.policy().clone(), day: *day, reviewed: *reviewed }
        };
        let names = self.lists.names();
        let head = Head {
            model_version: self.model.version().to_string(),
            live: acting(&self.live),
            shadow: self.shadow.as_ref().map(acting),
            lists: names.len(),
        };
        summed.json(&head)?;
        for list in names.iter().filter_map(|(name, ..)| self.lists.list(name)) {
            summed.json(&ListHead { name: list.name().into(), kind: list.kind(), entries: list.len() })?;
            // Entries come by the file: what the one before had need not be said again.
            let mut last = Provenance::default();
            for entry in list.entries() {
                match &entry.value {
                    ListValue::Integer(number) => summed.write_all(&number.to_le_bytes())?,
                    ListValue::Text(text) => summed.sized(text.as_bytes())?,
                }
                summed.write_all(&entry.expires.unwrap_or(NEVER).to_le_bytes())?;
                if entry.provenance == last {
                    summed.sized(&[])?;
                } else {
                    summed.json(&entry.provenance)?;
                    last = entry.provenance;
                }
            }
        }
        let Summed { inner, sum } = summed;
        inner.write_all(&sum.finalize())?;
        self.features.write_snapshot(inner)
    }

    /// The state that a snapshot holds; from then on it decides to the bits that the one written down would have decided. Only of a rollout
    /// nothing is in it: who keeps its challenger begins it again.
    pub fn from_snapshot(definition: Definition, model: &Model, snapshot: &mut impl Read) -> Result<Self, SnapshotError> {
        let mut input = Checked { inner: snapshot, sum: Sha256::new() };
        if input.bytes::<8>()? != *MAGIC || u32::from_le_bytes(input.bytes()?) != VERSION {
            return Err(SnapshotError::Unusable(format!("it is no snapshot of version {VERSION}")));
        }
        let head: Head = input.json()?;
        if head.model_version != **model.version() {
            return Err(SnapshotError::OtherModel { needed: head.model_version, given: model.version().to_string() });
        }
        let lists = read_lists(&mut input, head.lists)?;
        let sum = input.sum.clone().finalize();
        if input.bytes::<32>()?[..] != sum[..] {
            return Err(SnapshotError::Unusable("its checksum is another".into()));
        }
        let features = Features::from_snapshot(definition, input.inner)?;
        let mut engine = Self::with(features, model, head.live.policy, lists)?;
        (engine.live.day, engine.live.reviewed) = (head.live.day, head.live.reviewed);
        if let Some(ActingHead { policy, day, reviewed }) = head.shadow {
            let plan = &engine.features.definition().plan;
            let rules = Rules::bind(policy, plan, &engine.lists, &engine.model).map_err(ApplyError::from)?;
            engine.shadow = Some(Acting { day, reviewed, ..Acting::new(rules) });
        }
        Ok(engine)
    }
}

fn read_lists(input: &mut Checked<impl Read>, count: usize) -> Result<Lists, SnapshotError> {
    let damaged = |problem: &str| SnapshotError::Unusable(problem.into());
    if count > MAX_LISTS {
        return Err(damaged("it has too many lists"));
    }
    let mut lists = Lists::default();
    for _ in 0..count {
        let ListHead { name, kind, entries } = input.json()?;
        let place = lists.create(&name, kind).map_err(ApplyError::from)?;
        if lists.len() + entries.min(MAX_ENTRIES + 1) > MAX_ENTRIES {
            return Err(damaged("its lists have too many entries"));
        }
        let mut last = Provenance::default();
        for _ in 0..entries {
            let value = match kind {
                ListKind::Bigint => ListValue::Integer(i64::from_le_bytes(input.bytes()?)),
                ListKind::Text => {
                    let text =
                        String::from_utf8(input.sized(MAX_NAME_BYTES as u64)?).map_err(|_| damaged("a text is not UTF-8"))?;
                    ListValue::Text(text.into())
                }
            };
            let expires = Some(i64::from_le_bytes(input.bytes()?)).filter(|&expires| expires != NEVER);
            let provenance = input.sized(MAX_PROVENANCE_BYTES)?;
            if !provenance.is_empty() {
                last = serde_json::from_slice(&provenance).map_err(|_| damaged("the origin of an entry is unreadable"))?;
            }
            let entry = [Entry { value, expires, provenance: last.clone() }];
            lists.check(place, &entry).map_err(ApplyError::from)?;
            let [Entry { value, expires, provenance }] = entry;
            lists.put(place, value, expires, &provenance);
        }
    }
    Ok(lists)
}

/// Writes, and sums up what was written.
struct Summed<'a, W> {
    inner: &'a mut W,
    sum: Sha256,
}

impl<W: Write> Summed<'_, W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    fn sized(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.write_all(bytes)
    }

    fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.sized(&serde_json::to_vec(value)?)
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

    /// Bytes behind their number; a length that lies costs no more memory than there are bytes.
    fn sized(&mut self, most: u64) -> Result<Vec<u8>, SnapshotError> {
        let length = u64::from_le_bytes(self.bytes()?);
        if length > most {
            return Err(SnapshotError::Unusable("a part of it is too long".into()));
        }
        let mut bytes = Vec::new();
        self.inner.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(SnapshotError::Unusable("it is cut short".into()));
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }

    fn json<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, SnapshotError> {
        let bytes = self.sized(MAX_HEAD_BYTES)?;
        serde_json::from_slice(&bytes).map_err(|error| SnapshotError::Unusable(format!("a part of it is unreadable ({error})")))
    }
}
