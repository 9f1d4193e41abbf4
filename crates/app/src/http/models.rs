//! Which models are here, and which of them scores?
//!
//! Requests read the [`Lineup`] of a moment without a lock; changes are made beside them, in the [`book`], and become visible all at once.
//! What is decided is written down in the folder before it is done. The [`loader`] reads files on a thread of its own.

mod book;
mod figures;
mod filling;
mod follower;
mod lineup;
mod loader;
pub mod management;
mod model;
mod opening;
mod problem;
mod reason;
mod rollout;
mod shadow;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use arc_swap::{ArcSwap, Guard};
use prometheus::Registry;

use book::Book;
use figures::Figures;
use filling::Filling;
use follower::Follower;
use loader::Upload;
use shadow::Queue;

use crate::decisions::desk::{Desk, NotActivated};
use crate::model_folder::{FolderError, ModelFolder, RolloutState, State};
use crate::threads::give_way;

pub use lineup::Lineup;
pub use model::Model;
pub use opening::{ModelArguments, OpenError, Opened, open};
pub use problem::Problem;

/// The models of a server.
pub struct Models {
    now: ArcSwap<Lineup>,
    book: Mutex<Book>,
    /// Lineups that some request may still hold. Kept so that no request has to free a model.
    retired: Mutex<Vec<Arc<Lineup>>>,
    folder: Option<Arc<ModelFolder>>,
    limits: ModelArguments,
    figures: Figures,
    /// Where decisions are made, by the active model.
    decisions: Option<Arc<Desk>>,
    filling: Filling,
    shadows: Queue,
    uploads: SyncSender<Upload>,
    is_uploading: AtomicBool,
}

impl Models {
    /// Begins with what was opened, and counts in `registry`.
    pub fn start(opened: Opened, decisions: Option<Arc<Desk>>, registry: Registry) -> io::Result<Arc<Self>> {
        let Opened { book, folder, limits } = opened;
        let figures = Figures::new(registry);
        let lineup = book.lineup(None);
        figures.follow(None, &lineup);
        let (uploads, waiting) = sync_channel(1);
        let models = Arc::new(Self {
            now: ArcSwap::from_pointee(lineup),
            book: Mutex::new(book),
            retired: Mutex::default(),
            folder: folder.map(Arc::new),
            limits,
            decisions,
            filling: Filling::default(),
            shadows: Queue::start(figures.dropped.clone())?,
            figures,
            uploads,
            is_uploading: AtomicBool::new(false),
        });
        models.follow(None, &models.now());
        if let Some(folder) = models.folder.clone() {
            let models = models.clone();
            thread::Builder::new().name("models".into()).spawn(move || {
                give_way();
                loader::run(&models, &folder, &waiting);
            })?;
        }
        Ok(models)
    }

    /// The models of this moment, for one request from its first value to its answer; not to be held while waiting.
    pub fn now(&self) -> Guard<Arc<Lineup>> {
        self.now.load()
    }

