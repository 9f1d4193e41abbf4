//! What the numbers say, in words for a person in payments: one sentence of verdict, then the cautions that belong to it.

use super::Report;
use super::words::{count, counted, isolate, money, percent};
use crate::evaluation::{Confusion, Evaluation};

/// Fewer frauds than this and the intervals are wide enough to say so: with 200, a recall of 80 % is known to about ±6 points.
const FEW_FRAUDS: u64 = 200;

/// The verdict as HTML text: caught, wrongly flagged, saved.
pub(super) fn verdict(evaluation: &Evaluation) -> String {
    let confusion = &evaluation.confusion;
    let frauds = confusion.frauds_flagged + confusion.frauds_missed;
    let genuine = confusion.genuine_flagged + confusion.genuine_passed;
    let tested = isolate(&evaluation.rows_described);
    if evaluation.rows == 0 {
        return format!("There were no rows to test in {tested}, so nothing is known about this model yet.");
    }
    let alarms = format!(
        "<strong>{}</strong> of {} {} flagged",
        count(confusion.genuine_flagged),
        counted(genuine, "genuine transaction"),
        is_or_are(confusion.genuine_flagged)
    );
    if evaluation.frauds == 0 {
        return format!("There is no fraud in the rows tested ({tested}), so nothing is known about catching it; {alarms}.");
    }
    format!(
        "Of {} in the rows tested ({tested}), <strong>{}</strong> {} caught ({}), while {alarms}{}.",
        counted(frauds, "fraud"),
        count(confusion.frauds_flagged),
        is_or_are(confusion.frauds_flagged),
        percent(confusion.frauds_flagged / frauds),
        savings(evaluation),
    )
}

/// What having no model costs: every fraud is missed and nothing is reviewed. `None` when the evaluation does not say.
pub(super) fn cost_without_model(evaluation: &Evaluation) -> Option<f64> {
    let from_curve = evaluation.cost_curve.iter().find(|point| point.flagged == 0.0).map(|point| point.cost);
    let Confusion { frauds_flagged, frauds_missed, .. } = evaluation.confusion;
    let from_counts =
        || evaluation.costs.amount_column.is_none().then_some((frauds_flagged + frauds_missed) * evaluation.costs.fraud);
    from_curve.or_else(from_counts).filter(|cost| cost.is_finite())
}

/// What working at the chosen threshold costs: what is lost without a model less what the model saves. Without those, the curve's
/// next point at or above the threshold, which flags the same rows.
pub(super) fn cost_at_threshold(evaluation: &Evaluation) -> Option<f64> {
    let threshold = evaluation.confusion.threshold;
    let at_or_above = evaluation.cost_curve.iter().filter(|point| point.threshold >= threshold);
    let next = || at_or_above.min_by(|a, b| a.threshold.total_cmp(&b.threshold)).map(|point| point.cost);
    let reckoned = cost_without_model(evaluation).zip(money_saved(evaluation)).map(|(lost, saved)| lost - saved);
    reckoned.or_else(next).filter(|cost| cost.is_finite() && threshold.is_finite())
}

/// What a reader must know before believing the numbers, each as HTML text.
pub(super) fn cautions(report: &Report) -> Vec<String> {
    let mut cautions: Vec<String> = report.model.notes.iter().map(|note| isolate(note)).collect();
    let Some(chosen) = report.evaluations.first() else {
        cautions.push("Nothing was evaluated.".to_owned());
        return cautions;
    };
    if chosen.frauds < FEW_FRAUDS {
        cautions.push(format!(
            "The rows tested hold only {}. Read the 95 % intervals, not the middle figures.",
            counted(chosen.frauds as f64, "fraud")
        ));
    }
    if chosen.weighted {
        cautions.push("Rows count by their weights, so counts of transactions are estimates and may have decimals.".to_owned());
    }
    if chosen.duplicate_rows > 0 {
        cautions.push(format!(
            "{} of {} repeat another one exactly, so the intervals are narrower than they should be.",
            count(chosen.duplicate_rows as f64),
            counted(chosen.rows as f64, "row")
        ));
    }
    for evaluation in report.evaluations {
        cautions.extend(cautions_about_split(evaluation));
    }
    cautions
}

fn cautions_about_split(evaluation: &Evaluation) -> Vec<String> {
    let mut cautions = Vec::new();
    let described = isolate(&evaluation.rows_described);
    if evaluation.rows_described.to_lowercase().contains("random") {
        cautions.push(format!(
            "A random split tends to flatter ({described}): it tests on the same days, cards and attacks as it learns from, while a model in use meets later ones."
        ));
    }
    if let Some(seen) = evaluation.rows_seen_in_training.filter(|seen| *seen > 0) {
        cautions.push(format!(
            "{} of {} ({described}) also occur in the rows the model learnt from: on those it may simply remember the answer.",
            count(seen as f64),
            counted(evaluation.rows as f64, "row")
        ));
    }
    cautions
}

fn savings(evaluation: &Evaluation) -> String {
    match (money_saved(evaluation), cost_without_model(evaluation)) {
        (Some(saved), _) if saved < 0.0 => {
            format!("; at the stated costs this loses <strong>{}</strong> compared with having no model", money(-saved))
        }
        (Some(saved), Some(lost)) => {
            format!(
                "; at the stated costs this saves <strong>{}</strong> of the {} that fraud would cost",
                money(saved),
                money(lost)
            )
        }
        (Some(saved), None) => format!("; at the stated costs this saves <strong>{}</strong>", money(saved)),
        (None, _) => String::new(),
    }
}

fn money_saved(evaluation: &Evaluation) -> Option<f64> {
    let figure = evaluation.figures.iter().find(|figure| figure.key == "money_saved")?;
    figure.value.is_finite().then_some(figure.value)
}

fn is_or_are(value: f64) -> &'static str {
    if value == 1.0 { "is" } else { "are" }
}
