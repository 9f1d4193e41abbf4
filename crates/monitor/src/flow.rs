//! What is decided, how much of it alerts somebody, and when do labels arrive?

use assay_domain::Outcome;
use assay_domain::time::{DAY, SECOND};
use serde::{Deserialize, Serialize};

use crate::windows::Merge;

/// Where the first bin of delays ends, in microseconds: a minute.
const FIRST_DELAY: f64 = 60.0 * SECOND as f64;
/// By how much each bin of delays ends later than the one before: so much may a quantile be too high.
const DELAY_STEP: f64 = 1.25;
/// Bins of delays: from a minute to more than two years.
const DELAY_BINS: usize = 64;

/// Decisions of a while, by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    outcomes: [u64; Outcome::ALL.len()],
}

impl Flow {
    /// Counts a decision.
    pub fn observe(&mut self, outcome: Outcome) {
        self.outcomes[outcome as usize] += 1;
    }

    /// How many decisions had this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// All decisions.
    pub fn decisions(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Their share with this outcome; `None` where there are no decisions.
    pub fn share(&self, outcome: Outcome) -> Option<f64> {
        (self.decisions() > 0).then(|| self.count(outcome) as f64 / self.decisions() as f64)
    }

    /// The share that was not simply approved; `None` where there are no decisions.
    pub fn alert_rate(&self) -> Option<f64> {
        self.share(Outcome::Approve).map(|approved| 1.0 - approved)
    }
}

impl Merge for Flow {
    fn merge(&mut self, other: Self) {
        for (count, other) in self.outcomes.iter_mut().zip(other.outcomes) {
            *count += other;
        }
    }
}

/// Labels that were learnt in a while, and how long after their transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    frauds: u64,
    genuine: u64,
    /// Later than the definition's `label_delay`: training and quality take such a transaction for genuine until then.
    late: u64,
    /// Before their transaction, by some clock that is wrong.
    before_their_time: u64,
    delays: Vec<u64>,
}

impl Default for Labels {
    fn default() -> Self {
        Self { frauds: 0, genuine: 0, late: 0, before_their_time: 0, delays: vec![0; DELAY_BINS] }
    }
}

impl Labels {
    /// Counts a label that was learnt `delay` microseconds after its transaction, where labels are expected within `label_delay`.
    pub fn observe(&mut self, fraud: bool, delay: i64, label_delay: i64) {
        if fraud {
            self.frauds += 1;
        } else {
            self.genuine += 1;
        }
        self.late += u64::from(delay > label_delay);
        self.before_their_time += u64::from(delay < 0);
        let bin = (0..DELAY_BINS - 1).find(|&bin| delay as f64 <= end_of(bin)).unwrap_or(DELAY_BINS - 1);
        self.delays[bin] += 1;
    }

    /// Labels that said fraud.
    pub fn frauds(&self) -> u64 {
        self.frauds
    }

    /// Labels that said genuine.
    pub fn genuine(&self) -> u64 {
        self.genuine
    }

    /// Labels that came later than expected.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Labels that came before their transactions.
    pub fn before_their_time(&self) -> u64 {
        self.before_their_time
    }

    /// The delay, in days, that this share of the labels does not exceed; a quarter too high at most. `None` where there are no labels.
    pub fn delay_days(&self, share: f64) -> Option<f64> {
        let all: u64 = self.delays.iter().sum();
        let mut upto = 0;
        let reached = |count: &u64| {
            upto += count;
            upto > 0 && upto as f64 >= share * all as f64
        };
        (all > 0).then(|| self.delays.iter().position(reached).map_or(end_of(DELAY_BINS - 1), end_of) / DAY as f64)
    }
}

impl Merge for Labels {
    fn merge(&mut self, other: Self) {
        self.frauds += other.frauds;
        self.genuine += other.genuine;
        self.late += other.late;
        self.before_their_time += other.before_their_time;
        for (count, other) in self.delays.iter_mut().zip(other.delays) {
            *count += other;
        }
    }
}

/// Where a bin of delays ends, in microseconds.
fn end_of(bin: usize) -> f64 {
    FIRST_DELAY * libm::pow(DELAY_STEP, bin as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEEK: i64 = 7 * DAY;

    fn labels(learnt: &[(bool, i64)]) -> Labels {
        let mut labels = Labels::default();
        for &(fraud, delay) in learnt {
            labels.observe(fraud, delay, WEEK);
        }
        labels
    }

    #[test]
    fn what_is_not_approved_alerts() {
        let mut flow = Flow::default();
        assert_eq!(flow.alert_rate(), None);
        for outcome in [Outcome::Approve, Outcome::Decline, Outcome::Review, Outcome::Challenge] {
            flow.observe(outcome);
        }
        assert_eq!((flow.decisions(), flow.alert_rate(), flow.share(Outcome::Decline)), (4, Some(0.75), Some(0.25)));
    }

    #[test]
    fn a_label_from_before_its_transaction_and_one_from_the_end_of_time_are_counted() {
        let labels = labels(&[(true, i64::MIN), (false, i64::MAX), (true, WEEK), (true, WEEK + 1)]);
        assert_eq!((labels.frauds(), labels.genuine(), labels.late(), labels.before_their_time()), (3, 1, 2, 1));
        assert!(labels.delay_days(1.0).unwrap() > 700.0);
        assert_eq!(Labels::default().delay_days(0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_a_quarter_too_high(mut learnt in prop::collection::vec((any::<bool>(), 60 * SECOND..400 * DAY), 1..100), share in 0.0..1.0) {
            let told = labels(&learnt).delay_days(share).unwrap() * DAY as f64;
            learnt.sort_by_key(|(_, delay)| *delay);
            let place = (1..=learnt.len()).find(|&upto| upto as f64 >= share * learnt.len() as f64).unwrap() - 1;
            let exact = learnt[place].1 as f64;
            prop_assert!(told >= exact * (1.0 - 1e-9) && told <= exact * DELAY_STEP * (1.0 + 1e-9), "{told} {exact}");
        }

        #[test]
        fn labels_of_cores_add_up(learnt in prop::collection::vec((any::<bool>(), any::<i64>()), 0..100), cut in any::<prop::sample::Index>()) {
            let cut = if learnt.is_empty() { 0 } else { cut.index(learnt.len()) };
            let mut merged = labels(&learnt[cut..]);
            merged.merge(labels(&learnt[..cut]));
            prop_assert_eq!(merged, labels(&learnt));
        }
    }
}