    /// Counts an answer of `by`, and lets the shadows score its rows when they get to it. Only answers to requests that name no model:
    /// shadows take the rows of the active one.
    pub fn answered(&self, lineup: &Arc<Lineup>, by: &Arc<Model>, rows: &[f64], probabilities: &[f64]) {
        by.requests.inc();
        if !lineup.shadows.is_empty() {
            self.shadows.add(lineup, by, rows, probabilities);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Whoever failed holding it had changed nothing: a state is put in its place whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what `decide` made of the book, and does it, for the holder of a key. May wait for the disk. A model that would decide by
    /// another definition is active once its features have caught up.
    fn change(
        self: &Arc<Self>,
        by: Option<String>,
        decide: impl FnOnce(&Book) -> Result<State, Problem>,
    ) -> Result<Changed, Problem> {
        let mut book = self.book();
        let state = decide(&book)?;
        if let Some(desk) = self.decisions.as_ref().filter(|_| state.active != book.state.active) {
            let model = book.loaded(&state.active.name)?.clone();
            // Whatever was to become active before is not any more.
            self.filling.end();
            match desk.activate(&model.start(), by.clone()) {
                Ok(()) => {}
                Err(NotActivated::OtherDefinition(definition)) => {
                    filling::start(self, desk, &model, *definition, by)?;
                    return Ok(Changed::Filling);
                }
                Err(problem) => return Err(not_activated(problem)),
            }
        }
        self.settle_rollout(&mut book, state, by)?;
        Ok(Changed::Done)
    }

    /// The same as to settle, with the challenger of decisions: the journal says it first.
    fn settle_rollout(self: &Arc<Self>, book: &mut Book, state: State, by: Option<String>) -> Result<(), Problem> {
        let Some(desk) = self.decisions.as_ref().filter(|_| state.rollout != book.state.rollout) else {
            return self.settle(book, state);
        };
        roll_out(desk, book, &state, by.clone())?;
        self.settle(book, state).inspect_err(|_| {
            if let Err(problem) = roll_out(desk, book, &book.state, by) {
                tracing::error!("a rollout that was not written down goes on among decisions: {problem}");
            }
        })
    }

    fn settle(self: &Arc<Self>, book: &mut Book, state: State) -> Result<(), Problem> {
        if state == book.state {
            return Ok(());
        }
        if let Some(folder) = &self.folder {
            folder.write(&state).map_err(|error| not_written(&error))?;
        }
        let before = std::mem::replace(&mut book.state, state);
        let ended: Vec<&str> = before
            .in_use()
            .filter(|named| !book.state.in_use().any(|now| now == *named))
            .map(|named| named.name.as_str())
            .collect();
        let rollout = book.state.rollout.as_ref().map(|rollout| (rollout.model.name.as_str(), rollout.percent));
        tracing::info!(
            model = book.state.active.name,
            version = book.state.active.version,
            before = before.active.name,
            shadows = book.state.shadows.len(),
            ?rollout,
            ?ended,
            "the models were changed"
        );
        self.publish(book);
        Ok(())
    }

    /// Shows requests what the book says.
    fn publish(self: &Arc<Self>, book: &Book) {
        let before = self.now.load_full();
        let lineup = book.lineup(Some(&before));
        self.figures.follow(Some(&before), &lineup);
        self.follow(Some(&before), &lineup);
        self.now.store(Arc::new(lineup));
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(before);
    }

    /// Lets shadows with a past of their own begin and end.
    fn follow(self: &Arc<Self>, before: Option<&Lineup>, now: &Lineup) {
        let known = before.map_or(&[][..], |before| &before.followers);
        let is_among = |all: &[Arc<Follower>], one: &Arc<Follower>| all.iter().any(|other| Arc::ptr_eq(other, one));
        for gone in known.iter().filter(|follower| !is_among(&now.followers, follower)) {
            gone.end();
        }
        for new in now.followers.iter().filter(|follower| !is_among(known, follower)) {
            if let Some(desk) = &self.decisions {
                follower::start(self, desk, new);
            }
        }
    }

    /// Ends a shadow that cannot go on, if it still is one.
    fn end_shadow(self: &Arc<Self>, follower: &Arc<Follower>) {
        let mut book = self.book();
        let model = &follower.shadow.model;
        if !self.now().follower(model).is_some_and(|known| Arc::ptr_eq(known, follower)) {
            return;
        }
        if let Err(problem) = book.shadowed(&model.name, false).and_then(|state| self.settle(&mut book, state)) {
            tracing::error!(model = model.name, "a shadow that has ended is still written down as one: {problem}");
        }
    }

    /// Frees the models of lineups that no request holds any more.
    fn free_retired(&self) {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).retain(|lineup| Arc::strong_count(lineup) > 1);
    }

    /// Whether one more may be loaded.
    fn room(&self) -> Result<(), Problem> {
        let limit = self.limits.count.get();
        if self.book().loaded_count() < limit { Ok(()) } else { Err(Problem::TooMany { limit }) }
    }

    /// The right to upload, if nobody else does.
    fn begin_upload(self: &Arc<Self>) -> Option<Uploading> {
        (!self.is_uploading.swap(true, Ordering::Acquire)).then(|| Uploading(self.clone()))
    }
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changed {
    /// It is made.
    Done,
    /// It is made once features have caught up.
    Filling,
}

/// Lets the challenger of `state` decide about its share, or nobody.
fn roll_out(desk: &Desk, book: &Book, state: &State, by: Option<String>) -> Result<(), Problem> {
    let challenger = |rollout: &RolloutState| Ok::<_, Problem>((book.loaded(&rollout.model.name)?.start(), rollout.percent));
    let challenger = state.rollout.as_ref().map(challenger).transpose()?;
    let named = challenger.as_ref().map(|(model, percent)| (model, *percent));
    desk.roll_out(named, by).map_err(|problem| match problem {
        NotActivated::OtherDefinition(_) => Problem::OtherRows,
        problem => not_activated(problem),
    })
}

/// Says in the log what the answer does not.
fn not_activated(problem: NotActivated) -> Problem {
    match problem {
        NotActivated::NoDefinition => Problem::NoDefinition,
        NotActivated::Unavailable(problem) => problem.into(),
        NotActivated::Refused(problem) => {
            tracing::error!("a model cannot decide: {problem}");
            Problem::CannotDecide
        }
        NotActivated::OtherDefinition(_) => Problem::CannotDecide,
    }
}

/// Says in the log what the answer does not: where the folder is.
fn not_written(error: &FolderError) -> Problem {
    tracing::error!("{error}");
    Problem::NotWritten
}

/// One upload under way; another may begin when it is dropped.
struct Uploading(Arc<Models>);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.is_uploading.store(false, Ordering::Release);
    }
}
