//! Was it decided so? Every decision made once more from the journal, and held bit for bit against the one that was written down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use assay_domain::Decision;
use assay_journal::{Entry, Head, JournalError, Kind, Reader};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use thiserror::Error;

use super::data_folder::DataFolder;
use super::fold::{self, FoldError, How, State};
use super::record;
use super::scorer::Scorer;

/// Entries that are handed from thread to thread at once.
const BATCH: u64 = 512;
/// Batches that may wait for the next thread.
const WAITING: usize = 8;
/// Of so many decisions one is explained again.
const EXPLAINED_OF: u64 = 1_000;
/// Fields that others follow from: of several that differ, these are named first.
const CAUSES: [&str; 5] = ["model_version", "policy_version", "row", "probability", "risk_score"];
/// How far contributions may be from the margin that they add up to, for a margin of at most 1.
const ROUNDING: f64 = 1e-9;

/// What was made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Decisions that came out as they were recorded.
    pub decisions: u64,
    /// Decisions of which columns of a person were erased: they were taken as recorded, and not compared.
    pub not_compared: u64,
    /// Decisions whose reasons were worked out again.
    pub explained: u64,
}

/// Why the journal does not prove its decisions.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A decision comes out otherwise.
    #[error(
        "entry {sequence} of the journal: the decision about transaction {id}, made once more, has another `{field}` than the one \
         recorded; the journal was changed, or another program decided: compare it with a backup"
    )]
    Different {
        /// The entry.
        sequence: u64,
        /// The transaction.
        id: String,
        /// What differs first.
        field: String,
    },
    /// The reasons are not those of the score.
    #[error(
        "entry {sequence} of the journal: the contributions to the score of transaction {id} do not add up to it; this is a defect of \
         this program, please report it"
    )]
    Unexplained {
        /// The entry.
        sequence: u64,
        /// The transaction.
        id: String,
    },
}

impl From<JournalError> for ReplayError {
    fn from(error: JournalError) -> Self {
        Self::Fold(error.into())
    }
}

/// A decision that was made once more, to be held against its entry.
struct Made {
    entry: Entry,
    /// None where it was recorded as a decision, but says no outcome.
    decision: Option<Decision>,
    /// What explains it, for those that are explained again.
    scorer: Option<Arc<Scorer>>,
}

/// Makes all decisions up to `head` once more: one thread reads, this one decides, another compares. None while the journal names no model,
/// so that nothing was decided. `progress` is told the last entry that was folded.
pub fn replay(
    reader: &Reader,
    folder: &DataFolder,
    head: Head,
    progress: impl FnMut(u64),
) -> Result<Option<Replayed>, ReplayError> {
    let Some(state) = State::begin(reader, folder)? else { return Ok(None) };
    let (first, erased) = (state.at.sequence, erased(reader)?);
    thread::scope(|scope| {
        let (entries, read) = sync_channel(WAITING);
        let (made, to_compare) = sync_channel(WAITING);
        scope.spawn(move || hand_out(folder, first, head.sequence, &entries));
        let comparing = scope.spawn(move || compare_all(&to_compare));
        let decided = decide_all(state, reader, folder, &erased, &read, &made, progress);
        drop((read, made));
        let compared = comparing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What differs lies before what could not be folded.
        let explained = compared?;
        decided.map(|replayed| Some(Replayed { explained, ..replayed }))
    })
}

/// Entries of which an erasure took the columns of a person.
fn erased(reader: &Reader) -> Result<BTreeSet<u64>, FoldError> {
    #[derive(Deserialize)]
    struct Erasure {
        entries: Vec<u64>,
    }
    let mut erased = BTreeSet::new();
    reader.replay_kind(Kind::Erasure, 0, u64::MAX, |entry| -> Result<(), FoldError> {
        let Erasure { entries } = fold::body(entry)?;
        erased.extend(entries);
        Ok(())
    })?;
    Ok(erased)
}

/// Reads the entries after `first` up to `last`, until nobody wants more.
fn hand_out(folder: &DataFolder, first: u64, last: u64, entries: &SyncSender<Result<Vec<Entry>, JournalError>>) {
    let read = || -> Result<(), JournalError> {
        let reader = Reader::open(folder.path())?;
        let mut after = first;
        while after < last {
            let limit = BATCH.min(last - after);
            let mut batch = Vec::with_capacity(usize::try_from(limit).unwrap_or_default());
            reader.replay(after, limit, |entry| -> Result<(), JournalError> {
                batch.push(entry.to_owned());
                Ok(())
            })?;
            let Some(entry) = batch.last() else { break };
            after = entry.sequence;
            if entries.send(Ok(batch)).is_err() {
                break;
            }
        }
        Ok(())
    };
    if let Err(problem) = read() {
        // Who hears it no more has a problem of their own.
        let _ = entries.send(Err(problem));
    }
}

