//! Has the policy run away? Stops declines when there are too many of them in a while, and until a person says that they may go on.
//!
//! A deterministic machine: the same decisions and releases, in the same order, give the same rulings, so that a replay passes through the
//! same states. What it says of itself ([`Event`]) goes into the journal.
//!
//! It trusts no clock. Its own time moves by the differences between arrivals, never back, and by one step of a window at most per decision; and
//! the last [`Limits::least_decisions`] are never forgotten, whatever a clock says. So a clock that jumps forward cannot empty the window, and one
//! that jumps back cannot stop it.

use std::collections::VecDeque;

use assay_domain::Outcome;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Steps by which a window slides.
const STEPS: i64 = 60;
/// Decisions at most that may have to be remembered whatever the clock says: as many steps of the window are kept.
pub const MAX_LEAST_DECISIONS: u64 = 100_000;
/// The shortest window: a second.
const SHORTEST_WINDOW: i64 = assay_domain::time::SECOND;
/// The longest window: 31 days.
const LONGEST_WINDOW: i64 = 31 * assay_domain::time::DAY;

/// From when on a policy has run away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Length of the sliding window, in microseconds.
    pub window: i64,
    /// Share of declines above which it trips.
    pub most_share: f64,
    /// Decisions that the window must hold before the share counts; the window never holds fewer, once there were as many.
    pub least_decisions: u64,
    /// Number of declines above which it trips, whatever the share.
    pub most_declines: u64,
    /// What is done instead of a decline while it is tripped.
    pub instead: Outcome,
}

impl Default for Limits {
    /// An hour; a fifth of at least 200 decisions. Card businesses decline a few in a hundred.
    fn default() -> Self {
        Self {
            window: 3_600 * assay_domain::time::SECOND,
            most_share: 0.2,
            least_decisions: 200,
            most_declines: 1_000_000,
            instead: Outcome::Review,
        }
    }
}

/// Why limits are none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LimitsError {
    /// The window is too short or too long.
    #[error("the governor's window must be between 1 second and 31 days long")]
    Window,
    /// The share is none.
    #[error("the governor's share of declines must be a number above 0 and at most 1")]
    Share,
    /// There are too few or too many decisions to remember.
    #[error("the governor must wait for at least 1 and at most {MAX_LEAST_DECISIONS} decisions")]
    Decisions,
    /// A decline instead of a decline stops nothing.
    #[error("the governor must do something else than decline: name `review`, `challenge` or `approve`")]
    Instead,
}

/// What the journal is to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "governor")]
pub enum Event {
    /// It tripped with this decision.
    Tripped {
        /// When the decision arrived, microseconds since 1970.
        at: i64,
        /// Declines in the window, this one included.
        declines: u64,
        /// Decisions in the window.
        decisions: u64,
        /// What is done instead from now on.
        instead: Outcome,
    },
    /// A person released it.
    Released {
        /// When, microseconds since 1970.
        at: i64,
        /// Who.
        by: String,
        /// Declines that were replaced in the meantime.
        replaced: u64,
    },
}

/// What is done with a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The outcome that holds.
    pub outcome: Outcome,
    /// What the journal is to keep, when something happened.
    pub event: Option<Event>,
}

/// Watches outcomes and holds declines back once they run away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Governor {
    limits: Limits,
    /// Its own time: microseconds that it has seen go by.
    elapsed: i64,
    /// The latest arrival that it believes.
    latest: Option<i64>,
    /// Steps of the window in which something happened, in order.
    steps: VecDeque<Step>,
    /// All of them together.
    total: Step,
    /// Declines that were replaced since it tripped; `None` while it is not.
    replaced: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Step {
    number: i64,
    decisions: u64,
    declines: u64,
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Whether declines are held back.
    pub tripped: bool,
    /// Declines that the policy asked for in the window, held back or not.
    pub declines: u64,
    /// Decisions in the window.
    pub decisions: u64,
    /// Declines held back since it tripped.
    pub replaced: u64,
    /// Whether a release would hold: the policy asks for fewer declines than would trip it again.
    pub calm: bool,
    /// Its limits.
    pub limits: Limits,
}

