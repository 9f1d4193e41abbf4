//! How long reading a CSV file takes: `read_csv FILE` prints the seconds of one read.

use assay_benches::{arguments, read_table, timed};

fn main() {
    let [path] = arguments("read_csv FILE");
    let (table, seconds) = timed(|| read_table(&path));
    assert!(table.rows() > 0, "the file has rows");
    println!("{seconds}");
}
