//! Is the server ready, leaving, or gone? One word that every thread reads.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where the server stands; it only ever moves forward.
#[derive(Debug, Default)]
pub struct Lifecycle(AtomicU8);

const DRAINING: u8 = 1;
const STOPPING: u8 = 2;

impl Lifecycle {
    /// From here on `/ready` answers 503 and every answer closes its connection; requests are still served.
    pub fn drain(&self) {
        self.0.fetch_max(DRAINING, Ordering::Relaxed);
    }

    /// From here on nothing new is accepted.
    pub fn stop(&self) {
        self.0.fetch_max(STOPPING, Ordering::Relaxed);
    }

    /// Whether load balancers may send requests here.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed) < DRAINING
    }

    /// Whether nothing new is accepted any more.
    pub fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= STOPPING
    }
}
