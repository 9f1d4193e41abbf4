//! Models that come, go and take turns while `assay serve` serves.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use assay_model::linear::Term;
use assay_model::{Artifact, Feature, FeatureKind, Linear};
use serde_json::{Value, json};
use support::{
    Client, MARKERS, PATIENCE, Random, Reply, Server, body, checksum, forest_model, markers, mixed_model, model, with_marker,
};

/// A linear model of 30 features whose scores tell it from every other `number`.
fn numbered(number: usize) -> (Artifact, Vec<u8>) {
    let feature = |place| Feature { name: format!("f{place}"), kind: FeatureKind::Number, missing_seen: false };
    let term = |feature| Term { feature, level: None, coefficient: 0.1 * (number + 1) as f64, when_missing: 0.0 };
    let linear = Linear { intercept: -(number as f64) / 10.0, terms: (0..30).map(term).collect() };
    model((0..30).map(feature).collect(), Some(linear), "")
}

/// A folder with `models` by name.
fn folder(models: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in models {
        put(folder.path(), name, bytes);
    }
    folder
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(format!("{name}.model")), bytes).unwrap();
}

/// Serves a folder, beginning with a model in it.
fn serve(folder: &Path, begin_with: Option<&str>, arguments: &[&str]) -> Server {
    let mut all = vec!["--models".to_owned(), folder.display().to_string()];
    if let Some(name) = begin_with {
        all.extend(["--model".to_owned(), folder.join(format!("{name}.model")).display().to_string()]);
    }
    all.extend(arguments.iter().map(ToString::to_string));
    Server::start_with(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn post(server: &Server, path: &str, body: &str) -> Reply {
    server.ask("POST", path, body.as_bytes())
}

fn about(server: &Server, name: &str) -> Value {
    server.ask("GET", &format!("/v1/models/{name}"), b"").json()
}

/// Waits until what is known of `name` is as wanted; what appears in a folder is noticed within seconds.
fn wait_until(server: &Server, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..PATIENCE.as_millis() / 20 {
        let found = about(server, name);
        if wanted(&found) {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{name} is still {}", about(server, name));
}

fn wait_for_state(server: &Server, name: &str, state: &str) -> Value {
    wait_until(server, name, |found| found["state"] == state)
}

fn wait_for_refusal(server: &Server, name: &str, reason: &str) -> Value {
    wait_until(server, name, |found| found["refused"]["reason"] == reason)
}

fn metric(server: &Server, line: &str) -> Option<f64> {
    let text = server.ask("GET", "/metrics", b"").text().to_owned();
    text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

fn refused(server: &Server, reason: &str) -> f64 {
    metric(server, &format!("assay_models_refused_total{{reason=\"{reason}\"}}")).unwrap()
}

/// Who answers a row now.
fn scores_with(server: &Server) -> String {
    let reply = server.predict(body(1, &mut Random(1)));
    assert_eq!(reply.status, 200, "{reply:?}");
    let label = reply.header("assay-model").unwrap();
    label.split_once('@').unwrap().0.to_owned()
}

/// A body, and the scores that each of two models gives it.
type Asked = (String, [Vec<f64>; 2]);

/// Bodies of several sizes.
fn asked_of(models: &[(Artifact, Vec<u8>); 2]) -> Vec<Asked> {
    let random = &mut Random(3);
    let scored = |rows: usize| {
        let body = body(rows, random);
        let parsed: Value = serde_json::from_str(&body).unwrap();
        let rows = parsed["features"].as_array().unwrap();
        let rows = if rows[0].is_array() { rows.clone() } else { vec![parsed["features"].clone()] };
        let numbers = |row: &Value| row.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>();
        let scores = |(model, _): &(Artifact, Vec<u8>)| rows.iter().map(|row| model.probability(&numbers(row))).collect();
        let scores = models.each_ref().map(scores);
        (body, scores)
    };
    [1, 2, 20].map(scored).into()
}

/// Sets a flag when it goes, also when a test fails meanwhile.
struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets four clients ask without a pause while `change` goes on, which may wait until more of them were answered. Every answer is wholly that of
/// the model of the two that `which` finds by its name; each client saw both.
fn under_load(server: &Server, asked: &[Asked], which: impl Fn(&str) -> usize + Sync, change: impl FnOnce(&dyn Fn())) {
    let (leave, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen: Vec<BTreeSet<usize>> = thread::scope(|scope| {
        let load = || {
            let mut client = Client::connect(server.address);
            let mut seen = BTreeSet::new();
            while !leave.load(Ordering::Relaxed) {
                for (body, expected) in asked {
                    let reply = client.ask("POST", "/predict", &[], body.as_bytes());
                    assert_eq!(reply.status, 200, "{reply:?}");
                    let name = reply.header("assay-model").unwrap().split_once('@').unwrap().0;
                    assert_eq!(reply.scores(), expected[which(name)], "an answer is wholly of {name}");
                    seen.insert(which(name));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            seen
        };
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let leaving = Leave(&leave);
        change(&|| {
            let before = answered.load(Ordering::Relaxed);
            while answered.load(Ordering::Relaxed) < before + 4 {
                assert!(loads.iter().any(|load| !load.is_finished()), "nobody is answered any more");
                thread::yield_now();
            }
        });
        drop(leaving);
        loads.into_iter().map(|load| load.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|seen| seen.len() == 2), "{seen:?}");
}

#[test]
fn a_hundred_swaps_under_load_fail_nothing_and_mix_nothing() {
    let models = [forest_model(50, 31, 30), numbered(1)];
    let folder = folder(&[("a", &models[0].1), ("b", &models[1].1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    wait_for_state(&server, "b", "loaded");
    under_load(
        &server,
        &asked_of(&models),
        |name| usize::from(name == "b"),
        |wait| {
            let mut client = server.connect();
            for swap in 0..100 {
                let name = ["b", "a"][swap % 2];
                let reply = client.ask("POST", &format!("/v1/models/{name}/activate"), &[], b"");
                assert_eq!((reply.status, reply.json()["state"].as_str()), (200, Some("active")), "{reply:?}");
                // Whoever asks after the answer is answered by the new one.
                assert_eq!(scores_with(&server), name);
                wait();
            }
        },
    );
    assert_eq!(metric(&server, "assay_model_swaps_total"), Some(100.0));
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    assert_eq!(metrics.lines().filter(|line| line.starts_with("assay_model_info{")).count(), 1, "{metrics}");
    assert!(metrics.contains("assay_model_info{features=\"30\",fingerprint="));
    assert!(!metrics.contains("status=\"500\""));
}

#[test]
fn models_that_are_uploaded_activated_and_deleted_under_load_fail_nothing_and_mix_nothing() {
    let models = [forest_model(50, 31, 30), numbered(1)];
    let folder = folder(&[("m-0", &models[0].1)]);
    let server = serve(folder.path(), Some("m-0"), &[]);
    let number = |name: &str| name.strip_prefix("m-").unwrap().parse::<usize>().unwrap();
    under_load(
        &server,
        &asked_of(&models),
        |name| number(name) % 2,
        |wait| {
            let mut client = server.connect();
            for next in 1..=30 {
                let (name, before) = (format!("m-{next}"), format!("m-{}", next - 1));
                let sent = client.ask("POST", &format!("/v1/models?name={name}"), &[], &models[next % 2].1);
                assert_eq!((sent.status, sent.json()["state"].as_str()), (201, Some("loaded")), "{sent:?}");
                assert_eq!(client.ask("POST", &format!("/v1/models/{name}/activate"), &[], b"").status, 200);
                assert_eq!(client.ask("DELETE", &format!("/v1/models/{before}"), &[], b"").json(), json!({ "deleted": before }));
                assert_eq!(scores_with(&server), name);
                wait();
            }
        },
    );
    assert_eq!(metric(&server, "assay_model_swaps_total"), Some(30.0));
    assert_eq!(metric(&server, "assay_models_loaded"), Some(1.0));
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    assert!(!metrics.contains("status=\"500\"") && !metrics.contains("status=\"503\""), "{metrics}");
}

#[test]
fn a_restart_comes_back_the_same() {
    let models: Vec<Vec<u8>> = (0..4).map(|number| numbered(number).1).collect();
    let folder = folder(&[("a", &models[0]), ("b", &models[1]), ("c", &models[2]), ("d", &models[3])]);
    let mut server = serve(folder.path(), Some("a"), &["--drain-seconds", "0"]);
    for name in ["b", "c", "d"] {
        wait_for_state(&server, name, "loaded");
    }
    assert_eq!(post(&server, "/v1/models/b/activate", "").status, 200);
    assert_eq!(post(&server, "/v1/models/c/shadow", r#"{"on":true}"#).json()["state"], "shadow");
    assert_eq!(post(&server, "/v1/models/d/rollout", r#"{"percent":12.5}"#).json()["percent"], 12.5);
    let list = |server: &Server| {
        let mut list = server.ask("GET", "/v1/models", b"").json();
        for model in list["models"].as_array_mut().unwrap() {
            model.as_object_mut().unwrap().remove("requests");
        }
        list
    };
    let before = list(&server);
    server.signal("TERM");
    assert!(server.wait().success());
    for begin_with in [None, Some("a")] {
        let mut server = serve(folder.path(), begin_with, &["--drain-seconds", "0"]);
        // What has nothing to do is read while serving.
        wait_for_state(&server, "a", "loaded");
        assert_eq!(list(&server), before);
        let log = server.log();
        assert_eq!(
            log.contains("--model is loaded, but the folder says that another one is active"),
            begin_with.is_some(),
            "{log}"
        );
        server.signal("TERM");
        assert!(server.wait().success());
    }
    // The active model's file was replaced while nobody looked: nothing else serves in its name.
    put(folder.path(), "b", &models[0]);
    let refused = Server::refused(&["--models", &folder.path().display().to_string()]);
    assert!(refused.contains("says that b@") && refused.contains("its file is version"), "{refused}");
    let server = serve(folder.path(), Some("a"), &[]);
    assert_eq!(scores_with(&server), "a");
}

#[test]
fn a_folder_that_does_not_say_what_is_active_is_asked_about_at_the_start() {
    let place = folder(&[]);
    let path = place.path().display().to_string();
    assert!(Server::refused(&["--models", &path]).contains("holds 0 models, and nothing says which is active"));
    put(place.path(), "a", &numbered(0).1);
    {
        let server = serve(place.path(), None, &[]);
        assert_eq!(scores_with(&server), "a");
        let second = Server::refused(&["--models", &path]);
        assert!(second.contains("another server works with it"), "{second}");
    }
    fs::remove_file(place.path().join("assay-models.json")).unwrap();
    put(place.path(), "b", &numbered(1).1);
    assert!(Server::refused(&["--models", &path]).contains("holds 2 models"));
    assert!(
        Server::refused(&["--models", &place.path().join("absent").display().to_string()]).contains("there is no such folder")
    );
}

#[test]
fn a_rollback_makes_active_what_was_active_before_and_a_second_one_takes_that_back() {
    let folder = folder(&[("a", &numbered(0).1), ("b", &numbered(1).1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    wait_for_state(&server, "b", "loaded");
    let reply = post(&server, "/v1/models/rollback", "");
    assert_eq!((reply.status, reply.code().as_str()), (409, "nothing_to_roll_back_to"));
    assert_eq!(post(&server, "/v1/models/b/activate", "").status, 200);
    for name in ["a", "b", "a"] {
        assert_eq!(post(&server, "/v1/models/rollback", "").json()["name"], name);
        assert_eq!(scores_with(&server), name);
    }
    assert_eq!(server.ask("GET", "/v1/models", b"").json()["previous"].as_str().unwrap().split_once('@').unwrap().0, "b");
    assert_eq!(server.ask("DELETE", "/v1/models/b", b"").status, 200);
    assert_eq!(post(&server, "/v1/models/rollback", "").code(), "nothing_to_roll_back_to");
}

#[test]
fn shadows_score_what_was_answered_and_tell_how_they_differ() {
    let models = [numbered(0), numbered(1), numbered(2)];
    let folder = folder(&[("a", &models[0].1), ("b", &models[1].1), ("c", &models[2].1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    for name in ["b", "c"] {
        wait_for_state(&server, name, "loaded");
        assert_eq!(post(&server, &format!("/v1/models/{name}/shadow"), r#"{"on":true}"#).json()["state"], "shadow");
    }
    let mut expected = [0.0; 2];
    let random = &mut Random(5);
    for _ in 0..50 {
        let body = body(4, random);
        let rows: Vec<Vec<f64>> =
            serde_json::from_value(serde_json::from_str::<Value>(&body).unwrap()["features"].clone()).unwrap();
        let scores = server.predict(&body).scores();
        for (row, score) in rows.iter().zip(scores) {
            assert_eq!(score, models[0].0.probability(row), "the active one answers");
            for (sum, shadow) in expected.iter_mut().zip(&models[1..]) {
                *sum += (shadow.0.probability(row) - score).abs();
            }
        }
    }
    for (name, sum) in ["b", "c"].iter().zip(expected) {
        let shadow = wait_until(&server, name, |found| found["shadow"]["rows"] == 200)["shadow"].clone();
        let difference = shadow["mean_absolute_difference"].as_f64().unwrap();
        assert!((difference - sum / 200.0).abs() < 1e-9, "{name}: {difference} and not {}", sum / 200.0);
        // The models of tests flag nothing.
        assert_eq!(shadow["changed_flags"], 0.0);
        let labels = format!("model=\"{name}\",version=\"{}\"", about(&server, name)["version"].as_str().unwrap());
        assert_eq!(metric(&server, &format!("assay_shadow_score_difference_count{{{labels}}}")), Some(200.0));
        assert_eq!(metric(&server, &format!("assay_shadow_score_count{{{labels}}}")), Some(200.0));
        assert_eq!(metric(&server, &format!("assay_shadow_changed_flags_total{{{labels}}}")), Some(0.0));
    }
    assert_eq!(metric(&server, "assay_shadow_dropped_rows_total"), Some(0.0));
    assert_eq!(post(&server, "/v1/models/b/shadow", r#"{"on":false}"#).json()["state"], "loaded");
    let text = server.ask("GET", "/metrics", b"").text().to_owned();
    assert!(!text.contains("assay_shadow_score_count{model=\"b\""), "series leave with their shadow");
    assert!(text.contains("assay_shadow_score_count{model=\"c\""));
}

#[test]
fn a_rollout_gives_its_share_and_the_same_request_to_the_same_model() {
    let folder = folder(&[("a", &numbered(0).1), ("b", &numbered(1).1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    wait_for_state(&server, "b", "loaded");
    let random = &mut Random(9);
    let bodies: Vec<String> = (0..1_000).map(|_| body(1, random)).collect();
    let mut client = server.connect();
    let mut challenged = |percent: f64| {
        let reply = post(&server, "/v1/models/b/rollout", &json!({ "percent": percent }).to_string());
        assert_eq!(reply.status, 200, "{reply:?}");
        let ask =
            |body: &String| client.ask("POST", "/predict", &[], body.as_bytes()).header("assay-model").unwrap().starts_with("b@");
        bodies.iter().map(ask).collect::<Vec<bool>>()
    };
    let tenth = challenged(10.0);
    let count = tenth.iter().filter(|&&challenged| challenged).count();
    // Five standard deviations of a binomial of 1,000 and 0.1.
    assert!((53..=147).contains(&count), "{count} of 1000");
    assert_eq!(challenged(10.0), tenth, "the same requests get the same model");
    let half = challenged(50.0);
    assert!(tenth.iter().zip(&half).all(|(tenth, half)| !tenth || *half), "a larger share keeps those of the smaller one");
    assert!(challenged(100.0).iter().all(|&challenged| challenged));
    assert!(challenged(0.0).iter().all(|&challenged| !challenged));
    // The space between values is no part of a request.
    assert_eq!(post(&server, "/v1/models/b/rollout", r#"{"percent":10}"#).status, 200);
    for (body, challenged) in bodies.iter().zip(&tenth).take(50) {
        let reply = server.predict(body.replace(',', " ,\n"));
        assert_eq!(reply.header("assay-model").unwrap().starts_with("b@"), *challenged);
    }
    for wrong in [r#"{"percent":101}"#, r#"{"percent":-1}"#, r#"{"percent":"10"}"#, "{}", "", r#"{"percent":1,"x":1}"#] {
        let reply = post(&server, "/v1/models/b/rollout", wrong);
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_setting"), "{wrong}");
    }
}

#[test]
fn who_takes_other_rows_neither_rolls_out_nor_shadows_but_may_become_active() {
    let other = mixed_model().1;
    let folder = folder(&[("a", &numbered(0).1), ("b", &numbered(1).1), ("c", &numbered(2).1), ("other", &other)]);
    let server = serve(folder.path(), Some("a"), &[]);
    for name in ["b", "c", "other"] {
        wait_for_state(&server, name, "loaded");
    }
    for (call, setting) in [("rollout", r#"{"percent":10}"#), ("shadow", r#"{"on":true}"#)] {
        let reply = post(&server, &format!("/v1/models/other/{call}"), setting);
        assert_eq!((reply.status, reply.code().as_str()), (409, "model_takes_other_rows"));
        let reply = post(&server, &format!("/v1/models/a/{call}"), setting);
        assert_eq!((reply.status, reply.code().as_str()), (409, "model_is_active"));
        assert_eq!(post(&server, &format!("/v1/models/absent/{call}"), setting).code(), "model_not_found");
    }
    assert_eq!(post(&server, "/v1/models/b/rollout", r#"{"percent":10}"#).json()["state"], "rollout");
    assert_eq!(post(&server, "/v1/models/c/rollout", r#"{"percent":10}"#).code(), "other_rollout");
    assert_eq!(post(&server, "/v1/models/c/shadow", r#"{"on":true}"#).json()["state"], "shadow");
    assert_eq!(post(&server, "/v1/models/b/shadow", r#"{"on":true}"#).json()["state"], "shadow");
    assert_eq!(post(&server, "/v1/models/b/rollout", r#"{"percent":10}"#).json()["state"], "rollout");
    assert_eq!(post(&server, "/v1/models/other/activate", "").json()["state"], "active");
    // Their rows are no longer those that are asked for.
    assert_eq!((about(&server, "b")["state"].clone(), about(&server, "c")["state"].clone()), (json!("loaded"), json!("loaded")));
    assert_eq!(server.predict(r#"{"features":[1,2,"FR"]}"#).status, 200);
    let document = server.ask("GET", "/openapi.json", b"").json();
    assert_eq!(document["components"]["schemas"]["Row"]["maxItems"], 3, "the document follows the active model");
    assert_eq!(post(&server, "/v1/models/rollback", "").json()["name"], "a");
    assert_eq!(scores_with(&server), "a");
}

#[test]
fn a_model_is_uploaded_checked_activated_and_deleted() {
    let folder = folder(&[("a", &numbered(0).1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    let large = forest_model(300, 63, 30).1;
    let sent = server.ask("POST", "/v1/models?name=large", &large);
    assert_eq!(sent.status, 201, "{sent:?}");
    let model = sent.json();
    assert_eq!((model["name"].as_str(), model["state"].as_str()), (Some("large"), Some("loaded")));
    assert_eq!((model["learner"].as_str(), model["features"].as_u64()), (Some("boosted-trees"), Some(30)));
    assert_eq!(fs::read(folder.path().join("large.model")).unwrap(), large);
    assert_eq!(server.ask("POST", "/v1/models?name=large", &large).status, 201, "the same bytes may come twice");
    let taken = server.ask("POST", "/v1/models?name=large", &numbered(5).1);
    assert_eq!((taken.status, taken.code().as_str()), (409, "model_name_taken"));
    let unnamed = server.ask("POST", "/v1/models", &numbered(6).1).json();
    assert_eq!(unnamed["name"], format!("model-{}", unnamed["version"].as_str().unwrap()));
    for name in ["rollback", "../a", "a%2Fb", "", "a&b=c"] {
        let reply = server.ask("POST", &format!("/v1/models?name={name}"), &numbered(7).1);
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_model_name"), "{name}");
    }
    assert_eq!(post(&server, "/v1/models/large/activate", "").json()["state"], "active");
    assert_eq!(scores_with(&server), "large");
    assert_eq!(server.ask("DELETE", "/v1/models/large", b"").code(), "model_is_active");
    assert_eq!(server.ask("DELETE", "/v1/models/absent", b"").code(), "model_not_found");
    assert_eq!(server.ask("DELETE", "/v1/models/a", b"").json(), json!({ "deleted": "a" }));
    assert_eq!(server.ask("GET", "/v1/models/a", b"").code(), "model_not_found");
    assert!(!folder.path().join("a.model").exists());
    let names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 3, "two models and the state, and nothing unfinished: {names:?}");
    assert!(server.log().contains("a model was uploaded and is loaded"));
}

#[test]
fn models_beyond_the_limits_are_refused_until_there_is_room() {
    let folder = folder(&[("a", &numbered(0).1)]);
    let small = numbered(1).1;
    let limit = small.len() + 1_000;
    let server = serve(folder.path(), Some("a"), &["--max-models", "2", "--max-model-bytes", &limit.to_string()]);
    let large = forest_model(50, 31, 30).1;
    let reply = server.ask("POST", "/v1/models?name=large", &large);
    assert_eq!((reply.status, reply.code().as_str()), (413, "model_too_large"));
    let mut chunked = server.connect();
    chunked.send("POST /v1/models HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked.send(format!("{:x}\r\n", large.len()));
    let _ = chunked.try_send(&large);
    assert_eq!(chunked.receive().unwrap().code(), "model_too_large", "an unannounced length has the same limit");
    put(folder.path(), "large", &large);
    wait_for_refusal(&server, "large", "too_large");
    assert_eq!(server.ask("POST", "/v1/models?name=b", &small).status, 201);
    let reply = server.ask("POST", "/v1/models?name=c", &numbered(2).1);
    assert_eq!((reply.status, reply.code().as_str()), (409, "too_many_models"));
    put(folder.path(), "c", &numbered(2).1);
    wait_for_refusal(&server, "c", "too_many");
    let reply = post(&server, "/v1/models/c/activate", "");
    assert_eq!((reply.status, reply.code().as_str()), (422, "model_refused"));
    assert_eq!(server.ask("DELETE", "/v1/models/b", b"").status, 200);
    wait_for_state(&server, "c", "loaded");
    assert_eq!((refused(&server, "too_large"), refused(&server, "too_many")), (1.0, 1.0));
    assert_eq!(scores_with(&server), "a");
}

/// Bytes that are no model to be served, each with the reason that is told.
fn bad_models() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = forest_model(120, 31, 30).1;
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let newer = String::from_utf8(whole.clone()).unwrap().replacen("assay-model 1", "assay-model 999", 1).into_bytes();
    let fingerprint = numbered(3).0.manifest().fingerprint.clone();
    vec![
        ("empty", Vec::new(), "not_whole"),
        ("half", whole[..middle].to_vec(), "not_whole"),
        ("flipped", flipped, "not_whole"),
        ("text", b"not a model".to_vec(), "not_whole"),
        ("newer", newer, "newer_format"),
        ("other-definition", with_another_definition(), "contradiction"),
        ("other-fingerprint", forged(|manifest| manifest.replace(&fingerprint, &"0".repeat(64))), "contradiction"),
        ("other-scores", forged(|manifest| manifest.replace("\"intercept\": -0.3", "\"intercept\": -0.4")), "golden_rows"),
        ("no-manifest", forged(|manifest| manifest.replacen('{', "[", 1)), "damaged"),
    ]
}

/// A model whose SQL makes other features than it takes; its checksums are right.
fn with_another_definition() -> Vec<u8> {
    let (artifact, _) = numbered(3);
    let mut manifest = artifact.manifest().clone();
    manifest.definition = Some(
        "CREATE TABLE t (at TIMESTAMP NOT NULL, amount DOUBLE NOT NULL, fraud BOOLEAN) WITH (event_time = 'at', label = 'fraud');\
         CREATE VIEW features AS SELECT amount FROM t;"
            .into(),
    );
    Artifact::build(manifest, "").unwrap().1
}

/// A linear model whose manifest was changed afterwards; its checksums are right.
fn forged(change: impl Fn(&str) -> String) -> Vec<u8> {
    let text = String::from_utf8(numbered(3).1).unwrap();
    let (_, manifest) = text.split_once("\n\n").unwrap();
    let changed = change(manifest);
    assert_ne!(changed, manifest);
    file_of(&changed, "")
}

/// The file of this manifest and these trees, whatever they are.
fn file_of(manifest: &str, trees: &str) -> Vec<u8> {
    let line = |part: &str| format!("{} {}", part.len(), checksum(part.as_bytes()));
    format!("assay-model 1\nmanifest {}\ntrees {}\n\n{manifest}{trees}", line(manifest), line(trees)).into_bytes()
}

#[test]
fn bad_models_are_refused_with_their_reason_while_the_old_one_serves() {
    let folder = folder(&[("a", &numbered(0).1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    let bad = bad_models();
    for (name, bytes, reason) in &bad {
        let before = refused(&server, reason);
        let reply = server.ask("POST", &format!("/v1/models?name={name}"), bytes);
        assert_eq!((reply.status, reply.code().as_str()), (422, "model_refused"), "{name}");
        assert_eq!(refused(&server, reason), before + 1.0, "{name}");
        assert_eq!(server.ask("GET", &format!("/v1/models/{name}"), b"").status, 404, "{name} left nothing");
    }
    for (name, bytes, _) in &bad {
        put(folder.path(), name, bytes);
    }
    for (name, _, reason) in &bad {
        let found = wait_for_refusal(&server, name, reason);
        assert_eq!(found["state"], "refused");
        assert_eq!(post(&server, &format!("/v1/models/{name}/activate"), "").code(), "model_refused");
        let (line, reason) = (format!("\"model\":\"{name}\",\"reason\":\"{reason}\""), format!("\"reason\":\"{reason}\""));
        let log = server.log();
        let count = |what: &str, how: &str| log.lines().filter(|found| found.contains(what) && found.contains(how)).count();
        assert_eq!(count(&line, "a model in the folder was refused"), 1, "{name}: {log}");
        let uploads = bad.iter().filter(|(_, _, other)| reason == format!("\"reason\":\"{other}\"")).count();
        assert_eq!(count(&reason, "an upload was refused"), uploads, "{name}: {log}");
    }
    assert_eq!(scores_with(&server), "a");
    // What is made good is taken; what goes away is forgotten.
    put(folder.path(), "half", &forest_model(120, 31, 30).1);
    wait_for_state(&server, "half", "loaded");
    fs::remove_file(folder.path().join("flipped.model")).unwrap();
    wait_until(&server, "flipped", |found| found["code"] == "model_not_found");
}

#[test]
fn a_model_cut_anywhere_or_with_any_byte_changed_is_refused() {
    let whole = forest_model(300, 63, 30).1;
    assert!(whole.len() > 10 << 16, "{} bytes", whole.len());
    let folder = folder(&[("a", &numbered(0).1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    for end in (0..whole.len()).step_by(64 << 10) {
        assert!(Artifact::read(&whole[..end]).is_err(), "cut at {end}");
        let reply = server.ask("POST", "/v1/models?name=cut", &whole[..end]);
        assert_eq!((reply.status, reply.code().as_str()), (422, "model_refused"), "cut at {end}");
    }
    let random = &mut Random(17);
    for number in 0..1_000 {
        let mut changed = whole.clone();
        let place = usize::try_from(random.below(whole.len())).unwrap();
        changed[place] ^= 1 << random.below(8);
        assert!(Artifact::read(&changed).is_err(), "byte {place}");
        if number % 50 == 0 {
            let reply = server.ask("POST", "/v1/models?name=changed", &changed);
            assert_eq!((reply.status, reply.code().as_str()), (422, "model_refused"), "byte {place}");
        }
    }
    assert_eq!(scores_with(&server), "a");
    assert_eq!(server.ask("POST", "/v1/models?name=whole", &whole).status, 201);
}

/// A copy that takes its time is not judged before it has ended.
#[test]
fn a_file_that_is_still_growing_is_left_alone() {
    use std::io::Write;
    let folder = folder(&[("a", &numbered(0).1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    let whole = forest_model(120, 31, 30).1;
    let mut file = fs::File::create(folder.path().join("slow.model")).unwrap();
    for piece in whole.chunks(whole.len() / 30 + 1) {
        file.write_all(piece).unwrap();
        assert_eq!(about(&server, "slow")["code"], "model_not_found", "nobody judges half a file");
        thread::sleep(Duration::from_millis(100));
    }
    drop(file);
    wait_for_state(&server, "slow", "loaded");
    assert_eq!(refused(&server, "not_whole"), 0.0);
    assert_eq!(scores_with(&server), "a", "nothing becomes active by itself");
}

#[test]
fn a_file_in_the_place_of_a_model_in_use_is_refused_and_the_model_serves_on() {
    let (first, second) = (numbered(0).1, numbered(1).1);
    let folder = folder(&[("a", &first), ("b", &numbered(2).1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    let version = wait_for_state(&server, "a", "active")["version"].clone();
    wait_for_state(&server, "b", "loaded");
    put(folder.path(), "a", &second);
    let found = wait_for_refusal(&server, "a", "in_use");
    assert_eq!((&found["state"], &found["version"]), (&json!("active"), &version));
    put(folder.path(), "a", &first);
    wait_until(&server, "a", |found| found["refused"].is_null());
    // A model that has nothing to do is replaced.
    put(folder.path(), "b", &second);
    wait_until(&server, "b", |found| found["state"] == "loaded" && found["version"] != version);
    fs::remove_file(folder.path().join("a.model")).unwrap();
    fs::remove_file(folder.path().join("b.model")).unwrap();
    wait_until(&server, "b", |found| found["code"] == "model_not_found");
    assert_eq!(scores_with(&server), "a");
    assert!(server.log().contains("the file of a model in use is gone"));
}

#[test]
fn every_door_answers_by_the_challenger_unless_the_request_names_its_model() {
    let models = [numbered(0), numbered(1)];
    let folder = folder(&[("a", &models[0].1), ("b", &models[1].1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    wait_for_state(&server, "b", "loaded");
    assert_eq!(post(&server, "/v1/models/b/rollout", r#"{"percent":100}"#).status, 200);
    let row = [0.25; 30];
    let expected = models.map(|(model, _)| model.probability(&row));
    let own = post(&server, "/v1/score", &json!({ "rows": [row] }).to_string());
    assert!(own.header("assay-model").unwrap().starts_with("b@"));
    assert_eq!((&own.json()["model"]["name"], &own.json()["scores"][0]["probability"]), (&json!("b"), &json!(expected[1])));
    let form = json!({ "instances": [row] }).to_string();
    let invoked = server.connect().ask("POST", "/invocations", &["Content-Type: application/json"], form.as_bytes());
    assert!(invoked.header("assay-model").unwrap().starts_with("b@"), "{invoked:?}");
    let tensor = json!({ "inputs": [{ "name": "x", "shape": [1, 30], "datatype": "FP64", "data": row }] }).to_string();
    for (name, expected) in ["a", "b"].iter().zip(expected) {
        let reply = post(&server, &format!("/v2/models/{name}/infer"), &tensor);
        assert!(reply.header("assay-model").unwrap().starts_with(&format!("{name}@")));
        assert_eq!(reply.json()["outputs"][0]["data"][0], expected);
    }
    assert_eq!(post(&server, "/v2/models/c/infer", &tensor).code(), "unknown_model");
}

/// A page on the web can make a browser post to whatever the browser's machine reaches.
#[test]
fn a_web_page_changes_nothing() {
    let folder = folder(&[("a", &numbered(0).1), ("b", &numbered(1).1)]);
    let server = serve(folder.path(), Some("a"), &[]);
    wait_for_state(&server, "b", "loaded");
    for origin in ["Origin: https://evil.example", "Origin: null"] {
        for (method, path) in [
            ("POST", "/v1/models/b/activate"),
            ("POST", "/v1/models/b/shadow"),
            ("POST", "/v1/models/b/rollout"),
            ("POST", "/v1/models/rollback"),
            ("POST", "/v1/models"),
            ("DELETE", "/v1/models/b"),
        ] {
            let reply = server.connect().ask(method, path, &[origin], b"");
            assert_eq!((reply.status, reply.code().as_str()), (403, "not_for_pages"), "{method} {path}");
        }
    }
    assert_eq!(about(&server, "b")["state"], "loaded");
}

#[test]
fn a_server_without_a_folder_tells_its_model_and_changes_nothing() {
    let server = Server::start(&numbered(0).1, &[]);
    let list = server.ask("GET", "/v1/models", b"").json();
    assert_eq!(list["models"].as_array().unwrap().len(), 1);
    assert_eq!(list["models"][0]["state"], "active");
    assert_eq!(server.ask("POST", "/v1/models", &numbered(1).1).code(), "no_model_folder");
    assert_eq!(post(&server, "/v1/models/rollback", "").code(), "nothing_to_roll_back_to");
    assert_eq!(post(&server, "/v1/models/model/activate", "").json()["state"], "active");
    assert_eq!(server.ask("DELETE", "/v1/models/model", b"").code(), "model_is_active");
}

/// What a model's file says of itself is there to be read back by whoever manages models, and its name, once it has one, in log and metrics
/// too. Nothing else of what is sent is told, and what holds a card number is no name.
#[test]
fn nothing_that_was_sent_about_models_is_in_an_answer_a_log_line_or_a_metric() {
    let folder = folder(&[("a", &numbered(0).1), ("b", &numbered(1).1)]);
    let mut server = serve(folder.path(), Some("a"), &["--drain-seconds", "0"]);
    wait_for_state(&server, "b", "loaded");
    let (mut asked, mut statuses) = (0, BTreeMap::new());
    let mut check = |method: &str, path: &str, headers: &[&str], body: &[u8]| {
        let reply = server.connect().ask(method, path, headers, body);
        asked += 1;
        *statuses.entry(reply.status).or_insert(0) += 1;
        assert!(reply.status < 500, "{method} {path}: {reply:?}");
        let shown = format!("{}{}", reply.head, String::from_utf8_lossy(&reply.body));
        for marker in MARKERS {
            assert!(!shown.contains(marker) || reply.status == 201, "{method} {path}: {shown}");
        }
        if reply.status == 201 {
            let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
            assert!(MARKERS.iter().all(|marker| !metrics.contains(marker)), "{metrics}");
            assert_eq!(server.ask("DELETE", "/v1/models/new", b"").status, 200);
        }
        reply.status
    };
    let markers = markers();
    // Files of models: every field of the manifest, every line of the trees, and what is no model.
    let manifest = serde_json::to_value(mixed_model().0.manifest()).unwrap();
    assert_eq!(check("POST", "/v1/models?name=new", &[], &file_of(&manifest.to_string(), "")), 201);
    for marker in &markers {
        for changed in with_marker(&manifest, marker) {
            check("POST", "/v1/models?name=new", &[], &file_of(&changed.to_string(), ""));
        }
    }
    let forest = String::from_utf8(forest_model(1, 3, 2).1).unwrap();
    let (manifest, trees) = forest.split_once("\n\n").unwrap().1.split_once("tree\n").unwrap();
    let lines: Vec<&str> = trees.lines().collect();
    for marker in MARKERS {
        for place in 0..lines.len() {
            let key = lines[place].split('=').next().unwrap();
            for line in [marker.to_owned(), format!("{key}={marker}"), format!("{marker}={marker}"), format!("{key}={marker} 1")]
            {
                let mut changed = lines.clone();
                changed[place] = &line;
                check("POST", "/v1/models?name=new", &[], &file_of(manifest, &format!("tree\n{}\n", changed.join("\n"))));
            }
        }
        for bytes in
            [marker.to_owned(), format!("assay-model {marker}\n"), format!("assay-model 1\nmanifest {marker} {marker}\n")]
        {
            check("POST", "/v1/models?name=new", &[], bytes.as_bytes());
            // A name that a model would have, had it been one.
            check("POST", &format!("/v1/models?name={marker}"), &[], bytes.as_bytes());
        }
        for query in ["M", "M=M", "M=new", "name=new&M=M", "name=M%20", "name=.M", "name=M/M"] {
            assert_eq!(check("POST", &format!("/v1/models?{}", query.replace('M', marker)), &[], &numbered(2).1), 400, "{query}");
        }
        for (method, path) in [
            ("GET", "/v1/models?M=M"),
            ("GET", "/v1/models/M"),
            ("DELETE", "/v1/models/M"),
            ("POST", "/v1/models/M/activate"),
            ("POST", "/v1/models/M/shadow"),
            ("POST", "/v1/models/M/rollout"),
            ("POST", "/v1/models/b/M"),
            ("POST", "/v1/models/b/activate?M=M"),
            ("POST", "/v1/models/rollback?M"),
        ] {
            let path = path.replace('M', marker);
            check(method, &path, &[], if path.ends_with("shadow") { br#"{"on":true}"# } else { b"{}" });
            check(method, &path, &[], if method == "GET" { b"" } else { marker.as_bytes() });
            check(method, &path, &[&format!("Origin: https://{marker}.example"), &format!("Content-Type: {marker}")], b"");
        }
    }
    assert_eq!(check("POST", &format!("/v1/models?name={}", MARKERS[1]), &[], &numbered(2).1), 400, "a card number is no name");
    assert_eq!(post(&server, "/v1/models/a/activate", "").status, 200);
    for (path, setting) in [("/v1/models/b/shadow", json!({ "on": true })), ("/v1/models/b/rollout", json!({ "percent": 10 }))] {
        assert_eq!(check("POST", path, &[], setting.to_string().as_bytes()), 200);
        for changed in markers.iter().flat_map(|marker| with_marker(&setting, marker)) {
            let text = changed.to_string();
            assert_eq!(check("POST", path, &[], text.as_bytes()), 400, "{text}");
            let end = MARKERS.iter().filter_map(|marker| Some(text.rfind(marker)? + marker.len())).max().unwrap();
            for broken in [&text[..end], &text.replace('"', ""), &format!("{text}]")] {
                check("POST", path, &[], broken.as_bytes());
            }
        }
    }
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    server.signal("TERM");
    assert!(server.wait().success());
    let log = server.log();
    assert!(asked > 500 && log.lines().count() > asked, "{asked} requests, each of them logged");
    assert!([200, 201, 400, 403, 404, 422].iter().all(|status| statuses.contains_key(status)), "{statuses:?}");
    for marker in MARKERS {
        assert!(!metrics.contains(marker), "{metrics}");
        assert!(!log.contains(marker), "{}", log.lines().find(|line| line.contains(marker)).unwrap());
    }
}
