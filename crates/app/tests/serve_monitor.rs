//! A server that decides, looked after: its figures against a recount of its journal in Python, and a policy that runs away stopped.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod clock;
mod oracles;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use assay_journal::{Kind, Reader};
use assay_model::linear::Term;
use assay_model::manifest::{Baseline, GoldenRow, Learner, Threshold, Training};
use assay_model::reference::{Bins, Column, Spread};
use assay_model::{Artifact, Calibration, Feature, FeatureKind, Linear, Manifest, Reference};
use clock::{Clock, now};
use oracles::{ask, number};
use serde_json::{Value, json};
use support::{LOOK_INTERVAL, LOOKS, Random, Reply, Server};
use tempfile::TempDir;

const DAY: i64 = 86_400_000_000;
const DAYS: i64 = 30;
const PER_DAY: i64 = 60;
/// From this day on amounts are in another currency.
const CHANGED: i64 = 27;

const DEFINITION: &str = "
CREATE TABLE payments (
  payment_id VARCHAR PRIMARY KEY, at TIMESTAMP NOT NULL, customer BIGINT NOT NULL, amount DOUBLE NOT NULL, is_fraud BOOLEAN
) WITH (event_time = 'at', label = 'is_fraud', label_delay = '7 days');
CREATE VIEW features AS SELECT amount FROM payments;";

const POLICY: &str = r#"{"version": "p", "thresholds": {"on": "probability", "steps": [
    {"from": 0.3, "outcome": "review"}, {"from": 0.6, "outcome": "decline"}]}}"#;
const RUNAWAY: &str = r#"{"version": "runaway", "rules": [{"id": "all", "when": "amount > 0", "outcome": "decline"}],
    "governor": {"least_decisions": 50}}"#;

/// An amount, as most are small.
fn amount(random: &mut Random) -> f64 {
    (100.0 + 12_000.0 * random.unit() * random.unit()).round() / 100.0
}

/// A model that goes by the amount, 100 being even odds, and its reference of the amount.
fn model() -> (Vec<u8>, Spread) {
    let mut random = Random(7);
    let amounts: Vec<f64> = (0..5_000).map(|_| amount(&mut random)).collect();
    let scores: Vec<f64> = amounts.iter().map(|amount| 1.0 / (1.0 + libm::exp(5.0 - 0.05 * amount))).collect();
    let spread =
        |values: &[f64]| Spread::of(&FeatureKind::Number, &Column { values, weights: &vec![1.0; values.len()], days: None });
    let reference = Reference { features: vec![spread(&amounts)], score: spread(&scores) };
    let of_amount = reference.features[0].clone();
    let manifest = Manifest {
        made_by: "assay test".into(),
        learner: Learner::Logistic,
        label: "is_fraud".into(),
        features: vec![Feature { name: "amount".into(), kind: FeatureKind::Number, missing_seen: false }],
        fingerprint: String::new(),
        training: Training::default(),
        quality: BTreeMap::new(),
        calibration: Calibration::None,
        genuine_kept: None,
        threshold: Threshold { probability: 0.5, amount_column: Some("amount".into()), ..Threshold::default() },
        baseline: Baseline { reference: Some(reference), ..Baseline::default() },
        golden: vec![GoldenRow { row: vec![Some(1.0)], probability: 0.0 }],
        linear: Some(Linear {
            intercept: -5.0,
            terms: vec![Term { feature: 0, level: None, coefficient: 0.05, when_missing: 0.0 }],
        }),
        definition: Some(DEFINITION.into()),
        imported: None,
    };
    (Artifact::build(manifest, "").unwrap().1, of_amount)
}

fn iso(moment: i64) -> String {
    let mut text = Vec::new();
    assay_domain::time::write(&mut text, moment).unwrap();
    String::from_utf8(text).unwrap()
}

fn payment(id: &str, at: i64, amount: f64) -> Value {
    json!({ "payment_id": id, "at": iso(at), "customer": 1, "amount": amount })
}

