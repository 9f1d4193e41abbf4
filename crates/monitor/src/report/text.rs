//! The report for a terminal: alarms first, then a table for each question.

use std::fmt::Write;

use super::Report;
use super::words::{count, known, moment, money, number, percent, shorten};

/// The report as lines.
pub fn text(report: &Report) -> String {
    let mut out = format!("{} · as of {}\n\n", shorten(&report.title), moment(report.as_of));
    let alarms = report.alarms();
    if alarms.is_empty() {
        out += "Nothing alarms.\n";
    }
    for alarm in &alarms {
        line(&mut out, format_args!("! {alarm}"));
    }
    drift(&mut out, report);
    decided(&mut out, report);
    labels(&mut out, report);
    quality(&mut out, report);
    out
}

fn line(out: &mut String, text: std::fmt::Arguments) {
    writeln!(out, "{text}").expect("a String takes any text");
}

fn drift(out: &mut String, report: &Report) {
    let Some(latest) = report.drift.last() else { return };
    let (from, until, rows) = (moment(latest.from), moment(latest.until), count(latest.rows));
    line(out, format_args!("\nDrift, {from} to {until}, {rows} rows"));
    line(out, format_args!("{:<32} {:>9} {:>9} {:>9} {:>9}  level", "column", "PSI", "by chance", "KS", "chance"));
    for column in &latest.columns {
        let name = shorten(&column.name);
        let (psi, by_chance, ks, chance) =
            (number(column.psi), number(column.psi_by_chance), known(column.ks), number(column.chance));
        line(out, format_args!("{name:<32} {psi:>9} {by_chance:>9} {ks:>9} {chance:>9}  {}", column.level.name()));
    }
}

fn decided(out: &mut String, report: &Report) {
    if !report.decided.is_empty() {
        line(out, format_args!("\nDecisions"));
    }
    for window in &report.decided {
        let shares: Vec<String> =
            window.shares.iter().map(|(outcome, share)| format!("{} {}", outcome.name(), percent(*share))).collect();
        line(out, format_args!("{:<22} {:>12}  {}", moment(window.from), count(window.decisions), shares.join(", ")));
    }
}

fn labels(out: &mut String, report: &Report) {
    if !report.labels.is_empty() {
        line(out, format_args!("\nLabels learnt (days after the transaction: half, nine in ten, 99 in a hundred within)"));
    }
    for window in &report.labels {
        let delays = [window.delay_days_p50, window.delay_days_p90, window.delay_days_p99].map(known).join(", ");
        let (frauds, genuine, late) = (count(window.frauds), count(window.genuine), count(window.late));
        line(out, format_args!("{:<22} {frauds} frauds, {genuine} genuine, {late} late; {delays}", moment(window.from)));
    }
}

fn quality(out: &mut String, report: &Report) {
    if let Some(labelled) = report.labelled {
        line(out, format_args!("Of {} of the mature decisions a label told something.", percent(labelled)));
    }
    for quality in &report.quality {
        line(out, format_args!("\nQuality of model {}, once labels are mature", shorten(&quality.model)));
        let (judged, frauds) = (count(quality.judged), count(quality.frauds));
        let (immature, never) = (count(quality.immature), count(quality.never_known));
        line(out, format_args!("{judged} judged, {frauds} frauds; {immature} too young, {never} declined and never known"));
        let figures = [quality.average_precision, quality.precision_at_top, quality.card_precision_at_top].map(known);
        line(
            out,
            format_args!(
                "average precision {}, precision at top {}, card precision at top {}",
                figures[0], figures[1], figures[2]
            ),
        );
        let (stopped, lost) = (money(quality.decline.fraud_minor), money(quality.decline.genuine_minor));
        line(
            out,
            format_args!(
                "fraud stopped {stopped}, good sales lost {lost}, fraud approved {}",
                money(quality.approve.fraud_minor)
            ),
        );
    }
}
