//! The thread of one webhook: reads the journal behind its place and delivers, one message after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use assay_journal::{Head, JournalError, Kind, Reader};
use serde::Deserialize;
use ureq::Agent;

use super::IsOpen;
use super::figures::HookFigures;
use super::file::Hook;
use super::message::{Message, message};
use super::patience::Patience;
use super::place::Place;
use super::sender::{self, Answer};
use crate::clock;
use crate::decisions::data_folder::DataFolder;
use crate::decisions::laggards::Laggard;
use crate::threads::give_way;

/// How often an idle webhook looks whether the journal has grown, and a waiting one whether it should end.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Entries that are read at once; no reader stands in the journal while a receiver is waited for.
const BATCH: u64 = 256;

/// Whether a thread should end; whoever asked can see that it has.
pub struct Ending {
    asked: [Arc<AtomicBool>; 2],
    _alive: Arc<()>,
}

impl Ending {
    /// Asked for by either; `alive` is let go of at the end.
    pub fn new(asked: [Arc<AtomicBool>; 2], alive: Arc<()>) -> Self {
        Self { asked, _alive: alive }
    }

    fn is_asked(&self) -> bool {
        self.asked.iter().any(|asked| asked.load(Ordering::Relaxed))
    }
}

/// Delivers to one receiver.
pub struct Worker {
    /// The receiver, and what it wants.
    pub hook: Hook,
    /// Where journal and place are.
    pub folder: DataFolder,
    /// What connects.
    pub agent: Agent,
    /// How long it is tried.
    pub patience: Patience,
    /// Whether the journal is there to be read.
    pub is_open: IsOpen,
    /// Where it says how far it is.
    pub laggard: Laggard,
    /// What is counted.
    pub figures: HookFigures,
    /// When it should end.
    pub ending: Ending,
}

/// What was read of the journal.
struct Batch {
    messages: Vec<Message>,
    last: Option<Head>,
    /// What should have come first was cut off.
    is_cut_off: bool,
}

/// What the entry of a cut says.
#[derive(Deserialize)]
struct Cut {
    through: u64,
    hash: String,
}

impl Worker {
    /// Delivers until it should end; what keeps it from doing so is logged and tried again.
    pub fn run(self) {
        give_way();
        // Whoever writes the journal looks after it first.
        while !(self.is_open)() {
            if self.ending.is_asked() {
                return;
            }
            thread::park_timeout(LOOK_INTERVAL);
        }
        let mut problems = 0;
        while !self.ending.is_asked() {
            let began = clock::now();
            let reader = Reader::open(self.folder.path()).map_err(|error| error.to_string());
            if let Err(problem) = reader.and_then(|reader| self.deliver_all(&reader)) {
                let is_recent = clock::now() - began < self.patience.longest_pause;
                problems = if is_recent { problems + 1 } else { 1 };
                tracing::error!(webhook = self.hook.name, "nothing can be delivered: {problem}");
                self.wait(self.patience.pause(problems, chance(), None), || ());
            }
        }
    }

    fn deliver_all(&self, reader: &Reader) -> Result<(), String> {
        let mut place = Place::open(&self.hook, &self.folder, reader)?;
        if place.is_closed(&self.hook.url) {
            self.say_closed();
        }
        while !self.ending.is_asked() {
            self.count_lag(reader, &place);
            let batch = if place.is_closed(&self.hook.url) { Batch::empty() } else { self.read(reader, place.sequence())? };
            if batch.is_cut_off {
                self.lose(reader, &mut place)?;
                continue;
            }
            let is_through = batch.messages.into_iter().all(|message| self.deliver(reader, &mut place, &message));
            if let Some(last) = batch.last {
                if is_through {
                    place.passed(last);
                }
            } else {
                place.tend();
                thread::park_timeout(LOOK_INTERVAL);
            }
        }
        place.finish();
        Ok(())
    }

    /// What comes next in the journal, if anything.
    fn read(&self, reader: &Reader, after: u64) -> Result<Batch, String> {
        let mut batch = Batch::empty();
        let read = reader.replay(after, BATCH, |entry| -> Result<(), JournalError> {
            batch.is_cut_off |= batch.last.is_none() && entry.sequence > after + 1;
            if batch.is_cut_off {
                return Ok(());
            }
            batch.last = Some(Head { sequence: entry.sequence, hash: entry.hash });
            if let Ok(message) = message(entry, &self.hook.events) {
                batch.messages.extend(message);
            } else {
                self.figures.dropped.inc();
                let sequence = entry.sequence;
                tracing::error!(
                    webhook = self.hook.name,
                    sequence,
                    "an entry cannot be read and is not delivered; run `assay verify`"
                );
            }
            Ok(())
        });
        read.map(|_| batch).map_err(|error| error.to_string())
    }

