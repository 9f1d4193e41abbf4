//! What would another model say? A shadow scores the rows of answers that have left, on a thread of its own, and figures tell how it
//! differs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::{io, thread};

use prometheus::{Histogram, HistogramOpts, IntCounter, Opts};

use super::give_way;
use super::lineup::Lineup;
use super::model::Model;

/// Bytes of rows that wait for shadows; rows beyond it are dropped and counted.
const WAITING_BYTES: usize = 64 << 20;

/// Requests that wait for shadows; rows of more are dropped and counted.
const WAITING_REQUESTS: usize = 16_384;

/// Upper ends of the buckets of differences between probabilities.
const DIFFERENCE_BUCKETS: [f64; 10] = [0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// Upper ends of the buckets of probabilities: frauds are rare, so most of them are small.
const SCORE_BUCKETS: [f64; 12] = [0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0];

/// A model that scores without answering, and what was found.
#[derive(Debug)]
pub struct Shadow {
    /// Who.
    pub model: Arc<Model>,
    /// |its probability − the answer's|, row by row.
    pub differences: Histogram,
    /// Its probabilities.
    pub scores: Histogram,
    /// Rows that it would flag, at its own threshold, and the answer does not, or the other way round.
    pub changed_flags: IntCounter,
}

impl Shadow {
    /// A shadow that has seen nothing.
    pub fn new(model: Arc<Model>) -> Self {
        let labels =
            || [("model", &model.name), ("version", &model.version)].map(|(name, value)| (name.to_owned(), value.clone()));
        let histogram = |name, help, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec()).const_labels(labels().into());
            Histogram::with_opts(options).expect("names and labels are right as they are written here")
        };
        let counter = |name, help| {
            let options = Opts::new(name, help).const_labels(labels().into());
            IntCounter::with_opts(options).expect("names and labels are right as they are written here")
        };
        Self {
            differences: histogram(
                "assay_shadow_score_difference",
                "Between a shadow's probability and the answer's, without its sign, row by row.",
                &DIFFERENCE_BUCKETS,
            ),
            scores: histogram("assay_shadow_score", "Probabilities that a shadow gave.", &SCORE_BUCKETS),
            changed_flags: counter(
                "assay_shadow_changed_flags_total",
                "Rows that a shadow flags at its threshold and the answering model does not at its own, or the other way round.",
            ),
            model,
        }
    }

    /// Rows it has scored.
    pub fn rows(&self) -> u64 {
        self.differences.get_sample_count()
    }

    fn score(&self, job: &Job, scratch: &mut Vec<f64>) {
        scratch.clear();
        self.model.artifact.probabilities(&job.rows, scratch);
        for (&shadow, &answer) in scratch.iter().zip(&job.probabilities) {
            self.compare(shadow, answer, job.by.flags(answer));
        }
    }

    /// Counts its probability beside the answer's; `is_flagged` where who answered flags it.
    pub fn compare(&self, own: f64, answer: f64, is_flagged: bool) {
        self.differences.observe((own - answer).abs());
        self.scores.observe(own);
        if self.model.flags(own) != is_flagged {
            self.changed_flags.inc();
        }
    }
}

/// Rows that were answered.
struct Job {
    lineup: Arc<Lineup>,
    by: Arc<Model>,
    rows: Vec<f64>,
    probabilities: Vec<f64>,
}

impl Job {
    fn bytes(&self) -> usize {
        (self.rows.len() + self.probabilities.len()) * size_of::<f64>()
    }
}

/// What waits for shadows.
pub struct Queue {
    jobs: SyncSender<Job>,
    bytes: Arc<AtomicUsize>,
    dropped: IntCounter,
}

impl Queue {
    /// Starts the thread that scores.
    pub fn start(dropped: IntCounter) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING_REQUESTS);
        let bytes = Arc::new(AtomicUsize::new(0));
        let given_back = bytes.clone();
        thread::Builder::new().name("shadows".into()).spawn(move || {
            give_way();
            work(&waiting, &given_back);
        })?;
        Ok(Self { jobs, bytes, dropped })
    }

    /// Lets the shadows of `lineup` score what `by` has answered, when they get to it. Never waits.
    pub fn add(&self, lineup: &Arc<Lineup>, by: &Arc<Model>, rows: &[f64], probabilities: &[f64]) {
        let count = probabilities.len() as u64;
        let bytes = size_of_val(rows) + size_of_val(probabilities);
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > WAITING_BYTES {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.inc_by(count);
            return;
        }
        let job = Job { lineup: lineup.clone(), by: by.clone(), rows: rows.to_vec(), probabilities: probabilities.to_vec() };
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.jobs.try_send(job) {
            self.bytes.fetch_sub(job.bytes(), Ordering::Relaxed);
            self.dropped.inc_by(count);
        }
    }
}

fn work(waiting: &Receiver<Job>, bytes: &AtomicUsize) {
    let mut scratch = Vec::new();
    for job in waiting {
        for shadow in &job.lineup.shadows {
            shadow.score(&job, &mut scratch);
        }
        bytes.fetch_sub(job.bytes(), Ordering::Relaxed);
    }
}