impl Governor {
    /// One that has seen nothing.
    pub fn new(limits: Limits) -> Result<Self, LimitsError> {
        match () {
            () if !(SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&limits.window) => Err(LimitsError::Window),
            () if !(limits.most_share > 0.0 && limits.most_share <= 1.0) => Err(LimitsError::Share),
            () if !(1..=MAX_LEAST_DECISIONS).contains(&limits.least_decisions) => Err(LimitsError::Decisions),
            () if limits.instead == Outcome::Decline => Err(LimitsError::Instead),
            () => Ok(Self { limits, elapsed: 0, latest: None, steps: VecDeque::new(), total: Step::default(), replaced: None }),
        }
    }

    /// What holds of an outcome that the policy asks for, of a decision that arrived at this moment.
    pub fn rule(&mut self, arrived: i64, asked: Outcome) -> Ruling {
        self.let_time_pass(arrived);
        self.count(asked);
        self.forget();
        let mut event = None;
        if self.replaced.is_none() && self.runs_away() {
            self.replaced = Some(0);
            let Step { declines, decisions, .. } = self.total;
            event = Some(Event::Tripped { at: arrived, declines, decisions, instead: self.limits.instead });
        }
        let outcome = self.holds(asked);
        if let Some(replaced) = self.replaced.as_mut().filter(|_| outcome != asked) {
            *replaced += 1;
        }
        Ruling { outcome, event }
    }

    /// A person lets declines through again. The window starts empty, so that it trips again only after
    /// [`Limits::least_decisions`] more; nothing else ever releases it. `None` when it was not tripped.
    pub fn release(&mut self, at: i64, by: &str) -> Option<Event> {
        let replaced = self.replaced.take()?;
        self.steps.clear();
        self.total = Step::default();
        Some(Event::Released { at, by: by.into(), replaced })
    }

    /// Other limits from here on. The window starts empty; what is held back stays so until a person releases it.
    pub fn limit(&mut self, limits: Limits) -> Result<(), LimitsError> {
        if limits != self.limits {
            *self = Self { latest: self.latest, replaced: self.replaced, ..Self::new(limits)? };
        }
        Ok(())
    }

    /// Takes an event as it was recorded, where that is not what came of the same decisions here, as after a change of this program: what
    /// was held back then is held back.
    pub fn follow(&mut self, event: &Event) {
        match event {
            Event::Tripped { .. } => drop(self.replaced.get_or_insert(0)),
            Event::Released { at, by, .. } => drop(self.release(*at, by)),
        }
    }

    /// Whether declines are held back.
    pub fn is_tripped(&self) -> bool {
        self.replaced.is_some()
    }

    /// What holds of an outcome now, without counting it.
    pub fn holds(&self, asked: Outcome) -> Outcome {
        if self.is_tripped() && asked == Outcome::Decline { self.limits.instead } else { asked }
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        Status {
            tripped: self.replaced.is_some(),
            declines: self.total.declines,
            decisions: self.total.decisions,
            replaced: self.replaced.unwrap_or(0),
            calm: !self.runs_away(),
            limits: self.limits.clone(),
        }
    }

    /// Its time moves with arrivals: not at all when they go back, and by no more than a step however far they jump. An arrival that is
    /// earlier by more than a step is a clock that was set back, from which time goes on.
    fn let_time_pass(&mut self, arrived: i64) {
        let step = self.limits.window / STEPS;
        let latest = *self.latest.get_or_insert(arrived);
        let passed = arrived.saturating_sub(latest);
        if passed > 0 || passed < -step {
            self.latest = Some(arrived);
        }
        self.elapsed += passed.clamp(0, step);
    }

    fn count(&mut self, asked: Outcome) {
        let number = self.elapsed / (self.limits.window / STEPS);
        if self.steps.back().is_none_or(|last| last.number != number) {
            self.steps.push_back(Step { number, ..Step::default() });
        }
        let declined = u64::from(asked == Outcome::Decline);
        for step in self.steps.back_mut().into_iter().chain([&mut self.total]) {
            step.decisions += 1;
            step.declines += declined;
        }
    }

    /// Steps leave when the window has passed them and enough decisions are left without them.
    fn forget(&mut self) {
        let now = self.elapsed / (self.limits.window / STEPS);
        while let Some(oldest) = self.steps.front().copied() {
            let enough_left = self.total.decisions - oldest.decisions >= self.limits.least_decisions;
            if now - oldest.number < STEPS || !enough_left {
                break;
            }
            self.steps.pop_front();
            self.total.decisions -= oldest.decisions;
            self.total.declines -= oldest.declines;
        }
    }

    fn runs_away(&self) -> bool {
        let Step { decisions, declines, .. } = self.total;
        let by_share = decisions >= self.limits.least_decisions && declines as f64 > self.limits.most_share * decisions as f64;
        by_share || declines > self.limits.most_declines
    }
}

