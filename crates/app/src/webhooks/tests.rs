//! Webhooks over a journal of their own and receivers in Python, which verify by the library that receivers use.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use assay_journal::{Journal, Kind, NewEntry};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};

use super::patience::Patience;
use super::{HooksFile, Webhooks, WebhooksError};
use crate::decisions::data_folder::DataFolder;
use crate::decisions::laggards::Laggards;
use crate::decisions::record::decision_body;

#[path = "../../tests/receiver/mod.rs"]
mod receiver;

use receiver::{Receiver, SECRET};

const LOOKS: u32 = 6_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// So short that a test sees the end of it.
const PATIENCE: Patience = Patience {
    timeout: Duration::from_millis(500),
    first_pause: Duration::from_millis(10),
    longest_pause: Duration::from_millis(40),
    longest_wish: Duration::from_millis(200),
    give_up_after: Duration::from_secs(3_600),
};

/// A data folder with a journal, a file of webhooks, and what delivers.
struct Place {
    folder: tempfile::TempDir,
    journal: Journal,
    registry: Registry,
    running: Option<Arc<Webhooks>>,
    patience: Patience,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        Self { folder, journal, registry: Registry::new(), running: None, patience: PATIENCE }
    }

    fn data(&self) -> DataFolder {
        DataFolder::at(self.folder.path())
    }

    /// Writes the file of webhooks: names, urls, events.
    fn hooks(&self, hooks: &[(&str, &str, &[&str])]) {
        let hook =
            |(name, url, events): &(&str, &str, &[&str])| json!({"name": name, "url": url, "secret": SECRET, "events": events});
        let hooks: Vec<Value> = hooks.iter().map(hook).collect();
        fs::write(self.file(), json!({"webhooks": hooks}).to_string()).unwrap();
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("hooks.json")
    }

    fn start(&mut self) {
        self.registry = Registry::new();
        self.running = Some(self.begin().unwrap());
        // What was to be seen of a new webhook has been seen: from here on it misses nothing.
        for name in names(&self.file()) {
            self.until(|place| place.folder.path().join(format!("webhooks/{name}.json")).exists());
        }
    }

    fn begin(&self) -> Result<Arc<Webhooks>, WebhooksError> {
        Webhooks::begin(
            &self.data(),
            HooksFile::open(self.file())?,
            Arc::new(|| true),
            &Laggards::default(),
            &self.registry,
            self.patience,
        )
    }

    fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.stop();
        assert_eq!(Arc::strong_count(&running.alive), 1);
    }

    fn append(&mut self, entries: &[(Kind, &str, String)]) {
        let arrived = 1_700_000_000_000_000;
        let entries: Vec<NewEntry<'_>> = entries
            .iter()
            .map(|(kind, id, body)| NewEntry { kind: *kind, id: Some(id), arrived, body, personal: None })
            .collect();
        self.journal.append(&entries).unwrap();
    }

    /// Decisions with the numbers `from..to`, of which every second one is a review.
    fn decide(&mut self, from: usize, to: usize) {
        let entries: Vec<(Kind, String, String)> =
            (from..to).map(|number| (Kind::Decision, format!("tx-{number}"), decision(number))).collect();
        let entries: Vec<(Kind, &str, String)> =
            entries.iter().map(|(kind, id, body)| (*kind, id.as_str(), body.clone())).collect();
        self.append(&entries);
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..LOOKS {
            if is_so(self) {
                return;
            }
            sleep(LOOK_INTERVAL);
        }
        panic!("it never came about: {}", TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap());
    }

    fn until_metric(&self, series: &str, value: f64) {
        self.until(|place| place.metric(series) == Some(value));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop();
        }
    }
}

fn names(file: &Path) -> Vec<String> {
    let file: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    file["webhooks"].as_array().unwrap().iter().map(|hook| hook["name"].as_str().unwrap().to_owned()).collect()
}

/// The body of a decision.
fn decision(number: usize) -> String {
    let outcome = if number.is_multiple_of(2) { "review" } else { "approve" };
    let decision = json!({
        "decision_id": format!("tx-{number}"), "probability": 0.1 + number as f64 / 1e4, "risk_score": 384, "outcome": outcome,
        "decided_by": "thresholds", "rules": [], "model_version": "m-1", "policy_version": "p-1", "row": [1.5, null], "flags": [],
    });
    decision_body("{\"tx_amount\":12.5}", 31, &serde_json::from_value(decision).unwrap())
}

fn label(word: &str) -> String {
    json!({"label": word, "source": "chargeback", "learnt": "2023-11-14T00:00:00Z"}).to_string()
}

