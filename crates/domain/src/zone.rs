//! Zones: what the clocks of a place say at a moment, by the IANA database that is inside the program.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use crate::time::SECOND;

/// A zone of the IANA database. Its rules are those of the program's build, so that all machines cut time up alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone called `name`, as in `Europe/Brussels`, in any case of letters.
    pub fn called(name: &str) -> Option<Self> {
        TimeZoneDatabase::bundled().get(name).ok().map(Self)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = String> {
        TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect::<Vec<_>>().into_iter()
    }

    /// How far clocks are ahead of UTC at `time`, both in microseconds.
    pub fn ahead(&self, time: i64) -> i64 {
        i64::from(self.0.to_offset(timestamp(time)).seconds()) * SECOND
    }

    /// The moment at which clocks say `local`, microseconds of a calendar without zones. What they say twice is the first of both, what they
    /// skip as long after the skip began as `local` is.
    pub fn moment(&self, local: i64) -> i64 {
        let said = Timestamp::from_microsecond(local).map(|said| Offset::UTC.to_datetime(said));
        let moment = said.and_then(|said| self.0.to_ambiguous_timestamp(said).compatible());
        moment.map_or_else(|_| local - self.ahead(local), Timestamp::as_microsecond)
    }
}

/// What is beyond the library's calendar, as the last two days of the year 9999, has the offset of its end.
fn timestamp(time: i64) -> Timestamp {
    Timestamp::from_microsecond(time).unwrap_or(if time < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY, FIRST, LAST, day_number};

    const HOUR: i64 = 3_600 * SECOND;

    #[test]
    fn clocks_that_skip_and_repeat_an_hour_have_a_moment_for_all_they_say() {
        let brussels = Zone::called("europe/brussels").unwrap();
        let spring = day_number(2018, 3, 25) * DAY;
        assert_eq!(brussels.ahead(spring + HOUR - 1), HOUR);
        assert_eq!(brussels.ahead(spring + HOUR), 2 * HOUR);
        assert_eq!(brussels.moment(spring + 2 * HOUR + HOUR / 2), spring + HOUR + HOUR / 2);
        let autumn = day_number(2018, 10, 28) * DAY;
        assert_eq!(brussels.moment(autumn + 2 * HOUR), autumn);
        assert_eq!(brussels.moment(autumn + 3 * HOUR), autumn + 2 * HOUR);
    }

    #[test]
    fn the_ends_of_the_calendar_have_clocks_too() {
        for name in ["Pacific/Kiritimati", "America/Adak", "UTC"] {
            let zone = Zone::called(name).unwrap();
            for time in [FIRST, LAST] {
                assert_eq!(zone.moment(time + zone.ahead(time)), time, "{name}");
            }
        }
        assert_eq!(Zone::called("Europe/Bruxelles"), None);
        assert!(Zone::names().any(|name| name == "Europe/Brussels"));
    }
}
