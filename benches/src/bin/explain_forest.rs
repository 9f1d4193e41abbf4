//! What an explanation costs on one core: `explain_forest TREES ROWS FEATURES COUNT` explains the first COUNT rows, and prints nanoseconds per row
//! and the sum of all contributions' absolute values. TREES is LightGBM's text, ROWS a file of doubles, row after row.

use std::hint::black_box;

use assay_benches::{arguments, timed};
use assay_model::Forest;
use assay_model::explain::ForestExplainer;

fn main() {
    let [trees, rows, width, count] = arguments("explain_forest TREES ROWS FEATURES COUNT");
    let read = |path: &str| std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let text = String::from_utf8(read(&trees)).expect("trees are text");
    let forest = Forest::from_lightgbm_text(&text).unwrap_or_else(|error| panic!("{trees}: {error}"));
    let explainer = ForestExplainer::new(&forest).unwrap_or_else(|error| panic!("{trees}: {error}"));
    let rows: Vec<f64> = read(&rows).as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    let width: usize = width.parse().expect("FEATURES is a number");
    let count: usize = count.parse().expect("COUNT is a number");
    let rows = &rows[..count * width];
    let pass = || {
        let moved = |row: &[f64]| explainer.explain(row).contributions.iter().map(|contribution| contribution.abs()).sum::<f64>();
        rows.chunks_exact(width).map(moved).sum::<f64>()
    };
    black_box(pass());
    let (sum, seconds) = timed(pass);
    println!("{}", serde_json::json!({"row_ns": seconds * 1e9 / count as f64, "sum": sum}));
}
