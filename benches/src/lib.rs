//! What the measuring programs share: a stopwatch, and a table from a file. None of this is shipped.

use std::{
    fs::File,
    net::SocketAddr,
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

/// Requests that are due at fixed moments, whether or not the server keeps up.
pub struct Load {
    /// Where the server is, on this machine.
    pub address: SocketAddr,
    /// Requests a second.
    pub rate: f64,
    /// For how long.
    pub seconds: f64,
    /// What is asked, in turn: posts to `/predict`, as they are sent.
    pub requests: Vec<Vec<u8>>,
}

impl Load {
    /// Longer runs are refused.
    const MAX_SECONDS: f64 = 600.0;

    /// What the arguments ADDRESS RATE SECONDS BODIES say, the last being a file with a body a line.
    pub fn asked_for(usage: &str) -> Self {
        let [address, rate, seconds, bodies] = arguments(usage);
        let address: SocketAddr = address.parse().expect("ADDRESS is an address and a port");
        assert!(address.ip().is_loopback(), "only this machine is put under load");
        let rate: f64 = rate.parse().expect("RATE is a number");
        let seconds: f64 = seconds.parse().expect("SECONDS is a number");
        let longest = Self::MAX_SECONDS;
        assert!(rate > 0.0 && seconds > 0.0 && seconds <= longest, "RATE is above 0, SECONDS at most {longest}");
        let bodies = std::fs::read_to_string(&bodies).unwrap_or_else(|error| panic!("{bodies}: {error}"));
        let requests: Vec<Vec<u8>> = bodies.lines().map(|body| request(address, body)).collect();
        assert!(!requests.is_empty(), "BODIES has lines");
        Self { address, rate, seconds, requests }
    }
}

fn request(address: SocketAddr, body: &str) -> Vec<u8> {
    format!(
        "POST /predict HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
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
