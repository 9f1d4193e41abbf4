//! The report as its readers get it: a page that parses, says every figure, and survives whatever it is given.
//!
//! The sample is also written to `report.html` in cargo's directory for tests, to be looked at.

#[path = "report/markup.rs"]
mod markup;
#[path = "report/sample.rs"]
mod sample;

use assay_trainer::evaluation::{Confusion, CostPoint, Evaluation, Figure, Importance, Point, ReliabilityBin, ScoreBin};
use assay_trainer::report::{ModelSummary, Report, html, json};
use proptest::prelude::*;

const HOSTILE: &str = "<script>alert('\"&\")</script>\u{202e}\0 שלום عربى";

#[test]
fn the_sample_says_every_figure_of_its_json() {
    let [time, random] = sample::evaluations();
    let evaluations = [time, random];
    let importance = sample::importance();
    let report = sample::report(&evaluations, &importance);
    let page = html(&report);
    std::fs::write(format!("{}/report.html", env!("CARGO_TARGET_TMPDIR")), &page).unwrap();
    markup::check(&page);
    let json = json(&report);
    for evaluation in json["evaluations"].as_array().unwrap() {
        for figure in evaluation["figures"].as_array().unwrap() {
            let value = figure["value"].as_f64().unwrap();
            assert!(page.contains(&format!("<data value=\"{value}\">")), "{figure} is not on the page");
            assert!(page.contains(figure["name"].as_str().unwrap()));
        }
    }
    assert_eq!(page.matches("<svg class=\"plot\"").count(), 6);
}

#[test]
fn the_verdict_is_one_sentence_for_payments_people() {
    let evaluations = sample::evaluations();
    let page = html(&sample::report(&evaluations, &[]));
    let verdict = page.split("class=\"verdict\">").nth(1).unwrap().split("</p>").next().unwrap();
    let words = markup::words(verdict);
    let counts = evaluations[0].confusion;
    let frauds = counts.frauds_flagged + counts.frauds_missed;
    assert!(
        words.starts_with(&format!(
            "Of {frauds} frauds in the rows tested (last 20 % by time), {} are caught (",
            counts.frauds_flagged
        )),
        "{words}"
    );
    assert!(words.contains("at the stated costs this saves "), "{words}");
}

#[test]
fn verdict_and_cost_curve_agree_on_the_money() {
    let evaluations = sample::evaluations();
    let saved = evaluations[0].figures.iter().find(|figure| figure.key == "money_saved").unwrap().value;
    let threshold = evaluations[0].confusion.threshold;
    let at_threshold = evaluations[0].cost_curve.iter().rfind(|point| point.threshold >= threshold).unwrap().cost;
    assert!((evaluations[0].cost_curve[0].cost - saved - at_threshold).abs() < 1e-6, "the sample itself is consistent");
    let mut without_saving = evaluations.clone();
    without_saving[0].figures.clear();
    for evaluations in [evaluations, without_saving] {
        let words = markup::words(&html(&sample::report(&evaluations, &[])));
        let label = format!("{},{:03.0} at 20 %", (at_threshold / 1_000.0).floor(), at_threshold % 1_000.0);
        assert!(words.contains(&label), "{label} is not on the page");
    }
}

#[test]
fn foreign_text_never_becomes_markup() {
    let mut evaluation = sample::evaluations()[0].clone();
    evaluation.rows_described = HOSTILE.into();
    evaluation.costs.amount_column = Some(HOSTILE.into());
    for figure in &mut evaluation.figures {
        (figure.name, figure.meaning) = (HOSTILE.into(), HOSTILE.repeat(1_000));
    }
    let importance = [HOSTILE.to_owned(), "x".repeat(100_000), String::new()].map(|feature| Importance { feature, share: 0.3 });
    let evaluations = [evaluation.clone(), evaluation];
    let mut report = sample::report(&evaluations, &importance);
    report.title = HOSTILE;
    report.model.notes = vec![HOSTILE.into()];
    report.model.settings = vec![(HOSTILE.into(), HOSTILE.into())];
    report.model.commands = vec![HOSTILE.into()];
    for text in [&mut report.model.learner, &mut report.model.label, &mut report.model.training_range] {
        *text = HOSTILE.into();
    }
    let page = html(&report);
    markup::check(&page);
    assert!(!page.contains("<script") && !page.contains('\u{202e}') && !page.contains('\0'));
    assert!(page.len() < 400_000, "long texts are cut; the page has {} bytes", page.len());
}

