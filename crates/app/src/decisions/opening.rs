//! How a data folder is opened: the journal read and folded, and the first entries of a new one written.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use assay_domain::Outcome;
use assay_engine::policy::{ScoreKind, Step, Thresholds};
use assay_engine::{Event, Model, Policy, Rollout};
use assay_features::Definition;
use assay_features::plan::Plan;
use assay_journal::{Journal, JournalError, Kind, NewEntry, Reader};

use super::data_folder::DataFolder;
use super::desk::{Desk, Open, Phase, Start, StartModel};
use super::fold::{self, ORIGIN, STEP, State};
use super::owner::Owner;
use super::record::{self, Activated, DefinitionChange, ModelChange, Part, PolicyChange, RolloutChange};
use super::scorer::Scorer;
use super::{lookout, retention, snapshots};
use crate::clock;
use crate::model_file::sha256;

/// How long a start waits for the process before it to let go of the journal.
const HANDOVER: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Opens the journal and folds it, so that an owner can go on; the problem is a sentence.
pub fn open(start: &Start, desk: &Arc<Desk>) -> Result<Owner, String> {
    let mut journal = opened(&start.folder)?;
    if journal.torn_bytes() > 0 {
        tracing::warn!(
            bytes = journal.torn_bytes(),
            "the last group of the journal was cut short and is dropped, as the process before ended in its midst; nobody was told of it"
        );
    }
    let reader = journal.reader().map_err(text)?;
    let change = kept(&start.folder, &start.model)?;
    let definition = definition_of(&start.model)?;
    start.folder.take_leftovers_away().map_err(text)?;
    let began = clock::now();
    let mut held = None;
    let mut progress = |done, of| {
        // What is told first is what the snapshot held.
        held.get_or_insert(done);
        desk.enter(Phase::Opening { done, of });
    };
    let mut state = match State::open(&reader, Some(&journal.readers()), &start.folder, &mut progress).map_err(text)? {
        Some(state) => activated(state, &mut journal, start, change, definition, &mut progress)?,
        None => begun(&mut journal, start, &change, definition, &mut progress)?,
    };
    rolled_out(&mut state, &mut journal, start)?;
    tracing::info!(
        folder = %start.folder.path().display(),
        entries = state.at.sequence,
        seconds = (clock::now() - began).as_secs_f64(),
        model = state.model.label(),
        policy = state.engine.policy().version,
        "the journal is open"
    );
    desk.let_read(journal.readers());
    let every = start.snapshot_every.get();
    let mut held = held.unwrap_or(0);
    if state.at.sequence >= held.saturating_add(every) {
        // The state is here: nobody need fold all of that again.
        match state.write_snapshot(&start.folder, &start.folder.snapshot()) {
            Ok(()) => held = state.at.sequence,
            Err(problem) => tracing::warn!("no snapshot could be written, the next start takes as long: {problem}"),
        }
    }
    snapshots::start(Arc::downgrade(desk), held, every).map_err(text)?;
    lookout::start(Arc::downgrade(desk), journal.reader().map_err(text)?).map_err(text)?;
    if let Some(keep) = start.keep {
        retention::start(Arc::downgrade(desk), keep, start.laggards.clone()).map_err(text)?;
    }
    let owner = Owner::new(journal, state, desk.clone());
    owner.publish();
    Ok(owner)
}

/// The journal, as soon as the process before this one has let go of it.
fn opened(folder: &DataFolder) -> Result<Journal, String> {
    let until = clock::now() + HANDOVER;
    let mut told = false;
    loop {
        match Journal::open(folder.path()) {
            Err(JournalError::Open { .. }) if clock::now() < until => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!("another process has the journal; this one waits for it to end");
                }
                thread::sleep(LOOK_INTERVAL);
            }
            opened => return opened.map_err(text),
        }
    }
}

/// A model whose file is in the data folder from here on; the problem is a sentence.
pub fn kept(folder: &DataFolder, model: &StartModel) -> Result<ModelChange, String> {
    let bytes = fs::read(&model.path).map_err(|error| format!("cannot read the model {}: {error}", model.path))?;
    let sha256 = sha256(&bytes);
    if sha256 != model.sha256 {
        return Err(format!("the model {} was changed while it was read; try again", model.path));
    }
    folder.keep_model(&sha256, &bytes).map_err(text)?;
    Ok(ModelChange { change: Activated::Activated, name: model.name.clone(), version: model.version.clone(), sha256, by: None })
}

/// The definition that a model brings.
pub fn definition_of(model: &StartModel) -> Result<Definition, String> {
    let sql = model.artifact.manifest().definition.as_ref().ok_or_else(|| {
        format!(
            "the model {} does not say how its features are made of transactions, so that it can score rows but decide nothing; \
             train one with `assay train --definition`",
            model.path
        )
    })?;
    Definition::parse(sql, "the model's definition").map_err(text)
}

