//! How long is a receiver waited for, and how long is it left alone after it failed?

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// How patient a webhook is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From connecting to the whole answer.
    pub timeout: Duration,
    /// Before the second try; doubled before each further one.
    pub first_pause: Duration,
    /// No pause is longer, except by its chance part.
    pub longest_pause: Duration,
    /// A receiver that asks for more by `Retry-After` does not get it.
    pub longest_wish: Duration,
    /// For how long one delivery is tried, and holds up those behind it. Time in which no server runs does not count.
    pub give_up_after: Duration,
}

impl Default for Patience {
    /// A receiver has a night and a day to come back.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(600),
            longest_wish: Duration::from_secs(3_600),
            give_up_after: Duration::from_secs(24 * 3_600),
        }
    }
}

impl Patience {
    /// How long to wait after this many failures, of which `chance` (0…1) makes up to a quarter more, so that many who failed together do not
    /// come back together; at least what the receiver wished.
    pub fn pause(&self, failures: u32, chance: f64, wish: Option<Duration>) -> Duration {
        let doubled = self.first_pause.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        let pause = doubled.min(self.longest_pause).mul_f64(1.0 + chance / 4.0);
        pause.max(wish.unwrap_or_default().min(self.longest_wish))
    }
}

/// What `Retry-After` wishes: seconds, or a moment. Anything else is no wish.
pub fn wish(retry_after: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = retry_after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(retry_after.trim()).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes_and_chance_makes_them_a_quarter_longer_at_most() {
        let patience = Patience::default();
        let seconds = |failures, chance| patience.pause(failures, chance, None).as_secs_f64();
        assert_eq!(
            [1, 2, 3, 4, 10, 11, u32::MAX].map(|failures| seconds(failures, 0.0)),
            [1.0, 2.0, 4.0, 8.0, 512.0, 600.0, 600.0]
        );
        assert_eq!(seconds(3, 0.5), 4.5);
        assert_eq!(seconds(99, 1.0), 750.0);
    }

    #[test]
    fn a_wish_lengthens_a_pause_within_bounds_and_never_shortens_it() {
        let patience = Patience::default();
        let pause = |wish| patience.pause(5, 0.0, Some(Duration::from_secs(wish))).as_secs();
        assert_eq!([0, 16, 90, 1_000_000].map(pause), [16, 16, 90, 3_600]);
    }

    #[test]
    fn a_wish_is_seconds_or_a_moment() {
        let now: Timestamp = "2026-09-30T12:00:00Z".parse().unwrap();
        let wish = |text| wish(text, now).map(|wish| wish.as_secs());
        assert_eq!(wish("120"), Some(120));
        assert_eq!(wish("Wed, 30 Sep 2026 12:02:00 GMT"), Some(120));
        assert_eq!(wish("Wed, 30 Sep 2026 11:00:00 GMT"), Some(0), "the moment is past");
        assert_eq!(["", "soon", "-1", "1e9", "99999999999999999999999"].map(wish), [None; 5]);
    }
}
