//! What the machine itself adds to a latency: `hiccups RATE SECONDS` does nothing but look at the clock, and prints percentiles of how
//! late it would have seen requests that are due RATE times a second. No server on this core can be quicker.

use std::time::Duration;

use assay_benches::{arguments, now, percentiles};

fn main() {
    let [rate, seconds] = arguments("hiccups RATE SECONDS");
    let rate: f64 = rate.parse().expect("RATE is a number");
    let seconds: f64 = seconds.parse().expect("SECONDS is a number");
    assert!(rate > 0.0 && (1.0..=600.0).contains(&seconds), "RATE is above 0, SECONDS 1 to 600");
    let (start, mut seen) = (now(), Vec::new());
    while start.elapsed().as_secs_f64() < seconds {
        let due = Duration::from_secs_f64(seen.len() as f64 / rate);
        if let Some(late) = start.elapsed().checked_sub(due) {
            seen.push(late);
        }
    }
    println!("{}", percentiles(seen, 0));
}
