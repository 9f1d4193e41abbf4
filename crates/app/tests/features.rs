//! `assay features` and `assay train --definition`: from transactions to features to a model that carries its definition.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod workplace;

use assay_model::Artifact;
use assay_trainer::table::{ReadOptions, Table, Values, csv};
use workplace::{QUICK, Workplace};

const DEFINITION: &str = "CREATE TABLE transactions (
  transaction_id BIGINT PRIMARY KEY, tx_datetime TIMESTAMP NOT NULL, customer_id BIGINT NOT NULL, terminal_id BIGINT NOT NULL,
  tx_amount DOUBLE NOT NULL, tx_fraud BOOLEAN
) WITH (event_time = 'tx_datetime', label = 'tx_fraud', label_delay = '2 days');
CREATE VIEW features AS SELECT tx_amount, extract(hour FROM tx_datetime) <= 6 AS night, count(*) OVER day AS n, avg(tx_amount) OVER day AS mean,
  sum(CAST(tx_fraud AS INT)) OVER late AS frauds
FROM transactions
WINDOW day AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW),
  late AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '9 days' PRECEDING AND INTERVAL '2 days' PRECEDING);
";

const CARDS: &str = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,NOTE,TX_FRAUD
3,2024-03-01T10:00:00,7,1,10,x,0
1,2024-03-01T02:00:00,7,1,20,x,1
2,2024-03-01T02:00:00,8,1,5,x,
4,2024-03-02T02:00:00,7,2,40,x,0
5,2024-03-04T02:00:00,7,1,1,x,0
";

fn read(place: &Workplace, name: &str) -> Table {
    csv::read(place.text(name).as_bytes(), name, &ReadOptions::default(), &|_| ()).unwrap()
}

fn numbers<'a>(table: &'a Table, column: &str) -> &'a [f64] {
    match &table.column(column).unwrap().values {
        Values::Numbers(numbers) => numbers,
        other => panic!("{column}: {other:?}"),
    }
}

