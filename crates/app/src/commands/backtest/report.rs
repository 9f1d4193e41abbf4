//! A backtest as a page and as text: candidate and record side by side, and how far apart they are.

use std::fmt::Write as _;

use assay_engine::backtest::{Difference, Figure, OutcomeReport, Report, Sum};
use assay_trainer::report::{STYLE, count, each, isolate, money, percent};

use super::{Found, days};

/// How a figure is written.
#[derive(Clone, Copy)]
enum Unit {
    Money,
    Count,
    Share,
}

/// A figure of a report, by its name.
struct Line {
    name: &'static str,
    meaning: &'static str,
    unit: Unit,
    of: fn(&Report) -> Option<Figure>,
    difference: fn(&Difference) -> Option<Figure>,
}

const LINES: [Line; 7] = [
    Line {
        name: "Fraud stopped",
        meaning: "money of the frauds that were not approved",
        unit: Unit::Money,
        of: |report| Some(report.fraud_stopped),
        difference: |apart| Some(apart.fraud_stopped),
    },
    Line {
        name: "Fraud missed",
        meaning: "money of the frauds that were approved",
        unit: Unit::Money,
        of: |report| Some(report.fraud_missed),
        difference: |apart| Some(apart.fraud_missed),
    },
    Line {
        name: "Good sales lost",
        meaning: "money of the genuine that were declined",
        unit: Unit::Money,
        of: |report| Some(report.good_sales_lost),
        difference: |apart| Some(apart.good_sales_lost),
    },
    Line {
        name: "Reviews",
        meaning: "asked for in all",
        unit: Unit::Count,
        of: |report| Some(report.reviews),
        difference: |apart| Some(apart.reviews),
    },
    Line {
        name: "Reviews a day",
        meaning: "asked for on average",
        unit: Unit::Count,
        of: |report| Some(report.reviews_per_day),
        difference: |apart| Some(apart.reviews_per_day),
    },
    Line {
        name: "Value detection rate",
        meaning: "of the money of all frauds, the share that was stopped",
        unit: Unit::Share,
        of: |report| report.value_detection_rate,
        difference: |apart| apart.value_detection_rate,
    },
    Line {
        name: "Insult rate",
        meaning: "of the genuine, the share that was declined or challenged",
        unit: Unit::Share,
        of: |report| report.insult_rate,
        difference: |apart| apart.insult_rate,
    },
];

impl Unit {
    fn number(self, value: f64) -> String {
        match self {
            Self::Money => money(value),
            Self::Count => count(value),
            Self::Share => percent(value),
        }
    }

    /// A value and its interval.
    fn figure(self, figure: Option<Figure>) -> (String, String) {
        match figure {
            Some(Figure { value, low, high }) => (self.number(value), format!("{} to {}", self.number(low), self.number(high))),
            None => ("–".into(), String::new()),
        }
    }
}

/// What was tried on what.
fn summary(found: &Found) -> String {
    let Report { transactions, refused, .. } = found.candidate;
    let from = found.from.as_ref().map_or(String::new(), |from| format!(" from {from}"));
    let to = found.to.as_ref().map_or(String::new(), |to| format!(" before {to}"));
    let mut text = format!("{} transactions of {}, arrived{from}{to}", count(transactions as f64), days(found));
    if from.is_empty() && to.is_empty() {
        text = format!("{} transactions of {}", count(transactions as f64), days(found));
    }
    let more = [
        (refused, "would be refused"),
        (found.imported, "were imported without a decision and are the past only"),
        (found.not_admitted, "are none to this definition"),
    ];
    for (number, what) in more {
        if number > 0 {
            let _ = write!(text, "; {} more {what}", count(number as f64));
        }
    }
    text
}

/// For a terminal.
pub fn text(found: &Found) -> String {
    let mut text = format!("{} under policy {}: {}.\n\n", found.model, found.policy, summary(found));
    let heads = ["", "would be", "was", "difference"];
    let columns = if found.recorded.is_some() { 4 } else { 2 };
    let row = |cells: [String; 4]| {
        let mut line = format!("{:<22}", cells[0]);
        for cell in &cells[1..columns] {
            let _ = write!(line, "{cell:>36}");
        }
        format!("{}\n", line.trim_end())
    };
    text += &row(heads.map(String::from));
    for line in &LINES {
        let cell = |figure| {
            let (value, interval) = line.unit.figure(figure);
            if interval.is_empty() { value } else { format!("{value} ({interval})") }
        };
        text += &row([
            line.name.to_owned(),
            cell((line.of)(&found.candidate)),
            cell(found.recorded.as_ref().and_then(line.of)),
            cell(found.difference.as_ref().and_then(line.difference)),
        ]);
    }
    text += "\nIntervals hold 95 of 100 values that resamples of the days give; the difference is of the same days.";
    if let Some(price) = found.review_price {
        let _ = write!(text, "\nWhat one more review a day would have been worth (review.price): {}", money(price));
    }
    text
}