/// What messages are about, in their order.
fn about(bodies: &[Value]) -> Vec<String> {
    let id = |data: &Value| data["decision_id"].as_str().or(data["id"].as_str()).unwrap_or("-").to_owned();
    bodies.iter().map(|body| id(&body["data"])).collect()
}

fn decisions(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("tx-{number}")).collect()
}

fn assert_verified(came: &[Value]) {
    assert!(came.iter().all(|told| told["verified"] == true), "{came:#?}");
}

#[test]
fn what_is_wanted_arrives_signed_in_the_journals_order_and_only_once() {
    let mut place = Place::new();
    let (reviews, rest) = (Receiver::answering(&[]), Receiver::answering(&[]));
    let others: &[&str] = &["decision.approve", "label", "policy", "model", "governor"];
    place.hooks(&[("reviews", &reviews.url(), &["decision.review"]), ("rest", &rest.url(), others)]);
    place.start();
    place.decide(0, 20);
    let change = |word: &str| json!({"change": word}).to_string();
    place.append(&[
        (Kind::Label, "tx-4", label("fraud")),
        (Kind::Model, "m", change("model")),
        (Kind::List, "l", change("list")),
        (Kind::Policy, "p", change("policy")),
        (Kind::Governor, "g", change("governor")),
    ]);
    place.decide(20, 400);
    place.until_metric("assay_webhook_deliveries_total{result=\"delivered\",webhook=\"rest\"}", 204.0);
    place.until_metric("assay_webhook_deliveries_total{result=\"delivered\",webhook=\"reviews\"}", 200.0);
    place.until_metric("assay_webhook_lag_entries{webhook=\"rest\"}", 0.0);
    assert_eq!(about(&reviews.taken()), decisions((0..400).step_by(2)));
    let told = rest.taken();
    let kinds: Vec<&str> =
        told.iter().map(|body| body["type"].as_str().unwrap()).filter(|kind| *kind != "decision.approve").collect();
    assert_eq!(kinds, ["label", "model", "policy", "governor"]);
    assert_eq!(
        told[10]["data"],
        json!({"id": "tx-4", "label": "fraud", "source": "chargeback", "learnt": "2023-11-14T00:00:00Z"})
    );
    assert_eq!(told[11]["data"], json!({"change": "model"}));
    let came = rest.came();
    assert_verified(&came);
    assert_verified(&reviews.came());
    let ids: BTreeMap<&str, u64> = came.iter().map(|told| told["id"].as_str().unwrap()).zip(0..).collect();
    assert_eq!(ids.len(), came.len());
    assert_eq!(came[0]["headers"]["content-type"], "application/json");
    assert_eq!(came[0]["headers"]["user-agent"], concat!("assay/", env!("CARGO_PKG_VERSION")));
}

#[test]
fn whatever_goes_wrong_the_same_comes_again_until_it_is_taken_and_nothing_overtakes_it() {
    let wrong = ["500", "302", "307", "404", "close", "garbage", "503:1", "429:60", "slow"];
    let mut place = Place::new();
    let (fails, works) = (Receiver::answering(&wrong), Receiver::answering(&[]));
    place.hooks(&[("fails", &fails.url(), &["decision.review"]), ("works", &works.url(), &["decision.review"])]);
    place.start();
    place.decide(0, 10);
    works.wait_for(5);
    let came = fails.wait_for(wrong.len() + 5);
    assert_verified(&came);
    let first = &came[0];
    for (again, answer) in came.iter().zip(wrong) {
        assert_eq!((&again["answer"], &again["id"], &again["body"]), (&json!(answer), &first["id"], &first["body"]));
        assert_eq!(again["path"], "/hook", "no redirect is followed");
    }
    assert_eq!(about(&fails.taken()), decisions((0..10).step_by(2)));
    assert_eq!(fails.taken(), works.taken());
    place.until_metric("assay_webhook_deliveries_total{result=\"failed\",webhook=\"fails\"}", wrong.len() as f64);
    assert_eq!(works.came().len(), 5);
}

#[test]
fn a_receiver_that_fails_at_random_has_taken_all_in_order_at_the_end() {
    let mut seed = 7_u64;
    let mut random = |below: u64| -> usize {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) % below).try_into().unwrap()
    };
    let answers: Vec<&str> = (0..120).map(|_| ["200", "200", "200", "500", "close", "503:0", "garbage"][random(7)]).collect();
    let mut place = Place::new();
    let receiver = Receiver::answering(&answers);
    place.hooks(&[("a", &receiver.url(), &["decision.review", "decision.approve"])]);
    place.start();
    let mut decided = 0;
    for _ in 0..12 {
        let next = decided + 1 + random(40);
        place.decide(decided, next);
        decided = next;
        if random(2) == 0 {
            place.stop();
            place.start();
        }
    }
    place.until(|_| receiver.taken().len() >= decided);
    assert_eq!(about(&receiver.taken()), decisions(0..decided), "no stop was a kill, so that nothing was taken twice");
    assert_verified(&receiver.came());
}

