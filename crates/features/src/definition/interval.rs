//! Lengths of time as SQL writes them: `INTERVAL '7 days'`, `INTERVAL '86399' SECOND`.

use assay_domain::time::{DAY, SECOND};
use sqlparser::ast::{Expr, Interval, Value};

/// The longest that a window or an option may be: a hundred years.
const LONGEST: i64 = 36_525 * DAY;

/// What is wrong with an interval, and what to write.
const ADVICE: &str =
    "write a length of time in seconds, minutes, hours, days or weeks, as in INTERVAL '7 days', of at most a hundred years";

/// The microseconds of an interval literal.
pub(super) fn of_literal(interval: &Interval) -> Result<i64, &'static str> {
    let Expr::Value(value) = &*interval.value else { return Err(ADVICE) };
    let Value::SingleQuotedString(text) = &value.value else { return Err(ADVICE) };
    if interval.leading_precision.is_some() || interval.last_field.is_some() || interval.fractional_seconds_precision.is_some() {
        return Err(ADVICE);
    }
    match &interval.leading_field {
        Some(unit) => of_text(&format!("{text} {unit}")),
        None => of_text(text),
    }
}

/// The microseconds of a text like `7 days` or `1 day 12 hours`.
pub(super) fn of_text(text: &str) -> Result<i64, &'static str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(ADVICE);
    }
    words.chunks_exact(2).try_fold(0_i64, |total, pair| {
        let number: i64 = pair[0].parse().map_err(|_| ADVICE)?;
        let length = number.checked_mul(unit(pair[1])?).ok_or(ADVICE)?;
        total.checked_add(length).filter(|total| (0..=LONGEST).contains(total)).ok_or(ADVICE)
    })
}

fn unit(name: &str) -> Result<i64, &'static str> {
    let singular = name.to_ascii_lowercase();
    Ok(match singular.strip_suffix('s').unwrap_or(&singular) {
        "microsecond" => 1,
        "millisecond" => 1_000,
        "second" | "sec" => SECOND,
        "minute" | "min" => 60 * SECOND,
        "hour" => 3_600 * SECOND,
        "day" => DAY,
        "week" => 7 * DAY,
        "month" | "year" => return Err("months and years differ in length; write days"),
        _ => return Err(ADVICE),
    })
}
