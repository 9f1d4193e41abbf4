//! A model that decides by another definition: its features are folded from the journal beside the server, and take over where they have caught up.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use assay_features::Definition;

use super::follower::Follower;
use super::{Model, Models, Problem};
use crate::decisions::desk::Desk;
use crate::decisions::fold::{ORIGIN, State};
use crate::decisions::opening::{kept, text};
use crate::decisions::record::ModelChange;
use crate::model_folder::Named;
use crate::threads::give_way;

/// Entries that the one who decides folds itself: so few that nobody notices.
const NEAR: u64 = 500;

/// What is filled now, if anything is.
#[derive(Debug, Default)]
pub struct Filling(Mutex<Option<Arc<Progress>>>);

/// How far a model has got.
#[derive(Debug)]
pub struct Progress {
    /// The model.
    pub model: Named,
    done: AtomicU64,
    of: AtomicU64,
    is_over: AtomicBool,
}

impl Filling {
    /// The model that is being filled.
    pub fn now(&self) -> Option<Arc<Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|progress| !progress.is_over.load(Ordering::Relaxed))
    }

    /// Nothing is to be filled any more.
    pub fn end(&self) {
        if let Some(progress) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            progress.is_over.store(true, Ordering::Relaxed);
        }
    }

    fn begin(&self, model: &Model) -> Arc<Progress> {
        let (done, of, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let progress = Arc::new(Progress { model: model.named(), done, of, is_over });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
        progress
    }
}

impl Progress {
    /// Entries that were folded, and those there are.
    pub fn entries(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }
}

/// Begins to fill `model` on a thread of its own, for the holder of a key.
pub fn start(
    models: &Arc<Models>,
    desk: &Arc<Desk>,
    model: &Arc<Model>,
    definition: Definition,
    by: Option<String>,
) -> Result<(), Problem> {
    let progress = models.filling.begin(model);
    let follower = models.now().follower(model).cloned();
    let (models, desk, model) = (models.clone(), desk.clone(), model.clone());
    let fill = move || {
        give_way();
        let filled = filled(&desk, &model, definition, by, follower.as_deref(), &progress).and_then(|state| match state {
            Some(state) => joined(&models, &desk, &model, state, &progress),
            None => Ok(false),
        });
        match filled {
            Ok(true) => tracing::info!(model = model.name, version = model.version, "features have caught up: the model decides"),
            Ok(false) => tracing::info!(model = model.name, version = model.version, "another model was activated meanwhile"),
            Err(problem) => tracing::error!(model = model.name, version = model.version, "the model does not decide: {problem}"),
        }
        progress.is_over.store(true, Ordering::Relaxed);
    };
    thread::Builder::new().name("filling".into()).spawn(fill).map(drop).map_err(|error: io::Error| {
        tracing::error!("no thread to fold features on: {error}");
        Problem::CannotDecide
    })
}

/// A state whose features have caught up but for a few entries; none when it is not wanted any more.
fn filled(
    desk: &Desk,
    model: &Model,
    definition: Definition,
    by: Option<String>,
    follower: Option<&Follower>,
    progress: &Progress,
) -> Result<Option<Box<State>>, String> {
    let change = ModelChange { by, ..kept(&desk.folder, &model.start())? };
    // A shadow that follows the journal has folded most of it, or all.
    let mut state = match follower.and_then(Follower::features) {
        Some(mut state) => {
            state.model = change;
            state
        }
        None => Box::new(State::with(definition, change, &desk.folder, ORIGIN).map_err(text)?),
    };
    loop {
        let head = desk.read(|reader| Ok(reader.head()?.sequence)).map_err(text)?;
        progress.done.store(state.at.sequence, Ordering::Relaxed);
        progress.of.store(head, Ordering::Relaxed);
        if progress.is_over.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if head.saturating_sub(state.at.sequence) <= NEAR {
            return Ok(Some(state));
        }
        desk.read(|reader| state.fold_some_features(reader, head)).map_err(text)?;
    }
}

/// Lets the state take over, and shows the model as active; whether it was still wanted.
fn joined(models: &Arc<Models>, desk: &Desk, model: &Model, state: Box<State>, progress: &Progress) -> Result<bool, String> {
    // From here on no other model is activated before this one is.
    let mut book = models.book();
    if progress.is_over.load(Ordering::Relaxed) {
        return Ok(false);
    }
    let becomes = book.activated(&model.name).map_err(text)?;
    desk.ask_waiting(move |owner, reply| owner.join(state, reply)).map_err(text)??;
    models.settle(&mut book, becomes).map_err(text)?;
    Ok(true)
}
