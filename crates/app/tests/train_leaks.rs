//! Histories that would make a model look good and be useless are refused; honest ones are not.

mod workplace;

use assay_simulator::CreditcardRow;
use workplace::{QUICK, Workplace, cells, csv, csv_of, history, with_column};

/// Trains on a history, which must be refused with a sentence that says all of `expected`.
fn refused(history: &str, expected: &[&str]) {
    let place = Workplace::new();
    place.write("history.csv", history);
    for flags in [&["--learner", "logistic"][..], &["--split", "random"], &[]] {
        let sentence = place.refused(&[&["train", "history.csv", "--out", "fraud.model"], flags].concat());
        for expected in expected {
            assert!(sentence.contains(expected), "{expected} is not in: {sentence}");
        }
    }
}

fn passes(history: &str, flags: &[&str]) {
    let place = Workplace::new();
    place.write("history.csv", history);
    place.train(&["history.csv"], flags);
}

fn flag(fraud: bool) -> String {
    u8::from(fraud).to_string()
}

#[test]
fn an_honest_history_passes() {
    for seed in 1..4 {
        passes(&csv(&history(3_000, seed)), &["--learner", "logistic"]);
    }
    passes(&csv(&history(3_000, 4)), &["--split", "random"]);
}

#[test]
fn the_label_in_another_column_is_refused() {
    let rows = history(2_000, 1);
    refused(&with_column(&rows, "Chargeback", |row| flag(row.fraud)), &["`Chargeback`", "`Class`", "--drop Chargeback"]);
}

#[test]
fn the_label_turned_round_is_refused() {
    let rows = history(2_000, 1);
    refused(&with_column(&rows, "Settled", |row| flag(!row.fraud)), &["`Settled`", "--drop Settled"]);
}

#[test]
fn the_label_as_text_is_refused() {
    let rows = history(2_000, 1);
    let word = |row: &CreditcardRow| if row.fraud { "disputed" } else { "fine" }.to_owned();
    refused(&with_column(&rows, "Outcome", word), &["`Outcome`", "--drop Outcome"]);
}

#[test]
fn the_label_as_one_of_several_texts_is_refused() {
    let rows = history(2_000, 1);
    let word = |row: &CreditcardRow| match (row.fraud, row.amount_minor % 3) {
        (true, 0) => "lost card",
        (true, _) => "stolen number",
        (false, 0) => "closed",
        (false, _) => "",
    };
    refused(&with_column(&rows, "Case", |row| word(row).to_owned()), &["`Case`", "--drop Case"]);
}

#[test]
fn a_column_filled_only_for_frauds_is_refused() {
    let rows = history(2_000, 1);
    let cell = |row: &CreditcardRow| if row.fraud { row.amount_minor.to_string() } else { String::new() };
    refused(&with_column(&rows, "Refunded", cell), &["`Refunded`", "--drop Refunded"]);
}

#[test]
fn a_column_empty_only_for_frauds_is_refused() {
    let rows = history(2_000, 1);
    let cell = |row: &CreditcardRow| if row.fraud { String::new() } else { row.amount_minor.to_string() };
    refused(&with_column(&rows, "Cleared", cell), &["`Cleared`", "--drop Cleared"]);
}

#[test]
fn a_number_that_is_larger_for_every_fraud_is_refused_also_where_it_is_empty_for_some_genuine_rows() {
    let rows = history(2_000, 1);
    let cell = |row: &CreditcardRow| match (row.fraud, row.amount_minor % 2) {
        (true, _) => "3".into(),
        (false, 0) => "0".into(),
        (false, _) => String::new(),
    };
    refused(&with_column(&rows, "Complaints", cell), &["`Complaints`", "--drop Complaints"]);
}

#[test]
fn the_label_as_one_of_several_codes_is_refused() {
    let rows = history(2_000, 1);
    let code = |row: &CreditcardRow| if row.fraud { 5 } else { [3, 4, 6, 7][usize::try_from(row.amount_minor % 4).unwrap()] };
    refused(&with_column(&rows, "Status", |row| code(row).to_string()), &["`Status`", "--drop Status"]);
}

#[test]
fn a_column_that_a_few_rows_of_both_classes_share_passes() {
    let rows = history(2_000, 1);
    let mut frauds = 0;
    let mut cell = |fraud: bool| {
        frauds += usize::from(fraud);
        flag(fraud && frauds % 10 != 0)
    };
    let marked: Vec<String> = rows.iter().map(|row| cell(row.fraud)).collect();
    let marked = std::cell::RefCell::new(marked.into_iter());
    passes(&with_column(&rows, "Alert", |_| marked.borrow_mut().next().unwrap()), &["--learner", "logistic"]);
}

