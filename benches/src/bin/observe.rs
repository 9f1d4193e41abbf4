//! How long does the serving path need for the features of a transaction, and how much memory for the past behind them?
//! `observe DEFINITION CUSTOMERS DAYS` folds two transactions a day of each customer, at twice as many terminals, and prints percentiles of the
//! last 200,000. The definition describes transactions as the handbook does.

use std::fs;

use assay_benches::{arguments, now, percentiles};
use assay_domain::{Value, time::DAY};
use assay_features::{Definition, Features};

const MEASURED: u64 = 200_000;

fn main() {
    let [path, customers, days] = arguments("observe DEFINITION CUSTOMERS DAYS");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let definition = Definition::parse(&text, &path).unwrap_or_else(|error| panic!("{error}"));
    let customers: u64 = customers.parse().expect("CUSTOMERS is a whole number");
    let days: u64 = days.parse().expect("DAYS is a whole number");
    let transactions = customers * 2 * days;
    let mut features = Features::new(definition);
    let mut latencies = Vec::new();
    let mut draw = Draws(42);
    for number in 0..transactions {
        let whole = |number: u64| Value::Integer(number.cast_signed());
        let transaction = [
            whole(number),
            Value::Timestamp(
                i64::try_from(u128::from(number) * u128::from(DAY.unsigned_abs()) / u128::from(customers * 2)).expect("days fit"),
            ),
            whole(draw.below(customers)),
            whole(draw.below(customers * 2)),
            Value::Double(draw.below(20_000) as f64 / 100.0),
            Value::Boolean(draw.below(100) == 0),
        ];
        let start = now();
        let observed = features.observe(&transaction);
        let took = start.elapsed();
        assert!(!observed.too_late, "time only goes forward here");
        if number + MEASURED >= transactions {
            latencies.push(took);
        }
    }
    let mut answer = percentiles(latencies, 0);
    answer["transactions"] = transactions.into();
    answer["keys"] = features.keys().into();
    answer["memory_mb"] = memory_mb().into();
    println!("{answer}");
}

/// What the process holds in memory, as Linux says.
fn memory_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux says it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number of KiB") * 1_024.0 / 1e6
}

/// A generator that is quick and good enough to spread load: xorshift (Marsaglia, 2003).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
