//! What scoring costs, from a row to its probability: `score_forest TREES ROWS FEATURES single|batch PASSES` prints the nanoseconds per row of
//! the median pass, and the sum of the probabilities. TREES is LightGBM's text, ROWS a file of doubles, row after row.

use std::hint::black_box;

use assay_benches::{arguments, timed};
use assay_model::Forest;
use rayon::prelude::*;

/// As `assay score` cuts a batch up.
const PIECE_ROWS: usize = 4_096;
use assay_model::calibration::logistic;
use assay_model::forest::batch::BatchForest;

fn main() {
    let [trees, rows, width, way, passes] = arguments("score_forest TREES ROWS FEATURES single|batch PASSES");
    let read = |path: &str| std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let text = String::from_utf8(read(&trees)).expect("trees are text");
    let forest = BatchForest::new(Forest::from_lightgbm_text(&text).unwrap_or_else(|error| panic!("{trees}: {error}")));
    let rows: Vec<f64> = read(&rows).as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    let width: usize = width.parse().expect("FEATURES is a number");
    let passes: usize = passes.parse().expect("PASSES is a number");

    let mut margins = Vec::with_capacity(rows.len() / width);
    let mut pass = || {
        margins.clear();
        match way.as_str() {
            "single" => rows.chunks_exact(width).for_each(|row| forest.margins(row, &mut margins)),
            "batch" => {
                let pieces = rows.par_chunks(PIECE_ROWS * width).map(|piece| {
                    let mut margins = Vec::with_capacity(PIECE_ROWS);
                    forest.margins(piece, &mut margins);
                    margins
                });
                margins.extend(pieces.collect::<Vec<_>>().into_iter().flatten());
            }
            _ => panic!("single or batch"),
        }
        margins.iter().map(|&margin| logistic(margin)).sum::<f64>()
    };
    let sum = black_box(pass());
    let mut seconds: Vec<f64> = (0..passes).map(|_| timed(|| black_box(pass())).1).collect();
    seconds.sort_by(f64::total_cmp);
    let row_ns = seconds[passes / 2] * 1e9 / (rows.len() / width) as f64;
    println!("{}", serde_json::json!({"row_ns": row_ns, "sum": sum}));
}
