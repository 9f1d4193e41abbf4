//! The journal folded into what decides: at a start, beside the server for the next start, to prove what was decided, to try something else.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use assay_domain::decision::Flag;
use assay_domain::{Decision, Outcome, Schema, Value};
use assay_engine::{ApplyError, Engine, Event, Model, ModelError, Policy, Recorded, Refusal, Rollout};
use assay_features::Definition;
use assay_features::plan::Plan;
use assay_journal::{Entry, Head, JournalError, Kind, Reader, Readers};
use assay_model::Artifact;
use assay_monitor::governor;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ahead::{self, Ahead};
use super::data_folder::{DataFolder, FolderError};
use super::governing::Governing;
use super::record::{DefinitionChange, Disposition, Glance, Label, ListEntry, ModelChange, Part, PolicyChange, RolloutChange};
use super::reviews::OpenReviews;
use super::transaction;
use crate::model_file::sha256;

/// What is before the first entry; of it only the sequence is looked at.
pub const ORIGIN: Head = Head { sequence: 0, hash: [0; 32] };
/// Where checkpoints are, in the data folder; each is called after the last entry that it holds.
pub const CHECKPOINTS: &str = "checkpoints";
/// Entries that are read in one go beside a server: as long as a read lasts the write-ahead log cannot be cut, and who gives way to others reads
/// slowly when there is much to write.
pub const STEP: u64 = 500;
/// How a snapshot begins.
const MAGIC: &str = "assay snapshot 1";
/// Bytes that the head of a snapshot may have.
const MAX_HEAD_BYTES: u64 = 1 << 30;

/// Everything that decides, as of an entry of the journal.
#[derive(Clone, Debug)]
pub struct State {
    /// What decides.
    pub engine: Engine,
    /// The model that it decides with.
    pub model: ModelChange,
    /// The challenger that decides about a share.
    pub rollout: Option<RolloutChange>,
    /// What waits for a person.
    pub reviews: OpenReviews,
    /// What holds declines back when there are too many.
    pub governing: Governing,
    /// The last entry that was folded.
    pub at: Head,
    /// A definition whose model is to come in the next entry.
    coming: Option<Definition>,
    /// What the governor did at the last decision that was folded; the next entry is to say so.
    act: Option<governor::Event>,
}

/// How an entry with a decision is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As it was recorded.
    Remember,
    /// Once more, to be held against the record.
    Decide,
}

/// Why the journal cannot be folded.
#[derive(Debug, Error)]
pub enum FoldError {
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A model or a file is not there.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// An entry says something that this program does not understand.
    #[error("entry {sequence} of the journal is not understood: {problem}; was it written by a later version?")]
    Body {
        /// The entry.
        sequence: u64,
        /// What is not understood.
        problem: String,
    },
    /// A change that was made cannot be made again.
    #[error("the change in entry {sequence} of the journal cannot be made again: {problem}")]
    Apply {
        /// The entry.
        sequence: u64,
        /// Why not.
        problem: ApplyError,
    },
    /// A transaction that was decided is refused now.
    #[error("the transaction in entry {sequence} of the journal is refused: {problem}")]
    Refused {
        /// The entry.
        sequence: u64,
        /// Why.
        problem: Refusal,
    },
    /// The governor did something else than was written down.
    #[error("what entry {sequence} of the journal says of the governor is not what came of the decisions before it")]
    Governor {
        /// The entry.
        sequence: u64,
    },
    /// The beginning was cut off, and what stands in its place is gone.
    #[error("the journal begins behind entry {cut}, and there is no state to go on from: {problem}; restore it from a backup")]
    NoCheckpoint {
        /// The last entry that was cut off.
        cut: u64,
        /// What is wrong.
        problem: String,
    },
}

/// What a snapshot says before the engine's own.
#[derive(Serialize, Deserialize)]
struct SnapshotHead {
    at: String,
    definition: String,
    model: ModelChange,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollout: Option<RolloutChange>,
    reviews: OpenReviews,
    #[serde(default)]
    governing: Governing,
}

/// What the entry of a cut says.
#[derive(Deserialize)]
struct CutBody {
    through: u64,
    state: CutState,
}

/// What it says of the state to go on from.
#[derive(Serialize, Deserialize)]
pub struct CutState {
    /// The file of the checkpoint, in the data folder.
    pub checkpoint: String,
}

