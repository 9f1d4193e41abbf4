//! The whole server: a thread per core, each with a listener of its own, and the signals that end them.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use std::{io, net};

use assay_engine::Policy;
use prometheus::IntGauge;
use thiserror::Error;
use tokio::runtime::{self, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};

use super::cors::{AllowedOrigins, OriginError};
use super::guard::{Access, Guard};
use super::lifecycle::Lifecycle;
use super::limits::{Limits, REFUSED_CONNECTIONS};
use super::listener::{ListenError, listen, shared};
use super::metrics::Metrics;
use super::models::{Models, Opened};
use super::tls::{Tls, TlsFiles};
use super::worker;
use crate::clock;
use crate::decisions::data_folder::DataFolder;
use crate::decisions::desk::{Desk, Phase, Start};
use crate::decisions::laggards::Laggards;
use crate::model_folder::FolderError;
use crate::webhooks::{HooksFile, Webhooks, WebhooksError};

/// How long those who wait in a socket that a supervisor holds are left there while the journal is folded: they would be answered 503 else.
const PATIENCE_OF_WAITING: Duration = Duration::from_secs(5);
/// How often it is looked whether it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What an operator decides.
pub struct Settings {
    /// Where to listen.
    pub bind: SocketAddr,
    /// The socket that a supervisor listens on for us.
    pub inherited: Option<net::TcpListener>,
    /// Whose pages may call `/predict`.
    pub origins: AllowedOrigins,
    /// How long to keep serving after SIGTERM.
    pub drain: Duration,
    /// Threads, each with a listener.
    pub threads: NonZeroUsize,
    /// What clients may take.
    pub limits: Limits,
}

/// Where decisions are written down.
pub struct Data {
    /// The data folder.
    pub folder: DataFolder,
    /// The policy of a new one.
    pub policy: Option<Policy>,
    /// How long entries are kept, if not for ever.
    pub keep: Option<Duration>,
    /// Who else is told of what is written down.
    pub webhooks: Option<HooksFile>,
    /// Entries between two snapshots.
    pub snapshot_every: NonZeroU64,
}