#[test]
fn a_restart_goes_on_where_it_stopped_and_a_kill_repeats_what_was_not_noted() {
    let mut place = Place::new();
    let receiver = Receiver::answering(&[]);
    place.hooks(&[("a", &receiver.url(), &["decision.review"])]);
    place.start();
    let noted = place.folder.path().join("webhooks/a.json");
    let before = fs::read(&noted).unwrap();
    place.decide(0, 10);
    receiver.wait_for(5);
    place.stop();
    place.decide(10, 20);
    place.start();
    receiver.wait_for(10);
    place.stop();
    assert_eq!(about(&receiver.taken()), decisions((0..20).step_by(2)));
    // As a kill leaves it: delivered, and not noted.
    fs::write(&noted, before).unwrap();
    place.start();
    let came = receiver.wait_for(20);
    for (first, again) in came.iter().zip(&came[10..]) {
        assert_eq!((&first["id"], &first["body"]), (&again["id"], &again["body"]));
    }
    assert_verified(&came);
}

#[test]
fn a_receiver_that_refuses_connections_gets_everything_once_it_is_back() {
    let mut place = Place::new();
    let receiver = Receiver::answering(&[]);
    let (port, url) = (receiver.port, receiver.url());
    place.hooks(&[("a", &url, &["decision.review"])]);
    place.start();
    drop(receiver);
    place.decide(0, 10);
    place.until(|place| place.metric("assay_webhook_deliveries_total{result=\"failed\",webhook=\"a\"}") >= Some(2.0));
    place.until_metric("assay_webhook_lag_entries{webhook=\"a\"}", 10.0);
    let receiver = Receiver::with(json!({"port": port}));
    receiver.wait_for(5);
    assert_eq!(about(&receiver.taken()), decisions((0..10).step_by(2)));
}

#[test]
fn a_delivery_that_is_never_taken_is_dropped_in_the_end_and_the_next_one_follows() {
    let mut place = Place::new();
    place.patience.give_up_after = Duration::from_millis(300);
    let receiver = Receiver::with(json!({"poison": "label"}));
    place.hooks(&[("a", &receiver.url(), &["decision.review", "label"])]);
    place.start();
    place.decide(0, 2);
    place.append(&[(Kind::Label, "tx-0", label("fraud"))]);
    place.decide(2, 4);
    place.until(|_| receiver.taken().len() == 2);
    assert_eq!(about(&receiver.taken()), ["tx-0", "tx-2"]);
    assert_eq!(place.metric("assay_webhook_deliveries_total{result=\"dropped\",webhook=\"a\"}"), Some(1.0));
}

#[test]
fn a_restart_does_not_begin_the_patience_with_a_delivery_anew() {
    let mut place = Place::new();
    let receiver = Receiver::with(json!({"poison": "label"}));
    place.hooks(&[("a", &receiver.url(), &["label"])]);
    place.start();
    place.append(&[(Kind::Label, "tx-0", label("fraud"))]);
    let noted = |place: &Place| -> Value {
        serde_json::from_slice(&fs::read(place.folder.path().join("webhooks/a.json")).unwrap()).unwrap()
    };
    place.until(|place| noted(place)["failing_ms"].as_u64().unwrap() >= 100);
    place.stop();
    let before = noted(&place)["failing_ms"].as_u64().unwrap();
    place.patience.give_up_after = Duration::from_millis(before);
    let tries = receiver.came().len();
    place.start();
    place.until_metric("assay_webhook_deliveries_total{result=\"dropped\",webhook=\"a\"}", 1.0);
    assert_eq!(receiver.came().len(), tries + 1);
}

#[test]
fn who_answers_gone_is_told_nothing_more_until_the_url_is_another() {
    let mut place = Place::new();
    let receiver = Receiver::answering(&["200", "410"]);
    place.hooks(&[("a", &receiver.url(), &["decision.review"])]);
    place.start();
    place.decide(0, 10);
    place.until_metric("assay_webhook_deliveries_total{result=\"gone\",webhook=\"a\"}", 1.0);
    place.until_metric("assay_webhook_lag_entries{webhook=\"a\"}", 9.0);
    place.stop();
    place.start();
    place.until_metric("assay_webhook_lag_entries{webhook=\"a\"}", 9.0);
    assert_eq!(receiver.came().len(), 2);
    let other = Receiver::answering(&[]);
    place.hooks(&[("a", &other.url(), &["decision.review"])]);
    other.wait_for(4);
    assert_eq!(about(&other.taken()), decisions((2..10).step_by(2)));
    assert_eq!(receiver.came().len(), 2);
}

