//! A report as Prometheus reads it.
//!
//! The series of a report take the place of those of the one before all at once, so that no scrape sees half of one. No label comes from a
//! transaction: models and features have the names that the operator gave them, and there are at most [`MOST_COLUMNS`] and [`MOST_MODELS`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use assay_domain::Outcome;
use assay_domain::time::{DAY, SECOND};
use assay_monitor::drift::{ColumnDrift, SCORE};
use assay_monitor::report::LabelsLearnt;
use assay_monitor::{Drift, Quality, Report, governor};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, Registry};

/// Features of a model that have series of their own, the first ones; the score has its own too.
const MOST_COLUMNS: usize = 200;
/// Models whose quality has series of its own, those with the most decisions that were judged.
const MOST_MODELS: usize = 8;

/// The series of the latest report.
#[derive(Clone)]
pub struct Readings(Arc<ArcSwap<Vec<MetricFamily>>>);

impl Readings {
    /// None yet, in `registry`.
    pub fn new(registry: &Registry) -> Self {
        let readings = Self(Arc::default());
        registry.register(Box::new(readings.clone())).expect("no name is written twice here");
        readings
    }

    /// Shows this report from here on.
    pub fn show(&self, report: &Report) {
        self.0.store(Arc::new(families(report)));
    }
}

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.load().to_vec()
    }
}

/// Series in the making.
struct Families(Vec<MetricFamily>);

impl Families {
    fn add<'a>(&mut self, name: &str, help: &str, labels: &[&str], values: impl IntoIterator<Item = (Vec<&'a str>, f64)>) {
        let vector = GaugeVec::new(Opts::new(name, help), labels).expect("names and labels are right as they are written here");
        for (labels, value) in values {
            vector.with_label_values(&labels).set(value);
        }
        self.0.extend(vector.collect().into_iter().filter(|family| !family.get_metric().is_empty()));
    }

    fn one(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.add(name, help, &[], value.map(|value| (Vec::new(), value)));
    }
}

fn families(report: &Report) -> Vec<MetricFamily> {
    let mut families = Families(Vec::new());
    let through = report.through.map(|through| through as f64);
    families.one("assay_monitor_entries", "The last entry of the journal that the monitor has counted.", through);
    let alarms = alarms(report).map(|(about, count)| (vec![about], count as f64));
    families.add("assay_monitor_alarms", "What somebody should look at, by what it is about.", &["about"], alarms);
    if let (Some(drift), Some(model)) = (report.drift.last(), &report.model) {
        add_drift(&mut families, drift, model);
    }
    add_decided(&mut families, report);
    if let Some(latest) = report.labels.last() {
        add_labels(&mut families, latest);
    }
    let labelled = "Share of the mature decisions of which a label told something.";
    families.one("assay_monitor_labelled_ratio", labelled, report.labelled);
    let last = report.last_learnt.map(seconds);
    families.one("assay_monitor_label_last_timestamp_seconds", "When the last label was learnt, in seconds since 1970.", last);
    add_quality(&mut families, &report.quality);
    if let Some(governor) = &report.governor {
        add_governor(&mut families, governor);
    }
    families.0
}

