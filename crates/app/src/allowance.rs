//! So many a second, and so many at once: how far ahead of its pace somebody may be.
//!
//! One number each, the moment at which all that was taken is paid for (the "generic cell rate algorithm"): it needs no timer, and it is
//! exact however many threads take from it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What somebody may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Nanoseconds that each costs.
    each: u64,
    /// Nanoseconds that one may be ahead.
    ahead: u64,
}

/// What somebody has taken.
#[derive(Debug)]
pub struct Allowance {
    begun: Instant,
    /// Nanoseconds since it began at which everything is paid for.
    paid: AtomicU64,
}

impl Pace {
    /// `per_second`, above 0, and `burst` at once.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let each = Duration::try_from_secs_f64(1.0 / per_second).map_or(u64::MAX, nanoseconds).max(1);
        Self { each, ahead: each.saturating_mul(u64::from(burst)) }
    }
}

impl Allowance {
    /// Nothing is taken.
    pub fn new(now: Instant) -> Self {
        Self { begun: now, paid: AtomicU64::new(0) }
    }

    /// Takes one at `now`, or says how long to wait for it.
    pub fn take(&self, pace: Pace, now: Instant) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.begun));
        let mut paid = self.paid.load(Ordering::Relaxed);
        loop {
            let then = paid.max(now).saturating_add(pace.each);
            let too_early = then.saturating_sub(now.saturating_add(pace.ahead));
            if too_early > 0 {
                return Err(Duration::from_nanos(too_early));
            }
            match self.paid.compare_exchange_weak(paid, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => paid = other,
            }
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::clock;

    #[test]
    fn a_burst_is_taken_at_once_and_the_rest_at_its_pace() {
        let (begun, pace) = (clock::now(), Pace::new(10.0, 3));
        let allowance = Allowance::new(begun);
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        assert_eq!([0, 0, 0].map(|time| allowance.take(pace, at(time))), [Ok(()); 3]);
        assert_eq!(allowance.take(pace, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(allowance.take(pace, at(60)), Err(Duration::from_millis(40)));
        assert_eq!(allowance.take(pace, at(100)), Ok(()));
        // A rest is worth a burst, and no more.
        assert_eq!([9_000; 3].map(|time| allowance.take(pace, at(time))), [Ok(()); 3]);
        assert!(allowance.take(pace, at(9_000)).is_err());
    }

    #[test]
    fn threads_together_take_no_more_than_one_would() {
        let (begun, pace) = (clock::now(), Pace::new(0.001, 1_000));
        let allowance = Allowance::new(begun);
        let taken: usize = thread::scope(|scope| {
            let take = || scope.spawn(|| (0..1_000).filter(|_| allowance.take(pace, begun).is_ok()).count());
            let takers: Vec<_> = (0..4).map(|_| take()).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn any_pace_is_one() {
        for per_second in [1e-300, 1e300, 1.0] {
            let allowance = Allowance::new(clock::now());
            assert_eq!(allowance.take(Pace::new(per_second, 1), clock::now()), Ok(()), "{per_second}");
        }
    }
}
