//! How long the seed system's search takes once its rows are in memory: `search_logistic FILE` prints seconds and what it found.

use assay_benches::{arguments, read_dataset, timed};
use assay_trainer::logistic::{SEED_FOLDS, SEED_PENALTIES, search};
use assay_trainer::split::by_chance;

fn main() {
    let [path] = arguments("search_logistic FILE");
    let data = read_dataset(&path);
    let sample = data.sample(&by_chance(data.rows(), 42).train);
    let (found, seconds) = timed(|| search(&data.features, &sample, &SEED_PENALTIES, SEED_FOLDS, &|_, _, _| ()));
    let found = found.unwrap_or_else(|error| panic!("{error}"));
    let recalls: Vec<f64> = found.macro_recall.iter().map(|(_, recall)| *recall).collect();
    println!("{}", serde_json::json!({"seconds": seconds, "penalty": found.penalty, "macro_recall": recalls}));
}
