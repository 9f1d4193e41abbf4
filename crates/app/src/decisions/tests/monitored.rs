//! A world that changes in its last week, looked after: the report against a recount of the journal, whatever happened in between.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use assay_domain::time::{DAY, SECOND};
use assay_domain::{Decision, Outcome};
use assay_journal::{Entry, JournalError, Kind, Reader};
use assay_model::FeatureKind;
use assay_model::Reference;
use assay_model::reference::{Column, Spread};
use assay_monitor::drift::Level;
use assay_monitor::quality::Learnt;
use assay_monitor::{Judged, Judgement, Report, quality};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use super::world::{Payment, World, model};
use crate::clock;
use crate::decisions::monitoring::Monitor;
use crate::decisions::record::{Label, Truth};

const DAYS: i64 = 40;
const PER_DAY: u64 = 60;
const LABEL_DELAY: i64 = 7 * DAY;
/// From this day on amounts are in another currency.
const CHANGED: i64 = 36;

const POLICY: &str = r#"{"version": "p", "thresholds": {"on": "probability", "steps": [
    {"from": 0.3, "outcome": "review"}, {"from": 0.6, "outcome": "decline"}]}, "governor": {}}"#;

struct Draws(Xoshiro256PlusPlus);

impl Draws {
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, limit: u64) -> i64 {
        i64::try_from(self.0.next_u64() % limit).unwrap()
    }
}

/// What happened: payments up to yesterday, and what was learnt of the frauds among them, most of them those of large amounts.
fn happened() -> (Vec<Payment>, Vec<(String, bool, i64)>) {
    let mut draws = Draws(Xoshiro256PlusPlus::seed_from_u64(6));
    let today = clock::microseconds().div_euclid(DAY);
    let (mut payments, mut labels) = (Vec::new(), Vec::new());
    for day in 0..DAYS {
        for place in 0..PER_DAY {
            let number = u64::try_from(day).unwrap() * PER_DAY + place;
            let at = (today - DAYS + day) * DAY + i64::try_from(place).unwrap() * 1_400 * SECOND + 1;
            let amount = 1.0 + 120.0 * draws.unit() * draws.unit();
            let amount = (if day < CHANGED { amount } else { amount * 2.5 } * 100.0).round() / 100.0;
            let payment = Payment { number, at, customer: number % 31, amount };
            payments.push(payment);
            let is_fraud = draws.unit() < amount / 600.0;
            let learnt = at + 3_600 * SECOND + draws.below(6 * 86_400) * SECOND;
            if learnt < today * DAY && (is_fraud || draws.unit() < 0.02) {
                labels.push((payment.id(), is_fraud, learnt));
            }
        }
    }
    (payments, labels)
}

fn reference() -> Reference {
    let mut draws = Draws(Xoshiro256PlusPlus::seed_from_u64(7));
    let amounts: Vec<f64> = (0..5_000).map(|_| 1.0 + 120.0 * draws.unit() * draws.unit()).collect();
    let scores: Vec<f64> = amounts.iter().map(|amount| 1.0 / (1.0 + libm::exp(-0.05 * (amount - 100.0)))).collect();
    let counts: Vec<f64> = (0..5_000).map(|place| f64::from(1 + u8::from(place % 31 > 1))).collect();
    let spread =
        |values: &[f64]| Spread::of(&FeatureKind::Number, &Column { values, weights: &vec![1.0; values.len()], days: None });
    Reference { features: vec![spread(&amounts), spread(&counts)], score: spread(&scores) }
}

fn replay(reader: &Reader, mut visit: impl FnMut(&Entry<&str>)) {
    reader
        .replay(0, u64::MAX, |entry| {
            visit(entry);
            Ok::<_, JournalError>(())
        })
        .unwrap();
}

