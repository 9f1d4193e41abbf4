//! What the measuring programs share: a stopwatch, and a table from a file. None of this is shipped.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use assay_trainer::dataset::{Dataset, Roles};
use assay_trainer::table::{ReadOptions, Table, csv};

/// The moment it is.
#[expect(clippy::disallowed_methods, reason = "measuring is what these programs are for")]
pub fn now() -> Instant {
    Instant::now()
}

/// What `work` gives, and the seconds it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

/// What to print of the latencies of requests: percentiles in microseconds, how many were answered and how many were not.
pub fn percentiles(mut latencies: Vec<Duration>, lost: usize) -> serde_json::Value {
    assert!(!latencies.is_empty(), "nothing was answered");
    latencies.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let us = |share: f64| latencies[((latencies.len() - 1) as f64 * share).ceil() as usize].as_secs_f64() * 1e6;
    serde_json::json!({
        "answered": latencies.len(), "lost": lost,
        "p50_us": us(0.5), "p90_us": us(0.9), "p99_us": us(0.99), "p99.9_us": us(0.999), "max_us": us(1.0),
    })
}

/// The arguments of the program, as many as `usage` names.
pub fn arguments<const COUNT: usize>(usage: &str) -> [String; COUNT] {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    arguments.try_into().unwrap_or_else(|_| panic!("usage: {usage}"))
}

/// Reads a CSV file as `assay train` does.
pub fn read_table(path: &str) -> Table {
    let file = File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let input_bytes = file.metadata().ok().map(|metadata| metadata.len());
    let options = ReadOptions { input_bytes, ..ReadOptions::default() };
    csv::read(file, path, &options, &|_| ()).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads a labelled history: the last column is the label, a column `Time` the time.
pub fn read_dataset(path: &str) -> Dataset {
    Dataset::new(read_table(path), &Roles::default()).unwrap_or_else(|error| panic!("{path}: {error}"))
}
