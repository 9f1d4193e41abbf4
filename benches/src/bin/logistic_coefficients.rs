//! The coefficients for each of the seed's penalties, balanced classes, all rows: `logistic_coefficients FILE` prints a list per penalty.

use assay_benches::{arguments, read_dataset};
use assay_trainer::logistic::{SEED_PENALTIES, fit};

fn main() {
    let [path] = arguments("logistic_coefficients FILE");
    let data = read_dataset(&path);
    let sample = data.sample(&(0..data.rows()).collect::<Vec<_>>());
    let fits = SEED_PENALTIES.map(|penalty| {
        let linear = fit(&data.features, &sample, penalty, true).unwrap_or_else(|error| panic!("{error}"));
        let coefficients: Vec<f64> = linear.terms.iter().map(|term| term.coefficient).collect();
        serde_json::json!({"penalty": penalty, "intercept": linear.intercept, "coefficients": coefficients})
    });
    println!("{}", serde_json::json!(fits));
}