/// A new journal: what a transaction is, which model decides, by which policy.
fn begun(
    journal: &mut Journal,
    start: &Start,
    change: &ModelChange,
    definition: Definition,
    progress: &mut impl FnMut(u64, u64),
) -> Result<State, String> {
    let policy = start.policy.clone().unwrap_or_else(|| policy_of(&start.model));
    let mut state = State::with(definition, change.clone(), &start.folder, ORIGIN).map_err(text)?;
    // What was imported before belongs to the past of every feature.
    let reader = journal.reader().map_err(text)?;
    fold_past(&mut state, &reader, progress)?;
    state.apply(Event::Policy(policy.clone())).map_err(text)?;
    let known = reader.latest(Kind::Definition, u64::MAX, 1).map_err(text)?.pop();
    let described = record::json(&DefinitionChange { sql: state.engine.features().definition().text.clone() });
    let is_new = known.is_none_or(|entry| entry.body != described);
    let (label, model) = (change.label(), record::json(change));
    let policy = record::json(&PolicyChange { part: Part::Live, policy: Some(policy), by: None });
    let arrived = clock::microseconds();
    let entry = |kind, id, body| NewEntry { kind, id, arrived, body, personal: None };
    let mut entries = Vec::new();
    if is_new {
        entries.push(entry(Kind::Definition, None, &*described));
    }
    entries.extend([entry(Kind::Model, Some(&*label), &*model), entry(Kind::Policy, None, &*policy)]);
    journal.append(&entries).map_err(text)?;
    state.at = journal.head();
    Ok(state)
}

/// The state with the model that was asked for, if it was another that decided last.
fn activated(
    mut state: State,
    journal: &mut Journal,
    start: &Start,
    change: ModelChange,
    definition: Definition,
    progress: &mut impl FnMut(u64, u64),
) -> Result<State, String> {
    if change.sha256 == state.model.sha256 && change.name == state.model.name {
        return Ok(state);
    }
    let is_other = definition.text != state.engine.features().definition().text;
    let described = record::json(&DefinitionChange { sql: definition.text.clone() });
    let (label, model) = (change.label(), record::json(&change));
    // One that is to go on is begun again beside the other model.
    let ended = state.roll_out(None, None).map_err(text)?.map(|ended| (ended.model.label(), record::json(&ended)));
    let arrived = clock::microseconds();
    let entry = |kind, id, body| NewEntry { kind, id, arrived, body, personal: None };
    let mut entries = Vec::new();
    entries.extend(ended.iter().map(|(label, body)| entry(Kind::Rollout, Some(&**label), &**body)));
    if is_other {
        entries.push(entry(Kind::Definition, None, &*described));
    }
    entries.push(entry(Kind::Model, Some(&*label), &*model));
    let reader = journal.reader().map_err(text)?;
    if is_other {
        let mut other = State::with(definition, change, &start.folder, ORIGIN).map_err(text)?;
        fold_past(&mut other, &reader, progress)?;
        state.join(other).map_err(text)?;
    } else {
        let plan = &state.engine.features().definition().plan;
        let model = Model::new(&label, start.model.artifact.clone(), plan).map_err(text)?;
        state.engine.apply(Event::Model(model)).map_err(text)?;
        state.model = change;
    }
    journal.append(&entries).map_err(text)?;
    state.at = journal.head();
    Ok(state)
}

/// Lets the challenger that was asked for decide about its share, if another did last or none.
fn rolled_out(state: &mut State, journal: &mut Journal, start: &Start) -> Result<(), String> {
    let plan = &state.engine.features().definition().plan;
    let begin = |(model, percent): &(StartModel, f64)| begun_rollout(&start.folder, model, *percent, None, plan);
    let begun = start.rollout.as_ref().map(begin).transpose()?;
    let Some(change) = state.roll_out(begun, None).map_err(text)? else { return Ok(()) };
    let (label, body) = (change.model.label(), record::json(&change));
    let arrived = clock::microseconds();
    journal.append(&[NewEntry { kind: Kind::Rollout, id: Some(&label), arrived, body: &body, personal: None }]).map_err(text)?;
    state.at = journal.head();
    Ok(())
}

/// A challenger whose file is in the data folder from here on; the problem is a sentence.
pub fn begun_rollout(
    folder: &DataFolder,
    model: &StartModel,
    percent: f64,
    by: Option<String>,
    plan: &Plan,
) -> Result<(RolloutChange, Rollout), String> {
    let change = RolloutChange { model: ModelChange { change: Activated::RolledOut, by, ..kept(folder, model)? }, percent };
    let rollout = fold::rollout(&change, model.artifact.clone(), plan).map_err(text)?;
    Ok((change, rollout))
}

/// Folds what the journal has of the past of features, step by step, so that whoever asks is told how far it is.
fn fold_past(state: &mut State, reader: &Reader, progress: &mut impl FnMut(u64, u64)) -> Result<(), String> {
    let last = reader.head().map_err(text)?.sequence;
    while state.at.sequence < last {
        let after = state.at.sequence;
        progress(after, last);
        state.fold_features(reader, after.saturating_add(STEP + 1)).map_err(text)?;
        if state.at.sequence == after {
            break;
        }
    }
    Ok(())
}

/// What is done with whom before anybody has said so: what the model flags is reviewed.
fn policy_of(model: &StartModel) -> Policy {
    let from = model.artifact.manifest().threshold.probability;
    let step = Step { from, outcome: Outcome::Review };
    let thresholds = (from > 0.0 && from <= 1.0).then(|| Thresholds { on: ScoreKind::Probability, steps: vec![step] });
    Policy { version: "from-the-model".into(), thresholds, safe_outcome: Outcome::Review, ..Policy::approve_all() }
}

/// What the threads that serve are told of a state.
pub fn open_of(state: &State) -> Open {
    let definition = state.engine.features().definition().clone();
    let scorer = |model: &Model| Arc::new(Scorer::new(model.clone()));
    Open { definition, scorer: scorer(state.engine.model()), challenger: state.engine.challenger().map(scorer) }
}

/// A problem as its sentence.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
pub fn text(problem: impl ToString) -> String {
    problem.to_string()
}