#[test]
fn features_come_in_the_order_of_events_between_id_time_and_label() {
    let place = Workplace::new();
    place.write("cards.sql", DEFINITION);
    place.write("cards.csv", CARDS);
    let said = place.run(&["features", "cards.sql", "cards.csv", "-o", "features.csv"]);
    assert_eq!(said, "Worked out 5 features of 5 transactions: features.csv\n");
    let table = read(&place, "features.csv");
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["transaction_id", "tx_datetime", "tx_amount", "night", "n", "mean", "frauds", "tx_fraud"]);
    assert_eq!(numbers(&table, "transaction_id"), [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(numbers(&table, "night"), [1.0, 1.0, 0.0, 1.0, 1.0]);
    // The first of 2 March is a day after the first of 1 March, to the second: it is still in the window.
    assert_eq!(numbers(&table, "n"), [1.0, 1.0, 2.0, 3.0, 1.0]);
    assert_eq!(numbers(&table, "mean"), [20.0, 5.0, 15.0, 70.0 / 3.0, 1.0]);
    // The third of terminal 1 was learnt on 3 March; that of customer 8 has no label, which counts as no fraud.
    assert!(numbers(&table, "frauds")[..4].iter().all(|frauds| frauds.is_nan()));
    assert_eq!(numbers(&table, "frauds")[4], 1.0);
}

#[test]
fn csv_and_parquet_in_and_out_hold_the_same_features() {
    let place = Workplace::new();
    place.write("cards.sql", DEFINITION);
    place.run(&["simulate", "--customers", "50", "--days", "20", "--out", "cards.csv"]);
    place.run(&["simulate", "--customers", "50", "--days", "20", "--out", "cards.parquet"]);
    place.run(&["features", "cards.sql", "cards.csv", "-o", "one.csv"]);
    place.run(&["features", "cards.sql", "cards.parquet", "-o", "other.csv"]);
    assert_eq!(place.text("one.csv"), place.text("other.csv"));
}

#[test]
fn a_model_trained_with_a_definition_carries_it_and_leaves_the_label_delay_free() {
    let place = Workplace::new();
    place.write("cards.sql", DEFINITION);
    place.run(&["simulate", "--customers", "400", "--days", "40", "--out", "cards.parquet"]);
    let words = ["train", "--definition", "cards.sql", "cards.parquet", "--out", "cards.model"];
    let said = place.run(&[&words[..], &QUICK].concat());
    assert!(said.contains("Features: 5."), "{said}");
    let model = place.model("cards.model");
    let manifest = model.manifest();
    assert_eq!(manifest.definition.as_deref(), Some(DEFINITION));
    assert_eq!(manifest.label, "tx_fraud");
    place.run(&[&words[..], &QUICK, &["--gap", "0"]].concat());
    let without_gap = place.model("cards.model").manifest().training.rows;
    assert!(manifest.training.rows < without_gap, "two days of labels were not known yet");
    // A model that its own definition contradicts is no model.
    let renamed = DEFINITION.replace("AS night", "AS dusk");
    let contradicting = assay_model::Manifest { definition: Some(renamed), ..manifest.clone() };
    let trees = trees(&place.read("cards.model"));
    place.write("wrong.model", Artifact::build(contradicting, &trees).unwrap().1);
    let sentence = place.refused(&["score", "wrong.model", "cards.parquet", "-o", "scores.csv"]);
    assert!(sentence.contains("makes other features than it takes"), "{sentence}");
}

fn trees(model: &[u8]) -> String {
    let text = std::str::from_utf8(model).unwrap();
    text[text.find("tree\nversion=").unwrap()..].to_owned()
}

#[test]
fn transactions_that_are_not_what_the_definition_says_are_refused_with_row_and_column() {
    let place = Workplace::new();
    place.write("cards.sql", DEFINITION);
    let refused = |csv: String, expected: &[&str]| {
        place.write("cards.csv", csv);
        let sentence = place.refused(&["features", "cards.sql", "cards.csv", "-o", "features.parquet"]);
        for part in expected {
            assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
        }
    };
    refused(CARDS.replace("TX_AMOUNT", "AMOUNT"), &["cards.csv", "tx_amount"]);
    refused(CARDS.replace("5,2024-03-04T02:00:00,7,", "5,2024-03-04T02:00:00,,"), &["row 5", "`customer_id`", "NOT NULL"]);
    refused(CARDS.replace(",8,1,5,", ",8.5,1,5,"), &["row 3", "`customer_id`", "not a whole number"]);
    refused(CARDS.replace("5,x,\n", "5,x,2\n"), &["row 3", "`tx_fraud`", "neither 0 nor 1"]);
    refused(CARDS.replace("2024-03-0", "1"), &["tx_datetime", "TIMESTAMP"]);
}

#[test]
fn windows_that_need_more_memory_than_there_is_are_refused_before_they_are_worked_out() {
    let place = Workplace::new();
    place.write("cards.sql", DEFINITION);
    // Some 11,000 transactions: their table takes half of a megabyte, their windows and features more than the rest.
    place.run(&["simulate", "--customers", "100", "--days", "60", "--out", "cards.parquet"]);
    let features = ["features", "cards.sql", "cards.parquet", "-o", "features.parquet", "--memory-limit"];
    let learns = ["train", "--definition", "cards.sql", "cards.parquet", "--out", "cards.model", "--memory-limit", "1"];
    for words in [&[&features[..], &["1"]].concat()[..], &learns] {
        let sentence = place.refused(words);
        for part in ["cards.parquet", "their windows and features about", "more than the limit of 1.0 MB", "--memory-limit"] {
            assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
        }
    }
    place.run(&[&features[..], &["4"]].concat());
}

#[test]
fn a_definition_that_cannot_be_read_is_refused_before_anything_is_written() {
    let place = Workplace::new();
    place.write("cards.csv", CARDS);
    place.write("latin1.sql", b"SELECT '\xe9'");
    place.write("wrong.sql", DEFINITION.replace("avg(tx_amount)", "avg(tx_amuont)"));
    for (definition, expected) in [
        ("nothing.sql", "cannot be read"),
        ("latin1.sql", "not UTF-8"),
        ("wrong.sql", "wrong.sql, line 5, column 117, at `tx_amuont`: there is no column `tx_amuont`, did you mean `tx_amount`?"),
    ] {
        let sentence = place.refused(&["features", definition, "cards.csv", "-o", "features.parquet"]);
        assert!(sentence.contains(expected), "{expected:?} is not in: {sentence}");
        place.refused(&["train", "--definition", definition, "cards.csv", "--out", "x.model"]);
    }
    let complaint =
        place.misused(&["train", "--definition", "wrong.sql", "cards.csv", "--out", "x.model", "--label", "TX_FRAUD"]);
    assert!(complaint.contains("--definition"), "{complaint}");
}
