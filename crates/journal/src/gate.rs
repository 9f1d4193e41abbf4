//! Who goes through the journal at length lets the log begin anew now and then: SQLite does that only in a moment in which nobody reads from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long somebody waits before the gate, should nobody write any more.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether it is open.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Closed while the log is too long.
#[derive(Debug, Default)]
pub struct Gate {
    is_closed: AtomicBool,
}

impl Gate {
    /// Opens or closes it.
    pub fn set_closed(&self, closed: bool) {
        self.is_closed.store(closed, Ordering::Relaxed);
    }

    /// Waits until it is open, or long enough.
    pub fn pass(&self) {
        let mut waited = Duration::ZERO;
        while self.is_closed.load(Ordering::Relaxed) && waited < PATIENCE {
            thread::sleep(LOOK_INTERVAL);
            waited += LOOK_INTERVAL;
        }
    }
}
