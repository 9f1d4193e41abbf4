//! Our features, held against DuckDB running the same SELECT over the same transactions.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod oracles;
mod workplace;

use std::path::{Path, PathBuf};

use oracles::{ask, number};
use workplace::Workplace;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cards")
}

/// Whole numbers and truths are the same; other numbers within 1e-9 of DuckDB's, whose sums round at every step.
fn check(place: &Workplace, definition: &Path, history: &Path, keys: [&str; 2]) {
    let untied = place.path("untied.parquet");
    let kept = ask("duckdb_features.py", &[Path::new("untie"), history, &untied, Path::new(keys[0]), Path::new(keys[1])]);
    place.run(&["features", definition.to_str().unwrap(), "untied.parquet", "-o", "features.parquet"]);
    let report = ask("duckdb_features.py", &[Path::new("compare"), definition, &untied, &place.path("features.parquet")]);
    let columns = report["columns"].as_array().unwrap();
    assert!(columns.len() > 10);
    for column in columns {
        assert_eq!(column["rows"], kept["rows"], "{column}");
        assert!(number(&column["worst"]) <= 1e-9, "{column}");
        assert!(column["exact"] != true || column["differing"] == 0, "{column}");
    }
}

#[test]
fn all_that_a_definition_may_say_is_what_duckdb_says() {
    let place = Workplace::new();
    place.run(&["simulate", "--customers", "300", "--days", "45", "--out", "cards.parquet"]);
    let wide = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/wide.sql");
    check(&place, &wide, &place.path("cards.parquet"), ["customer_id", "terminal_id"]);
}

#[test]
fn the_example_definitions_make_of_simulated_cards_what_duckdb_says() {
    let place = Workplace::new();
    place.run(&["simulate", "--customers", "200", "--days", "90", "--out", "cards.parquet"]);
    for definition in ["handbook.sql", "cards.sql"] {
        check(&place, &examples().join(definition), &place.path("cards.parquet"), ["customer_id", "terminal_id"]);
    }
}

#[test]
fn the_handbooks_features_of_its_own_history_are_what_duckdb_says() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let history = std::env::var_os("ASSAY_SHARED").map_or_else(beside, PathBuf::from).join("data/handbook-transactions.parquet");
    if history.is_file() {
        check(&Workplace::new(), &examples().join("handbook.sql"), &history, ["customer_id", "terminal_id"]);
    } else {
        println!("absent, so not compared on it: {}", history.display());
    }
}