#[cfg(test)]
mod tests {
    use assay_domain::time::{DAY, SECOND};
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;

    fn governor(least_decisions: u64, most_share: f64) -> Governor {
        Governor::new(Limits { most_share, least_decisions, ..Limits::default() }).unwrap()
    }

    /// Rules on decisions a second apart, from `begin` on; the number of declines that got through.
    fn run(governor: &mut Governor, begin: i64, asked: &[Outcome]) -> usize {
        let rule = |(second, &outcome): (usize, &Outcome)| {
            governor.rule(begin + i64::try_from(second).unwrap() * SECOND, outcome).outcome
        };
        asked.iter().enumerate().map(rule).filter(|&outcome| outcome == Outcome::Decline).count()
    }

    #[test]
    fn a_policy_that_declines_everything_is_stopped_until_a_person_releases_it() {
        let mut governor = governor(100, 0.2);
        assert_eq!(run(&mut governor, 0, &[Outcome::Decline; 99]), 99);
        let ruling = governor.rule(99 * SECOND, Outcome::Decline);
        let tripped = Event::Tripped { at: 99 * SECOND, declines: 100, decisions: 100, instead: Outcome::Review };
        assert_eq!(ruling, Ruling { outcome: Outcome::Review, event: Some(tripped) });
        // Neither time nor good behaviour releases it; other outcomes pass.
        assert_eq!(governor.rule(10 * DAY, Outcome::Challenge), Ruling { outcome: Outcome::Challenge, event: None });
        assert_eq!(run(&mut governor, 20 * DAY, &[Outcome::Approve; 1_000]), 0);
        assert_eq!(governor.rule(30 * DAY, Outcome::Decline), Ruling { outcome: Outcome::Review, event: None });
        assert!(governor.status().tripped && governor.status().calm);
        let released = governor.release(30 * DAY, "ada").unwrap();
        assert_eq!(released, Event::Released { at: 30 * DAY, by: "ada".into(), replaced: 2 });
        assert_eq!(governor.release(30 * DAY, "ada"), None);
        assert_eq!(run(&mut governor, 30 * DAY, &[Outcome::Decline; 99]), 99);
        assert!(governor.rule(30 * DAY, Outcome::Decline).event.is_some());
    }

    #[test]
    fn the_number_of_declines_trips_it_whatever_their_share() {
        let mut governor = Governor::new(Limits { most_declines: 10, ..Limits::default() }).unwrap();
        let asked: Vec<Outcome> =
            (0..2_000).map(|place| if place % 100 == 0 { Outcome::Decline } else { Outcome::Approve }).collect();
        assert_eq!(run(&mut governor, 0, &asked), 10);
    }

    #[test]
    fn other_limits_begin_with_an_empty_window_and_release_nothing() {
        let mut governor = governor(100, 0.2);
        run(&mut governor, 0, &[Outcome::Decline; 100]);
        let before = governor.clone();
        governor.limit(before.limits.clone()).unwrap();
        assert_eq!(governor, before, "the same limits change nothing");
        let limits = Limits { most_share: 0.9, instead: Outcome::Challenge, ..Limits::default() };
        governor.limit(limits).unwrap();
        assert_eq!((governor.status().decisions, governor.status().replaced, governor.is_tripped()), (0, 1, true));
        assert_eq!(governor.rule(101 * SECOND, Outcome::Decline).outcome, Outcome::Challenge);
        assert_eq!(governor.limit(Limits { most_share: 0.0, ..Limits::default() }), Err(LimitsError::Share));
    }

    #[test]
    fn what_was_recorded_is_followed() {
        let mut governor = governor(100, 0.2);
        governor.follow(&Event::Tripped { at: 0, declines: 1, decisions: 1, instead: Outcome::Review });
        assert_eq!(governor.holds(Outcome::Decline), Outcome::Review);
        governor.follow(&Event::Released { at: 1, by: "ada".into(), replaced: 0 });
        assert_eq!(governor.holds(Outcome::Decline), Outcome::Decline);
    }

    #[test]
    fn declines_of_hours_ago_are_forgotten() {
        let mut governor = governor(100, 0.2);
        run(&mut governor, 0, &[Outcome::Decline; 90]);
        for minute in 0..120 {
            governor.rule(HOUR + minute * MINUTE, Outcome::Approve);
        }
        assert_eq!(governor.status().declines, 0);
    }

