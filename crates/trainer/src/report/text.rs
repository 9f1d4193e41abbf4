//! The report for a terminal: the figures in columns, one per split, then what happens at the threshold.

use super::words::{count, figure_text, money, percent, shorten};
use crate::evaluation::{Confusion, Costs, Evaluation};

/// Characters that one column of figures takes.
const COLUMN: usize = 30;
/// Characters that the names of figures take.
const NAMES: usize = 34;

/// Evaluations side by side, as lines of text.
pub fn text(evaluations: &[Evaluation]) -> String {
    let Some(chosen) = evaluations.first() else { return String::new() };
    let row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.map(|cell| format!("{cell:<COLUMN$}")).collect();
        format!("{name:<NAMES$}{}", cells.concat()).trim_end().to_owned() + "\n"
    };
    let of_each = |name: &str, cell: &dyn Fn(&Evaluation) -> String| row(name, &mut evaluations.iter().map(cell));
    let mut lines = of_each("Judged on", &|evaluation| shorten(&evaluation.rows_described, COLUMN - 2));
    lines += &of_each("Transactions (frauds)", &|evaluation| {
        format!("{} ({})", count(evaluation.rows as f64), count(evaluation.frauds as f64))
    });
    lines += &of_each("Rows that repeat another", &|evaluation| count(evaluation.duplicate_rows as f64));
    lines += &of_each("Rows the model learnt from", &|evaluation| {
        evaluation.rows_seen_in_training.map_or("not known".to_owned(), |rows| count(rows as f64))
    });
    for (place, figure) in chosen.figures.iter().enumerate() {
        lines += &of_each(&figure.name, &|evaluation| {
            evaluation.figures.get(place).map_or(String::new(), |figure| {
                let text = figure_text(figure);
                format!("{} [{}]", text.value, text.interval)
            })
        });
    }
    lines + "\n" + &classes(&chosen.confusion) + "\n" + &reckoning(chosen)
}

/// What the money saved is reckoned with, and what weighted counts are.
fn reckoning(evaluation: &Evaluation) -> String {
    let Costs { review, amount_column, fraud } = &evaluation.costs;
    let loss = match amount_column {
        Some(column) => format!("{} of its {column}", percent(*fraud)),
        None => money(*fraud),
    };
    let weighted =
        if evaluation.weighted { "Each row counts as many times as its weight says, except in the first lines.\n" } else { "" };
    format!("{weighted}Money: a review costs {}, a fraud that is missed {loss}.\n", money(*review))
}

/// Each class as classification reports have it, and the confusion matrix.
fn classes(confusion: &Confusion) -> String {
    let Confusion { threshold, frauds_flagged, frauds_missed, genuine_flagged, genuine_passed } = *confusion;
    let class = |name: &str, right: f64, wrongly_here: f64, wrongly_elsewhere: f64| {
        let (precision, recall) = (right / (right + wrongly_here), right / (right + wrongly_elsewhere));
        let f1 = 2.0 * right / (2.0 * right + wrongly_here + wrongly_elsewhere);
        let support = count(right + wrongly_elsewhere);
        format!("{name:<12}{:>12}{:>12}{:>12}{support:>12}\n", percent(precision), percent(recall), percent(f1))
    };
    format!(
        "Flagged from probability {threshold:.4} on:\n{:<12}{:>12}{:>12}{:>12}{:>12}\n{}{}\n{:<12}{:>12}{:>12}\n{:<12}{:>12}{:>12}\n{:<12}{:>12}{:>12}\n",
        "",
        "precision",
        "recall",
        "F1",
        "support",
        class("genuine", genuine_passed, frauds_missed, genuine_flagged),
        class("fraud", frauds_flagged, genuine_flagged, frauds_missed),
        "",
        "passed",
        "flagged",
        "genuine",
        count(genuine_passed),
        count(genuine_flagged),
        "fraud",
        count(frauds_missed),
        count(frauds_flagged),
    )
}
