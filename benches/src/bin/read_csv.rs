//! How many seconds reading a CSV file takes: `read_csv FILE [REPEATS]` prints the median.
use std::{fs::File, time::Instant};

use assay_trainer::table::{ReadOptions, csv};

#[expect(clippy::disallowed_methods, reason = "measuring is what this program is for")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("usage: read_csv FILE [REPEATS]");
    let repeats: usize = arguments.next().map_or(5, |repeats| repeats.parse().expect("REPEATS is a number"));
    let mut seconds: Vec<f64> = (0..repeats)
        .map(|_| {
            let start = Instant::now();
            let file = File::open(&path).expect("the file can be opened");
            let input_bytes = file.metadata().ok().map(|metadata| metadata.len());
            let options = ReadOptions { input_bytes, ..ReadOptions::default() };
            let table = csv::read(file, &path, &options, &|_| ()).unwrap_or_else(|error| panic!("{error}"));
            let seconds = start.elapsed().as_secs_f64();
            assert!(table.rows() > 0);
            seconds
        })
        .collect();
    seconds.sort_unstable_by(f64::total_cmp);
    println!("assay {:.3}", seconds[repeats / 2]);
}
