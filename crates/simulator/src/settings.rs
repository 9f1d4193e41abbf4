//! May this world be built? The one error of this crate, and the checks that give it.

use std::ops::RangeInclusive;

/// A setting outside what can be simulated; its sentence names the setting and the range that is allowed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the simulator cannot use this {setting}: choose a number from {lowest} to {highest}")]
pub struct SettingsError {
    setting: &'static str,
    lowest: f64,
    highest: f64,
}

/// Accepts a whole number inside `allowed`.
pub(crate) fn check_count(setting: &'static str, count: u64, allowed: RangeInclusive<u64>) -> Result<(), SettingsError> {
    if allowed.contains(&count) {
        return Ok(());
    }
    Err(SettingsError { setting, lowest: *allowed.start() as f64, highest: *allowed.end() as f64 })
}

/// Accepts a number inside `allowed`; NaN never is.
pub(crate) fn check_number(setting: &'static str, number: f64, allowed: RangeInclusive<f64>) -> Result<(), SettingsError> {
    if allowed.contains(&number) {
        return Ok(());
    }
    Err(SettingsError { setting, lowest: *allowed.start(), highest: *allowed.end() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_the_setting_and_what_to_choose() {
        let error = check_count("number of customers", 0, 1..=10_000_000).unwrap_err();
        assert_eq!(error.to_string(), "the simulator cannot use this number of customers: choose a number from 1 to 10000000");
    }

    #[test]
    fn not_a_number_is_outside_every_range() {
        assert!(check_number("radius", f64::NAN, f64::MIN..=f64::MAX).is_err());
    }
}