#[test]
fn a_new_webhook_begins_at_the_journals_end_and_its_file_is_followed() {
    let mut place = Place::new();
    let (first, second) = (Receiver::answering(&[]), Receiver::answering(&[]));
    let wanted: &[&str] = &["decision.review"];
    place.decide(0, 10);
    place.hooks(&[("first", &first.url(), wanted)]);
    place.start();
    place.decide(10, 12);
    first.wait_for(1);
    place.hooks(&[("first", &first.url(), wanted), ("second", &second.url(), wanted)]);
    place.until_metric("assay_webhooks_reads_total{result=\"taken\"}", 1.0);
    place.until(|place| place.folder.path().join("webhooks/second.json").exists());
    place.decide(12, 14);
    second.wait_for(1);
    // A damaged file changes nothing.
    fs::write(place.file(), "{\"webhooks\": [").unwrap();
    place.until_metric("assay_webhooks_reads_total{result=\"refused\"}", 1.0);
    place.decide(14, 16);
    second.wait_for(2);
    // One that is taken out is told nothing more; one that comes back under its name has missed nothing.
    place.hooks(&[("second", &second.url(), wanted)]);
    place.until_metric("assay_webhooks_reads_total{result=\"taken\"}", 2.0);
    assert_eq!(place.metric("assay_webhook_lag_entries{webhook=\"first\"}"), None);
    place.decide(16, 18);
    second.wait_for(3);
    assert_eq!(first.came().len(), 3);
    place.hooks(&[("first", &first.url(), wanted)]);
    first.wait_for(4);
    assert_eq!(about(&first.taken()), decisions((10..18).step_by(2)));
    assert_eq!(about(&second.taken()), decisions((12..18).step_by(2)));
}

#[test]
fn a_journal_that_was_restored_or_replaced_goes_on_from_its_end_and_repeats_no_id() {
    let mut place = Place::new();
    let receiver = Receiver::answering(&[]);
    place.hooks(&[("a", &receiver.url(), &["decision.review"])]);
    place.start();
    place.decide(0, 10);
    receiver.wait_for(5);
    place.stop();
    let noted = fs::read(place.folder.path().join("webhooks/a.json")).unwrap();
    // Another journal that is shorter, and one that is longer.
    for (already, came) in [(4, 6), (30, 7)] {
        let mut other = Place::new();
        fs::create_dir(other.folder.path().join("webhooks")).unwrap();
        fs::write(other.folder.path().join("webhooks/a.json"), &noted).unwrap();
        other.decide(0, already);
        other.hooks(&[("a", &receiver.url(), &["decision.review"])]);
        other.start();
        other.until(|other| fs::read(other.folder.path().join("webhooks/a.json")).unwrap() != noted);
        other.decide(already, already + 2);
        receiver.wait_for(came);
        other.stop();
    }
    let came = receiver.came();
    assert_eq!(about(&receiver.taken())[5..], ["tx-4", "tx-30"]);
    let ids: BTreeMap<&str, u64> = came.iter().map(|told| told["id"].as_str().unwrap()).zip(0..).collect();
    assert_eq!(ids.len(), 7);
}

#[test]
fn a_place_that_is_damaged_is_not_guessed_at_and_entries_that_were_cut_off_are_passed_over() {
    let mut place = Place::new();
    let receiver = Receiver::answering(&[]);
    place.hooks(&[("a", &receiver.url(), &["decision.review"])]);
    place.start();
    place.decide(0, 2);
    receiver.wait_for(1);
    place.stop();
    let noted = place.folder.path().join("webhooks/a.json");
    let before = fs::read(&noted).unwrap();
    fs::write(&noted, "{\"after\": \"here\"}").unwrap();
    place.decide(2, 4);
    place.start();
    assert_eq!(fs::read_to_string(&noted).unwrap(), "{\"after\": \"here\"}");
    fs::write(&noted, before).unwrap();
    receiver.wait_for(2);
    place.stop();
    place.decide(4, 8);
    place.journal.retain(1_700_000_000_000_001, 1_700_000_000_000_000, "{}").unwrap();
    place.decide(8, 10);
    place.start();
    receiver.wait_for(3);
    assert_eq!(about(&receiver.taken()), ["tx-0", "tx-2", "tx-8"]);
}
