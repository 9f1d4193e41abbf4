//! What would a model with another definition say? Its features are folded from the journal beside the server; where they have caught up it joins
//! as a shadow, and scores every decision after that one as it comes to stand in the journal.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::model::{self, Model};
use super::shadow::Shadow;
use super::{Models, Problem};
use crate::decisions::desk::{Desk, Phase};
use crate::decisions::fold::{FoldError, ORIGIN, STEP, State};
use crate::decisions::following::{Compared, follow};
use crate::decisions::opening::text;
use crate::decisions::record::{Activated, ModelChange};
use crate::decisions::scorer::Scorer;
use crate::threads::give_way;

/// How often it is looked whether something was decided.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A shadow with a past of its own.
#[derive(Debug)]
pub struct Follower {
    /// Who, and what was found.
    pub shadow: Arc<Shadow>,
    /// The state of its features; none before its thread begins and after it has ended.
    state: Mutex<Option<Box<State>>>,
    /// The last entry that was folded, and the last there was.
    through: AtomicU64,
    of: AtomicU64,
    joined_at: OnceLock<u64>,
    is_over: AtomicBool,
}

impl Follower {
    /// One that has seen nothing.
    pub fn new(model: Arc<Model>) -> Self {
        Self {
            shadow: Arc::new(Shadow::new(model)),
            state: Mutex::default(),
            through: AtomicU64::new(0),
            of: AtomicU64::new(0),
            joined_at: OnceLock::new(),
            is_over: AtomicBool::new(false),
        }
    }

    /// The entry behind which it scores; none while its features have not caught up.
    pub fn joined_at(&self) -> Option<u64> {
        self.joined_at.get().copied()
    }

    /// The last entry that it has folded.
    pub fn through(&self) -> u64 {
        self.through.load(Ordering::Relaxed)
    }

    /// Entries that were folded and those there are, as long as it has not joined.
    pub fn filling(&self) -> Option<(u64, u64)> {
        self.joined_at().is_none().then(|| (self.through(), self.of.load(Ordering::Relaxed)))
    }

    /// Its features as far as they are folded, for a model that is to decide; for a thread that may wait for a step.
    pub fn features(&self) -> Option<Box<State>> {
        self.state().clone()
    }

    /// It is not wanted any more. Its thread frees the state.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// The state of a model whose past is not known yet.
pub fn begun(model: &Model) -> Result<State, Problem> {
    let definition = model.definition.clone().ok_or(Problem::NoDefinition)?;
    let (name, version, sha256) = (model.name.clone(), model.version.clone(), model.sha256.clone());
    let change = ModelChange { change: Activated::Activated, name, version, sha256, by: None };
    State::of(definition, change, model.artifact.clone(), ORIGIN).map_err(|problem| {
        tracing::error!(model = model.name, version = model.version, "a model cannot decide: {problem}");
        Problem::CannotDecide
    })
}

/// Lets it follow the journal, on a thread of its own, until it is ended or nothing is decided any more.
pub fn start(models: &Arc<Models>, desk: &Arc<Desk>, follower: &Arc<Follower>) {
    let (models, desk, ours) = (models.clone(), desk.clone(), follower.clone());
    let on_a_thread = move || {
        give_way();
        let followed = run(&desk, &ours);
        ours.state().take();
        let Model { name, version, .. } = &*ours.shadow.model;
        match followed {
            Err(problem) if !ours.is_over() && !matches!(*desk.phase(), Phase::Stopped { .. }) => {
                tracing::error!(model = name, version, "a shadow follows the journal no longer: {problem}");
                models.end_shadow(&ours);
            }
            _ => tracing::info!(model = name, version, rows = ours.shadow.rows(), "a shadow has ended"),
        }
    };
    if let Err(error) = thread::Builder::new().name("shadow".into()).spawn(on_a_thread) {
        tracing::error!(model = follower.shadow.model.name, "no thread for a shadow to follow the journal on: {error}");
    }
}

fn run(desk: &Desk, follower: &Follower) -> Result<(), String> {
    let state = begun(&follower.shadow.model).map_err(text)?;
    *follower.state() = Some(Box::new(state));
    let mut scorer = None;
    while !follower.is_over() {
        let has_all = match &*desk.phase() {
            Phase::Stopped { .. } => return Ok(()),
            Phase::Opening { .. } => true,
            Phase::Open(_) if follower.joined_at().is_none() => fill(desk, follower).map_err(text)?,
            Phase::Open(_) => compare(desk, follower, &mut scorer).map_err(text)?,
        };
        if has_all {
            thread::sleep(LOOK_INTERVAL);
        }
    }
    Ok(())
}

/// Folds some entries of the past; whether that was all of it, so that the shadow has joined.
fn fill(desk: &Desk, follower: &Follower) -> Result<bool, FoldError> {
    let mut state = follower.state();
    let Some(state) = state.as_mut() else { return Ok(true) };
    let head = desk.read(|reader| Ok(reader.head()?.sequence))?;
    follower.of.store(head, Ordering::Relaxed);
    let before = state.at.sequence;
    if before < head {
        desk.read(|reader| state.fold_some_features(reader, head))?;
        follower.through.store(state.at.sequence, Ordering::Relaxed);
        return Ok(false);
    }
    follower.joined_at.get_or_init(|| before);
    let Model { name, version, .. } = &*follower.shadow.model;
    tracing::info!(
        model = name,
        version,
        entry = before,
        "features have caught up: a shadow scores what is decided from here on"
    );
    Ok(true)
}

/// Scores some entries; whether there were no more. What it says is held against who decided: mostly the same as the last time.
fn compare(desk: &Desk, follower: &Follower, scorer: &mut Option<Arc<Scorer>>) -> Result<bool, FoldError> {
    let mut state = follower.state();
    let Some(state) = state.as_mut() else { return Ok(true) };
    let (folded, compared) = desk.read(|reader| follow(state, reader, STEP))?;
    for Compared { by, recorded, own } in compared {
        if scorer.as_ref().is_none_or(|scorer| scorer.label() != by) {
            *scorer = desk.scorer(&by)?;
        }
        let is_flagged = scorer.as_ref().is_some_and(|scorer| model::flags(scorer.model().artifact(), recorded));
        follower.shadow.compare(own, recorded, is_flagged);
    }
    follower.through.store(state.at.sequence, Ordering::Relaxed);
    Ok(folded < STEP)
}
