//! What is counted of webhooks. Their names come from the operator's file.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::http::registered;

/// The figures of all.
pub struct Figures {
    deliveries: IntCounterVec,
    lag: IntGaugeVec,
    cut_off: IntCounterVec,
    /// Changes of the file that count.
    pub taken: IntCounter,
    /// Changes of the file that do not.
    pub refused: IntCounter,
}

/// The figures of one.
pub struct HookFigures {
    /// Messages that were taken.
    pub delivered: IntCounter,
    /// Tries that failed and are repeated.
    pub failed: IntCounter,
    /// Messages that were given up.
    pub dropped: IntCounter,
    /// Receivers that want nothing more.
    pub gone: IntCounter,
    /// Entries that were not looked at yet.
    pub lag: IntGauge,
    /// Entries that retention cut off before it was told of them.
    pub cut_off: IntCounter,
}

impl Figures {
    /// All at zero, in `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counters =
            |name: &str, help: &str, labels: &[&str]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels));
        let reads = counters("assay_webhooks_reads_total", "Changes of the file of webhooks, by result.", &["result"]);
        let lag = Opts::new("assay_webhook_lag_entries", "Entries of the journal that a webhook has still before it.");
        Self {
            deliveries: counters("assay_webhook_deliveries_total", "Deliveries tried, by result.", &["webhook", "result"]),
            cut_off: counters(
                "assay_webhook_entries_cut_off_total",
                "Entries that retention cut off before a webhook was told of them.",
                &["webhook"],
            ),
            lag: registered(registry, IntGaugeVec::new(lag, &["webhook"])),
            taken: reads.with_label_values(&["taken"]),
            refused: reads.with_label_values(&["refused"]),
        }
    }

    /// Those of one webhook.
    pub fn of(&self, webhook: &str) -> HookFigures {
        let result = |result| self.deliveries.with_label_values(&[webhook, result]);
        HookFigures {
            delivered: result("delivered"),
            failed: result("failed"),
            dropped: result("dropped"),
            gone: result("gone"),
            lag: self.lag.with_label_values(&[webhook]),
            cut_off: self.cut_off.with_label_values(&[webhook]),
        }
    }

    /// A webhook that is no more has nothing before it.
    pub fn forget(&self, webhook: &str) {
        // One that never was need not be removed.
        let _ = self.lag.remove_label_values(&[webhook]);
    }
}
