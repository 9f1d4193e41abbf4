//! What the server counts, in the text format of Prometheus.
//!
//! Every series is known beforehand or found by an index, so that counting takes no lock and no memory; no label is ever
//! taken from a request.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use hyper::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::router::ROUTES;
use crate::clock;

/// Version 0.0.4 of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// Upper ends of the duration buckets, in seconds: one row takes tens of microseconds, the largest request a second.
const DURATION_BUCKETS: [f64; 16] =
    [10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1.0, 10.0];

/// The label of whatever is not in a list of ours.
const OTHER: &str = "other";

const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS, Method::DELETE];

const STATUSES: [StatusCode; 19] = [
    StatusCode::OK,
    StatusCode::CREATED,
    StatusCode::ACCEPTED,
    StatusCode::NO_CONTENT,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::CONFLICT,
    StatusCode::LENGTH_REQUIRED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::UNPROCESSABLE_ENTITY,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::IM_A_TEAPOT,
];

/// Everything we count.
pub struct Metrics {
    registry: Registry,
    request_durations: HistogramVec,
    /// By route, method and status; filled at the first request of its kind.
    requests: Vec<OnceLock<Histogram>>,
    in_flight: IntGauge,
    scoring_durations: Histogram,
    rows_scored: IntCounter,
    resident_bytes: Gauge,
    /// Open connections.
    pub connections: IntGauge,
    /// Panics that became a 500.
    pub failures: IntCounter,
    /// Connections closed since a request's headers did not come in time.
    pub rejected_slow_head: IntCounter,
    /// Requests refused since their body did not come in time.
    pub rejected_slow_body: IntCounter,
    /// Connections closed since the client did not take its answer.
    pub rejected_slow_answer: IntCounter,
    /// Connections closed since what came was no HTTP, or its head was too large.
    pub rejected_malformed: IntCounter,
    /// Connections closed since no TLS came about.
    pub rejected_handshake: IntCounter,
    /// Connections refused since there were too many.
    pub rejected_connections: IntCounter,
    /// Requests refused since those before them would have kept them waiting too long.
    pub rejected_overload: IntCounter,
    /// Requests refused since their client would not have waited for the answer.
    pub rejected_deadline: IntCounter,
    /// Connections that the operating system did not let us accept.
    pub rejected_accept: IntCounter,
}

impl Metrics {
    /// All figures at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let request_durations = registered(
            &registry,
            HistogramVec::new(
                durations(
                    "assay_http_request_duration_seconds",
                    "From a request's headers to its answer, by route, method and status.",
                ),
                &["route", "method", "status"],
            ),
        );
        let rejected = registered(
            &registry,
            IntCounterVec::new(
                Opts::new("assay_http_rejected_total", "Connections and requests given up on, by reason."),
                &["reason"],
            ),
        );
        let reason = |reason| rejected.with_label_values(&[reason]);
        describe(&registry);
        Self {
            requests: (0..(ROUTES.len() + 1) * (METHODS.len() + 1) * STATUSES.len()).map(|_| OnceLock::new()).collect(),
            request_durations,
            in_flight: registered(&registry, IntGauge::new("assay_http_requests_in_flight", "Requests being read or answered.")),
            scoring_durations: registered(
                &registry,
                Histogram::with_opts(durations(
                    "assay_scoring_duration_seconds",
                    "From a request's rows to their probabilities.",
                )),
            ),
            rows_scored: registered(&registry, IntCounter::new("assay_rows_scored_total", "Rows scored.")),
            resident_bytes: registered(&registry, Gauge::new("process_resident_memory_bytes", "Memory of the process.")),
            connections: registered(&registry, IntGauge::new("assay_http_connections", "Open connections.")),
            failures: registered(&registry, IntCounter::new("assay_failures_total", "Requests answered 500: defects of assay.")),
            rejected_slow_head: reason("slow_head"),
            rejected_slow_body: reason("slow_body"),
            rejected_slow_answer: reason("slow_answer"),
            rejected_malformed: reason("malformed"),
            rejected_handshake: reason("handshake"),
            rejected_connections: reason("too_many_connections"),
            rejected_overload: reason("overload"),
            rejected_deadline: reason("deadline"),
            rejected_accept: reason("accept_failed"),
            registry,
        }
    }

    /// Where others count too.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn request_begins(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Counts a request for scores that was refused by its first bytes.
    pub fn shed(&self, path: &'static str) {
        self.rejected_overload.inc();
        self.request_ends(Some(path), &Method::POST, StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO);
    }

    /// Counts an answer. `path` is one of the table of routes, or none.
    pub fn request_ends(&self, path: Option<&'static str>, method: &Method, status: StatusCode, took: Duration) {
        let route = ROUTES.iter().position(|route| Some(route.path) == path).unwrap_or(ROUTES.len());
        let method = METHODS.iter().position(|known| known == method).unwrap_or(METHODS.len());
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        let index = (route * (METHODS.len() + 1) + method) * STATUSES.len() + status;
        let series = self.requests[index].get_or_init(|| {
            let method = METHODS.get(method).map_or(OTHER, Method::as_str);
            self.request_durations.with_label_values(&[path.unwrap_or(OTHER), method, STATUSES[status].as_str()])
        });
        series.observe(took.as_secs_f64());
    }

    /// Counts rows that were scored.
    pub fn scored(&self, rows: usize, took: Duration) {
        self.rows_scored.inc_by(rows as u64);
        self.scoring_durations.observe(took.as_secs_f64());
    }

    /// Everything as text.
    pub fn text(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("names and labels were accepted when registered")
    }
}

/// A request in flight.
pub struct InFlight<'a>(&'a IntGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Facts that never change: the program, its start.
fn describe(registry: &Registry) {
    registered(registry, IntGaugeVec::new(Opts::new("assay_build_info", "The program."), &["version"]))
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
    registered(registry, Gauge::new("process_start_time_seconds", "When the process started, in seconds since 1970."))
        .set(clock::unix_seconds());
}

fn durations(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec())
}

/// The metric, once `registry` knows it.
pub fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<T>) -> T {
    let metric = metric.expect("names and labels are right as they are written here");
    registry.register(Box::new(metric.clone())).expect("no name is written twice here");
    metric
}

/// Linux says it in kB; elsewhere we do not say it.
fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok().map(|kilobytes: f64| kilobytes * 1024.0)
}
