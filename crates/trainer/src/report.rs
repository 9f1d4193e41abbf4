//! How good is this model, for people? One HTML page that needs nothing but itself, and the same numbers as JSON.

mod axis;
mod plots;
mod text;
mod verdict;
mod words;

pub use text::text;

use serde::Serialize;
use serde_json::Value;

use crate::evaluation::{Confusion, Evaluation, Figure, Importance};
use plots::Plot;
use words::{TEXT_LIMIT, escape, figure_text, shorten};
/// Words and numbers as our reports write them, for reports beside this one.
pub use words::{count, each, isolate, money, percent};

/// Everything a report says. What is not in here is not in the page.
#[derive(Clone, Debug, Serialize)]
pub struct Report<'a> {
    /// Heading of the page.
    pub title: &'a str,
    /// What was made, and how.
    pub model: ModelSummary,
    /// The chosen split first; others are shown beside it.
    pub evaluations: &'a [Evaluation],
    /// Each feature's part in the model, in any order.
    pub importance: &'a [Importance],
}

/// What was made, from what, and how to make it again.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelSummary {
    /// "boosted trees", "logistic regression".
    pub learner: String,
    /// The column that says what was fraud.
    pub label: String,
    /// How many features a row has.
    pub features: usize,
    /// Rows the model learnt from; not known of a model trained elsewhere.
    pub rows_trained: Option<u64>,
    /// Frauds among them.
    pub frauds_trained: Option<u64>,
    /// Where those rows lie in time or in the file, in words.
    pub training_range: String,
    /// Every setting that had a say, as name and value, in reading order.
    pub settings: Vec<(String, String)>,
    /// What a reader must know first: simulated data, a column left out.
    pub notes: Vec<String>,
    /// Commands that make the model and this report again, in order.
    pub commands: Vec<String>,
}

/// The page. Never fails: a figure that is not a number reads "n/a", a curve without points says so.
///
/// It holds no script, no link and no style attribute, and names in its own policy what a browser may do with it: show it.
pub fn html(report: &Report) -> String {
    let body = match report.evaluations.first() {
        Some(chosen) => evaluated(report, chosen),
        None => String::new(),
    };
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
{header}
{body}
{making}
{reproducing}
</main>
</body>
</html>
"#,
        title = escape(&shorten(report.title, TEXT_LIMIT)),
        style = STYLE,
        header = header(report),
        making = making(&report.model),
        reproducing = reproducing(&report.model),
    )
}

/// How our pages look.
pub const STYLE: &str = include_str!("report/style.css");

/// The same numbers under the names of the Rust fields, and the curves as they were given; a number that is not finite is `null`.
pub fn json(report: &Report) -> Value {
    serde_json::to_value(report).expect("keys are field names, and everything else has a JSON form")
}

fn header(report: &Report) -> String {
    let verdict = report.evaluations.first().map(verdict::verdict).unwrap_or_default();
    format!(
        r#"<header>
<div>
<p class="kicker">{} · evaluation</p>
<h1>{}</h1>
<p class="verdict">{verdict}</p>
</div>
{}</header>"#,
        isolate(&report.model.learner),
        isolate(report.title),
        cautions(report)
    )
}

fn cautions(report: &Report) -> String {
    let items = each(verdict::cautions(report), |caution| format!("<li>{caution}</li>\n"));
    if items.is_empty() {
        return String::new();
    }
    format!(
        "<aside aria-labelledby=\"cautions\">\n<h2 id=\"cautions\">Before you believe it</h2>\n<ul>\n{items}</ul>\n</aside>\n"
    )
}

