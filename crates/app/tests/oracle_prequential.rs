//! `assay evaluate --prequential`, held against pandas and scikit-learn, and against what the Fraud Detection Handbook published.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod oracles;
mod workplace;

use std::path::{Path, PathBuf};

use oracles::{ask, number};
use serde_json::Value;
use workplace::Workplace;

/// None of its features is ever NULL, so that scikit-learn takes them as they are.
const DEFINITION: &str = "CREATE TABLE transactions (
  transaction_id BIGINT PRIMARY KEY, tx_datetime TIMESTAMP NOT NULL, customer_id BIGINT NOT NULL, terminal_id BIGINT NOT NULL,
  tx_amount DOUBLE NOT NULL, tx_fraud BOOLEAN
) WITH (event_time = 'tx_datetime', label = 'tx_fraud', label_delay = '5 days');
CREATE VIEW features AS SELECT tx_amount, count(*) OVER day AS payments, tx_amount / avg(tx_amount) OVER week AS against_usual,
  coalesce(avg(CAST(tx_fraud AS INT)) OVER late, 0) AS risk
FROM transactions
WINDOW day AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW),
  week AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW),
  late AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '19 days' PRECEDING AND INTERVAL '5 days' PRECEDING);
";

/// What is said with `--json` of the logistic regression.
fn evaluated(place: &Workplace, definition: &Path, history: &Path, more: &[&str]) -> Value {
    let words = ["evaluate", "--prequential", "--learner", "logistic", "--card", "customer_id", "--json", "--definition"];
    let files = [definition.to_str().unwrap(), history.to_str().unwrap()];
    serde_json::from_str(&place.run(&[&words[..], &files, more].concat())).unwrap()
}

/// Texts and what they are called are the same, numbers but for their last digits.
fn assert_same(ours: &Value, theirs: &Value, what: &str) {
    match (ours, theirs) {
        (Value::Object(fields), Value::Object(others)) => {
            assert!(fields.keys().eq(others.keys()), "{what}: {:?} and {:?}", fields.keys(), others.keys());
            fields.iter().for_each(|(name, value)| assert_same(value, &others[name], &format!("{what}.{name}")));
        }
        (Value::Array(values), Value::Array(others)) => {
            assert_eq!(values.len(), others.len(), "{what}");
            values
                .iter()
                .zip(others)
                .enumerate()
                .for_each(|(at, (one, other))| assert_same(one, other, &format!("{what}[{at}]")));
        }
        (Value::Number(_), Value::Number(_)) => {
            let (ours, theirs) = (number(ours), number(theirs));
            assert!((ours - theirs).abs() <= 1e-9 * theirs.abs(), "{what}: ours {ours}, theirs {theirs}");
        }
        _ => assert_eq!(ours, theirs, "{what}"),
    }
}

#[test]
fn folds_the_cards_that_are_left_out_settings_and_figures_are_those_of_pandas_and_scikit_learn() {
    let place = Workplace::new();
    place.write("cards.sql", DEFINITION);
    place.run(&["simulate", "--customers", "400", "--days", "50", "--out", "cards.csv"]);
    place.run(&["features", "cards.sql", "cards.csv", "-o", "features.csv"]);
    let (history, features) = (place.path("cards.csv"), place.path("features.csv"));
    // Days to learn from, for labels and to test; folds; cards that are looked at.
    for [train, delay, test, folds, top] in [["7", "5", "7", "2", "10"], ["10", "3", "4", "3", "25"]] {
        let words = [train, delay, test, folds, top];
        let theirs = ask("prequential.py", &[&[&*history, &features][..], &words.map(Path::new)].concat());
        assert!(number(&theirs["removed"]) > 500.0, "hardly a card was known to be compromised: {theirs}");
        let [train, delay, test] = [train, delay, test].map(|days| format!("{days}d"));
        let more = ["--train", &train, "--delay", &delay, "--test", &test, "--folds", folds, "--top", top];
        let ours = evaluated(&place, &place.path("cards.sql"), &history, &more);
        assert_same(&ours, &theirs["report"], "");
        // The end of the history's last day, told.
        let ended = evaluated(&place, &place.path("cards.sql"), &history, &[&more[..], &["--until", "2018-05-21"]].concat());
        assert_eq!(ours, ended);
    }
}

/// The handbook's own history, where the machine has it.
#[test]
fn the_handbooks_logistic_regression_comes_out_as_published() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let history = std::env::var_os("ASSAY_SHARED").map_or_else(beside, PathBuf::from).join("data/handbook-transactions.parquet");
    if !history.is_file() {
        return println!("absent, so not tried on it: {}", history.display());
    }
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cards/handbook.sql");
    let ours = evaluated(&Workplace::new(), &definition, &history, &["--until", "2018-08-15", "--folds", "1"]);
    for (figure, published) in [("auc", 0.871), ("average_precision", 0.606), ("card_precision", 0.291)] {
        let reached = number(&ours[figure]["mean"]);
        assert!((reached - published).abs() < 0.0005, "{figure} is {reached}, published is {published}");
    }
}
