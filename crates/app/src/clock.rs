//! What time is it? The only file that looks at the clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// A moment to measure from; it never goes back.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day, UTC. A clock beyond the calendar says its end, so that whatever expires has.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn timestamp() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::MAX)
}

/// Seconds since 1970, UTC.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Microseconds since 1970, UTC, as the journal counts time.
pub fn microseconds() -> i64 {
    timestamp().as_microsecond()
}
