//! Who else wants to know? Tells other systems what came into the journal, in its order, signed, until they have taken it.
//!
//! The [`mod@file`] says who wants what. A [`worker`] for each reads the journal behind its own [`place`], makes [`message`]s of entries and lets
//! a [`sender`] hand them over; [`patience`] says how long it tries. docs/webhooks.md is what receivers may rely on.

mod figures;
pub mod file;
mod message;
mod patience;
mod place;
mod sender;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus::Registry;
use thiserror::Error;
use ureq::Agent;

use crate::clock;
use crate::decisions::data_folder::DataFolder;
use crate::decisions::laggards::Laggards;
use crate::watch::{Content, watch};
use figures::Figures;
use file::Hook;
use patience::Patience;
use place::Place;
use worker::{Ending, Worker};

/// How long an end waits for deliveries that are under way. One that takes longer is left, and repeated after the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// How often it looks.
const STOP_INTERVAL: Duration = Duration::from_millis(2);

/// Why there can be no webhooks.
#[derive(Debug, Error)]
pub enum WebhooksError {
    /// The file says nothing that can be used.
    #[error("cannot use the webhooks in {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The operating system refused a thread.
    #[error("the operating system refused a thread for webhooks: {0}; raise its limits")]
    System(#[from] io::Error),
}

/// What webhooks begin with.
pub struct HooksFile {
    path: PathBuf,
    content: Vec<u8>,
    hooks: Vec<Hook>,
}

/// Whether the journal is there to be read.
pub type IsOpen = Arc<dyn Fn() -> bool + Send + Sync>;

/// All webhooks of a server.
pub struct Webhooks {
    workers: Mutex<BTreeMap<String, Running>>,
    folder: DataFolder,
    agent: Agent,
    patience: Patience,
    is_open: IsOpen,
    /// Where they say how far they are.
    laggards: Laggards,
    figures: Figures,
    /// Nothing more is delivered.
    is_ending: Arc<AtomicBool>,
    /// Held once by us and once by every thread that delivers.
    alive: Arc<()>,
}

/// A thread that delivers.
struct Running {
    hook: Hook,
    is_ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl HooksFile {
    /// Reads and checks it.
    pub fn open(path: PathBuf) -> Result<Self, WebhooksError> {
        let content = file::bytes(&path).and_then(|content| file::parse(&content).map(|hooks| (content, hooks)));
        match content {
            Ok((content, hooks)) => Ok(Self { path, content, hooks }),
            Err(problem) => Err(WebhooksError::File { path: path.display().to_string(), problem }),
        }
    }
}

impl Webhooks {
    /// Delivers what comes into the journal in `folder`, once that is open, to those whom `file` names; follows the file.
    pub fn start(
        folder: &DataFolder,
        file: HooksFile,
        is_open: IsOpen,
        laggards: &Laggards,
        registry: &Registry,
    ) -> Result<Arc<Self>, WebhooksError> {
        Self::begin(folder, file, is_open, laggards, registry, Patience::default())
    }

    fn begin(
        folder: &DataFolder,
        file: HooksFile,
        is_open: IsOpen,
        laggards: &Laggards,
        registry: &Registry,
        patience: Patience,
    ) -> Result<Arc<Self>, WebhooksError> {
        let webhooks = Arc::new(Self {
            workers: Mutex::default(),
            folder: folder.clone(),
            agent: sender::agent(&patience),
            patience,
            is_open,
            laggards: laggards.clone(),
            figures: Figures::new(registry),
            is_ending: Arc::default(),
            alive: Arc::default(),
        });
        webhooks.take(file.hooks)?;
        webhooks.follow(file.path, file.content)?;
        Ok(webhooks)
    }

    /// From here on no delivery begins.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        // Whoever changes them just now waits for them as well, and they look by themselves now and then.
        if let Ok(workers) = self.workers.try_lock() {
            workers.values().for_each(|running| running.thread.thread().unpark());
        }
    }

    /// Delivers nothing more. What was delivered and could not be noted any more is delivered again after the next start.
    pub fn stop(&self) {
        self.end();
        let until = clock::now() + STOP_PATIENCE;
        while Arc::strong_count(&self.alive) > 1 {
            if clock::now() >= until {
                tracing::warn!("a webhook's receiver has not answered; what it was sent is sent again after the next start");
                return;
            }
            thread::sleep(STOP_INTERVAL);
        }
    }

    /// Ends whoever is not among `hooks` as it was, and begins with those that are new.
    fn take(&self, hooks: Vec<Hook>) -> io::Result<()> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> =
            workers.iter().filter(|(_, running)| !hooks.contains(&running.hook)).map(|(name, _)| name.clone()).collect();
        let ended: Vec<Running> = names.iter().filter_map(|name| workers.remove(name)).collect();
        for running in &ended {
            running.is_ending.store(true, Ordering::Relaxed);
            running.thread.thread().unpark();
        }
        for running in ended {
            // Whoever comes next under this name goes on from the place that this one writes down last.
            let _ = running.thread.join();
            self.figures.forget(&running.hook.name);
        }
        for hook in hooks {
            if !workers.contains_key(&hook.name) {
                workers.insert(hook.name.clone(), self.run(hook)?);
            }
        }
        Ok(())
    }

    fn run(&self, hook: Hook) -> io::Result<Running> {
        let is_ending: Arc<AtomicBool> = Arc::default();
        let ending = Ending::new([self.is_ending.clone(), is_ending.clone()], self.alive.clone());
        let laggard = self.laggards.join();
        laggard.is_at(Place::noted(&hook, &self.folder));
        let worker = Worker {
            figures: self.figures.of(&hook.name),
            hook: hook.clone(),
            folder: self.folder.clone(),
            agent: self.agent.clone(),
            patience: self.patience,
            is_open: self.is_open.clone(),
            laggard,
            ending,
        };
        let thread = thread::Builder::new().name(format!("hook-{}", hook.name)).spawn(move || worker.run())?;
        Ok(Running { hook, is_ending, thread })
    }

    /// Takes the webhooks anew whenever their file changes; while it is damaged or gone, those that were there last are good.
    fn follow(self: &Arc<Self>, path: PathBuf, known: Vec<u8>) -> io::Result<()> {
        let (webhooks, name) = (self.clone(), path.display().to_string());
        let changed = move |[content]: &[Content; 1]| {
            if webhooks.is_ending.load(Ordering::Relaxed) {
                return;
            }
            let parsed = content.clone().and_then(|bytes| file::parse(&bytes));
            match parsed.and_then(|hooks| webhooks.take(hooks).map_err(|error| WebhooksError::from(error).to_string())) {
                Ok(()) => {
                    webhooks.figures.taken.inc();
                    tracing::info!(file = name, "the webhooks were read again");
                }
                Err(problem) => {
                    webhooks.figures.refused.inc();
                    tracing::error!(file = name, "the webhooks stay as they are, since their file cannot be used: {problem}");
                }
            }
        };
        watch("webhooks", [path], file::bytes, [Ok(known)], changed)
    }
}
