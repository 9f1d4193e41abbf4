//! Whose turn is it to be scored? Requests are scored one after the other, and between two of them everything else on their thread gets to
//! run: heads are read, `/health` is answered. When those that wait would keep the next one too long, it is told so before its body is read.
//!
//! Scoring takes no turns while there is little of it: only when a slice of time has been used up does the next request wait, and a round
//! of everything else comes in between.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::header::{HeaderMap, HeaderName};
use tokio::sync::oneshot;
use tokio::task::{spawn_local, yield_now};

use super::limits::ALWAYS_WAITING;
use super::refusal::Refusal;
use super::server::Shared;
use super::worker::Worker;
use crate::clock;

/// How long requests are scored before everything else gets to run: as long as a request of a thousand rows takes.
const SLICE: Duration = Duration::from_millis(1);

/// How much of a new measurement of the pace is believed.
const NEWS: f64 = 0.125;

/// The header in which a client says how long its answer is of use to it, in milliseconds from its request's headers on.
pub const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("assay-timeout-ms");

/// The turns of one thread.
pub struct Turns {
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
    /// Since when requests that may come are on their way.
    coming: RefCell<BTreeMap<u64, Instant>>,
    next_number: Cell<u64>,
    is_calling: Cell<bool>,
    scored_since_round: Cell<Duration>,
    /// Seconds from one turn to the next while requests wait, with all that happens between.
    pace: Cell<f64>,
}

/// A request that may come to be scored, and has its place in the queue while its body is on the way.
pub struct Applicant {
    worker: Rc<Worker>,
    number: u64,
    arrived: Instant,
    timeout: Option<Duration>,
}

/// A turn, from the first byte that is understood to the answer.
pub struct Turn {
    worker: Rc<Worker>,
    began: Instant,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            waiting: RefCell::default(),
            coming: RefCell::default(),
            next_number: Cell::new(0),
            is_calling: Cell::new(false),
            scored_since_round: Cell::new(Duration::ZERO),
            pace: Cell::new(SLICE.as_secs_f64()),
        }
    }
}

impl Turns {
    /// Lets a request apply by its headers, before its body is read; or says that it would wait too long.
    pub fn apply(worker: &Rc<Worker>, headers: &HeaderMap) -> Result<Applicant, Refusal> {
        let turns = &worker.turns;
        let (arrived, timeout) = (clock::now(), timeout(headers)?);
        turns.expects(turns.count(&worker.shared), arrived, timeout, &worker.shared)?;
        let number = turns.next_number.replace(turns.next_number.get() + 1);
        turns.coming.borrow_mut().insert(number, arrived);
        Ok(Applicant { worker: worker.clone(), number, arrived, timeout })
    }

    /// Requests that wait or come. Who is slow to send does not keep a place from others; it has to find one when it is here.
    fn count(&self, shared: &Shared) -> usize {
        let (waiting, mut coming) = (self.waiting.borrow().len(), self.coming.borrow_mut());
        if waiting + coming.len() >= ALWAYS_WAITING && !coming.is_empty() {
            let now = clock::now();
            while coming.first_key_value().is_some_and(|(_, &since)| now - since > shared.settings.limits.wait) {
                coming.pop_first();
            }
        }
        waiting + coming.len()
    }

    /// Whether the next request would wait too long.
    pub fn are_full(&self, shared: &Shared) -> bool {
        let before = self.count(shared);
        is_too_long(before, self.wait_behind(before), shared)
    }

    fn wait_behind(&self, before: usize) -> Duration {
        Duration::from_secs_f64(self.pace.get() * before as f64)
    }

    /// Refuses who would have to wait too long behind `before` others.
    fn expects(&self, before: usize, arrived: Instant, timeout: Option<Duration>, shared: &Shared) -> Result<(), Refusal> {
        let wait = self.wait_behind(before);
        if is_too_long(before, wait, shared) {
            shared.metrics.rejected_overload.inc();
            return Err(Refusal::Overloaded);
        }
        if timeout.is_some_and(|timeout| arrived.elapsed() + wait > timeout) {
            shared.metrics.rejected_deadline.inc();
            return Err(Refusal::TooLate);
        }
        Ok(())
    }

    /// Calls as many as fill a slice, and says how many: those that have gone away do not count.
    fn call_a_slice(&self) -> usize {
        let mut called = 0;
        while called == 0 || self.pace.get() * (called as f64) < SLICE.as_secs_f64() {
            let Some(next) = self.waiting.borrow_mut().pop_front() else { break };
            called += usize::from(next.send(()).is_ok());
        }
        called
    }
}

impl Applicant {
    /// Waits for its turn, now that its body is here; or says that it comes too late.
    pub async fn wait(self) -> Result<Turn, Refusal> {
        let worker = self.worker.clone();
        let (turns, arrived, timeout) = (&worker.turns, self.arrived, self.timeout);
        // From its place among those that come, if it still had one, to a place among those that wait.
        let had_a_place = turns.coming.borrow().contains_key(&self.number);
        drop(self);
        if turns.is_calling.get() || turns.scored_since_round.get() >= SLICE {
            if !had_a_place {
                let before = turns.waiting.borrow().len();
                turns.expects(before, arrived, timeout, &worker.shared)?;
            }
            let (call, called) = oneshot::channel();
            turns.waiting.borrow_mut().push_back(call);
            if !turns.is_calling.replace(true) {
                spawn_local(call_one_after_the_other(worker.clone()));
            }
            called.await.map_err(|_| Refusal::Internal)?;
        }
        let began = clock::now();
        // What nobody waits for any more is not worth scoring.
        if timeout.is_some_and(|timeout| began - arrived > timeout) {
            worker.shared.metrics.rejected_deadline.inc();
            return Err(Refusal::TooLate);
        }
        Ok(Turn { worker: worker.clone(), began })
    }
}

impl Drop for Applicant {
    fn drop(&mut self) {
        self.worker.turns.coming.borrow_mut().remove(&self.number);
    }
}

/// Calls those that wait, a slice and then a round of everything else, until nobody waits.
async fn call_one_after_the_other(worker: Rc<Worker>) {
    let turns = &worker.turns;
    let mut before = clock::now();
    loop {
        turns.scored_since_round.set(Duration::ZERO);
        let called = turns.call_a_slice();
        if called == 0 {
            break;
        }
        yield_now().await;
        let now = clock::now();
        let pace = (now - before).as_secs_f64() / called as f64;
        turns.pace.set(turns.pace.get() + (pace - turns.pace.get()) * NEWS);
        before = now;
    }
    turns.is_calling.set(false);
}

impl Drop for Turn {
    fn drop(&mut self) {
        let scored = &self.worker.turns.scored_since_round;
        scored.set(scored.get() + (clock::now() - self.began));
    }
}

fn is_too_long(before: usize, wait: Duration, shared: &Shared) -> bool {
    before >= ALWAYS_WAITING && wait > shared.settings.limits.wait
}

/// What the client says; a header that is no number of milliseconds is refused.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(None) };
    let milliseconds = value.to_str().ok().and_then(|text| text.parse::<u32>().ok()).filter(|&milliseconds| milliseconds > 0);
    milliseconds.map(|milliseconds| Some(Duration::from_millis(milliseconds.into()))).ok_or(Refusal::BadTimeout)
}