impl State {
    /// The state before the first entry: with the definition and the model that the journal names first. None while it names none.
    pub fn begin(reader: &Reader, folder: &DataFolder) -> Result<Option<Self>, FoldError> {
        if let Some(cut) = reader.latest(Kind::Cut, u64::MAX, 1)?.pop() {
            return Self::from_checkpoint(&cut, folder).map(Some);
        }
        let Some(entry) = first(reader, Kind::Model)? else { return Ok(None) };
        let model: ModelChange = body(&borrowed(&entry))?;
        // What was imported before the first model may have been described by another definition.
        let Some(described) = reader.latest(Kind::Definition, entry.sequence, 1)?.pop() else {
            return Err(not_understood(entry.sequence, "a model without a definition before it"));
        };
        let definition: DefinitionChange = body(&borrowed(&described))?;
        let definition = parsed(&definition.sql, described.sequence)?;
        Ok(Some(Self::with(definition, model, folder, ORIGIN)?))
    }

    /// With no past yet.
    pub fn with(definition: Definition, model: ModelChange, folder: &DataFolder, at: Head) -> Result<Self, FoldError> {
        let artifact = folder.model(&model)?;
        Self::of(definition, model, artifact, at)
    }

    /// The same with a model that is at hand.
    pub fn of(definition: Definition, model: ModelChange, artifact: Arc<Artifact>, at: Head) -> Result<Self, FoldError> {
        let failed = |problem| FoldError::Apply { sequence: at.sequence, problem };
        let of_engine = Model::new(&model.label(), artifact, &definition.plan).map_err(|error| failed(error.into()))?;
        let engine = Engine::new(definition, &of_engine, Policy::approve_all()).map_err(failed)?;
        let (reviews, governing) = (OpenReviews::default(), Governing::default());
        Ok(Self { engine, model, rollout: None, reviews, governing, at, coming: None, act: None })
    }

