//! What is decided, how much of it alerts somebody, and when do labels arrive?

use assay_domain::Outcome;
use assay_domain::time::{DAY, SECOND};
use serde::{Deserialize, Serialize};

use crate::windows::{Merge, Windows};

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

/// A share of the decisions that left what it was in the hours before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jump {
    /// Of what: `alert` or `decline`.
    pub of: String,
    /// Where the window begins, microseconds since 1970.
    pub from: i64,
    /// The share in it.
    pub share: f64,
    /// The mean of the shares before.
    pub usual: f64,
}

/// Windows of fewer decisions than this say nothing of a share.
const FEWEST_DECISIONS: u64 = 50;
/// Windows before that must have said something.
const FEWEST_WINDOWS: usize = 12;
/// Deviations from the mean that chance does not bring.
const DEVIATIONS: f64 = 4.0;

/// Whether alert rate and share of declines jumped in the latest window that has ended by now: to more than twice or less than half of what
/// they were on average in the windows before, and further than four times as much as those differed, or rows by chance would.
pub fn jumps(windows: &Windows<Flow>, now: i64) -> Vec<Jump> {
    let ended = windows.iter().filter(|(from, _)| from.saturating_add(windows.length()) <= now);
    let mut told: Vec<(i64, &Flow)> = ended.filter(|(_, flow)| flow.decisions() >= FEWEST_DECISIONS).collect();
    let Some((from, latest)) = told.pop().filter(|_| told.len() >= FEWEST_WINDOWS) else { return Vec::new() };
    let jump = |of: &str, share: fn(&Flow) -> Option<f64>| {
        let before: Vec<f64> = told.iter().filter_map(|(_, flow)| share(flow)).collect();
        let usual = before.iter().sum::<f64>() / before.len() as f64;
        let differs = before.iter().map(|share| (share - usual) * (share - usual)).sum::<f64>() / (before.len() - 1) as f64;
        let by_chance = usual.max(1.0 / latest.decisions() as f64) / latest.decisions() as f64;
        let share = share(latest)?;
        let is_far = (share - usual).abs() > DEVIATIONS * differs.max(by_chance).sqrt();
        let is_much = share > 2.0 * usual || share < usual / 2.0;
        (is_far && is_much).then(|| Jump { of: of.into(), from, share, usual })
    };
    let declined = |flow: &Flow| flow.share(Outcome::Decline);
    [jump("alert", Flow::alert_rate), jump("decline", declined)].into_iter().flatten().collect()
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

/// Labels that should have come and did not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// When the last one was learnt, microseconds since 1970.
    pub since: i64,
    /// How many should have come since, at the pace before.
    pub expected: f64,
}

/// The shortest silence that is told of: over a weekend nobody may work.
const SHORTEST_SILENCE: i64 = 3 * DAY;
/// Labels that should have come: so many never stay away by chance.
const FEWEST_EXPECTED: f64 = 10.0;

/// Whether no label was learnt for longer than the pace of those before allows; `last` is when the last one was.
pub fn silence(windows: &Windows<Labels>, last: i64, now: i64) -> Option<Silence> {
    let labels: u64 = windows.iter().map(|(_, labels)| labels.frauds + labels.genuine).sum();
    let (first, _) = windows.iter().next()?;
    let pace = labels as f64 / last.saturating_sub(first).max(DAY) as f64;
    let silent = now.saturating_sub(last);
    let expected = pace * silent as f64;
    (silent >= SHORTEST_SILENCE && expected >= FEWEST_EXPECTED).then_some(Silence { since: last, expected })
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

    #[test]
    fn a_share_that_leaves_what_it_was_is_told_of_and_one_that_wavers_is_not() {
        const HOUR: i64 = 3_600 * SECOND;
        let hours = |declines: &[u64]| {
            let mut hours = Windows::new(HOUR);
            for (hour, &declines) in (0_i64..).zip(declines) {
                let flow: &mut Flow = hours.at(hour * HOUR).unwrap();
                (0..200).for_each(|number| flow.observe(if number < declines { Outcome::Decline } else { Outcome::Approve }));
            }
            hours
        };
        let usual = [4, 6, 3, 5, 8, 4, 2, 6, 5, 4, 3, 7, 5];
        let told = |last: u64, now: i64| jumps(&hours(&[&usual[..], &[last]].concat()), now * HOUR);
        let all = told(100, 14);
        assert_eq!(all.iter().map(|jump| jump.of.as_str()).collect::<Vec<_>>(), ["alert", "decline"]);
        assert!(
            (all[0].share - 0.5).abs() < 1e-12 && (all[0].usual - 62.0 / 13.0 / 200.0).abs() < 1e-12 && all[0].from == 13 * HOUR
        );
        assert_eq!(told(100, 13), [], "an hour that still fills is not judged");
        assert_eq!(told(9, 14), [], "nine are hardly more than eight");
        assert_eq!(jumps(&hours(&[0; 13]), 20 * HOUR), []);
        assert_eq!(jumps(&hours(&[[0; 13].as_slice(), &[1]].concat()), 20 * HOUR), [], "a first decline is none");
        assert_eq!(jumps(&hours(&[5, 100]), 20 * HOUR), [], "two hours do not say what is usual");
        let gone = [[100; 13].as_slice(), &[0]].concat();
        assert_eq!(jumps(&hours(&gone), 20 * HOUR).len(), 2, "to none at all is a jump too");
    }

    #[test]
    fn labels_that_stay_away_are_told_of() {
        let mut windows = Windows::new(DAY);
        assert_eq!(silence(&windows, 0, 100 * DAY), None);
        for day in 0..20 {
            for _ in 0..4 {
                Labels::observe(windows.at(day * DAY).unwrap(), true, DAY, DAY);
            }
        }
        let last = 19 * DAY;
        assert_eq!(silence(&windows, last, last + 2 * DAY), None, "a weekend");
        let told = silence(&windows, last, last + 4 * DAY).unwrap();
        assert!(told.since == last && (told.expected - 80.0 / 19.0 * 4.0).abs() < 1e-9);
        let mut few = Windows::new(DAY);
        Labels::observe(few.at(0).unwrap(), true, DAY, DAY);
        assert_eq!(silence(&few, 0, 9 * DAY), None, "where there were few, none is no news");
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
