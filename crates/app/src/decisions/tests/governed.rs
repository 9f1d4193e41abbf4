//! A policy that runs away, and the governor that stops it: live, after restarts, and in a replay.

use assay_domain::Outcome;
use assay_domain::decision::Flag;
use assay_journal::{Kind, Reader};
use assay_monitor::governor::Event;

use super::world::{Payment, World};
use crate::clock;
use crate::decisions::owner::Made;

/// Declines everybody, and has a governor that trips at the fiftieth.
const RUNAWAY: &str = r#"{"version": "runaway", "rules": [{"id": "all", "when": "amount > 0", "outcome": "decline"}],
    "governor": {"least_decisions": 50}}"#;
/// The same without a governor.
const UNGOVERNED: &str = r#"{"version": "ungoverned", "rules": [{"id": "all", "when": "amount > 0", "outcome": "decline"}]}"#;

fn payments(numbers: std::ops::Range<u64>) -> Vec<Payment> {
    let at = clock::microseconds();
    numbers.map(|number| Payment { number, at, customer: number % 7, amount: 10.0 }).collect()
}

fn declined(made: &[std::sync::Arc<Made>]) -> usize {
    made.iter().filter(|made| made.decision.outcome == Outcome::Decline).count()
}

fn acts(world: &World) -> Vec<Event> {
    let reader = Reader::open(world.data().path()).unwrap();
    let mut acts = Vec::new();
    let take = |entry: &assay_journal::Entry<&str>| {
        acts.push(serde_json::from_str(entry.body).unwrap());
        Ok::<_, assay_journal::JournalError>(())
    };
    reader.replay_kind(Kind::Governor, 0, u64::MAX, take).unwrap();
    acts
}

#[test]
fn a_policy_that_declines_everybody_declines_forty_nine_and_a_replay_says_the_same() {
    let mut world = World::begin(RUNAWAY);
    let made = world.decide(&payments(0..120));
    assert_eq!(declined(&made), 49);
    for (place, made) in made.iter().enumerate() {
        let governed = place >= 49;
        assert_eq!(made.decision.outcome, if governed { Outcome::Review } else { Outcome::Decline });
        assert_eq!(made.decision.flags.contains(&Flag::Governed), governed, "{place}");
    }
    assert!(matches!(acts(&world)[..], [Event::Tripped { declines: 50, decisions: 50, instead: Outcome::Review, .. }]));

    // It holds over restarts, from the snapshot and without it; what waits for a person is the same.
    for keep_snapshot in [true, false] {
        let (before, open) = world
            .desk
            .ask_waiting(|owner, reply| reply.send((owner.state.governing.clone(), owner.state.reviews.clone())))
            .unwrap();
        world.restart(keep_snapshot);
        let (after, still) = world
            .desk
            .ask_waiting(|owner, reply| reply.send((owner.state.governing.clone(), owner.state.reviews.clone())))
            .unwrap();
        assert_eq!((before, open), (after, still));
    }
    assert_eq!(declined(&world.decide(&payments(200..220))), 0);

    // A person releases it, and it trips again after as many decisions.
    let status = world.desk.ask_waiting(|owner, reply| owner.release(Some("k1"), reply)).unwrap().unwrap();
    assert!(!status.tripped && status.decisions == 0);
    assert!(world.desk.ask_waiting(|owner, reply| owner.release(None, reply)).unwrap().is_none(), "there is nothing to release");
    assert_eq!(declined(&world.decide(&payments(300..400))), 49);

    // Without a governor nothing is held back any more, and who took it away has released it.
    world.policy(UNGOVERNED);
    assert_eq!(declined(&world.decide(&payments(500..600))), 100);
    let acts = acts(&world);
    let [
        Event::Tripped { .. },
        Event::Released { by: released, replaced: 91, .. },
        Event::Tripped { .. },
        Event::Released { by, replaced: 51, .. },
    ] = &acts[..]
    else {
        panic!("{acts:?}")
    };
    assert_eq!((released.as_str(), by.as_str()), ("k1", "k1"));

    let replayed = world.replay();
    let live =
        world.desk.ask_waiting(|owner, reply| reply.send((owner.state.governing.clone(), owner.state.reviews.clone()))).unwrap();
    assert_eq!((replayed.governing, replayed.reviews), live);
}

#[test]
fn a_review_that_was_a_decline_counts_among_those_of_the_day() {
    // Reviews cost nothing here, so that costs ask for one as long as there is one left today.
    let policy = r#"{"version": "c", "rules": [{"id": "all", "when": "amount > 50", "outcome": "decline"}],
        "costs": {"amount": "amount", "missed_fraud": {"share": 1, "fixed": 100}, "false_decline": {"share": 1, "fixed": 1},
                  "review": {"cost": 0, "per_day": 5}},
        "governor": {"least_decisions": 1}}"#;
    let world = World::begin(policy);
    let large: Vec<Payment> = payments(0..5).into_iter().map(|payment| Payment { amount: 60.0, ..payment }).collect();
    assert!(world.decide(&large).iter().all(|made| made.decision.flags == [Flag::Governed]));
    let small = world.decide(&payments(10..11));
    assert_eq!(small[0].decision.flags, [Flag::ReviewsUsedUp]);
    world.replay();
}