fn evaluated(report: &Report, chosen: &Evaluation) -> String {
    let plots = each(&plots::plots(chosen, report.importance), figure);
    [
        section("figures", "The figures", &figures(chosen)),
        if report.evaluations.len() > 1 {
            section("splits", "The splits side by side", &splits(report.evaluations))
        } else {
            String::new()
        },
        section("decisions", "What happens at the chosen threshold", &confusion(&chosen.confusion)),
        section("plots", "The pictures", &format!(r#"<div class="plots">{plots}</div>"#)),
        section("costs", "What mistakes are taken to cost", &costs(chosen)),
    ]
    .concat()
}

fn figures(evaluation: &Evaluation) -> String {
    let rows = each(&evaluation.figures, figure_row);
    format!(
        r#"<p>Measured on {} with {} (fraud rate {}): {}. Intervals hold 95 of 100 values that {} resamples of these rows give.</p>
<table class="figures">
<thead><tr><th scope="col">Figure</th><th scope="col" class="number">Value, 95&#8239;% interval</th><th scope="col" class="whisker-cell">On a scale from 0 to 1</th></tr></thead>
<tbody>
{rows}</tbody>
</table>"#,
        words::counted(evaluation.rows as f64, "row"),
        words::counted(evaluation.frauds as f64, "fraud"),
        percent(evaluation.fraud_rate),
        isolate(&evaluation.rows_described),
        count(f64::from(evaluation.resamples)),
    )
}

fn figure_row(figure: &Figure) -> String {
    format!(
        r#"<tr><th scope="row">{} <span class="meaning">{}</span></th><td class="number">{}</td><td class="whisker-cell">{}</td></tr>
"#,
        isolate(&figure.name),
        isolate(&figure.meaning),
        figure_value(figure),
        whisker(figure)
    )
}

/// The value with its interval; the exact value is there for machines.
fn figure_value(figure: &Figure) -> String {
    let text = figure_text(figure);
    let value =
        if figure.value.is_finite() { format!(r#"<data value="{}">{}</data>"#, figure.value, text.value) } else { text.value };
    format!(r#"<span class="value">{value}</span> <span class="interval">{}</span>"#, text.interval)
}

/// The interval as a line and the value as a dot, for figures of which 0 and 1 are the natural ends.
fn whisker(figure: &Figure) -> String {
    const LENGTH: f64 = 160.0;
    if !figure_text(figure).unit_scale || ![figure.value, figure.low, figure.high].into_iter().all(f64::is_finite) {
        return String::new();
    }
    let place = |value: f64| 6.0 + value.clamp(0.0, 1.0) * (LENGTH - 12.0);
    let marks = [
        axis::line("grid", 6.0, 10.0, LENGTH - 6.0, 10.0),
        axis::line("grid", 6.0, 6.0, 6.0, 14.0),
        axis::line("grid", LENGTH - 6.0, 6.0, LENGTH - 6.0, 14.0),
        axis::line("whisker", place(figure.low), 10.0, place(figure.high), 10.0),
        axis::dot("point", place(figure.value), 10.0),
    ];
    format!(r#"<svg viewBox="0 0 160 20" width="160" height="20" aria-hidden="true">{}</svg>"#, marks.concat())
}

/// One column per evaluation, one row per figure of the first.
fn splits(evaluations: &[Evaluation]) -> String {
    let row = |name: &str, cell: &dyn Fn(&Evaluation) -> String| {
        let cells = each(evaluations, |evaluation| format!(r#"<td class="number">{}</td>"#, cell(evaluation)));
        format!("<tr><th scope=\"row\">{name}</th>{cells}</tr>\n")
    };
    let names =
        each(evaluations, |evaluation| format!(r#"<th scope="col" class="number">{}</th>"#, isolate(&evaluation.rows_described)));
    // The empty interval keeps these in line with the values below them.
    let plain = |text: String| format!(r#"<span class="value">{text}</span> <span class="interval"></span>"#);
    let seen =
        |evaluation: &Evaluation| evaluation.rows_seen_in_training.map_or("not known".to_owned(), |rows| count(rows as f64));
    let mut rows = [
        row("Rows", &|evaluation| plain(count(evaluation.rows as f64))),
        row("Frauds", &|evaluation| plain(count(evaluation.frauds as f64))),
        row("Fraud rate", &|evaluation| plain(percent(evaluation.fraud_rate))),
        row("Rows that repeat another", &|evaluation| plain(count(evaluation.duplicate_rows as f64))),
        row("Rows also in training", &|evaluation| plain(seen(evaluation))),
    ]
    .concat();
    for figure in &evaluations[0].figures {
        rows += &row(&isolate(&figure.name), &|evaluation| {
            evaluation.figures.iter().find(|other| other.key == figure.key).map_or_else(|| "n/a".to_owned(), figure_value)
        });
    }
    scrolling(
        "The splits side by side",
        &format!(
            "<table class=\"splits\">\n<thead><tr><th scope=\"col\">Tested on</th>{names}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
        ),
    )
}

fn confusion(confusion: &Confusion) -> String {
    let row = |name: &str, [flagged, passed]: [f64; 2], [flagged_class, passed_class]: [&str; 2]| {
        let total = flagged + passed;
        let cell = |part: f64, class: &str| {
            let share = if total > 0.0 { percent(part / total) } else { String::new() };
            format!(
                r#"<td class="number {class}"><span class="value">{}</span> <span class="interval">{share}</span></td>"#,
                count(part)
            )
        };
        format!(
            "<tr><th scope=\"row\">{name}</th>{}{}<td class=\"number\">{}</td></tr>\n",
            cell(flagged, flagged_class),
            cell(passed, passed_class),
            count(total)
        )
    };
    let flagged = confusion.frauds_flagged + confusion.genuine_flagged;
    let passed = confusion.frauds_missed + confusion.genuine_passed;
    format!(
        r#"<p>A transaction is flagged when its score is {} or more.</p>
<table class="confusion">
<thead><tr><td></td><th scope="col" class="number">Flagged</th><th scope="col" class="number">Let pass</th><th scope="col" class="number">Together</th></tr></thead>
<tbody>
{}{}<tr><th scope="row">Together</th><td class="number">{}</td><td class="number">{}</td><td class="number">{}</td></tr>
</tbody>
</table>"#,
        percent(confusion.threshold),
        row("Fraud", [confusion.frauds_flagged, confusion.frauds_missed], ["right", "wrong"]),
        row("Genuine", [confusion.genuine_flagged, confusion.genuine_passed], ["wrong", "right"]),
        count(flagged),
        count(passed),
        count(flagged + passed)
    )
}

fn figure(plot: &Plot) -> String {
    let drawing = plot.svg.as_deref().unwrap_or(r#"<p class="empty">There is nothing to draw: no finite points were given.</p>"#);
    format!(
        "<figure>\n<figcaption><h3>{}</h3><p>{}</p></figcaption>\n{drawing}\n</figure>\n",
        escape(plot.heading),
        escape(&plot.reading)
    )
}

fn costs(evaluation: &Evaluation) -> String {
    let costs = &evaluation.costs;
    let fraud = match &costs.amount_column {
        Some(column) => format!("a missed fraud costs {} of its amount (column {})", percent(costs.fraud), isolate(column)),
        None => format!("a missed fraud costs {}", money(costs.fraud)),
    };
    let without = verdict::cost_without_model(evaluation)
        .map_or_else(String::new, |cost| format!(" Without a model the frauds in these rows would cost {}.", money(cost)));
    format!(
        "<p>Looking at one flagged transaction costs {}; {fraud}, in the currency of the data.{without} Other costs give another best threshold: state yours and evaluate again.</p>",
        money(costs.review)
    )
}

fn making(model: &ModelSummary) -> String {
    let known = |rows: Option<u64>| rows.map_or("not known".to_owned(), |rows| count(rows as f64));
    let made_from = [
        ("Learner".to_owned(), isolate(&model.learner)),
        ("Label".to_owned(), isolate(&model.label)),
        ("Features".to_owned(), count(model.features as f64)),
        ("Rows learnt from".to_owned(), known(model.rows_trained)),
        ("Frauds among them".to_owned(), known(model.frauds_trained)),
        ("Their range".to_owned(), isolate(&model.training_range)),
    ];
    let settings = model.settings.iter().map(|(name, value)| (isolate(name), isolate(value)));
    let rows = each(made_from.into_iter().chain(settings), |(name, value)| {
        format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n")
    });
    section("making", "How the model was made", &format!("<table class=\"settings\">\n<tbody>\n{rows}</tbody>\n</table>"))
}

fn reproducing(model: &ModelSummary) -> String {
    let commands = each(&model.commands, |command| format!("{}\n", escape(&shorten(command, TEXT_LIMIT))));
    let commands =
        if commands.is_empty() { String::new() } else { format!("<pre tabindex=\"0\"><code>{commands}</code></pre>\n") };
    let explanation = "<p>The same data, settings and seed give the same model to the last bit, with any number of threads, and the same figures: \
        the intervals' resamples are seeded too. The JSON file beside this page holds every number of it, unrounded.</p>";
    section("reproducing", "How to get it again", &format!("{commands}{explanation}"))
}

fn section(id: &str, heading: &str, content: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{heading}</h2>\n{content}\n</section>\n"
    )
}

/// A wide table that scrolls by itself on a narrow screen, reachable by keyboard.
fn scrolling(name: &str, table: &str) -> String {
    format!("<div class=\"scrolling\" role=\"region\" aria-label=\"{name}\" tabindex=\"0\">\n{table}\n</div>")
}
