//! Moments: microseconds since 1970 UTC, as ISO 8601 writes them and as the calendar cuts them up.

use std::io::{self, Write};

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub const DAY: i64 = 86_400 * SECOND;

/// The first moment that is one, 0001-01-01T00:00:00Z.
pub const FIRST: i64 = -719_162 * DAY;
/// The last moment that is one, 9999-12-31T23:59:59.999999Z.
pub const LAST: i64 = 2_932_897 * DAY - 1;

/// Reads `2024-02-29`, `2024-02-29T13:37` or `2024-02-29 13:37:00.123456+01:00`; without a zone it is UTC. Digits beyond
/// microseconds are dropped.
pub fn parse(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let (date, rest) = text.split_at_checked(10)?;
    let day = parse_date(date)?;
    let microseconds = match rest.split_first() {
        None => 0,
        Some((b'T' | b't' | b' ', rest)) => parse_time_of_day(rest)?,
        Some(_) => return None,
    };
    let time = day * DAY + microseconds;
    (FIRST..=LAST).contains(&time).then_some(time)
}

/// Whether a text that [`parse`] takes says how far its clock is from UTC.
pub fn names_zone(text: &[u8]) -> bool {
    text.trim_ascii().get(10..).is_some_and(|time| time.iter().any(|byte| b"Zz+-".contains(byte)))
}

/// Writes a time between [`FIRST`] and [`LAST`] so that [`parse`] gives it back.
pub fn write(out: &mut impl Write, time: i64) -> io::Result<()> {
    let (year, month, day) = date_of(time.div_euclid(DAY));
    let microseconds = time.rem_euclid(DAY);
    let seconds = microseconds / SECOND;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    match microseconds % SECOND {
        0 => {}
        fraction => write!(out, ".{fraction:06}")?,
    }
    out.write_all(b"Z")
}

fn parse_date(text: &[u8]) -> Option<i64> {
    let &[_, _, _, _, b'-', _, _, b'-', _, _] = text else {
        return None;
    };
    let (year, month, day) = (digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..])?);
    let valid = year >= 1 && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    valid.then(|| day_number(year, month, day))
}

/// `13:37[:00[.123456]][zone]` as microseconds after midnight UTC.
fn parse_time_of_day(text: &[u8]) -> Option<i64> {
    let (hour, rest) = two_digits(text, 23)?;
    let (minute, mut rest) = two_digits(rest.strip_prefix(b":")?, 59)?;
    let mut microseconds = (hour * 3_600 + minute * 60) * SECOND;
    if let Some(after_colon) = rest.strip_prefix(b":") {
        let (second, after_second) = two_digits(after_colon, 59)?;
        microseconds += second * SECOND;
        rest = after_second;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&length) {
                return None;
            }
            let mut padded = *b"000000000";
            padded[..length].copy_from_slice(&fraction[..length]);
            microseconds += digits(&padded)? / 1_000;
            rest = &fraction[length..];
        }
    }
    Some(microseconds - zone_seconds(rest)? * SECOND)
}

/// Nothing, `Z`, `+01:00`, `+0100` or `+01`, as seconds ahead of UTC.
fn zone_seconds(text: &[u8]) -> Option<i64> {
    let Some((sign, rest)) = text.split_first() else {
        return Some(0);
    };
    let sign = match sign {
        b'Z' | b'z' if rest.is_empty() => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hour, rest) = two_digits(rest, 23)?;
    if rest.is_empty() {
        return Some(sign * hour * 3_600);
    }
    let (minute, rest) = two_digits(rest.strip_prefix(b":").unwrap_or(rest), 59)?;
    rest.is_empty().then_some(sign * (hour * 3_600 + minute * 60))
}

fn two_digits(text: &[u8], largest: i64) -> Option<(i64, &[u8])> {
    let (number, rest) = text.split_at_checked(2)?;
    let number = digits(number)?;
    (number <= largest).then_some((number, rest))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Both ways of the proleptic Gregorian calendar count years from March, so that the leap day is a year's last; 719,468 is
// the number of 1970-01-01 counted from 0000-03-01.
/// A date as days from 1970-01-01.
pub fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
pub fn date_of(day_number: i64) -> (i64, i64, i64) {
    let days = day_number + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_count_up_one_by_one_over_all_years() {
        let mut expected = FIRST / DAY;
        for year in 1..=9_999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(day_number(year, month, day), expected);
                    assert_eq!(date_of(expected), (year, month, day));
                    expected += 1;
                }
            }
        }
        assert_eq!(expected * DAY - 1, LAST);
        assert_eq!(day_number(1970, 1, 1), 0);
    }

    #[test]
    fn every_usual_way_of_writing_is_read() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:01", 60 * SECOND),
            ("1970-01-01 00:00:01.5", 1_500_000),
            ("1970-01-01T00:00:00.123456789Z", 123_456),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T22:30:00-0130", 0),
            ("1970-01-01T05:00:00+05", 0),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_zone_is_named_behind_the_time_of_day_or_not_at_all() {
        for (text, expected) in
            [("1970-01-01", false), ("1970-01-01 00:01", false), ("1970-01-01T00:01Z", true), (" 1970-01-01T05:00-05", true)]
        {
            assert_eq!(names_zone(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "1970",
            "1970-13-01",
            "1970-02-29",
            "1900-02-29",
            "0000-01-01",
            "1970-01-01T",
            "1970-01-01T24:00",
            "1970-01-01T00:00:60",
            "1970-01-01T00:00:00.",
            "1970-01-01x",
            "1970-01-01T00:00:00+1",
            "19700101",
            "0001-01-01T00:00+01",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(time in FIRST..=LAST) {
            let mut text = Vec::new();
            write(&mut text, time).unwrap();
            prop_assert_eq!(parse(&text), Some(time));
        }

        #[test]
        fn any_bytes_are_taken_or_left(text in "[-0-9:TZ.+ ]{0,40}") {
            parse(text.as_bytes());
        }
    }
}