/// Payments up to yesterday, and labels of some of them.
fn happened() -> (Vec<Value>, Vec<Value>) {
    let mut random = Random(6);
    let today = now().div_euclid(DAY);
    let (mut payments, mut labels) = (Vec::new(), Vec::new());
    for (day, place) in (0..DAYS).flat_map(|day| (0..PER_DAY).map(move |place| (day, place))) {
        let at = (today - DAYS + day) * DAY + place * 1_400_000_000 + 1;
        let amount = (amount(&mut random) * if day < CHANGED { 1.0 } else { 2.5 } * 100.0).round() / 100.0;
        let id = format!("p-{day}-{place}");
        payments.push(payment(&id, at, amount));
        let is_fraud = random.unit() < amount / 600.0;
        let learnt = at + 3_600_000_000 + random.below(6 * 86_400) * 1_000_000;
        if learnt < today * DAY && (is_fraud || random.unit() < 0.02) {
            let label = if is_fraud { "fraud" } else { "genuine" };
            labels.push(json!({ "transaction_id": id, "label": label, "source": "test", "learnt": iso(learnt) }));
        }
    }
    (payments, labels)
}

fn serve(folder: &Path, policy: &str) -> Server {
    serve_with(folder, policy, &[], &[])
}

fn serve_with(folder: &Path, policy: &str, more: &[&str], environment: &[(&str, &str)]) -> Server {
    let path = |name: &str| folder.join(name).display().to_string();
    fs::write(path("policy.json"), policy).unwrap();
    fs::write(path("fraud.model"), model().0).unwrap();
    let (model, data, policy) = (path("fraud.model"), path("data"), path("policy.json"));
    let always = ["--model", &model, "--data-dir", &data, "--policy", &policy, "--threads", "1", "--drain-seconds", "0"];
    let server = Server::start_with_environment(tempfile::tempdir().unwrap(), &[&always[..], more].concat(), environment);
    for _ in 0..LOOKS {
        if server.ask("GET", "/ready", b"").status == 200 {
            return server;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    panic!("it never decides: {}", server.log());
}

fn post(server: &Server, path: &str, body: &Value) -> Reply {
    let reply = server.ask("POST", path, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

/// The server's report once it tells of the whole journal.
fn report(server: &Server) -> Value {
    let last = server.ask("GET", "/v1/journal", b"").json()["entries"].clone();
    for _ in 0..LOOKS {
        let report = server.ask("GET", "/v1/monitor", b"").json();
        if report["through"] == last {
            return report;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    panic!("the monitor is still behind {last}");
}

fn monitor(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_assay")).arg("monitor").args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The value of a series of `/metrics`.
fn metric(text: &str, series: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{series} is not in {text}")).parse().unwrap()
}

fn assert_close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{what}: ours {ours}, theirs {theirs}");
}

#[test]
fn the_monitor_says_what_python_counts_in_the_journal() {
    let folder = TempDir::with_prefix("assay-monitor-").unwrap();
    let data = folder.path().join("data");
    let mut server = serve(folder.path(), POLICY);
    let (payments, labels) = happened();
    for some in payments.chunks(500) {
        assert!(post(&server, "/v1/decisions", &json!(some)).json()["decisions"][0]["outcome"].is_string());
    }
    post(&server, "/v1/labels", &json!(labels));
    let ours = report(&server);
    server.wait_for_log("a column drifts");

    let (_, spread) = model();
    let Bins::Edges(edges) = &spread.bins else { panic!("an amount is a number") };
    let reference = folder.path().join("reference.json");
    fs::write(&reference, json!({ "edges": edges, "counts": spread.counts }).to_string()).unwrap();
    let theirs = ask("monitor.py", &[&data, &reference]);

    for day in ours["decided"].as_array().unwrap() {
        let counts = &theirs["decided"][day["from"].to_string()];
        for share in day["shares"].as_array().unwrap() {
            let count = counts[share[0].as_str().unwrap()].as_u64().unwrap_or(0) as f64;
            assert_close(number(&share[1]) * PER_DAY as f64, count, "share");
        }
    }
    assert_eq!(ours["drift"].as_array().unwrap().len(), usize::try_from(DAYS).unwrap());
    for (place, day) in ours["drift"].as_array().unwrap().iter().enumerate() {
        let (amount, theirs) = (&day["columns"][0], &theirs["drift"][day["from"].to_string()]);
        assert_eq!(day["rows"], theirs[0]);
        assert_close(number(&amount["psi"]), number(&theirs[1]), "PSI");
        assert_close(number(&amount["ks"]), number(&theirs[2]), "KS");
        let alarms = ["moderate", "large"].contains(&amount["level"].as_str().unwrap());
        assert_eq!(alarms, i64::try_from(place).unwrap() >= CHANGED, "{amount}");
    }
    let quality = &ours["quality"][0];
    for figure in ["judged", "frauds", "never_known"] {
        assert_eq!(quality[figure], theirs[figure], "{figure}");
    }
    for figure in ["average_precision", "precision_at_top"] {
        assert_close(number(&quality[figure]), number(&theirs[figure]), figure);
    }
    for outcome in ["approve", "review", "decline"] {
        for truth in ["fraud", "genuine"] {
            let theirs = theirs["money"][format!("{outcome} {truth}")].as_i64().unwrap_or(0);
            assert_eq!(quality[outcome][format!("{truth}_minor")], theirs, "{outcome} {truth}");
        }
    }
    assert_close(number(&ours["labelled"]), number(&theirs["labelled"]), "labelled");
    let learnt = |of: &str| ours["labels"].as_array().unwrap().iter().map(|day| day[of].as_u64().unwrap()).sum::<u64>();
    assert_eq!(
        (learnt("frauds"), learnt("genuine")),
        (theirs["labels"]["fraud"].as_u64().unwrap(), theirs["labels"]["genuine"].as_u64().unwrap())
    );

    // The command says the same beside the server, as JSON, as text and as a page; and so does the server after it was killed.
    assert_eq!(serde_json::from_str::<Value>(&monitor(&[data.to_str().unwrap(), "--json"])).unwrap(), ours);
    let page = folder.path().join("report.html");
    monitor(&[data.to_str().unwrap(), "-o", page.to_str().unwrap()]);
    let page = fs::read_to_string(page).unwrap();
    for told in [monitor(&[data.to_str().unwrap()]), page] {
        assert!(told.contains("`amount` drifts"), "{told}");
    }
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    let model = ours["model"].as_str().unwrap();
    let drift = ours["drift"].as_array().unwrap().last().unwrap();
    for (place, column) in ["amount", "score"].into_iter().enumerate() {
        let labels = format!("{{column=\"{column}\",model=\"{model}\"}}");
        assert_close(
            metric(&metrics, &format!("assay_monitor_drift_psi{labels}")),
            number(&drift["columns"][place]["psi"]),
            column,
        );
        assert!(metric(&metrics, &format!("assay_monitor_drift_level{labels}")) >= 3.0);
    }
    assert_eq!(metric(&metrics, "assay_monitor_entries"), number(&ours["through"]));
    assert_eq!(metric(&metrics, "assay_monitor_alarms{about=\"drift\"}"), 2.0);
    let average = format!("assay_monitor_quality_average_precision{{model=\"{model}\"}}");
    assert_close(metric(&metrics, &average), number(&theirs["average_precision"]), "average precision");
    server.signal("KILL");
    server.wait();
    let server = serve(folder.path(), POLICY);
    assert_eq!(report(&server), ours);
    server.wait_for_log("a column drifts");
}

#[test]
fn behind_a_cut_the_days_that_are_kept_have_the_figures_that_they_had() {
    const PAST: i64 = 24;
    const KEPT: i64 = 14;
    let (clock, began) = (Clock::build(), now());
    let environment = clock.environment();
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    // Beside it one that knows nothing but the days that the other keeps.
    let [ours, control] = ["ours", "control"].map(|name| TempDir::with_prefix(format!("assay-monitor-{name}-")).unwrap());
    let mut random = Random(9);
    let day = |number: i64| (number - PAST) * DAY;
    clock.set(day(0));
    let mut server = serve_with(ours.path(), POLICY, &[], &environment);
    let mut beside = None;
    for number in 0..=PAST {
        clock.set(day(number));
        if number == PAST - KEPT + 1 {
            beside = Some(serve_with(control.path(), POLICY, &[], &environment));
        }
        let id = |number: i64, place: i64| format!("p-{number}-{place}");
        let made = |place| payment(&id(number, place), began + day(number) + place, amount(&mut random));
        let payments = json!((0..40).map(made).collect::<Vec<_>>());
        // Half of what was paid three days ago is known now.
        let labels = |place: i64| json!({ "transaction_id": id(number - 3, place), "label": if place % 3 == 0 { "fraud" } else { "genuine" } });
        let labels = json!((0..20).map(labels).collect::<Vec<_>>());
        post(&server, "/v1/decisions", &payments);
        if number >= 3 {
            post(&server, "/v1/labels", &labels);
        }
        if let Some(beside) = &beside {
            post(beside, "/v1/decisions", &payments);
            // It knows nothing of what was paid before.
            beside.ask("POST", "/v1/labels", labels.to_string().as_bytes());
        }
    }
    let before = report(&server);
    server.signal("TERM");
    assert!(server.wait().success());
    let mut server = serve_with(ours.path(), POLICY, &["--keep-days", "13.5"], &environment);
    let reader = Reader::open(&ours.path().join("data")).unwrap();
    let is_cut = |_: &u32| !reader.latest(Kind::Cut, u64::MAX, 1).unwrap().is_empty();
    (0..LOOKS).find(|look| is_cut(look) || (thread::sleep(LOOK_INTERVAL), false).1).expect("something is too old");
    server.kill();
    let server = serve_with(ours.path(), POLICY, &["--keep-days", "13.5"], &environment);
    let after = report(&server);
    let data = ours.path().join("data");
    assert_eq!(serde_json::from_str::<Value>(&monitor(&[data.to_str().unwrap(), "--json"])).unwrap(), after);

    let expected = report(&beside.unwrap());
    for figure in ["decided", "drift", "labels", "quality", "labelled", "jumps", "silence", "model", "governor"] {
        assert_eq!(after[figure], expected[figure], "{figure}");
    }
    for figure in ["decided", "drift"] {
        let [before, after] = [&before, &after].map(|report| report[figure].as_array().unwrap());
        let kept = after.iter().filter(|day| before.contains(day)).count();
        // The events of the first of these days may be in two days of the calendar.
        assert!(before.len() > after.len() && kept + 1 >= after.len() && kept > 10, "{kept} of {}", after.len());
    }
    let judged = |report: &Value| report["quality"][0]["judged"].as_u64().unwrap();
    assert!(judged(&after) > 0 && judged(&after) < judged(&before), "quality is that of the decisions that are kept");
}

#[test]
fn a_policy_that_runs_away_is_stopped_until_somebody_releases_it() {
    let folder = TempDir::with_prefix("assay-governor-").unwrap();
    let server = serve(folder.path(), RUNAWAY);
    let at = now();
    let decide = |from: i64, count: i64| {
        let payments: Vec<Value> = (from..from + count).map(|number| payment(&format!("p-{number}"), at, 10.0)).collect();
        let decided = post(&server, "/v1/decisions", &json!(payments)).json();
        let decided = decided["decisions"].as_array().unwrap().clone();
        let declined = decided.iter().filter(|one| one["outcome"] == "decline").count();
        let governed = decided.iter().filter(|one| one["flags"] == json!(["governed"]) && one["outcome"] == "review").count();
        (declined, governed)
    };
    assert_eq!(server.ask("POST", "/v1/governor/release", b"").code(), "governor_not_tripped");
    assert_eq!(decide(0, 40), (40, 0));
    assert_eq!(decide(100, 100), (9, 91), "forty-nine got through");
    server.wait_for_log("the governor holds its declines back");
    assert_eq!(decide(0, 40), (40, 0), "what was decided stays decided");
    let governor = &report(&server)["governor"];
    assert_eq!((&governor["tripped"], &governor["replaced"], &governor["declines"]), (&json!(true), &json!(91), &json!(140)));
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    assert_eq!(metric(&metrics, "assay_monitor_governor_tripped"), 1.0);
    assert_eq!(metric(&metrics, "assay_monitor_alarms{about=\"governor\"}"), 1.0);
    assert!(report(&server)["alarms"][0].as_str().unwrap().starts_with("The governor holds declines back: 91 became review"));

    let released = server.ask("POST", "/v1/governor/release", b"");
    assert_eq!((released.status, &released.json()["tripped"]), (200, &json!(false)));
    assert_eq!(decide(300, 60), (49, 11));
    // Who takes the governor away wants declines.
    let policy =
        RUNAWAY.replace("runaway", "meant").replace(r#""governor": {"least_decisions": 50}"#, r#""safe_outcome": "review""#);
    assert_eq!(server.ask("PUT", "/v1/policy", policy.as_bytes()).status, 200);
    assert_eq!(decide(400, 60), (60, 0));
    assert_eq!(report(&server)["governor"], Value::Null);
    let refused = server.ask("PUT", "/v1/policy", RUNAWAY.replace("50", "0").replace("runaway", "wrong").as_bytes());
    assert_eq!((refused.status, refused.code().as_str()), (422, "bad_policy"));
    assert!(refused.error().contains("least_decisions"));
}