    /// The state as of the last entry: from the snapshot where there is a good one, and folded from there; by two threads where there is a
    /// reader for the one that goes `ahead`. `progress` is told the last entry that was folded, and the last there is.
    pub fn open(
        reader: &Reader,
        ahead: Option<&Readers>,
        folder: &DataFolder,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Option<Self>, FoldError> {
        let snapshot = match Self::from_snapshot(&folder.snapshot(), folder) {
            Ok(state) if reader.verify_head(state.at).is_ok() => Some(state),
            Ok(_) => {
                tracing::warn!("the snapshot is of another journal, or of a later state of this one: it is not used");
                None
            }
            Err(problem) => {
                if folder.snapshot().exists() {
                    tracing::warn!("the snapshot is not used: {problem}");
                }
                None
            }
        };
        let Some(mut state) = snapshot.map_or_else(|| Self::begin(reader, folder), |state| Ok(Some(state)))? else {
            return Ok(None);
        };
        let last = reader.head()?.sequence;
        while state.at.sequence < last {
            let after = state.at.sequence;
            progress(after, last);
            if let Some(readers) = ahead {
                state.catch_up_behind(readers.open()?, reader, folder, last, &mut progress)?;
            } else {
                let fold = |entry: &Entry<&str>| state.fold(entry, reader, folder, How::Remember).map(drop);
                reader.replay(after, STEP.min(last - after), fold)?;
            }
            if state.at.sequence == after {
                break;
            }
        }
        progress(state.at.sequence, last);
        Ok(Some(state))
    }

    /// Folds up to `last` what another thread reads, or until transactions have other columns than it knew.
    fn catch_up_behind(
        &mut self,
        ahead: Reader,
        reader: &Reader,
        folder: &DataFolder,
        last: u64,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<(), FoldError> {
        let schema = self.engine.schema().clone();
        ahead::read(ahead, &schema, self.at.sequence, last, |step| {
            for Ahead { entry, said } in step {
                self.fold_said(&borrowed(entry), said.as_ref(), reader, folder, How::Remember)?;
                if entry.kind == Kind::Model && *self.engine.schema() != schema {
                    return Ok(false);
                }
            }
            progress(self.at.sequence, last);
            Ok(true)
        })
    }

    /// Folds the next entry. A decision that is made once more is given back.
    pub fn fold(
        &mut self,
        entry: &Entry<&str>,
        reader: &Reader,
        folder: &DataFolder,
        how: How,
    ) -> Result<Option<Decision>, FoldError> {
        self.fold_said(entry, None, reader, folder, how)
    }

    /// The same with what it says of a transaction, where that is understood already.
    fn fold_said(
        &mut self,
        entry: &Entry<&str>,
        said: Option<&Said>,
        reader: &Reader,
        folder: &DataFolder,
        how: How,
    ) -> Result<Option<Decision>, FoldError> {
        let sequence = entry.sequence;
        let mut made = None;
        let mut act = self.act.take();
        match entry.kind {
            Kind::Transaction | Kind::Decision => made = self.fold_transaction(entry, said, how)?,
            Kind::Label => {
                self.fold_label(entry, reader)?;
            }
            Kind::Disposition => {
                let _: Disposition = body(entry)?;
                self.close_review(entry.id.unwrap_or_default(), reader)?;
            }
            Kind::Definition => {
                let change: DefinitionChange = body(entry)?;
                let is_other = change.sql != self.engine.features().definition().text;
                self.coming = is_other.then(|| parsed(&change.sql, sequence)).transpose()?;
            }
            Kind::Model => {
                let change: ModelChange = body(entry)?;
                match self.coming.take() {
                    Some(definition) => self.take_definition(definition, change, sequence, reader, folder)?,
                    None => self.take_model(change, sequence, folder)?,
                }
            }
            Kind::Rollout => {
                let change: RolloutChange = body(entry)?;
                self.take_rollout(change, sequence, folder)?;
            }
            Kind::Policy => {
                let change: PolicyChange = body(entry)?;
                self.apply_at(sequence, policy_event(change))?;
            }
            Kind::List => {
                let change: ListEntry = body(entry)?;
                self.apply_at(sequence, Event::List(change.list))?;
            }
            Kind::Governor => {
                let event: governor::Event = body(entry)?;
                let done = match &event {
                    governor::Event::Tripped { .. } => act.take(),
                    governor::Event::Released { at, by, .. } => self.governing.release(*at, by),
                };
                if how == How::Decide && done.as_ref() != Some(&event) {
                    return Err(FoldError::Governor { sequence });
                }
                self.governing.follow(&event);
            }
            Kind::Cut => {
                let cut: CutBody = body(entry)?;
                self.reviews.forget(cut.through);
            }
            _ => {}
        }
        if how == How::Decide && act.is_some() {
            return Err(FoldError::Governor { sequence });
        }
        self.at = Head { sequence, hash: entry.hash };
        Ok(made)
    }

    /// The columns of a transaction that was recorded, with the label that came with it.
    pub fn transaction(&self, entry: &Entry<&str>) -> Result<(Vec<Value>, Option<Recorded>), FoldError> {
        let Said { values, recorded, .. } = said(entry, self.engine.schema())?;
        Ok((values, recorded))
    }

    /// Decides about a transaction that arrived then; and what the governor did, if anything.
    pub fn decide(
        &mut self,
        transaction: &[Value],
        id: &str,
        arrived: i64,
    ) -> Result<(Decision, Option<governor::Event>), Refusal> {
        let decision = self.engine.decide(transaction, id, arrived)?;
        let act = self.governing.count(arrived, decision.outcome);
        Ok((self.governed(decision, arrived), act))
    }

    /// The decision as the governor lets it be.
    fn governed(&mut self, mut decision: Decision, arrived: i64) -> Decision {
        let outcome = self.governing.holds(decision.outcome);
        if outcome != decision.outcome {
            let shadow = decision.shadow.as_ref().map(|shadow| shadow.outcome);
            self.engine.correct(&decision, Recorded { arrived, outcome, shadow });
            decision.outcome = outcome;
            decision.flags.push(Flag::Governed);
        }
        decision
    }

    fn fold_transaction(&mut self, entry: &Entry<&str>, read: Option<&Said>, how: How) -> Result<Option<Decision>, FoldError> {
        let sequence = entry.sequence;
        let read = read.map_or_else(|| said(entry, self.engine.schema()).map(Cow::Owned), |read| Ok(Cow::Borrowed(read)))?;
        let Said { values, recorded, asked } = &*read;
        let (recorded, asked) = (*recorded, *asked);
        let refused = |problem| FoldError::Refused { sequence, problem };
        if recorded.is_some_and(|recorded| recorded.outcome == Outcome::Review) {
            self.reviews.open(sequence, entry.id.unwrap_or_default());
        }
        self.act = asked.and_then(|asked| self.governing.count(entry.arrived, asked));
        if let (How::Decide, Some(recorded)) = (how, recorded) {
            let made = self.engine.decide(values, entry.id.unwrap_or_default(), entry.arrived).map_err(refused)?;
            let made = self.governed(made, entry.arrived);
            self.engine.correct(&made, recorded);
            return Ok(Some(made));
        }
        // What was imported by another definition, and this one does not admit, is no transaction to it.
        let is_imported = recorded.is_none();
        self.engine.remember(values, recorded).or_else(|problem| if is_imported { Ok(()) } else { Err(refused(problem)) })?;
        Ok(None)
    }

    /// Gives the transaction of `entry` another label than an earlier entry, if any, gave it.
    pub fn label(&mut self, entry: &Entry, earlier: Option<bool>, fraud: bool) -> Result<(), FoldError> {
        let (mut values, _) = self.transaction(&borrowed(entry))?;
        let schema = self.engine.schema();
        // What another definition admitted need not be a transaction to this one.
        if let Some(label) = schema.label.filter(|_| schema.admit(&values, i64::MAX).is_ok()) {
            if let Some(earlier) = earlier {
                values[label] = Value::Boolean(earlier);
            }
            self.engine.label(&values, Some(fraud));
        }
        self.reviews.close(entry.sequence);
        Ok(())
    }

    pub(super) fn fold_label(&mut self, entry: &Entry<&str>, reader: &Reader) -> Result<(), FoldError> {
        let label: Label = body(entry)?;
        let id = entry.id.unwrap_or_default();
        let Some(labelled) = find(reader, id)? else { return Ok(()) };
        let earlier = last_label(reader, id, entry.sequence)?.map(|earlier| earlier.label.is_fraud());
        self.label(&labelled, earlier, label.label.is_fraud())
    }

    /// Nothing is to be reviewed of the transaction `id` any more.
    pub fn close_review(&mut self, id: &str, reader: &Reader) -> Result<(), FoldError> {
        if let Some(entry) = find(reader, id)? {
            self.reviews.close(entry.sequence);
        }
        Ok(())
    }

    fn take_model(&mut self, change: ModelChange, sequence: u64, folder: &DataFolder) -> Result<(), FoldError> {
        if change.sha256 != self.model.sha256 || change.name != self.model.name {
            let artifact = folder.model(&change)?;
            let model = Model::new(&change.label(), artifact, &self.engine.features().definition().plan);
            let model = model.map_err(|problem| FoldError::Apply { sequence, problem: problem.into() })?;
            self.apply_at(sequence, Event::Model(model))?;
        }
        self.model = change;
        Ok(())
    }

    /// Lets a challenger decide about a share of the transactions from here on, or nobody any more. What the journal is to say of it; nothing
    /// where it was so before.
    pub fn roll_out(
        &mut self,
        begun: Option<(RolloutChange, Rollout)>,
        by: Option<String>,
    ) -> Result<Option<RolloutChange>, ApplyError> {
        let (change, rollout) = begun.unzip();
        let said = match (&change, &self.rollout) {
            (None, None) => return Ok(None),
            (Some(change), Some(before)) if change.is_as(before) => return Ok(None),
            (Some(change), _) => change.clone(),
            (None, Some(before)) => before.ended(by),
        };
        self.apply(Event::Rollout(rollout))?;
        self.rollout = change;
        Ok(Some(said))
    }

    /// Takes a rollout that was written down.
    fn take_rollout(&mut self, change: RolloutChange, sequence: u64, folder: &DataFolder) -> Result<(), FoldError> {
        let failed = |problem| FoldError::Apply { sequence, problem };
        let begun = if change.percent > 0.0 {
            let plan = &self.engine.features().definition().plan;
            let rollout = rollout(&change, folder.model(&change.model)?, plan).map_err(|problem| failed(problem.into()))?;
            Some((change, rollout))
        } else {
            None
        };
        self.roll_out(begun, None).map(drop).map_err(failed)
    }

    /// A model with a definition of its own: its features are folded from the beginning, everything else stays.
    fn take_definition(
        &mut self,
        definition: Definition,
        model: ModelChange,
        sequence: u64,
        reader: &Reader,
        folder: &DataFolder,
    ) -> Result<(), FoldError> {
        let mut other = Self::with(definition, model, folder, ORIGIN)?;
        other.fold_features(reader, sequence)?;
        self.join(other).map_err(|problem| FoldError::Apply { sequence, problem })
    }

    /// Folds transactions and labels alone, up to but without the entry `until`.
    pub fn fold_features(&mut self, reader: &Reader, until: u64) -> Result<(), FoldError> {
        let after = self.at.sequence;
        let fold = |entry: &Entry<&str>| -> Result<(), FoldError> {
            match entry.kind {
                Kind::Transaction | Kind::Decision => {
                    let (values, _) = self.transaction(entry)?;
                    // What the other definition does not admit is no transaction to it.
                    let _ = self.engine.remember(&values, None);
                }
                Kind::Label => self.fold_label(entry, reader)?,
                _ => {}
            }
            self.at = Head { sequence: entry.sequence, hash: entry.hash };
            Ok(())
        };
        reader.replay(after, until.saturating_sub(after + 1), fold)?;
        Ok(())
    }

    /// Folds some transactions and labels more, on the way to the entry `head`, without holding the journal for long.
    pub fn fold_some_features(&mut self, reader: &Reader, head: u64) -> Result<(), FoldError> {
        let before = self.at.sequence;
        self.fold_features(reader, head.min(before + STEP) + 1)?;
        if self.at.sequence == before {
            return Err(JournalError::Damaged { sequence: before + 1, what: "it is missing" }.into());
        }
        Ok(())
    }

    /// Takes the features and the model of `other`, which ends a rollout, and keeps everything else.
    pub fn join(&mut self, other: Self) -> Result<(), ApplyError> {
        let mut engine = other.engine;
        engine.take_over(&mut self.engine)?;
        self.engine = engine;
        self.model = other.model;
        self.rollout = None;
        Ok(())
    }

    /// Makes a change, all of it or none.
    pub fn apply(&mut self, event: Event) -> Result<(), ApplyError> {
        let is_policy = matches!(event, Event::Policy(_));
        self.engine.apply(event)?;
        if is_policy {
            let obeyed = self.governing.obey(self.engine.policy());
            debug_assert!(obeyed.is_ok(), "a policy that was checked has limits of a governor");
        }
        Ok(())
    }

    fn apply_at(&mut self, sequence: u64, event: Event) -> Result<(), FoldError> {
        self.apply(event).map_err(|problem| FoldError::Apply { sequence, problem })
    }

    /// Writes the state down, to appear whole at `path`; gives the checksum of the file's head.
    pub fn write_snapshot(&self, folder: &DataFolder, path: &Path) -> Result<(), FoldError> {
        let head = SnapshotHead {
            at: self.at.to_string(),
            definition: self.engine.features().definition().text.clone(),
            model: self.model.clone(),
            rollout: self.rollout.clone(),
            reviews: self.reviews.clone(),
            governing: self.governing.clone(),
        };
        folder.write(path, |file| {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            let head = serde_json::to_vec(&head)?;
            writeln!(out, "{MAGIC} {}", sha256(&head))?;
            out.write_all(&head)?;
            out.write_all(b"\n")?;
            self.engine.write_snapshot(&mut out)?;
            out.flush()
        })?;
        Ok(())
    }

    /// The state that the snapshot of a folder holds; the problem is a sentence.
    pub fn of_snapshot(folder: &DataFolder) -> Result<Self, String> {
        Self::from_snapshot(&folder.snapshot(), folder)
    }

    fn from_snapshot(path: &Path, folder: &DataFolder) -> Result<Self, String> {
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let mut input = BufReader::with_capacity(1 << 20, file);
        let (magic, head) = (line(&mut input)?, line(&mut input)?);
        if magic.trim_ascii_end() != format!("{MAGIC} {}", sha256(head.trim_ascii_end())).as_bytes() {
            return Err("it is damaged, or of another version".into());
        }
        let head: SnapshotHead = serde_json::from_slice(&head).map_err(|_| "its head is not understood".to_owned())?;
        let at = head.at.parse().map_err(|_| "its place in the journal is none".to_owned())?;
        let definition = parsed(&head.definition, 0).map_err(|error| error.to_string())?;
        let artifact = folder.model(&head.model).map_err(|error| error.to_string())?;
        let model = Model::new(&head.model.label(), artifact, &definition.plan).map_err(|error| error.to_string())?;
        let engine = Engine::from_snapshot(definition, &model, &mut input).map_err(|error| error.to_string())?;
        let SnapshotHead { model, rollout, reviews, governing, .. } = head;
        let mut state = Self { engine, model, rollout: None, reviews, governing, at, coming: None, act: None };
        if let Some(change) = rollout {
            state.take_rollout(change, at.sequence, folder).map_err(|error| error.to_string())?;
        }
        Ok(state)
    }

    /// The state that a cut left to go on from.
    pub fn from_checkpoint(cut: &Entry, folder: &DataFolder) -> Result<Self, FoldError> {
        let CutBody { through, state } =
            serde_json::from_str(&cut.body).map_err(|_| not_understood(cut.sequence, "what it says of its state"))?;
        let gone = |problem: String| FoldError::NoCheckpoint { cut: through, problem };
        let found = Self::from_snapshot(&folder.path().join(state.checkpoint), folder).map_err(gone)?;
        if found.at.sequence == through { Ok(found) } else { Err(gone("it is of another entry".into())) }
    }
}

/// The entry that has the transaction `id`.
pub fn find(reader: &Reader, id: &str) -> Result<Option<Entry>, JournalError> {
    match reader.find(Kind::Decision, id)? {
        Some(entry) => Ok(Some(entry)),
        None => reader.find(Kind::Transaction, id),
    }
}

/// What the labels before an entry said last of a transaction.
pub fn last_label(reader: &Reader, id: &str, before: u64) -> Result<Option<Label>, FoldError> {
    let labels = reader.labels_of(id)?;
    let last = labels.iter().rev().find(|entry| entry.sequence < before);
    last.map(|entry| body(&borrowed(entry))).transpose()
}

/// What the policy asked for where this came of it.
pub fn asked_for(outcome: Outcome, flags: &[Flag]) -> Outcome {
    if flags.contains(&Flag::Governed) { Outcome::Decline } else { outcome }
}

/// What an entry says of its transaction.
#[derive(Clone)]
pub struct Said {
    values: Vec<Value>,
    recorded: Option<Recorded>,
    /// What the policy asked for.
    asked: Option<Outcome>,
}

/// Reads it by a definition's columns.
pub fn said(entry: &Entry<&str>, schema: &Schema) -> Result<Said, FoldError> {
    let Glance { transaction, outcome, shadow, flags, .. } = body(entry)?;
    let values = transaction::recorded(transaction.get(), entry.personal, schema)
        .ok_or_else(|| not_understood(entry.sequence, "its transaction"))?;
    let shadow = shadow.map(|shadow| shadow.outcome);
    let recorded = outcome.map(|outcome| Recorded { arrived: entry.arrived, outcome, shadow });
    Ok(Said { values, recorded, asked: outcome.map(|outcome| asked_for(outcome, &flags)) })
}

/// What a body says.
pub fn body<'a, T: Deserialize<'a>>(entry: &Entry<&'a str>) -> Result<T, FoldError> {
    serde_json::from_str(entry.body).map_err(|_| not_understood(entry.sequence, "its body"))
}

/// An entry for a moment.
pub fn borrowed(entry: &Entry) -> Entry<&str> {
    Entry {
        sequence: entry.sequence,
        kind: entry.kind,
        id: entry.id.as_deref(),
        arrived: entry.arrived,
        body: &entry.body,
        personal: entry.personal.as_deref(),
        hash: entry.hash,
    }
}

/// What a challenger and its share are to an engine.
pub fn rollout(change: &RolloutChange, artifact: Arc<Artifact>, plan: &Plan) -> Result<Rollout, ModelError> {
    Ok(Rollout { model: Model::new(&change.model.label(), artifact, plan)?, share: change.percent / 100.0 })
}

/// What a change of policies does to an engine.
pub fn policy_event(change: PolicyChange) -> Event {
    match (change.part, change.policy) {
        (Part::Live, Some(policy)) => Event::Policy(policy),
        (Part::Live, None) => Event::Policy(Policy::approve_all()),
        (Part::Shadow, policy) => Event::ShadowPolicy(policy),
    }
}

fn not_understood(sequence: u64, what: &str) -> FoldError {
    FoldError::Body { sequence, problem: format!("{what} is none that this program knows") }
}

fn first(reader: &Reader, kind: Kind) -> Result<Option<Entry>, JournalError> {
    let mut found = None;
    reader.replay_kind(kind, 0, 1, |entry| -> Result<(), JournalError> {
        found = Some(entry.to_owned());
        Ok(())
    })?;
    Ok(found)
}

/// A definition that is written down.
pub fn parsed(sql: &str, sequence: u64) -> Result<Definition, FoldError> {
    Definition::parse(sql, "the definition").map_err(|error| FoldError::Body { sequence, problem: error.to_string() })
}

fn line(input: &mut impl BufRead) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    input.take(MAX_HEAD_BYTES).read_until(b'\n', &mut bytes).map_err(|error: io::Error| error.to_string())?;
    Ok(bytes)
}