/// What a monitor says that was written down and opened again after steps of so many entries.
fn counted(world: &World, steps: &[u64]) -> Report {
    let (reader, folder) = (Reader::open(world.data().path()).unwrap(), world.data());
    let mut monitor = Monitor::begin(&reader, &folder).unwrap();
    for step in steps {
        monitor.follow(&reader, &folder, *step).unwrap();
        monitor.write(&folder).unwrap();
        monitor = Monitor::open(&reader, &folder).unwrap();
    }
    monitor.follow(&reader, &folder, u64::MAX).unwrap();
    monitor.report()
}

/// A decision as the journal tells it, read without any of what counts it.
struct Told {
    at: i64,
    amount: f64,
    decision: Decision,
    labels: Vec<Learnt>,
}

fn recount(world: &World) -> BTreeMap<String, Told> {
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    replay(&Reader::open(world.data().path()).unwrap(), |entry| match entry.kind {
        Kind::Decision => {
            let body: Value = serde_json::from_str(entry.body).unwrap();
            let at = assay_domain::time::parse(body["transaction"]["at"].as_str().unwrap().as_bytes()).unwrap();
            let amount = body["transaction"]["amount"].as_f64().unwrap();
            let decision = serde_json::from_str(entry.body).unwrap();
            told.insert(entry.id.unwrap().to_owned(), Told { at, amount, decision, labels: Vec::new() });
        }
        Kind::Label => {
            let label: Label = serde_json::from_str(entry.body).unwrap();
            let learnt = assay_domain::time::parse(label.learnt.as_bytes()).unwrap();
            let known = told.get_mut(entry.id.unwrap()).unwrap();
            // Which one counts is decided by the order of the journal.
            known.labels.push(Learnt { fraud: label.label == Truth::Fraud, at: known.at });
            assert!(learnt > known.at);
        }
        _ => {}
    });
    told
}