    /// Goes on behind what retention cut off before anybody was told of it.
    fn lose(&self, reader: &Reader, place: &mut Place) -> Result<(), String> {
        let entry = reader.latest(Kind::Cut, u64::MAX, 1).map_err(|error| error.to_string())?.pop();
        let cut = entry.and_then(|entry| {
            let Cut { through, hash } = serde_json::from_str(&entry.body).ok()?;
            format!("{through}:{hash}").parse::<Head>().ok()
        });
        let cut = cut.filter(|cut| cut.sequence > place.sequence());
        let cut = cut.ok_or("entries of the journal are missing that were not cut off; run `assay verify`")?;
        let (from, to) = (place.sequence() + 1, cut.sequence);
        self.figures.cut_off.inc_by(to + 1 - from);
        tracing::error!(webhook = self.hook.name, from, to, "retention cut entries off before they could be delivered");
        place.lost(cut);
        Ok(())
    }

    /// Delivers until the receiver has it, or long enough; whether what comes after it may be delivered.
    fn deliver(&self, reader: &Reader, place: &mut Place, message: &Message) -> bool {
        let (webhook, sequence) = (&self.hook.name, message.entry.sequence);
        let mut failures = 0;
        while !self.ending.is_asked() {
            let began = clock::now();
            match sender::send(&self.agent, &self.hook, message) {
                Answer::Taken => {
                    if failures > 0 {
                        tracing::info!(webhook, sequence, failures, "the webhook's receiver takes deliveries again");
                    }
                    self.figures.delivered.inc();
                    place.delivered(message.entry);
                    return true;
                }
                Answer::Gone => {
                    self.figures.gone.inc();
                    place.close(&self.hook.url);
                    self.say_closed();
                    return false;
                }
                Answer::Failed { reason, .. } if place.failing() >= self.patience.give_up_after => {
                    self.figures.dropped.inc();
                    let hours = place.failing().as_secs_f64() / 3_600.0;
                    tracing::error!(webhook, sequence, hours, "a delivery was tried for too long and is dropped: {reason}");
                    place.delivered(message.entry);
                    return true;
                }
                Answer::Failed { reason, wish } => {
                    failures += 1;
                    self.figures.failed.inc();
                    let left = self.patience.give_up_after.saturating_sub(place.failing());
                    let pause = self.patience.pause(failures, chance(), wish).min(left);
                    let seconds = pause.as_secs_f64();
                    tracing::warn!(webhook, sequence, failures, seconds, "a delivery failed and is tried again: {reason}");
                    self.wait(pause, || self.count_lag(reader, place));
                    place.failed_for(clock::now() - began);
                }
            }
        }
        false
    }

    fn say_closed(&self) {
        tracing::error!(
            webhook = self.hook.name,
            "the webhook's receiver answered 410 Gone, so that it is told nothing more; take it out of the file, or give it another url"
        );
    }

    /// Waits, unless it should end; `meanwhile` is done now and then.
    fn wait(&self, pause: Duration, meanwhile: impl Fn()) {
        let until = clock::now() + pause;
        while !self.ending.is_asked() {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            meanwhile();
            thread::park_timeout(left.min(LOOK_INTERVAL));
        }
    }

    /// Says how far it is: to whoever watches, and to retention.
    fn count_lag(&self, reader: &Reader, place: &Place) {
        if place.is_closed(&self.hook.url) {
            self.laggard.is_through();
        } else {
            self.laggard.is_at(place.written_sequence());
        }
        // A journal that cannot be read shows where it is read next.
        if let Ok(head) = reader.head() {
            let lag = head.sequence.saturating_sub(place.sequence());
            self.figures.lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
        }
    }
}

impl Batch {
    fn empty() -> Self {
        Self { messages: Vec::new(), last: None, is_cut_off: false }
    }
}

/// A number from 0 to 1 that nobody foresees; the middle where the system gives none.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
