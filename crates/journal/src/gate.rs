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

    /// Waits until it is open, or long enough: then nobody writes, and it opens until the writer closes it again.
    pub fn pass(&self) {
        let mut waited = Duration::ZERO;
        while self.is_closed.load(Ordering::Relaxed) {
            if waited >= PATIENCE {
                self.set_closed(false);
                return;
            }
            thread::sleep(LOOK_INTERVAL);
            waited += LOOK_INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_nobody_writes_any_more_it_keeps_a_reader_waiting_once_and_not_at_every_step() {
        // It once did: after a burst of decisions the monitor needed two seconds for every 500 of them, and was still counting when more came.
        let gate = Gate::default();
        gate.set_closed(true);
        gate.pass();
        assert!(!gate.is_closed.load(Ordering::Relaxed));
        gate.set_closed(true);
        assert!(gate.is_closed.load(Ordering::Relaxed));
    }
}
