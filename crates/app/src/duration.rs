//! Lengths of time as people type them.

use std::fmt;
use std::str::FromStr;

/// A length of time: `7d`, `12h`, `30m`, `45s`, or seconds without a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(pub f64);

impl FromStr for Seconds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = match text.chars().last() {
            Some('d') => (&text[..text.len() - 1], 86_400.0),
            Some('h') => (&text[..text.len() - 1], 3_600.0),
            Some('m') => (&text[..text.len() - 1], 60.0),
            Some('s') => (&text[..text.len() - 1], 1.0),
            _ => (text, 1.0),
        };
        let number: f64 = number.parse().map_err(|_| "write a number and a unit, as in 7d, 12h, 30m or 45s")?;
        let seconds = number * unit;
        if seconds.is_finite() && seconds >= 0.0 { Ok(Self(seconds)) } else { Err("a length of time is 0 or more") }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (unit, letter) = match self.0 {
            seconds if seconds % 86_400.0 == 0.0 => (86_400.0, 'd'),
            seconds if seconds % 3_600.0 == 0.0 => (3_600.0, 'h'),
            _ => (1.0, 's'),
        };
        write!(out, "{}{letter}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_days_hours_minutes_and_seconds() {
        let seconds = ["7d", "1.5h", "2m", "3s", "4"].map(|text| text.parse::<Seconds>().unwrap().0);
        assert_eq!(seconds, [604_800.0, 5_400.0, 120.0, 3.0, 4.0]);
        assert!(["", "d", "-1d", "1e999", "x"].iter().all(|text| text.parse::<Seconds>().is_err()));
    }
}
