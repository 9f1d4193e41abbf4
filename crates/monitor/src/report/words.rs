//! How a report writes numbers, moments and foreign text.

use assay_domain::time;

/// Characters of a foreign text that are shown.
const TEXT_LIMIT: usize = 120;

/// What is written where there is no number.
pub(super) const UNKNOWN: &str = "n/a";

/// Foreign text on one line: cut, and without characters that hide or reorder their neighbours.
pub(super) fn shorten(text: &str) -> String {
    let harmless = |character: char| match character {
        '\n' | '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        control if control.is_control() => '\u{fffd}',
        plain => plain,
    };
    let mut shown: String = text.chars().take(TEXT_LIMIT).map(harmless).collect();
    if text.chars().nth(TEXT_LIMIT).is_some() {
        shown.push('…');
    }
    shown
}

/// A number with three digits behind the point at most, of a chance two that count.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.into();
    }
    if value != 0.0 && value.abs() < 0.001 {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// What is written for each item, one after the other.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, write: impl FnMut(T) -> String) -> String {
    items.into_iter().map(write).collect::<Vec<_>>().concat()
}

/// A number, or that there is none.
pub(super) fn known(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.into(), number)
}

/// A share.
pub(super) fn percent(share: f64) -> String {
    format!("{}\u{202f}%", number((share * 100_000.0).round() / 1_000.0))
}

/// A count, its thousands apart.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Minor units as an amount with two decimals: the currency is the data's.
pub(super) fn money(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", count(minor.unsigned_abs() / 100), minor.unsigned_abs() % 100)
}

/// A moment, to the second; a day alone where it is a day's beginning.
pub(super) fn moment(at: i64) -> String {
    let mut text = Vec::new();
    let within = at.clamp(time::FIRST, time::LAST);
    time::write(&mut text, within - within.rem_euclid(time::SECOND)).expect("a Vec takes any bytes");
    let text = String::from_utf8_lossy(&text).into_owned();
    text.strip_suffix("T00:00:00Z").map(str::to_owned).unwrap_or(text)
}
