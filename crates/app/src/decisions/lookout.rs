//! Who looks after the model while it decides: counts the journal behind the one who decides, who pays nothing for it, shows the figures,
//! and says in the log when something begins to alarm and when it ends.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use assay_journal::Reader;
use assay_monitor::{Drift, Report};
use prometheus::Registry;

use super::desk::{Desk, Phase};
use super::fold::{FoldError, STEP};
use super::monitoring::Monitor;
use super::readings::Readings;
use crate::clock;
use crate::threads::give_way;

/// How often it is looked whether something was written.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Entries after which what was counted is written down: a start counts about so many again.
const ENTRIES: u64 = 200_000;
/// A report is made again when this many times as long has passed as it took.
const REST: u32 = 20;

/// What is to be seen of it.
pub struct Lookout {
    latest: ArcSwap<Report>,
    readings: Readings,
}

impl Lookout {
    /// With nothing to be seen yet.
    pub fn new(registry: &Registry) -> Self {
        Self { latest: ArcSwap::default(), readings: Readings::new(registry) }
    }

    /// The latest report.
    pub fn latest(&self) -> Arc<Report> {
        self.latest.load_full()
    }

    fn show(&self, report: Report) {
        self.readings.show(&report);
        self.latest.store(Arc::new(report));
    }
}

/// Counts the journal for as long as somebody decides.
pub fn start(desk: Weak<Desk>, reader: Reader) -> io::Result<()> {
    let watch = move || {
        give_way();
        if let Err(problem) = watch(&desk, &reader) {
            tracing::error!("drift, labels and quality are watched no longer: {problem}");
        }
    };
    thread::Builder::new().name("monitor".into()).spawn(watch).map(drop)
}

fn watch(desk: &Weak<Desk>, reader: &Reader) -> Result<(), FoldError> {
    let Some(folder) = desk.upgrade().map(|desk| desk.folder.clone()) else { return Ok(()) };
    let mut monitor = Monitor::open(reader, &folder)?;
    let mut written = monitor.at.sequence;
    let mut shown = None;
    let mut in_force = BTreeSet::new();
    let mut next_report = clock::now();
    loop {
        let Some(desk) = desk.upgrade().filter(|desk| !matches!(*desk.phase(), Phase::Stopped { .. })) else { return Ok(()) };
        let counted = monitor.follow(reader, &folder, STEP)?;
        let has_all = counted < STEP;
        let began = clock::now();
        if shown != Some(monitor.at.sequence) && began >= next_report {
            let report = monitor.report();
            if has_all {
                say_what_changed(&mut in_force, &report);
            }
            desk.lookout.show(report);
            shown = Some(monitor.at.sequence);
            let now = clock::now();
            next_report = now + (now - began) * REST;
        }
        if monitor.at.sequence >= written + ENTRIES {
            if let Err(problem) = monitor.write(&folder) {
                tracing::warn!("what the monitor counted was not written down, the next start counts it again: {problem}");
            }
            written = monitor.at.sequence;
        }
        drop(desk);
        if has_all {
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// A line when something begins to alarm, and one when it ends.
fn say_what_changed(in_force: &mut BTreeSet<String>, report: &Report) {
    let now = alarming(report);
    for column in report.drift.last().into_iter().flat_map(Drift::alarms) {
        if !in_force.contains(&drifting(&column.name)) {
            let (psi, ks, level) = (column.psi, column.ks, column.level.name());
            tracing::warn!(column = column.name, psi, ks, level, model = report.model, "a column drifts");
        }
    }
    for jump in report.jumps.iter().filter(|jump| !in_force.contains(&jump.of)) {
        tracing::warn!(of = jump.of, share = jump.share, usual = jump.usual, "a share of the decisions jumped");
    }
    if let Some(silence) = report.silence.filter(|_| !in_force.contains(LABELS)) {
        let since = super::record::moment(silence.since);
        tracing::warn!(since, expected = silence.expected, "labels stay away");
    }
    for ended in in_force.difference(&now) {
        tracing::warn!(alarm = ended, "this alarms no longer");
    }
    *in_force = now;
}

const LABELS: &str = "labels";

fn drifting(column: &str) -> String {
    format!("drift of {column}")
}

/// What alarms now, but for the governor, of which the one who decides speaks.
fn alarming(report: &Report) -> BTreeSet<String> {
    let drift = report.drift.last().into_iter().flat_map(Drift::alarms).map(|column| drifting(&column.name));
    let jumps = report.jumps.iter().map(|jump| jump.of.clone());
    drift.chain(jumps).chain(report.silence.map(|_| LABELS.to_owned())).collect()
}
