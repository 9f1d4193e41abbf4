//! The desk before the owner: what many threads hand in to the one that decides, and what they get back once it is on the disk.

use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use assay_engine::{Model, Policy};
use assay_features::Definition;
use assay_journal::{JournalError, Reader, Readers};
use assay_model::Artifact;
use prometheus::Registry;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};

use super::data_folder::DataFolder;
use super::figures::Figures;
use super::fold::FoldError;
use super::laggards::Laggards;
use super::lookout::Lookout;
use super::opening;
use super::owner::Owner;
use super::record::ModelChange;
use super::scorer::{Scorer, Scorers};
use crate::clock;

/// Requests that may wait for the owner; one more is told that there is too much to do.
const WAITING: usize = 8_192;
/// The owner waits for something to do.
const IDLE: u64 = u64::MAX;

/// Something that the owner does.
pub type Command = Box<dyn FnOnce(&mut Owner) + Send>;

/// Where decisions are asked for.
pub struct Desk {
    commands: mpsc::Sender<Command>,
    phase: ArcSwap<Phase>,
    /// When the owner began with what it has in hand, in microseconds after `origin`.
    began: AtomicU64,
    origin: Instant,
    /// How long it may have it in hand before who comes is turned away.
    patience: Duration,
    /// Somebody wants to know when the owner has stopped.
    stopped: Notify,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What opens readers, from when on there is a journal.
    opener: OnceLock<Readers>,
    readers: Mutex<Vec<Reader>>,
    /// Where everything is kept.
    pub folder: DataFolder,
    /// Models that decided.
    pub scorers: Scorers,
    /// What is counted.
    pub figures: Figures,
    /// Who looks after the model.
    pub lookout: Lookout,
}

/// Where the owner stands.
#[derive(Clone, Debug)]
pub enum Phase {
    /// The journal is folded.
    Opening {
        /// The last entry that was folded.
        done: u64,
        /// The last there is.
        of: u64,
    },
    /// It decides.
    Open(Arc<Open>),
    /// It has stopped.
    Stopped {
        /// Why, unless it was asked to.
        problem: Option<String>,
    },
}

/// What the threads that serve need to know of what decides.
#[derive(Debug)]
pub struct Open {
    /// What a transaction is.
    pub definition: Definition,
    /// The model that decides.
    pub scorer: Arc<Scorer>,
    /// The challenger that decides about a share.
    pub challenger: Option<Arc<Scorer>>,
}

impl Open {
    /// Which of them made a decision under this name, if one of them did.
    pub fn scorer_of(&self, label: &str) -> Option<&Arc<Scorer>> {
        self.challenger.iter().chain([&self.scorer]).find(|scorer| scorer.label() == label)
    }
}

/// Why nothing can be decided now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// The journal is folded still.
    #[error("the journal is being read, {done} of {of} entries so far; GET /ready says when it is done")]
    Opening {
        /// Entries so far.
        done: u64,
        /// Entries in all.
        of: u64,
    },
    /// Too much waits.
    #[error("more decisions are asked for than can be made and written down in time; try again in a second")]
    Busy,
    /// The journal cannot be written.
    #[error("decisions cannot be written down, so none is made; the server stops, and its log says why")]
    Stopped,
}

/// Why a model does not decide.
#[derive(Debug)]
pub enum NotActivated {
    /// It does not say how its features are made.
    NoDefinition,
    /// Its features are other ones, whose past must be folded first.
    OtherDefinition(Box<Definition>),
    /// It does not fit; a sentence.
    Refused(String),
    /// Nothing decides now.
    Unavailable(Unavailable),
}

impl From<Unavailable> for NotActivated {
    fn from(problem: Unavailable) -> Self {
        Self::Unavailable(problem)
    }
}

/// With what a data folder starts.
pub struct Start {
    /// The data folder.
    pub folder: DataFolder,
    /// The model that is active.
    pub model: StartModel,
    /// The challenger, and about how many transactions of a hundred it decides.
    pub rollout: Option<(StartModel, f64)>,
    /// The policy where the journal has none yet.
    pub policy: Option<Policy>,
    /// How long entries are kept, if not for ever.
    pub keep: Option<Duration>,
    /// Who must have read them before.
    pub laggards: Laggards,
    /// Entries between two snapshots.
    pub snapshot_every: NonZeroU64,
    /// How long the owner may be busy with what it has in hand before who comes is turned away.
    pub patience: Duration,
}

