//! What the measuring programs share: a stopwatch, and a table from a file. None of this is shipped.

use std::{fs::File, time::Instant};

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