    #[test]
    fn a_clock_that_jumps_a_day_forward_does_not_empty_the_window() {
        let mut governor = governor(100, 0.2);
        assert_eq!(run(&mut governor, 0, &[Outcome::Decline; 90]), 90);
        assert_eq!(run(&mut governor, DAY, &[Outcome::Decline; 90]), 9);
        assert_eq!(governor.status().declines, 180);
    }

    #[test]
    fn a_clock_that_jumps_an_hour_back_neither_empties_nor_freezes_the_window() {
        let mut governor = governor(100, 0.2);
        run(&mut governor, HOUR, &[Outcome::Decline; 90]);
        assert_eq!(run(&mut governor, 0, &[Outcome::Approve; 5]), 0);
        assert_eq!(governor.status().declines, 90);
        for minute in 0..120 {
            governor.rule(minute * MINUTE, Outcome::Approve);
        }
        assert_eq!(governor.status().declines, 0);
    }

    #[test]
    fn limits_that_stop_nothing_are_refused() {
        let refused = |change: &dyn Fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            Governor::new(limits).unwrap_err()
        };
        assert_eq!(refused(&|limits| limits.instead = Outcome::Decline), LimitsError::Instead);
        assert_eq!(refused(&|limits| limits.most_share = f64::NAN), LimitsError::Share);
        assert_eq!(refused(&|limits| limits.most_share = 0.0), LimitsError::Share);
        assert_eq!(refused(&|limits| limits.least_decisions = 0), LimitsError::Decisions);
        assert_eq!(refused(&|limits| limits.window = i64::MAX), LimitsError::Window);
    }

    /// What happens to a governor.
    fn happenings() -> impl Strategy<Value = Vec<(i64, bool)>> {
        let clock = prop_oneof![8 => 0..90 * SECOND, 1 => Just(DAY), 1 => Just(-HOUR), 1 => -90 * SECOND..0];
        prop::collection::vec((clock, any::<bool>()), 1..400).prop_map(|steps| {
            let mut now = 0;
            let happen = |(passed, declined)| {
                now += passed;
                (now, declined)
            };
            steps.into_iter().map(happen).collect()
        })
    }

    fn outcome(declined: bool) -> Outcome {
        if declined { Outcome::Decline } else { Outcome::Approve }
    }

    proptest! {
        #[test]
        fn no_clock_lets_more_declines_through_than_the_least_decisions(moments in prop::collection::vec(any::<i64>(), 0..300), least in 1..100_u64) {
            let mut governor = governor(least, 0.5);
            let through = moments.iter().filter(|&&moment| governor.rule(moment, Outcome::Decline).outcome == Outcome::Decline).count();
            prop_assert_eq!(through as u64, (moments.len() as u64).min(least - 1));
        }

        /// From all that ever happened, by the window's definition.
        #[test]
        fn the_window_holds_what_a_recount_holds(happenings in happenings()) {
            let mut governor = governor(20, 1.0);
            let mut all: Vec<(i64, bool)> = Vec::new();
            for (moment, declined) in happenings {
                governor.rule(moment, outcome(declined));
                all.push((governor.elapsed / MINUTE, declined));
                let now = all[all.len() - 1].0;
                let inside = all.iter().filter(|(step, _)| now - step < STEPS).count();
                // At least twenty, and no step is cut.
                let cut_step = all[all.len() - inside.max(20.min(all.len()))].0;
                let held: Vec<&(i64, bool)> = all.iter().filter(|(step, _)| *step >= cut_step).collect();
                prop_assert_eq!(governor.status().decisions, held.len() as u64);
                prop_assert_eq!(governor.status().declines, held.iter().filter(|(_, declined)| *declined).count() as u64);
            }
        }

        #[test]
        fn a_replay_and_a_restart_in_between_rule_alike(happenings in happenings(), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(happenings.len());
            let (mut whole, mut restarted) = (governor(20, 0.5), governor(20, 0.5));
            for (place, &(moment, declined)) in happenings.iter().enumerate() {
                if place == cut {
                    let written = serde_json::to_string(&restarted).unwrap();
                    restarted = serde_json::from_str(&written).unwrap();
                    prop_assert_eq!(whole.release(moment, "ada"), restarted.release(moment, "ada"));
                }
                prop_assert_eq!(whole.rule(moment, outcome(declined)), restarted.rule(moment, outcome(declined)));
            }
            prop_assert_eq!(whole, restarted);
        }
    }
}