/// The page.
pub fn html(found: &Found) -> String {
    let heads = ["Would be", "Was", "Difference"];
    let columns = if found.recorded.is_some() { 3 } else { 1 };
    let head = each(&heads[..columns], |head| format!("<th scope=\"col\" class=\"number\">{head}</th>"));
    let rows = each(&LINES, |line| {
        let figures = [
            (line.of)(&found.candidate),
            found.recorded.as_ref().and_then(line.of),
            found.difference.as_ref().and_then(line.difference),
        ];
        let cells = each(&figures[..columns], |figure| {
            let (value, interval) = line.unit.figure(*figure);
            format!("<td class=\"number\"><span class=\"value\">{value}</span> <span class=\"interval\">{interval}</span></td>")
        });
        let (name, meaning) = (line.name, line.meaning);
        format!("<tr><th scope=\"row\">{name} <span class=\"meaning\">{meaning}</span></th>{cells}</tr>\n")
    });
    let price = found.review_price.map_or(String::new(), |price| {
        format!(
            "<p>What one more review a day would have been worth, for <code>review.price</code>: <strong>{}</strong></p>\n",
            money(price)
        )
    });
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>What would it have cost?</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<header>
<div>
<p class="kicker">backtest</p>
<h1>What would it have cost?</h1>
<p class="verdict">{model} under policy {policy}: {summary}. Amounts are those of {amount}.</p>
</div>
</header>
<section id="figures" aria-labelledby="figures-heading">
<h2 id="figures-heading">The figures</h2>
<div class="scrolling" role="region" aria-label="The figures" tabindex="0">
<table class="figures">
<thead><tr><th scope="col">Figure</th>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>
</div>
<p>Intervals hold 95 of 100 values that resamples of the days give, since the frauds of a day belong together. The difference is of the same days, so
that it can be sure where both columns are not. What was true is what is known today; what nobody knows is in no figure.</p>
{price}</section>
{outcomes}<section id="reproducing" aria-labelledby="reproducing-heading">
<h2 id="reproducing-heading">How to get it again</h2>
<pre><code>{command}</code></pre>
</section>
</main>
</body>
</html>
"#,
        model = isolate(&found.model),
        policy = isolate(&found.policy),
        summary = isolate(&summary(found)),
        amount = isolate(&found.amount),
        outcomes = outcomes(found),
        command = isolate(&found.command),
    )
}

/// How many had which outcome, and their money.
fn outcomes(found: &Found) -> String {
    let sides = [Some(("Would be", &found.candidate)), found.recorded.as_ref().map(|recorded| ("Was", recorded))];
    let rows = |report: &Report| {
        each(&report.outcomes, |OutcomeReport { outcome, fraud, genuine, unknown }| {
            let cells = each([fraud, genuine, unknown], |Sum { count: number, amount }| {
                let (number, amount) = (count(*number as f64), money(*amount));
                format!(
                    "<td class=\"number\"><span class=\"value\">{number}</span> <span class=\"interval\">{amount}</span></td>"
                )
            });
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", outcome.name())
        })
    };
    let heads = each(["Fraud", "Genuine", "Nobody knows"], |head| format!("<th scope=\"col\" class=\"number\">{head}</th>"));
    let tables = each(sides.into_iter().flatten(), |(name, report)| {
        format!(
            "<table class=\"splits\">\n<thead><tr><th scope=\"col\">{name}</th>{heads}</tr></thead>\n<tbody>\n{}</tbody>\n</table>\n",
            rows(report)
        )
    });
    format!(
        "<section id=\"outcomes\" aria-labelledby=\"outcomes-heading\">\n<h2 id=\"outcomes-heading\">By outcome</h2>\n<p>Transactions, and below them \
         their money.</p>\n{tables}</section>\n"
    )
}