fn decide_all(
    mut state: State,
    reader: &Reader,
    folder: &DataFolder,
    erased: &BTreeSet<u64>,
    read: &Receiver<Result<Vec<Entry>, JournalError>>,
    made: &SyncSender<Vec<Made>>,
    mut progress: impl FnMut(u64),
) -> Result<Replayed, ReplayError> {
    let mut replayed = Replayed::default();
    let mut scorers = Vec::new();
    while let Ok(batch) = read.recv() {
        let mut to_compare = Vec::new();
        for entry in batch? {
            let borrowed = fold::borrowed(&entry);
            let is_erased = entry.personal.is_none() && erased.contains(&entry.sequence);
            let how = if is_erased { How::Remember } else { How::Decide };
            let decision = state.fold(&borrowed, reader, folder, how)?;
            if is_erased && entry.kind == Kind::Decision {
                replayed.not_compared += 1;
            } else if decision.is_some() || entry.kind == Kind::Decision {
                let is_explained = replayed.decisions.is_multiple_of(EXPLAINED_OF);
                replayed.decisions += 1;
                let label = decision.as_ref().map(|decision| &*decision.model_version);
                let scorer = is_explained.then(|| of_model(&mut scorers, &state, label));
                to_compare.push(Made { entry, decision, scorer });
            }
        }
        progress(state.at.sequence);
        if made.send(to_compare).is_err() {
            break;
        }
    }
    Ok(replayed)
}

/// What explains the model that decides now, or its challenger where that is the one named.
fn of_model(known: &mut Vec<Arc<Scorer>>, state: &State, named: Option<&str>) -> Arc<Scorer> {
    let challenger = state.engine.challenger().filter(|model| named == Some(&**model.version()));
    let model = challenger.unwrap_or(state.engine.model());
    if let Some(scorer) = known.iter().find(|scorer| scorer.label() == &**model.version()) {
        return scorer.clone();
    }
    known.truncate(1);
    let scorer = Arc::new(Scorer::new(model.clone()));
    known.insert(0, scorer.clone());
    scorer
}

/// Compares until the first difference; how many were explained.
fn compare_all(to_compare: &Receiver<Vec<Made>>) -> Result<u64, ReplayError> {
    let mut explained = 0;
    for Made { entry, decision, scorer } in to_compare.iter().flatten() {
        let id = || entry.id.clone().unwrap_or_default();
        let sequence = entry.sequence;
        let different = |field: String| ReplayError::Different { sequence, id: id(), field };
        let Some(decision) = decision else { return Err(different("outcome".into())) };
        if let Some(field) = difference(&entry, &decision)? {
            return Err(different(field));
        }
        match scorer.and_then(|scorer| scorer.misses_by(&decision)) {
            Some(rest) if rest > ROUNDING => return Err(ReplayError::Unexplained { sequence, id: id() }),
            Some(_) => explained += 1,
            None => {}
        }
    }
    Ok(explained)
}

/// The first field in which a decision is not the one that its entry records.
fn difference(entry: &Entry, made: &Decision) -> Result<Option<String>, FoldError> {
    let json = record::json(made);
    if is_written_so(&entry.body, &json) {
        return Ok(None);
    }
    // Another version may have written it with more fields.
    let recorded: Decision = fold::body(&fold::borrowed(entry))?;
    let fields = |json: &str| match serde_json::from_str(json) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (recorded, made) = (fields(&record::json(&recorded)), fields(&json));
    let mut names = CAUSES.into_iter().chain(made.keys().chain(recorded.keys()).map(String::as_str));
    let differs = |name: &&str| match (recorded.get(*name), made.get(*name)) {
        (Some(recorded), Some(made)) => !is_same(recorded, made),
        (recorded, made) => recorded.is_some() || made.is_some(),
    };
    Ok(names.find(differs).map(|name| place(name, recorded.get(name), made.get(name))))
}

/// Whether a body is as this program writes it: its transaction, how long it took, and then exactly this decision.
fn is_written_so(body: &str, decision: &str) -> bool {
    let before = || {
        let before = body.strip_suffix(decision.strip_prefix('{')?)?.strip_suffix(',')?;
        let (transaction, latency) = before.strip_prefix("{\"transaction\":")?.rsplit_once(",\"latency_us\":")?;
        latency.bytes().all(|byte| byte.is_ascii_digit()).then_some(transaction)
    };
    before().is_some_and(|transaction| serde_json::from_str::<IgnoredAny>(transaction).is_ok())
}

/// Whether two values are the same to the bit: 0 and -0 are not.
fn is_same(one: &Value, other: &Value) -> bool {
    let [one, other] = [one, other].map(Value::to_string);
    one == other
}

/// A field, and in a list the first place of it that differs.
fn place(name: &str, recorded: Option<&Value>, made: Option<&Value>) -> String {
    let (Some(Value::Array(recorded)), Some(Value::Array(made))) = (recorded, made) else { return name.to_owned() };
    let different = recorded.iter().zip(made).position(|(recorded, made)| !is_same(recorded, made));
    format!("{name}[{}]", different.unwrap_or(recorded.len().min(made.len())))
}