#[test]
fn nothing_at_all_is_still_a_page() {
    let empty = Report { title: "", model: ModelSummary::default(), evaluations: &[], importance: &[] };
    markup::check(&html(&empty));
    assert!(json(&empty)["evaluations"].as_array().unwrap().is_empty());
}

#[test]
fn an_evaluation_without_frauds_rows_or_points_says_so() {
    let mut evaluation = sample::evaluations()[0].clone();
    for curve in [&mut evaluation.precision_recall, &mut evaluation.roc] {
        curve.clear();
    }
    evaluation.reliability.clear();
    evaluation.score_distribution.clear();
    evaluation.cost_curve.clear();
    evaluation.frauds = 0;
    evaluation.confusion = Confusion { threshold: f64::NAN, frauds_flagged: 0.0, frauds_missed: 0.0, ..evaluation.confusion };
    for figure in &mut evaluation.figures {
        (figure.value, figure.low) = (f64::NAN, f64::NEG_INFINITY);
    }
    let page = html(&sample::report(&[evaluation.clone()], &[]));
    markup::check(&page);
    assert!(page.contains("There is no fraud in the rows tested"));
    assert_eq!(page.matches("There is nothing to draw").count(), 6);
    assert!(page.contains("n/a") && page.contains("no interval"));
    evaluation.rows = 0;
    assert!(html(&sample::report(&[evaluation], &[])).contains("There were no rows to test"));
}

#[test]
fn a_curve_of_a_hundred_thousand_points_makes_a_small_page() {
    let mut evaluation = sample::evaluations()[0].clone();
    let rows = 100_000;
    let share = |row: usize| row as f64 / rows as f64;
    evaluation.roc = (0..=rows).map(|row| Point { x: share(row), y: share(row).sqrt() }).collect();
    evaluation.precision_recall =
        (0..=rows).map(|row| Point { x: share(row), y: 1.0 - share(row) * (row % 7) as f64 / 7.0 }).collect();
    evaluation.cost_curve =
        (0..=rows).map(|row| CostPoint { threshold: share(row), cost: (row % 1_000) as f64, flagged: 1.0 }).collect();
    let page = html(&sample::report(&[evaluation], &[]));
    assert!(page.len() < 200_000, "the page has {} bytes", page.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_numbers_whatever_break_the_page(evaluation in any_evaluation(), shares in prop::collection::vec(any_number(), 0..30)) {
        let importance: Vec<_> = shares.into_iter().map(|share| Importance { feature: "V1".into(), share }).collect();
        let evaluations = [evaluation];
        let report = sample::report(&evaluations, &importance);
        markup::check(&html(&report));
        json(&report);
    }
}

/// Any float, with the ordinary and the awkward ones often enough to meet each other.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..=1.0,
        2 => 0.0..1e6,
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324]),
        1 => any::<f64>(),
    ]
}

fn any_evaluation() -> impl Strategy<Value = Evaluation> {
    let numbers = |length| prop::collection::vec(any_number(), length);
    let rows = prop::collection::vec(prop::collection::vec(any_number(), 4), 0..12);
    (rows, numbers(8), any::<[u64; 4]>()).prop_map(|(rows, singles, counts)| {
        let mut evaluation = sample::evaluations()[0].clone();
        let points = || rows.iter().map(|row| Point { x: row[0], y: row[1] }).collect();
        (evaluation.precision_recall, evaluation.roc) = (points(), points());
        evaluation.reliability = rows
            .iter()
            .map(|row| ReliabilityBin { predicted: row[0], observed: row[1], low: row[2], high: row[3], rows: counts[0] })
            .collect();
        evaluation.score_distribution =
            rows.iter().map(|row| ScoreBin { from: row[0], to: row[1], genuine: row[2], fraud: row[3] }).collect();
        evaluation.cost_curve = rows.iter().map(|row| CostPoint { threshold: row[0], cost: row[1], flagged: row[2] }).collect();
        evaluation.confusion = Confusion {
            threshold: singles[0],
            frauds_flagged: singles[1],
            frauds_missed: singles[2],
            genuine_flagged: singles[3],
            genuine_passed: singles[4],
        };
        evaluation.fraud_rate = singles[5];
        evaluation.costs.review = singles[6];
        evaluation.costs.fraud = singles[7];
        (evaluation.rows, evaluation.frauds, evaluation.duplicate_rows) = (counts[1], counts[2], counts[3]);
        let figure = |(figure, row): (&Figure, &Vec<f64>)| Figure { value: row[0], low: row[1], high: row[2], ..figure.clone() };
        evaluation.figures = evaluation.figures.iter().zip(&rows).map(figure).collect();
        evaluation
    })
}
