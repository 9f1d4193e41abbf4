//! What a row of a batch costs on one core: `score_batch MODEL FILE ROWS` prints nanoseconds per row, walked tree by tree and in blocks.

use std::hint::black_box;

use assay_benches::{arguments, read_dataset, timed};
use assay_model::Artifact;

fn main() {
    let [model, path, rows] = arguments("score_batch MODEL FILE ROWS");
    let bytes = std::fs::read(&model).unwrap_or_else(|error| panic!("{model}: {error}"));
    let artifact = Artifact::read(&bytes).unwrap_or_else(|error| panic!("{model}: {error}"));
    let data = read_dataset(&path);
    let places: Vec<usize> = (0..data.rows().min(rows.parse().expect("ROWS is a number"))).collect();
    let (rows, width) = (data.row_major(&places), artifact.features().len());

    let walked = || rows.chunks_exact(width).map(|row| artifact.probability(row)).sum::<f64>();
    let blocks = || {
        let mut probabilities = Vec::with_capacity(places.len());
        artifact.probabilities(&rows, &mut probabilities);
        probabilities.iter().sum::<f64>()
    };
    let row_ns = |work: &dyn Fn() -> f64| {
        black_box(work());
        timed(|| black_box(work())).1 * 1e9 / places.len() as f64
    };
    println!("{}", serde_json::json!({"walked": row_ns(&walked), "blocks": row_ns(&blocks)}));
}
