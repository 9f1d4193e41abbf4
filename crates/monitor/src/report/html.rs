//! The report as a page: no script, no link, no style attribute, and a policy that lets a browser show it and nothing else.

use super::Report;
use super::words::{UNKNOWN, count, each, known, moment, money, number, percent, shorten};
use crate::drift::ColumnDrift;
use crate::quality::{Money, Quality};

/// The page.
pub fn html(report: &Report) -> String {
    let sections = [
        alarms(report),
        drift(report),
        history(report),
        table("Decisions", &["From", "Decisions", "Alert rate", "By outcome"], report.decided.iter().map(decided).collect()),
        table(
            "Labels learnt",
            &["From", "Frauds", "Genuine", "Late", "Before their time", "Days: half within", "nine in ten", "99 in a hundred"],
            report.labels.iter().map(labels).collect(),
        ),
        labelled(report),
        report.quality.iter().map(quality).collect(),
    ];
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1><bdi>{title}</bdi></h1>
<p class="quiet">As of {as_of}</p>
{body}</main>
</body>
</html>
"#,
        title = foreign(&report.title),
        style = include_str!("style.css"),
        as_of = moment(report.as_of),
        body = sections.concat(),
    )
}

fn alarms(report: &Report) -> String {
    let alarms = report.alarms();
    if alarms.is_empty() {
        return "<p>Nothing alarms.</p>\n".into();
    }
    let items = each(&alarms, |alarm| format!("<li>{}</li>\n", escape(alarm)));
    format!("<section class=\"alarms\"><h2>Look at this</h2>\n<ul>\n{items}</ul>\n</section>\n")
}

fn drift(report: &Report) -> String {
    let Some(latest) = report.drift.last() else { return String::new() };
    let heading = format!("Drift, {} to {}, {} rows", moment(latest.from), moment(latest.until), count(latest.rows));
    let row = |column: &ColumnDrift| {
        let change = column.bins.first().map_or_else(String::new, |bin| {
            format!("<bdi>{}</bdi>: {} instead of {}", foreign(&bin.holds), percent(bin.found), percent(bin.expected))
        });
        let level =
            if column.level.alarms() { format!("<strong>{}</strong>", column.level.name()) } else { column.level.name().into() };
        let caution = if column.dependence_known { "" } else { " (rows taken as independent)" };
        vec![
            format!("<bdi>{}</bdi>", foreign(&column.name)),
            number(column.psi),
            number(column.psi_by_chance),
            known(column.ks),
            number(column.chance) + caution,
            level,
            change,
        ]
    };
    let headings = ["Column", "PSI", "PSI by chance", "KS", "Chance", "Level", "Largest change"];
    table(&heading, &headings, latest.columns.iter().map(row).collect())
}

/// The largest PSI of each window, as a bar: whether today is an exception.
fn history(report: &Report) -> String {
    let row = |drift: &crate::Drift| {
        let largest = drift.columns.iter().max_by(|one, other| one.psi.total_cmp(&other.psi));
        let (name, psi) = largest.map_or((UNKNOWN.to_owned(), 0.0), |column| (foreign(&column.name), column.psi));
        let width = (psi / 0.5).clamp(0.0, 1.0) * 200.0;
        let class = if drift.alarms().next().is_some() { "alarm" } else { "calm" };
        let bar = format!(
            r#"<svg viewBox="0 0 200 12" width="200" height="12" aria-hidden="true"><rect class="{class}" width="{width:.1}" height="12"/></svg>"#
        );
        vec![
            moment(drift.from),
            count(drift.rows),
            count(drift.alarms().count() as u64),
            format!("<bdi>{name}</bdi>"),
            number(psi),
            bar,
        ]
    };
    table("Windows", &["From", "Rows", "Alarms", "Largest PSI in", "PSI", "0 to 0.5"], report.drift.iter().map(row).collect())
}

fn decided(window: &super::Decided) -> Vec<String> {
    let shares: Vec<String> =
        window.shares.iter().map(|(outcome, share)| format!("{} {}", outcome.name(), percent(*share))).collect();
    let alert_rate = window.alert_rate.map_or_else(|| UNKNOWN.into(), percent);
    vec![moment(window.from), count(window.decisions), alert_rate, shares.join(", ")]
}

fn labels(window: &super::LabelsLearnt) -> Vec<String> {
    let counts = [window.frauds, window.genuine, window.late, window.before_their_time].map(count);
    let delays = [window.delay_days_p50, window.delay_days_p90, window.delay_days_p99].map(known);
    [moment(window.from)].into_iter().chain(counts).chain(delays).collect()
}

fn labelled(report: &Report) -> String {
    let told = |share| format!("<p>Of {} of the mature decisions a label told something.</p>\n", percent(share));
    report.labelled.map_or_else(String::new, told)
}

fn quality(quality: &Quality) -> String {
    let figures = [
        ("Judged", count(quality.judged)),
        ("Frauds among them", count(quality.frauds)),
        ("Too young to judge", count(quality.immature)),
        ("Declined and never known", count(quality.never_known)),
        ("Average precision", known(quality.average_precision)),
        ("Precision at top, mean of days", known(quality.precision_at_top)),
        ("Card precision at top, mean of days", known(quality.card_precision_at_top)),
    ];
    let heading = format!("Quality of model <bdi>{}</bdi>, once labels are mature", foreign(&quality.model));
    let figures = figures.map(|(name, value)| vec![name.to_owned(), value]).to_vec();
    let outcomes = [
        ("approve", quality.approve),
        ("review", quality.review),
        ("challenge", quality.challenge),
        ("decline", quality.decline),
    ];
    let row = |(name, of): (&str, Money)| {
        vec![name.into(), count(of.frauds), money(of.fraud_minor), count(of.genuine), money(of.genuine_minor)]
    };
    let headings = ["Outcome", "Frauds", "Their amount", "Genuine", "Their amount"];
    table(&heading, &["Figure", "Value"], figures) + &table("In money", &headings, outcomes.map(row).to_vec())
}

/// A section with a table; nothing where there are no rows. Headings and cells are markup already.
fn table(heading: &str, columns: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let headings = each(columns, |column| format!("<th scope=\"col\">{column}</th>"));
    let row = |cells: Vec<String>| format!("<tr>{}</tr>\n", each(cells, |cell| format!("<td>{cell}</td>")));
    let rows = each(rows, row);
    format!(
        "<section>\n<h2>{heading}</h2>\n<div class=\"scrolling\" tabindex=\"0\"><table>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

/// Foreign text as HTML.
fn foreign(text: &str) -> String {
    escape(&shorten(text))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            plain => escaped.push(plain),
        }
    }
    escaped
}
