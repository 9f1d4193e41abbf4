//! What is counted of decisions.

use assay_domain::Outcome;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::record::Truth;
use crate::http::registered;

/// From a millisecond on, doubling: how a disk's syncs are usually told.
const WRITE_BUCKETS: [f64; 15] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 8.192];
/// Entries of a group.
const GROUP_BUCKETS: [f64; 12] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 8192.0];

/// The figures.
pub struct Figures {
    outcomes: Vec<IntCounter>,
    /// Requests for what was decided already.
    pub repeated: IntCounter,
    /// Ids that came again with another transaction.
    pub conflicts: IntCounter,
    /// Transactions that were refused.
    pub refused: IntCounter,
    labels: [IntCounter; 2],
    /// From the first entry of a group to its place on the disk.
    pub writes: Histogram,
    /// From when the journal's log begins to go back into its file until it is there.
    pub copies: Histogram,
    /// Entries written as one.
    pub groups: Histogram,
    /// The last entry.
    pub entries: IntGauge,
    /// What waits for the owner.
    pub waiting: IntGauge,
    /// What waits for a person.
    pub reviews: IntGauge,
}

impl Figures {
    /// All at zero, in `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        let family =
            |name: &str, help: &str, label: &str| registered(registry, IntCounterVec::new(Opts::new(name, help), &[label]));
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
        };
        let outcomes = family("assay_decisions_total", "Decisions made, by outcome.", "outcome");
        let labels = family("assay_labels_total", "Labels learnt, by what they say.", "label");
        Self {
            outcomes: Outcome::ALL.iter().map(|outcome| outcomes.with_label_values(&[outcome.name()])).collect(),
            repeated: counter("assay_decisions_repeated_total", "Decisions asked for again and given back as they were."),
            conflicts: counter("assay_decisions_conflicts_total", "Known ids that came with another transaction."),
            refused: counter("assay_decisions_refused_total", "Transactions that were refused."),
            labels: [Truth::Genuine, Truth::Fraud].map(|truth| labels.with_label_values(&[truth.word()])),
            writes: histogram("assay_journal_write_seconds", "Until a group of entries is on the disk.", &WRITE_BUCKETS),
            copies: histogram("assay_journal_copy_seconds", "While the journal's log goes back into its file.", &WRITE_BUCKETS),
            groups: histogram("assay_journal_group_entries", "Entries that are written as one.", &GROUP_BUCKETS),
            entries: gauge("assay_journal_entries", "The sequence of the journal's last entry."),
            waiting: gauge("assay_decisions_waiting", "Requests that wait for the one who decides."),
            reviews: gauge("assay_reviews_open", "Decisions that wait for a review."),
        }
    }

    /// Counts a decision.
    pub fn decided(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].inc();
    }

    /// Counts a label.
    pub fn labelled(&self, truth: Truth) {
        self.labels[usize::from(truth.is_fraud())].inc();
    }
}
