//! Where a connection stands, and until when it may stand there: what ends slow clients.
//!
//! There is no timer per connection. A [`Progress`] notes a moment, and its worker looks at all of them a few times a second;
//! hyper's own timer for headers would count the rest between requests as part of them.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::limits::{LINGER, Limits};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// It rests between requests.
    Idle,
    /// It was opened, or a request has begun, and its headers are not complete.
    Head,
    /// The body is arriving.
    Body,
    /// The answer is leaving.
    Answer,
    /// Everything is said; we read on only so that the answer is not lost.
    Linger,
}

/// One connection's stage and its end.
#[derive(Debug)]
pub struct Progress {
    stage: Cell<Stage>,
    until: Cell<Instant>,
    late: Cell<bool>,
    told_to_finish: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Progress {
    /// A connection that was just accepted.
    pub fn new(now: Instant, limits: &Limits) -> Self {
        Self {
            stage: Cell::new(Stage::Head),
            until: Cell::new(now + limits.header_timeout),
            late: Cell::new(false),
            told_to_finish: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// What it is doing.
    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// It does something else from `now` on, for as long as that may take.
    pub fn enter(&self, stage: Stage, now: Instant, limits: &Limits) {
        self.stage.set(stage);
        self.until.set(now + patience(stage, limits));
        self.late.set(false);
    }

    /// Whether its stage took too long.
    pub fn is_late(&self) -> bool {
        self.late.get()
    }

    /// Whether it should end with the request in flight.
    pub fn is_told_to_finish(&self) -> bool {
        self.told_to_finish.get()
    }

    /// Notes whom to wake when something of this changes.
    pub fn remember(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Notes that it is late, if it is.
    pub fn look(&self, now: Instant) {
        if now >= self.until.get() && !self.late.replace(true) {
            self.wake();
        }
    }

    /// Tells it to end with the request in flight.
    pub fn tell_to_finish(&self) {
        self.told_to_finish.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

fn patience(stage: Stage, limits: &Limits) -> Duration {
    match stage {
        Stage::Idle => limits.idle_timeout,
        Stage::Head => limits.header_timeout,
        Stage::Body => limits.body_timeout,
        Stage::Answer => limits.answer_timeout,
        Stage::Linger => LINGER,
    }
}
