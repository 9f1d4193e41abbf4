//! How a report writes numbers and foreign text: grouped thousands, honest digits, nothing that a browser could take for markup.

use crate::evaluation::Figure;

/// Shown where there is no finite number.
const UNDEFINED: &str = "n/a";

/// Characters of one foreign text (a name, a note, a setting) that are shown; the rest gives way to an ellipsis.
pub(super) const TEXT_LIMIT: usize = 600;

/// Foreign text as HTML: markup is escaped, characters that would reorder or hide their neighbours become `U+FFFD`.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// Foreign text inside a sentence of ours: escaped, cut at `TEXT_LIMIT`, and unable to turn the sentence's direction.
pub fn isolate(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape(&shorten(text, TEXT_LIMIT)))
}

/// The text, or its beginning and an ellipsis when it is longer than `limit` characters.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// What is written for each item, one after the other.
pub fn each<T>(items: impl IntoIterator<Item = T>, write: impl FnMut(T) -> String) -> String {
    items.into_iter().map(write).collect::<Vec<_>>().concat()
}

/// A count: whole numbers grouped by thousands, small weighted counts with one decimal.
pub fn count(value: f64) -> String {
    let decimals = usize::from(value.abs() < 1_000.0 && (value - value.round()).abs() > 0.05);
    grouped(value, decimals)
}

/// A count and its noun, in the plural unless it is one.
pub(super) fn counted(value: f64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1.0 { "" } else { "s" })
}

/// An amount in the currency of the data, which the data does not name.
pub fn money(value: f64) -> String {
    grouped(value, if value.abs() < 100.0 && value.fract() != 0.0 { 2 } else { 0 })
}

/// A share as percent, with two significant digits of its distance from 0 or 100 %, whichever is nearer: 77 %, 0.13 %, 99.98 %.
pub fn percent(share: f64) -> String {
    if !share.is_finite() {
        return UNDEFINED.to_owned();
    }
    let percents = share * 100.0;
    let distance = percents.abs().min((100.0 - percents).abs());
    let decimals = decimals_for(distance, 2).min(8);
    format!("{}\u{202f}%", without_trailing_zeros(grouped(percents, decimals)))
}

/// A tick label that fits an axis: 950, 12k, 3.5M.
pub(super) fn compact(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    if value.abs() >= 1e15 {
        return grouped(value, 0);
    }
    let (unit, suffix) = UNITS.into_iter().find(|(unit, _)| value.abs() >= *unit).unwrap_or((1.0, ""));
    let scaled = value / unit;
    format!("{}{suffix}", without_trailing_zeros(grouped(scaled, decimals_for(scaled, 3))))
}

/// A figure's value and interval as text, in the same unit and with the same number of decimals.
pub(super) struct FigureText {
    /// The value.
    pub(super) value: String,
    /// "low–high", or a word when there is none.
    pub(super) interval: String,
    /// Whether 0…1 is the scale on which a person would look at it.
    pub(super) unit_scale: bool,
}

/// An interval narrower than this is a point, and its width the rounding of sums.
const ROUNDING: f64 = 1e-9;

/// Chooses unit and digits by what kind of figure it is and by how wide its interval is: digits inside the noise help nobody.
pub(super) fn figure_text(figure: &Figure) -> FigureText {
    let (factor, suffix, fewest_decimals) = match kind(&figure.key) {
        Kind::Share => (100.0, "\u{202f}%", 1),
        Kind::Score => (1.0, "", 3),
        Kind::Error => (1.0, "", 4),
        Kind::Money => (1.0, "", 0),
    };
    let width = (figure.high - figure.low).abs() * factor;
    let by_width = if width > ROUNDING && width.is_finite() { decimals_for(width, 2) } else { 0 };
    let decimals = if matches!(kind(&figure.key), Kind::Money) { 0 } else { by_width.clamp(fewest_decimals, 8) };
    let number = |value: f64| grouped(value * factor, decimals);
    let value = if figure.value.is_finite() { format!("{}{suffix}", number(figure.value)) } else { UNDEFINED.to_owned() };
    let interval = if figure.low.is_finite() && figure.high.is_finite() {
        let dash = if figure.low < 0.0 || figure.high < 0.0 { " to " } else { "–" };
        format!("{}{dash}{}{suffix}", number(figure.low), number(figure.high))
    } else {
        "no interval".to_owned()
    };
    FigureText { value, interval, unit_scale: matches!(kind(&figure.key), Kind::Share | Kind::Score) }
}