/// What a report alarms about, and how often.
pub fn alarms(report: &Report) -> [(&'static str, usize); 5] {
    let jumped = |of: &str| report.jumps.iter().filter(|jump| jump.of == of).count();
    [
        ("drift", report.drift.last().map_or(0, |drift| drift.alarms().count())),
        ("alert_rate", jumped("alert")),
        ("decline_rate", jumped("decline")),
        ("labels", usize::from(report.silence.is_some())),
        ("governor", usize::from(report.governor.as_ref().is_some_and(|governor| governor.tripped))),
    ]
}

fn add_drift(families: &mut Families, drift: &Drift, model: &str) {
    let is_told = |(place, column): &(usize, &ColumnDrift)| *place < MOST_COLUMNS || column.name == SCORE;
    let told: Vec<&ColumnDrift> = drift.columns.iter().enumerate().filter(is_told).map(|(_, column)| column).collect();
    let mut add = |name: &str, help: &str, value: &dyn Fn(&ColumnDrift) -> Option<f64>| {
        let values = told.iter().filter_map(|column| Some((vec![model, column.name.as_str()], value(column)?)));
        families.add(name, help, &["model", "column"], values);
    };
    let known = |column: &ColumnDrift| column.level > assay_monitor::drift::Level::Unknown;
    add("assay_monitor_drift_psi", "Population stability index of the latest day that has ended, by column.", &|column| {
        known(column).then_some(column.psi)
    });
    add("assay_monitor_drift_ks", "Kolmogorov-Smirnov distance of the latest day that has ended, by column.", &|column| {
        column.ks.filter(|_| known(column))
    });
    let level = "What to think of the column: 0 too few rows, 1 steady, 2 slight, 3 moderate, 4 large; an alarm from 3 on.";
    add("assay_monitor_drift_level", level, &|column| Some(f64::from(column.level as u8)));
    let of_model = |value: f64| [(vec![model], value)];
    families.add("assay_monitor_drift_rows", "Rows of that day.", &["model"], of_model(drift.rows as f64));
    let until = "When that day ended, in seconds since 1970.";
    families.add("assay_monitor_drift_until_timestamp_seconds", until, &["model"], of_model(seconds(drift.until)));
}

fn add_decided(families: &mut Families, report: &Report) {
    let Some(day) = report.decided.iter().rev().find(|day| day.from.saturating_add(DAY) <= report.as_of) else { return };
    let alert = "Share of the decisions of the latest day that has ended that were not simply approved.";
    families.one("assay_monitor_alert_ratio", alert, day.alert_rate);
    let shares = day.shares.iter().map(|(outcome, share)| (vec![outcome.name()], *share));
    families.add("assay_monitor_outcome_ratio", "Share of its decisions by outcome.", &["outcome"], shares);
}

fn add_labels(families: &mut Families, latest: &LabelsLearnt) {
    let delays = [("0.5", latest.delay_days_p50), ("0.9", latest.delay_days_p90), ("0.99", latest.delay_days_p99)];
    let day_seconds = (DAY / SECOND) as f64;
    let delays = delays.into_iter().filter_map(|(share, days)| Some((vec![share], days? * day_seconds)));
    let help = "Within which time such a share of the labels of the latest day with labels came; at most a quarter too high.";
    families.add("assay_monitor_label_delay_seconds", help, &["quantile"], delays);
}

fn add_quality(families: &mut Families, quality: &[Quality]) {
    let mut told: Vec<&Quality> = quality.iter().collect();
    told.sort_by_key(|quality| std::cmp::Reverse(quality.judged));
    told.truncate(MOST_MODELS);
    let mut add = |name: &str, help: &str, value: &dyn Fn(&Quality) -> Option<f64>| {
        let values = told.iter().filter_map(|quality| Some((vec![quality.model.as_str()], value(quality)?)));
        families.add(name, help, &["model"], values);
    };
    add("assay_monitor_quality_judged", "Mature decisions that were judged.", &|quality| Some(quality.judged as f64));
    add("assay_monitor_quality_frauds", "Frauds among them.", &|quality| Some(quality.frauds as f64));
    let never = "Mature decisions that were declined and never labelled.";
    add("assay_monitor_quality_never_known", never, &|quality| Some(quality.never_known as f64));
    let average = "Average precision over the mature decisions.";
    add("assay_monitor_quality_average_precision", average, &|quality| quality.average_precision);
    let top = "Mean over the days of the share of frauds among the transactions that scored highest.";
    add("assay_monitor_quality_precision_at_top", top, &|quality| quality.precision_at_top);
    let amounts = told.iter().flat_map(|quality| {
        let money = [quality.approve, quality.review, quality.challenge, quality.decline];
        Outcome::ALL.into_iter().zip(money).flat_map(|(outcome, money)| {
            let value = |truth, minor: i64| (vec![quality.model.as_str(), outcome.name(), truth], minor as f64);
            [value("fraud", money.fraud_minor), value("genuine", money.genuine_minor)]
        })
    });
    let help = "What the mature decisions amount to, in minor units, by outcome and by what they turned out to be.";
    families.add("assay_monitor_quality_amount_minor", help, &["model", "outcome", "truth"], amounts);
}

fn add_governor(families: &mut Families, status: &governor::Status) {
    let truth = |truth| Some(f64::from(u8::from(truth)));
    families.one("assay_monitor_governor_tripped", "1 while the governor holds declines back.", truth(status.tripped));
    families.one("assay_monitor_governor_calm", "1 while a release would hold.", truth(status.calm));
    let window = "Declines that the policy asked for in the governor's window.";
    families.one("assay_monitor_governor_declines", window, Some(status.declines as f64));
    families.one("assay_monitor_governor_decisions", "Decisions in the governor's window.", Some(status.decisions as f64));
    families.one("assay_monitor_governor_replaced", "Declines held back since it tripped.", Some(status.replaced as f64));
}

fn seconds(moment: i64) -> f64 {
    moment as f64 / SECOND as f64
}
