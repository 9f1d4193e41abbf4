//! What becomes of a decline that the policy asks for: it holds, unless the policy has run away.
//!
//! The governor is part of the fold: it sees the same outcomes in the same order when a journal is folded once more, so that it trips at the
//! same decision. That it tripped is written down for people; that a person released it is written down because nothing else tells it.

use assay_domain::{Outcome, time};
use assay_engine::Policy;
use assay_engine::policy::Governor as Settings;
use assay_monitor::Governor;
use assay_monitor::governor::{Event, Limits, LimitsError, Status};
use serde::{Deserialize, Serialize};

/// The governor of the policy that decides, if it has one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Governing(Option<Governor>);

impl Governing {
    /// Goes by the settings of the policy that decides from here on. Without any there is no governor any more, and nothing is held back.
    pub fn obey(&mut self, policy: &Policy) -> Result<(), LimitsError> {
        match (&mut self.0, &policy.governor) {
            (Some(governor), Some(settings)) => governor.limit(limits(settings))?,
            (governor, settings) => *governor = settings.as_ref().map(|settings| Governor::new(limits(settings))).transpose()?,
        }
        Ok(())
    }

    /// Counts what the policy asked for about what arrived then; what the journal is to keep, if something happened.
    pub fn count(&mut self, arrived: i64, asked: Outcome) -> Option<Event> {
        self.0.as_mut()?.rule(arrived, asked).event
    }

    /// What holds of an outcome that the policy asks for, once it was counted.
    pub fn holds(&self, asked: Outcome) -> Outcome {
        self.0.as_ref().map_or(asked, |governor| governor.holds(asked))
    }

    /// Takes what was recorded.
    pub fn follow(&mut self, event: &Event) {
        if let Some(governor) = &mut self.0 {
            governor.follow(event);
        }
    }

    /// Lets declines through again; none where none were held back.
    pub fn release(&mut self, at: i64, by: &str) -> Option<Event> {
        self.0.as_mut()?.release(at, by)
    }

    /// Whether declines are held back.
    pub fn is_tripped(&self) -> bool {
        self.0.as_ref().is_some_and(Governor::is_tripped)
    }

    /// How things stand, where there is a governor.
    pub fn status(&self) -> Option<Status> {
        self.0.as_ref().map(Governor::status)
    }
}

fn limits(settings: &Settings) -> Limits {
    let Settings { window_seconds, most_share, least_decisions, most_declines, instead } = settings.clone();
    Limits { window: i64::from(window_seconds) * time::SECOND, most_share, least_decisions, most_declines, instead }
}

#[cfg(test)]
mod tests {
    use assay_engine::policy::{MAX_GOVERNOR_DECISIONS, MAX_GOVERNOR_SECONDS};

    use super::*;

    fn policy(change: impl FnOnce(&mut Settings)) -> Policy {
        let mut settings = Settings::default();
        change(&mut settings);
        Policy { governor: Some(settings), ..Policy::approve_all() }
    }

    #[test]
    fn the_defaults_are_those_of_the_governor() {
        assert_eq!(limits(&Settings::default()), Limits::default());
    }

    #[test]
    fn policy_and_governor_agree_on_what_limits_are() {
        let agree = |change: &dyn Fn(&mut Settings)| {
            let policy = policy(change);
            let governor = Governing::default().obey(&policy);
            assert_eq!(policy.check().is_ok(), governor.is_ok(), "{policy:?}");
            governor.is_ok()
        };
        for (is_fine, seconds) in [(false, 0), (true, 1), (true, MAX_GOVERNOR_SECONDS), (false, MAX_GOVERNOR_SECONDS + 1)] {
            assert_eq!(agree(&|settings| settings.window_seconds = seconds), is_fine);
        }
        for (is_fine, share) in [(false, 0.0), (true, 1e-9), (true, 1.0), (false, 1.1), (false, f64::NAN)] {
            assert_eq!(agree(&|settings| settings.most_share = share), is_fine);
        }
        for (is_fine, least) in [(false, 0), (true, 1), (true, MAX_GOVERNOR_DECISIONS), (false, MAX_GOVERNOR_DECISIONS + 1)] {
            assert_eq!(agree(&|settings| settings.least_decisions = least), is_fine);
        }
        for outcome in Outcome::ALL {
            assert_eq!(agree(&|settings| settings.instead = outcome), outcome != Outcome::Decline);
        }
    }

    #[test]
    fn a_policy_without_a_governor_holds_nothing_back() {
        let mut governing = Governing::default();
        governing.obey(&policy(|settings| settings.least_decisions = 1)).unwrap();
        assert!(governing.count(0, Outcome::Decline).is_some());
        assert_eq!(governing.holds(Outcome::Decline), Outcome::Review);
        governing.obey(&policy(|settings| settings.least_decisions = 9)).unwrap();
        assert!(governing.is_tripped(), "other limits release nothing");
        governing.obey(&Policy::approve_all()).unwrap();
        assert_eq!((governing.holds(Outcome::Decline), governing.status()), (Outcome::Decline, None));
        assert_eq!(governing.count(0, Outcome::Decline), None);
    }
}