/// A model and what it is called.
#[derive(Clone, Debug)]
pub struct StartModel {
    /// What people call it.
    pub name: String,
    /// The first digits of its checksum.
    pub version: String,
    /// The checksum of its file.
    pub sha256: String,
    /// The model.
    pub artifact: Arc<Artifact>,
    /// Where the file is.
    pub path: String,
}

impl Desk {
    /// Starts the owner, which opens the journal first.
    pub fn start(start: Start, registry: &Registry) -> io::Result<Arc<Self>> {
        let (commands, waiting) = mpsc::channel(WAITING);
        let desk = Arc::new(Self {
            commands,
            phase: ArcSwap::from_pointee(Phase::Opening { done: 0, of: 0 }),
            began: AtomicU64::new(IDLE),
            origin: clock::now(),
            patience: start.patience,
            stopped: Notify::new(),
            thread: Mutex::default(),
            opener: OnceLock::new(),
            readers: Mutex::default(),
            folder: start.folder.clone(),
            scorers: Scorers::default(),
            figures: Figures::new(registry),
            lookout: Lookout::new(registry),
        });
        let ours = desk.clone();
        let thread = thread::Builder::new().name("decisions".into()).spawn(move || {
            let ending = Ending(ours.clone());
            match opening::open(&start, &ours).and_then(|owner| owner.run(waiting)) {
                Ok(()) => ours.enter(Phase::Stopped { problem: None }),
                Err(problem) => ours.enter(Phase::Stopped { problem: Some(problem) }),
            }
            drop(ending);
        })?;
        *desk.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(desk)
    }

    /// Where the owner stands.
    pub fn phase(&self) -> Arc<Phase> {
        self.phase.load_full()
    }

    /// What decides now, or why nothing does.
    pub fn open(&self) -> Result<Arc<Open>, Unavailable> {
        match &**self.phase.load() {
            Phase::Open(open) => Ok(open.clone()),
            Phase::Opening { done, of } => Err(Unavailable::Opening { done: *done, of: *of }),
            Phase::Stopped { .. } => Err(Unavailable::Stopped),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(Arc::new(phase));
    }

    /// Lets the owner do `work`, and waits for what it replies: after what it wrote is on the disk.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Owner, Reply<T>) + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(Box::new(move |owner| work(owner, Reply(reply))))?;
        answer.await.map_err(|_| Unavailable::Stopped)
    }