/// Why the server did not start or stopped.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address is not ours to have.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An origin that browsers never send.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The operating system refused a thread, a poller or a signal handler.
    #[error("the operating system refused what a server needs: {0}; raise its limits on threads and open files")]
    System(#[from] io::Error),
    /// Decisions cannot be made, or not written down.
    #[error("no decisions can be made: {0}")]
    Decisions(String),
    /// It cannot be written down who does what.
    #[error(transparent)]
    Models(#[from] FolderError),
    /// Nobody can be told of them.
    #[error(transparent)]
    Webhooks(#[from] WebhooksError),
}

/// What all threads share.
pub struct Shared {
    /// The models, and which of them scores.
    pub models: Arc<Models>,
    /// What the operator decided.
    pub settings: Settings,
    /// Who may call.
    pub guard: Arc<Guard>,
    /// Where decisions are made, if they are.
    pub decisions: Option<Arc<Desk>>,
    /// What tells others of them, if anybody wants to know.
    pub webhooks: Option<Arc<Webhooks>>,
    /// What encrypts connections, if anything does.
    pub tls: Option<Arc<Tls>>,
    /// Whether we are ready, leaving or gone.
    pub lifecycle: Lifecycle,
    /// What we count.
    pub metrics: Metrics,
    /// Bytes of bodies that are not complete yet.
    pub unfinished_body_bytes: AtomicUsize,
    connections: Arc<Slots>,
    refused: Arc<Slots>,
}

/// Serves `models` until SIGTERM or SIGINT, and returns when the last request has been answered.
/// With a place for `data`, transactions are decided too.
pub fn serve(
    mut settings: Settings,
    access: Access,
    tls: Option<TlsFiles>,
    models: Opened,
    data: Option<Data>,
) -> Result<(), ServerError> {
    let inherited = settings.inherited.take();
    let is_held = inherited.is_some();
    let listeners = match inherited {
        Some(listener) => shared(listener, settings.threads)?,
        None => listen(settings.bind, settings.threads)?,
    };
    let address = listeners[0].local_addr()?;
    let shared = Arc::new(Shared::new(settings, access, tls, models, data)?);
    let runtime = local_runtime()?;
    runtime.block_on(async {
        // Signals are ours before anybody can know that we run.
        let ended = ended_by_signal(&shared)?;
        if is_held {
            wait_for_decisions(&shared).await;
        }
        let workers = start(listeners, &shared)?;
        announce(&shared, address);
        ended.await;
        // A delivery that is under way takes its time while the last requests take theirs.
        if let Some(webhooks) = &shared.webhooks {
            webhooks.end();
        }
        for worker in workers {
            worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the server failed")))?;
        }
        // Before the journal is let go of: whoever has it next delivers next.
        if let Some(webhooks) = &shared.webhooks {
            webhooks.stop();
        }
        if let Some(problem) = shared.decisions.as_ref().and_then(|desk| desk.finish()) {
            return Err(ServerError::Decisions(problem));
        }
        tracing::info!("stopped");
        Ok(())
    })
}

fn start(listeners: Vec<net::TcpListener>, shared: &Arc<Shared>) -> io::Result<Vec<thread::JoinHandle<io::Result<()>>>> {
    let spawn = |(number, listener)| {
        let shared = shared.clone();
        let serve = move || local_runtime()?.block_on(worker::run(listener, shared));
        thread::Builder::new().name(format!("serve-{number}")).spawn(serve)
    };
    listeners.into_iter().enumerate().map(spawn).collect()
}

fn local_runtime() -> io::Result<LocalRuntime> {
    runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// Ready when the server should be gone. SIGTERM drains first, for as long as settled; SIGINT, or a second signal, does not wait.
fn ended_by_signal(shared: &Arc<Shared>) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shared = shared.clone();
    Ok(async move {
        let wait = tokio::select! {
            _ = terminate.recv() => shared.settings.drain,
            _ = interrupt.recv() => Duration::ZERO,
            () = decisions_failed(&shared) => Duration::ZERO,
        };
        shared.lifecycle.drain();
        tracing::info!(seconds = wait.as_secs(), "draining: /ready answers 503, requests are still served");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shared.lifecycle.stop();
        tracing::info!("stopping: nothing new is accepted, requests in flight are finished");
    })
}

/// Ready when decisions can be made, or so late that who waits in the socket had better be told to ask elsewhere.
async fn wait_for_decisions(shared: &Shared) {
    let Some(desk) = &shared.decisions else { return };
    let until = clock::now() + PATIENCE_OF_WAITING;
    while matches!(*desk.phase(), Phase::Opening { .. }) && clock::now() < until {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Ready when decisions can be made no longer; never where none are made.
async fn decisions_failed(shared: &Shared) {
    match &shared.decisions {
        Some(desk) => desk.failed().await,
        None => std::future::pending().await,
    }
}

fn announce(shared: &Shared, address: SocketAddr) {
    let lineup = shared.models.now();
    let active = &lineup.active;
    let manifest = active.artifact.manifest();
    tracing::info!(
        model = active.name,
        version = active.version,
        origin = active.origin,
        learner = manifest.learner_name(),
        features = manifest.features.len(),
        threads = shared.settings.threads,
        address = %address,
        "listening on {}://{address}",
        if shared.tls.is_some() { "https" } else { "http" }
    );
    if manifest.training.simulated {
        tracing::warn!("this model learnt from simulated transactions: it is for trying things out");
    }
}

impl Shared {
    fn new(
        settings: Settings,
        access: Access,
        tls: Option<TlsFiles>,
        mut models: Opened,
        data: Option<Data>,
    ) -> Result<Self, ServerError> {
        let metrics = Metrics::new();
        let mut hooks = None;
        if data.is_some() {
            models.begin_to_decide()?;
        }
        let laggards = Laggards::default();
        // Nothing is cut off before every webhook has said how far it is.
        let first = laggards.join();
        let decisions = data.map(|Data { folder, policy, keep, webhooks, snapshot_every }| {
            hooks = webhooks;
            let (patience, laggards) = (settings.limits.decision_wait, laggards.clone());
            let (model, rollout) = (models.active(), models.rollout());
            let start = Start { folder, model, rollout, policy, keep, laggards, snapshot_every, patience };
            Desk::start(start, &metrics.registry())
        });
        let decisions = decisions.transpose()?;
        let webhooks = decisions.clone().zip(hooks).map(|(desk, hooks)| {
            let folder = desk.folder.clone();
            Webhooks::start(&folder, hooks, Arc::new(move || desk.open().is_ok()), &laggards, &metrics.registry())
        });
        drop(first);
        Ok(Self {
            models: Models::start(models, decisions.clone(), metrics.registry())?,
            decisions,
            webhooks: webhooks.transpose()?,
            guard: Guard::start(access, &metrics.registry())?,
            tls: tls.map(|files| Tls::start(files, &metrics.registry())).transpose()?,
            lifecycle: Lifecycle::default(),
            unfinished_body_bytes: AtomicUsize::new(0),
            connections: Slots::new(settings.limits.connections.get(), Some(metrics.connections.clone())),
            refused: Slots::new(REFUSED_CONNECTIONS, None),
            metrics,
            settings,
        })
    }

    /// A place for one more connection, if there is one.
    pub fn open_connection(&self) -> Option<Slot> {
        self.connections.take()
    }

    /// A place for one more connection that is only told that there is no place.
    pub fn refuse_connection(&self) -> Option<Slot> {
        self.refused.take()
    }
}

/// A number of places.
struct Slots {
    taken: AtomicUsize,
    limit: usize,
    gauge: Option<IntGauge>,
}

/// One place, given back when dropped.
pub struct Slot(Arc<Slots>);

impl Slots {
    fn new(limit: usize, gauge: Option<IntGauge>) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), limit, gauge })
    }

    fn take(self: &Arc<Self>) -> Option<Slot> {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        if let Some(gauge) = &self.gauge {
            gauge.inc();
        }
        Some(Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(gauge) = &self.0.gauge {
            gauge.dec();
        }
    }
}