#[test]
fn a_later_time_is_refused() {
    let rows = history(2_000, 1);
    let later = |row: &CreditcardRow| (row.time_seconds + 60 + row.amount_minor.unsigned_abs() % 5_000).to_string();
    refused(&with_column(&rows, "Answered", later), &["`Answered`", "later", "`Time`", "--drop Answered"]);
}

#[test]
fn an_earlier_time_passes() {
    let rows = history(2_000, 1);
    let earlier = |row: &CreditcardRow| (row.time_seconds as f64 - 60.0 - (row.amount_minor % 5_000) as f64).to_string();
    passes(&with_column(&rows, "Asked", earlier), &["--learner", "logistic"]);
}

#[test]
fn a_leaking_column_can_be_left_out() {
    let rows = history(2_000, 1);
    passes(&with_column(&rows, "Chargeback", |row| flag(row.fraud)), &["--drop", "Chargeback"]);
}

#[test]
fn frauds_repeated_before_the_split_are_refused() {
    let rows = history(2_000, 1);
    let repeated: Vec<CreditcardRow> =
        rows.iter().flat_map(|row| std::iter::repeat_n(row.clone(), if row.fraud { 10 } else { 1 })).collect();
    let place = Workplace::new();
    place.write("history.csv", csv(&repeated));
    let sentence = place.refused(&["train", "history.csv", "--out", "fraud.model", "--split", "random"]);
    for expected in ["resampled before the split", "use the history as it was"] {
        assert!(sentence.contains(expected), "{sentence}");
    }
}

/// Copies at the end of the file, as resamplers leave them, are later than no row when there is no time.
#[test]
fn frauds_appended_until_classes_are_balanced_are_refused() {
    let rows = history(2_000, 1);
    let frauds: Vec<&CreditcardRow> = rows.iter().filter(|row| row.fraud).collect();
    let appended = frauds.iter().cycle().take(rows.len() - 2 * frauds.len()).map(|&row| row.clone());
    let place = Workplace::new();
    place.write("history.csv", csv(&rows.iter().cloned().chain(appended).collect::<Vec<_>>()));
    for flags in [&["--drop", "Time"][..], &["--split", "random", "--learner", "logistic"]] {
        let sentence = place.refused(&[&["train", "history.csv", "--out", "fraud.model"], flags].concat());
        assert!(sentence.contains("resampled before the split"), "{sentence}");
    }
}

/// SMOTE (Chawla et al. 2002): a new fraud between a fraud and one of its five nearest, at the same share of the way in every column.
fn smote(frauds: &[Vec<f64>], count: usize) -> Vec<Vec<f64>> {
    let mut random = 42_u64;
    let mut draw = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 11) as f64 / (1_u64 << 53) as f64
    };
    let distance = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let made = |number: usize| {
        let from = &frauds[number % frauds.len()];
        let mut others: Vec<&Vec<f64>> = frauds.iter().filter(|other| *other != from).collect();
        others.sort_by(|one, other| distance(from, one).total_cmp(&distance(from, other)));
        let near = (1..5).filter(|_| draw() < 0.5).count();
        let share = draw();
        from.iter().zip(others[near]).map(|(from, to)| from + share * (to - from)).collect()
    };
    (0..count).map(made).collect()
}

fn with_made_up_frauds(count: usize, decimals: Option<usize>) -> String {
    let rows = history(2_000, 1);
    let frauds: Vec<Vec<f64>> = rows.iter().filter(|row| row.fraud).map(workplace::features).collect();
    let cell = |number: &f64| decimals.map_or_else(|| number.to_string(), |decimals| format!("{number:.decimals$}"));
    let made_up = smote(&frauds, count).into_iter().map(|row| row.iter().map(cell).chain(["1".to_owned()]).collect());
    csv_of(&CreditcardRow::COLUMNS, &rows.iter().map(cells).chain(made_up).collect::<Vec<_>>())
}

#[test]
fn frauds_made_up_by_smote_are_refused() {
    refused(&with_made_up_frauds(1_900, None), &["made-up frauds (SMOTE)", "use the history as it was"]);
}

#[test]
fn as_many_made_up_frauds_as_real_ones_are_refused() {
    refused(&with_made_up_frauds(60, None), &["made-up frauds (SMOTE)"]);
}

#[test]
fn made_up_frauds_that_were_rounded_are_refused() {
    refused(&with_made_up_frauds(1_000, Some(6)), &["made-up frauds (SMOTE)"]);
}

#[test]
fn a_refused_history_leaves_the_model_that_was_there() {
    let place = Workplace::new();
    place.write("history.csv", with_column(&history(2_000, 1), "Chargeback", |row| flag(row.fraud)));
    place.write("fraud.model", "the model in use");
    place.refused(&[&["train", "history.csv", "--out", "fraud.model"], &QUICK[..]].concat());
    assert_eq!(place.text("fraud.model"), "the model in use");
}