    /// The same for a thread that may wait.
    pub fn ask_waiting<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Owner, Reply<T>) + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(Box::new(move |owner| work(owner, Reply(reply))))?;
        answer.blocking_recv().map_err(|_| Unavailable::Stopped)
    }

    /// Lets a model decide from here on, if its definition is the one that decides; for a thread that may wait for the disk.
    pub fn activate(&self, model: &StartModel, by: Option<String>) -> Result<(), NotActivated> {
        let definition = opening::definition_of(model).map_err(|_| NotActivated::NoDefinition)?;
        let open = self.open()?;
        if definition.text != open.definition.text {
            return Err(NotActivated::OtherDefinition(Box::new(definition)));
        }
        let change = ModelChange { by, ..opening::kept(&self.folder, model).map_err(NotActivated::Refused)? };
        let model = Model::new(&change.label(), model.artifact.clone(), &open.definition.plan);
        let model = model.map_err(|error| NotActivated::Refused(error.to_string()))?;
        self.ask_waiting(move |owner, reply| owner.take_model(model, change, reply))?
            .map_err(|error| NotActivated::Refused(error.to_string()))
    }

    /// Lets a challenger decide about so many transactions of a hundred from here on, if its definition is the one that decides, or nobody any
    /// more; for a thread that may wait for the disk.
    pub fn roll_out(&self, challenger: Option<(&StartModel, f64)>, by: Option<String>) -> Result<(), NotActivated> {
        let open = self.open()?;
        let begin = |(model, percent): (&StartModel, f64)| {
            let definition = opening::definition_of(model).map_err(|_| NotActivated::NoDefinition)?;
            if definition.text != open.definition.text {
                return Err(NotActivated::OtherDefinition(Box::new(definition)));
            }
            opening::begun_rollout(&self.folder, model, percent, by.clone(), &open.definition.plan).map_err(NotActivated::Refused)
        };
        let begun = challenger.map(begin).transpose()?;
        self.ask_waiting(move |owner, reply| owner.roll_out(begun, by, reply))?
            .map_err(|error| NotActivated::Refused(error.to_string()))
    }

    /// Who comes while the disk hangs would wait for longer than a payment can: it is told so at once, and may decide without us.
    fn hand_in(&self, command: Command) -> Result<(), Unavailable> {
        self.open()?;
        if self.since_origin().saturating_sub(self.began.load(Ordering::Relaxed)) > micros(self.patience) {
            return Err(Unavailable::Busy);
        }
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopped,
        })
    }

    /// The owner has something in hand from now on, or nothing any more.
    pub(super) fn is_busy(&self, is_busy: bool) {
        self.began.store(if is_busy { self.since_origin() } else { IDLE }, Ordering::Relaxed);
    }

    fn since_origin(&self) -> u64 {
        micros(clock::now() - self.origin)
    }

    /// Reads the journal beside the owner; for a thread that may wait for the disk.
    pub fn read<T>(&self, read: impl FnOnce(&Reader) -> Result<T, FoldError>) -> Result<T, FoldError> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let another = || self.opener.get().ok_or(JournalError::Stopped)?.open();
        let reader = kept.map_or_else(another, Ok)?;
        let found = read(&reader);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        found
    }

    /// The model that made decisions under this name, if the journal knows it; for a thread that may wait for the disk.
    pub fn scorer(&self, label: &str) -> Result<Option<Arc<Scorer>>, FoldError> {
        self.read(|reader| self.scorers.of(label, reader, &self.folder))
    }

    /// Closes the readers that nobody uses, so that the last one who writes can put the journal in order.
    pub(super) fn close_readers(&self) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// From here on there is a journal to be read.
    pub(super) fn let_read(&self, readers: Readers) {
        let _ = self.opener.set(readers);
    }

    /// The last entry that was written.
    pub fn last_entry(&self) -> u64 {
        self.figures.entries.get().try_into().unwrap_or(0)
    }

    /// Brings the figures up to date that only a look tells.
    pub fn count(&self) {
        let waiting = self.commands.max_capacity() - self.commands.capacity();
        self.figures.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Ready when the owner has stopped by itself.
    pub async fn failed(&self) {
        self.stopped.notified().await;
    }

    /// Ends the owner, which writes its state down, and says why it had stopped before, if it had.
    pub fn finish(&self) -> Option<String> {
        // A queue that is full of what nobody waits for any more ends all the same, as the owner goes on taking from it.
        let mut command: Command = Box::new(Owner::end);
        while !matches!(*self.phase(), Phase::Stopped { .. }) {
            match self.commands.try_send(command) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => break,
                Err(mpsc::error::TrySendError::Full(back)) => command = back,
            }
            thread::sleep(Duration::from_millis(10));
        }
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
        match &*self.phase() {
            Phase::Stopped { problem } => problem.clone(),
            Phase::Opening { .. } | Phase::Open(_) => Some("the thread that decides failed; this is a defect".into()),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What somebody waits for.
pub struct Reply<T>(oneshot::Sender<T>);

impl<T: Send + 'static> Reply<T> {
    /// At once: nothing has to be on the disk for it.
    pub fn send(self, answer: T) {
        let _ = self.0.send(answer);
    }
}

/// Tells who waits for it that the owner has ended, however it did.
struct Ending(Arc<Desk>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            let problem = "the thread that decides failed; this is a defect, and the log says where".to_owned();
            self.0.enter(Phase::Stopped { problem: Some(problem) });
        }
        self.0.stopped.notify_waiters();
        self.0.stopped.notify_one();
    }
}