#[test]
fn the_report_says_what_a_recount_of_the_journal_says_and_restarts_change_nothing() {
    let mut world = World::with(POLICY, Some(reference()));
    let (payments, labels) = happened();
    let (early, late) = payments.split_at(payments.len() / 2);
    world.decide(early);
    world.restart(true);
    world.decide(late);
    world.label(&labels);
    // Somebody corrects himself.
    let wrong: Vec<(String, bool, i64)> =
        labels.iter().step_by(9).map(|(id, fraud, learnt)| (id.clone(), !fraud, learnt + 1)).collect();
    world.label(&wrong);
    let report = counted(&world, &[]);
    assert_eq!(counted(&world, &[1, 2, 700, 500, 1_300, 77]), report, "what was written down in between changes nothing");
    fs::remove_file(world.data().monitor()).unwrap();

    // The server's own report is the same, and what was there before its start is in it.
    world.restart(false);
    let of_server = loop {
        let latest = world.desk.lookout.latest();
        if latest.through == report.through {
            break latest;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(*of_server, report);

    let told = recount(&world);
    assert_eq!(told.len(), payments.len());
    // Decisions by day.
    let mut days: BTreeMap<i64, [u64; 4]> = BTreeMap::new();
    for one in told.values() {
        days.entry(one.at.div_euclid(DAY) * DAY).or_default()[one.decision.outcome as usize] += 1;
    }
    assert_eq!(report.decided.iter().map(|day| day.from).collect::<Vec<_>>(), days.keys().copied().collect::<Vec<_>>());
    for (day, counts) in report.decided.iter().zip(days.values()) {
        let all = counts.iter().sum::<u64>();
        assert_eq!(day.decisions, all);
        assert_eq!(day.shares, Outcome::ALL.map(|outcome| (outcome, counts[outcome as usize] as f64 / all as f64)));
    }
    // Labels, and those that told something of what is mature.
    let learnt: u64 = report.labels.iter().map(|day| day.frauds + day.genuine).sum();
    assert_eq!(learnt, (labels.len() + wrong.len()) as u64);
    assert_eq!(report.last_learnt, labels.iter().chain(&wrong).map(|(.., learnt)| *learnt).max());
    let is_mature = |at: i64| (at.div_euclid(DAY) + 1) * DAY + LABEL_DELAY <= report.as_of;
    let mature: Vec<&Told> = told.values().filter(|one| is_mature(one.at)).collect();
    let labelled = mature.iter().filter(|one| !one.labels.is_empty()).count() as f64 / mature.len() as f64;
    assert!((report.labelled.unwrap() - labelled).abs() < 1e-12);
    // Quality, from every decision by itself; a whole day is mature at once, and close scores count as equal.
    let model = report.model.as_deref().unwrap();
    let judged = told.values().map(|one| {
        let probability = one.decision.probability.map(|score| (libm::log(score / (1.0 - score)) * 64.0).round());
        let amount_minor = format!("{:.0}", one.amount * 100.0).parse().unwrap();
        let outcome = one.decision.outcome;
        Judged { at: one.at, model, outcome, probability, amount_minor, card: None, labels: &one.labels }
    });
    let as_of = report.as_of.div_euclid(DAY) * DAY;
    let expected = quality(judged, &Judgement { as_of, label_delay: LABEL_DELAY, top: 100 }).unwrap();
    assert_eq!(report.quality, expected);
    assert!(expected[0].frauds > 20 && expected[0].decline.frauds + expected[0].decline.genuine > 0);
    // Drift: the days of the other currency, and no other.
    let amounts: Vec<(i64, Level)> = report.drift.iter().map(|day| (day.from, day.columns[0].level)).collect();
    assert_eq!(amounts.len(), usize::try_from(DAYS).unwrap());
    let first_changed = amounts[0].0 + CHANGED * DAY;
    for (from, level) in amounts {
        assert_eq!(level.alarms(), from >= first_changed, "{level:?} at {from}");
    }
    for day in &report.drift {
        let rows = told.values().filter(|one| (day.from..day.until).contains(&one.at)).count() as u64;
        assert_eq!(day.rows, rows);
    }
    assert!(report.alarms().iter().any(|alarm| alarm.starts_with("`amount` drifts")), "{:?}", report.alarms());
    assert!(!report.governor.unwrap().tripped);
}

#[test]
fn a_challenger_is_counted_by_itself_and_keeps_its_windows_when_it_becomes_active() {
    let world = World::with(POLICY, Some(reference()));
    let (payments, labels) = happened();
    let third = payments.len() / 3;
    let other = model(world.folder.path(), "other", 0.04, Some(reference()));
    world.decide(&payments[..third]);
    world.desk.roll_out(Some((&other, 40.0)), None).unwrap();
    world.decide(&payments[third..2 * third]);
    let (during, told_during) = (counted(&world, &[]), recount(&world));
    world.desk.activate(&other, None).unwrap();
    world.decide(&payments[2 * third..]);
    world.label(&labels);
    let report = counted(&world, &[]);
    assert_eq!(counted(&world, &[1, 2, 700, 500, 1_300, 77]), report, "what was written down in between changes nothing");
    let told = recount(&world);
    // Drift is that of the model that decides about what no challenger does, by all that it scored; the other's rows are not in it.
    for (report, told, name) in [(&during, &told_during, "fraud@"), (&report, &told, "other@")] {
        assert!(report.model.as_ref().unwrap().starts_with(name));
        assert!(!report.drift.is_empty());
        for day in &report.drift {
            let of_day = told.values().filter(|one| (day.from..day.until).contains(&one.at));
            assert_eq!(day.rows, of_day.filter(|one| one.decision.model_version.starts_with(name)).count() as u64, "{name}");
        }
    }
    let judged = told.values().map(|one| {
        let probability = one.decision.probability.map(|score| (libm::log(score / (1.0 - score)) * 64.0).round());
        let amount_minor = format!("{:.0}", one.amount * 100.0).parse().unwrap();
        let (model, outcome) = (&*one.decision.model_version, one.decision.outcome);
        Judged { at: one.at, model, outcome, probability, amount_minor, card: None, labels: &one.labels }
    });
    let as_of = report.as_of.div_euclid(DAY) * DAY;
    let expected = quality(judged, &Judgement { as_of, label_delay: LABEL_DELAY, top: 100 }).unwrap();
    assert_eq!(report.quality, expected);
    assert_eq!(expected.len(), 2);
    world.replay();
}