enum Kind {
    Share,
    Score,
    Error,
    Money,
}

fn kind(key: &str) -> Kind {
    match key {
        "average_precision" | "auc" => Kind::Score,
        "money_saved" => Kind::Money,
        _ if key.contains("recall") || key.contains("precision") => Kind::Share,
        _ => Kind::Error,
    }
}

/// Decimals that leave `significant` digits of a number of this size.
fn decimals_for(value: f64, significant: i32) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    let magnitude = libm::floor(libm::log10(value.abs())).clamp(-300.0, 300.0);
    #[expect(clippy::cast_possible_truncation, reason = "clamped to ±300 above")]
    let decimals = significant - 1 - magnitude as i32;
    usize::try_from(decimals.max(0)).expect("not negative").min(12)
}

/// The number with commas between thousands and a true minus sign; beyond 10^15 as a power of ten.
fn grouped(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return UNDEFINED.to_owned();
    }
    if value.abs() >= 1e15 {
        let scientific = format!("{value:.2e}");
        let (mantissa, exponent) = scientific.split_once('e').expect("`e` formatting writes an e");
        return format!("{} × 10^{exponent}", mantissa.replace('-', "\u{2212}"));
    }
    let digits = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = digits.split_once('.').map_or((digits.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
    let negative = value < 0.0 && digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit));
    let mut text = String::from(if negative { "\u{2212}" } else { "" });
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

fn without_trailing_zeros(number: String) -> String {
    if number.contains('.') && !number.contains('×') {
        number.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let check = |written: String, expected: &str| assert_eq!(written.replace('\u{202f}', " "), expected);
        check(count(56_887.0), "56,887");
        check(count(0.0), "0");
        check(count(12.5), "12.5");
        check(count(1e18), "1.00 × 10^18");
        check(counted(1.0, "fraud"), "1 fraud");
        check(counted(1_000.0, "fraud"), "1,000 frauds");
        check(money(-6_120.4), "\u{2212}6,120");
        check(money(2.5), "2.50");
        check(money(3.0), "3");
        check(money(-0.001), "0.00");
        check(percent(0.7733), "77 %");
        check(percent(0.001_29), "0.13 %");
        check(percent(0.9998), "99.98 %");
        check(percent(1e-5), "0.001 %");
        check(percent(1.0), "100 %");
        check(percent(f64::NAN), "n/a");
        check(compact(12_000.0), "12k");
        check(compact(0.5), "0.5");
        check(compact(2_500_000.0), "2.5M");
    }

    #[test]
    fn a_figure_shows_no_more_digits_than_its_interval_supports() {
        let check = |key: &str, [value, low, high]: [f64; 3], expected: [&str; 2]| {
            let figure = Figure { key: key.into(), name: String::new(), value, low, high, meaning: String::new() };
            let text = figure_text(&figure);
            assert_eq!([text.value.replace('\u{202f}', " "), text.interval.replace('\u{202f}', " ")], expected);
        };
        check("average_precision", [0.8123, 0.7312, 0.8811], ["0.812", "0.731–0.881"]);
        check("auc", [0.999_123, 0.9989, 0.9994], ["0.99912", "0.99890–0.99940"]);
        check("recall", [0.7733, 0.667, 0.853], ["77.3 %", "66.7–85.3 %"]);
        check("brier", [0.000_452, 0.000_35, 0.000_56], ["0.00045", "0.00035–0.00056"]);
        check("money_saved", [6120.4, -20.0, 9000.0], ["6,120", "\u{2212}20 to 9,000"]);
        check("recall", [f64::NAN, f64::NAN, 1.0], ["n/a", "no interval"]);
        check("precision", [1.0, 1.0 - f64::EPSILON, 1.0], ["100.0 %", "100.0–100.0 %"]);
    }

    #[test]
    fn foreign_text_cannot_become_markup_or_reorder_its_neighbours() {
        assert_eq!(escape("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        assert_eq!(escape("a\u{202e}b\0c\nd"), "a\u{fffd}b\u{fffd}c d");
        assert_eq!(shorten("ééééé", 4), "ééé…");
        assert_eq!(shorten("éééé", 4), "éééé");
    }
}
