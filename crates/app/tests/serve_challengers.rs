//! Models beside the one that decides: a challenger that decides about a share of the transactions, and shadows that score what was decided.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod deciding;
mod support;
mod workplace;

use std::fs;

use assay_journal::{Entry, Journal, Kind, NewEntry};
use assay_model::Artifact;
use deciding::{BY_PAST, TABLE, decide, entries, model, payment, until};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Random, Reply, Server};
use workplace::Workplace;

/// The names of `BY_PAST` over a past that is shorter.
fn by_shorter_past() -> String {
    format!("{TABLE}{}", BY_PAST.replace("30 days", "3 days"))
}

/// A model of `BY_PAST` with an intercept of its own, that goes by its features so much more or less.
fn weighted(intercept: f64, weight: f64) -> Vec<u8> {
    let mut manifest = Artifact::read(&model(&format!("{TABLE}{BY_PAST}"))).unwrap().manifest().clone();
    let linear = manifest.linear.as_mut().unwrap();
    linear.intercept = intercept;
    linear.terms.iter_mut().for_each(|term| term.coefficient *= weight);
    Artifact::build(manifest, "").unwrap().1
}

/// A folder with models that all make the same features of transactions: `one`, which decides first, `two` and `three`.
fn place() -> Workplace {
    let place = Workplace::new();
    fs::create_dir(place.path("models")).unwrap();
    for (name, intercept, weight) in [("one", -3.0, 1.0), ("two", -1.5, 0.7), ("three", -2.0, 0.9)] {
        place.write(&format!("models/{name}.model"), weighted(intercept, weight));
    }
    place
}

fn serve(place: &Workplace) -> Server {
    let path = |name: &str| place.path(name).display().to_string();
    let (models, one, data) = (path("models"), path("models/one.model"), path("data"));
    let server = Server::start_with(&["--models", &models, "--model", &one, "--data-dir", &data, "--drain-seconds", "0"]);
    until(&server, "/ready", |reply| reply["status"] == "ready");
    for name in ["one", "two", "three"] {
        if place.path(&format!("models/{name}.model")).is_file() {
            until(&server, &format!("/v1/models/{name}"), |about| about["version"].is_string());
        }
    }
    server
}

/// A server that has no other model than this one.
fn alone(place: &Workplace, name: &str) -> Server {
    let path = |name: &str| place.path(name).display().to_string();
    let (model, data) = (path(&format!("models/{name}.model")), path(&format!("alone-{name}")));
    let server = Server::start_with(&["--model", &model, "--data-dir", &data, "--drain-seconds", "0"]);
    until(&server, "/ready", |reply| reply["status"] == "ready");
    server
}

fn post(server: &Server, path: &str, body: &str) -> Reply {
    server.ask("POST", path, body.as_bytes())
}

fn roll_out(server: &Server, name: &str, percent: f64) -> Reply {
    post(server, &format!("/v1/models/{name}/rollout"), &json!({ "percent": percent }).to_string())
}

fn label(server: &Server, name: &str) -> String {
    let about = server.ask("GET", &format!("/v1/models/{name}"), b"").json();
    format!("{name}@{}", about["version"].as_str().unwrap())
}

/// The decisions about payments that are sent as one array.
fn decide_all(server: &Server, payments: &[Value]) -> Vec<Value> {
    let reply = post(server, "/v1/decisions", &Value::from(payments).to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut decisions = reply.json()["decisions"].as_array().unwrap().clone();
    for decision in &mut decisions {
        decision.as_object_mut().unwrap().remove("arrived").unwrap();
    }
    decisions
}

/// Whether docs/models.md says that a transaction is the challenger's.
fn is_challenged(label: &str, percent: f64, id: &str) -> bool {
    let hash = Sha256::digest(format!("{label}:{id}"));
    let draw = u64::from_be_bytes(hash[..8].try_into().unwrap());
    (draw as f64) < percent / 100.0 * 2.0_f64.powi(64)
}

fn body(entry: &Entry) -> Value {
    serde_json::from_str(&entry.body).unwrap()
}

/// The rollouts that were written down: whose, and how much.
fn rollouts(place: &Workplace) -> Vec<(String, f64)> {
    let entries = entries(&place.path("data")).into_iter().filter(|entry| entry.kind == Kind::Rollout);
    entries.map(|entry| (entry.id.clone().unwrap(), body(&entry)["percent"].as_f64().unwrap())).collect()
}

/// Who decided each transaction, told from what was written down before it and the hash of its id.
fn recounted(entries: &[Entry]) -> Vec<(String, String)> {
    let (mut active, mut rollout) = (String::new(), None);
    let mut decided = Vec::new();
    for entry in entries {
        let id = entry.id.clone().unwrap_or_default();
        match entry.kind {
            Kind::Model => active = id,
            Kind::Rollout => rollout = Some((id, body(entry)["percent"].as_f64().unwrap())),
            Kind::Decision => {
                let challenger = rollout.as_ref().filter(|(label, percent)| is_challenged(label, *percent, &id));
                let expected = challenger.map_or(&active, |(label, _)| label).clone();
                decided.push((body(entry)["model_version"].as_str().unwrap().to_owned(), expected));
            }
            _ => {}
        }
    }
    decided
}

/// Another data folder with these entries.
fn write(place: &Workplace, folder: &str, entries: &[Entry]) {
    fs::create_dir_all(place.path(&format!("{folder}/models"))).unwrap();
    for file in fs::read_dir(place.path("data/models")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), place.path(&format!("{folder}/models")).join(file.file_name())).unwrap();
    }
    let group: Vec<NewEntry<'_>> = entries
        .iter()
        .map(|entry| {
            let Entry { kind, id, arrived, body, .. } = entry;
            NewEntry { kind: *kind, id: id.as_deref(), arrived: *arrived, body, personal: None }
        })
        .collect();
    Journal::open(&place.path(folder)).unwrap().append(&group).unwrap();
}

fn payments(count: u64) -> Vec<Value> {
    let mut random = Random(11);
    (0..count).map(|number| payment(number, &mut random)).collect()
}

#[test]
fn a_share_of_the_ids_is_the_challengers_through_restarts_activation_and_rollback_and_all_of_it_is_proved() {
    let place = place();
    let payments = payments(900);
    let controls = ["one", "two"].map(|name| alone(&place, name));
    let expected = controls.each_ref().map(|server| decide_all(server, &payments));
    let mut server = serve(&place);
    let [one, two] = ["one", "two"].map(|name| label(&server, name));
    // What each decides is, to the bit and with its reasons, what it decides alone.
    let check = |server: &Server, stage: std::ops::Range<usize>, challenged: &dyn Fn(&str) -> bool| {
        let made = decide_all(server, &payments[stage.clone()]);
        for ((made, payment), place) in made.iter().zip(&payments[stage.clone()]).zip(stage.clone()) {
            let by = usize::from(challenged(payment["id"].as_str().unwrap()));
            assert_eq!(made, &expected[by][place]);
        }
        made.iter().filter(|made| made["model_version"] == json!(two)).count()
    };
    let share = |percent: f64| {
        let two = two.clone();
        move |id: &str| is_challenged(&two, percent, id)
    };
    let (nobody, everybody) = (|_: &str| false, |_: &str| true);

    check(&server, 0..100, &nobody);
    let begun = roll_out(&server, "two", 20.0);
    assert_eq!((begun.status, &begun.json()["state"], &begun.json()["percent"]), (200, &json!("rollout"), &json!(20.0)));
    let challenged = check(&server, 100..300, &share(20.0));
    // Five standard deviations of a binomial of 200 and 0.2.
    assert!((12..=68).contains(&challenged), "{challenged} of 200");
    assert_eq!(roll_out(&server, "two", 50.0).status, 200);
    check(&server, 300..500, &share(50.0));
    assert!(payments.iter().all(|payment| {
        let id = payment["id"].as_str().unwrap();
        !is_challenged(&two, 20.0, id) || is_challenged(&two, 50.0, id)
    }));
    // From the snapshot, which the rollout is in.
    server.signal("TERM");
    assert!(server.wait().success() && place.path("data/snapshot").is_file());
    server = serve(&place);
    check(&server, 500..600, &share(50.0));
    // From the entries alone.
    server.signal("KILL");
    server.wait();
    fs::remove_file(place.path("data/snapshot")).unwrap();
    server = serve(&place);
    check(&server, 600..700, &share(50.0));
    // The same transaction again gets the same decision, whoever would decide about it by now.
    let again = decide_all(&server, &payments[..300]);
    assert_eq!(roll_out(&server, "two", 0.0).json()["state"], "loaded");
    assert_eq!(decide_all(&server, &payments[..300]), again);
    check(&server, 700..750, &nobody);
    assert_eq!(roll_out(&server, "two", 30.0).status, 200);
    check(&server, 750..800, &share(30.0));
    // The challenger becomes active, which ends its rollout, and a rollback does not begin it again.
    let active = post(&server, "/v1/models/two/activate", "");
    assert_eq!((active.status, &active.json()["state"]), (200, &json!("active")));
    assert!(active.json()["percent"].is_null());
    check(&server, 800..850, &everybody);
    assert_eq!(post(&server, "/v1/models/rollback", "").json()["name"], "one");
    check(&server, 850..900, &nobody);
    let at = |percent| (two.clone(), percent);
    assert_eq!(rollouts(&place), [at(20.0), at(50.0), at(0.0), at(30.0), at(0.0)]);

    // Why the challenger decided so is told when it has nothing to do any more, and by a server that never saw it decide.
    let by_challenger = (100..300).find(|&number| is_challenged(&two, 20.0, payments[number]["id"].as_str().unwrap())).unwrap();
    let path = format!("/v1/decisions/p{by_challenger}");
    let told = |server: &Server| server.ask("GET", &path, b"").json()["reasons"].clone();
    server.signal("TERM");
    server.wait();
    let mut server = serve(&place);
    assert!(told(&server).is_array());
    assert_eq!(told(&server), told(&controls[1]));
    assert_ne!(told(&server), told(&controls[0]));

    each_is_counted_by_itself(&place, &server, [&one, &two]);

    // What became known is the same to both, and so is what is learnt of it.
    for server in [&server, &controls[0]] {
        let frauds = payments.iter().step_by(5).filter(|payment| payment["amount"].as_f64().unwrap() > 60.0);
        let told: Vec<Value> =
            frauds.map(|payment| json!({ "transaction_id": payment["id"], "label": "fraud", "source": "test" })).collect();
        assert_eq!(post(server, "/v1/labels", &Value::from(told).to_string()).status, 200);
    }
    server.signal("TERM");
    server.wait();
    let learnt = ["data", "alone-one"].map(|folder| {
        place.run(&["train", "--data-dir", folder, "--learner", "logistic", "--resamples", "10", "--out", "next.model"]);
        serde_json::to_string(&place.model("next.model").manifest().linear).unwrap()
    });
    assert_eq!(learnt[0], learnt[1]);

    // What is tried on the past decides about all of it.
    place.run(&["backtest", "data", "--amount", "amount", "-o", "report.html", "--json", "report.json"]);
    let report: Value = serde_json::from_str(&place.text("report.json")).unwrap();
    let reviews = |decisions: &[Value]| decisions.iter().filter(|made| made["outcome"] == "review").count() as f64;
    assert_eq!((&report["model"], &report["candidate"]["reviews"]["value"]), (&json!(one), &json!(reviews(&expected[0]))));
    assert_ne!(report["recorded"]["reviews"]["value"], report["candidate"]["reviews"]["value"]);

    // All of it comes out again, and a rollout that was changed or taken away is found.
    let verified: Value = serde_json::from_str(&place.run(&["verify", "data", "--json"])).unwrap();
    assert_eq!(verified["decisions"], 900);
    place.run(&["backup", "data", "copy"]);
    place.run(&["verify", "copy"]);
    let found = place.assay(&["doctor", "--data-dir", "data"]).output().unwrap().stdout;
    assert!(String::from_utf8(found).unwrap().contains(&format!("2 decided, the last is {one}")));
    a_changed_rollout_is_found(&place, &two);
}

/// Who decided what: by the journal told again, and by the monitor; all of it is older than the label delay.
fn each_is_counted_by_itself(place: &Workplace, server: &Server, [one, two]: [&String; 2]) {
    let recount = recounted(&entries(&place.path("data")));
    assert_eq!(recount.len(), 900);
    assert!(recount.iter().all(|(recorded, expected)| recorded == expected));
    let of = |label: &String| recount.iter().filter(|(recorded, _)| recorded == label).count();
    let report = until(server, "/v1/monitor", |report| report["through"] == entries(&place.path("data")).len());
    let mut judged: Vec<(String, u64)> = (report["quality"].as_array().unwrap().iter())
        .map(|quality| (quality["model"].as_str().unwrap().to_owned(), quality["judged"].as_u64().unwrap()))
        .collect();
    judged.sort();
    let mut counted = vec![(one.clone(), of(one) as u64), (two.clone(), of(two) as u64)];
    counted.sort();
    assert_eq!(judged, counted);
    assert_eq!(report["model"], json!(one));
}

/// By the first decision that it touches; the first rollout is one of 20 percent for `challenger`.
fn a_changed_rollout_is_found(place: &Workplace, challenger: &str) {
    let all = entries(&place.path("data"));
    write(place, "same", &all);
    place.run(&["verify", "same"]);
    let begun = all.iter().position(|entry| entry.kind == Kind::Rollout).unwrap();
    let mut changed = all.clone();
    changed[begun].body = changed[begun].body.replace("\"percent\":20.0", "\"percent\":25.0");
    assert_ne!(changed[begun], all[begun]);
    let touched = all.iter().skip(begun).find(|entry| {
        let id = entry.id.as_deref().unwrap_or_default();
        entry.kind == Kind::Decision && is_challenged(challenger, 25.0, id) && !is_challenged(challenger, 20.0, id)
    });
    write(place, "changed", &changed);
    let sentence = place.refused(&["verify", "changed"]);
    let named = format!("entry {} of the journal", touched.unwrap().sequence);
    assert!(sentence.starts_with(&named) && sentence.contains("`model_version`"), "{sentence}");
    let mut without = all;
    without.remove(begun);
    write(place, "without", &without);
    assert!(place.refused(&["verify", "without"]).contains("`model_version`"));
}

#[test]
fn what_the_folder_says_at_a_start_is_what_decides_and_the_journal_says_it_too() {
    let place = place();
    let payments = payments(300);
    let mut server = serve(&place);
    let [one, two, three] = ["one", "two", "three"].map(|name| label(&server, name));
    assert_eq!(roll_out(&server, "two", 50.0).status, 200);
    decide_all(&server, &payments[..100]);
    server.signal("KILL");
    server.wait();
    // As after a kill between the journal and the folder, or by somebody's hand.
    let file = "models/assay-models.json";
    let written: Value = serde_json::from_str(&place.text(file)).unwrap();
    let mut other = written.clone();
    let version = three.split_once('@').unwrap().1;
    other["rollout"] = json!({ "model": { "name": "three", "version": version }, "percent": 40.0 });
    place.write(file, other.to_string());
    server = serve(&place);
    decide_all(&server, &payments[100..200]);
    server.signal("TERM");
    server.wait();
    let mut none = written;
    none["rollout"] = Value::Null;
    place.write(file, none.to_string());
    server = serve(&place);
    decide_all(&server, &payments[200..]);
    server.signal("TERM");
    server.wait();
    assert_eq!(rollouts(&place), [(two.clone(), 50.0), (three.clone(), 40.0), (three.clone(), 0.0)]);
    let recount = recounted(&entries(&place.path("data")));
    assert!(recount.iter().all(|(recorded, expected)| recorded == expected));
    for (stage, labels) in [(0..100, [&one, &two]), (100..200, [&one, &three]), (200..300, [&one, &one])] {
        assert!(labels.iter().all(|label| recount[stage.clone()].iter().any(|(recorded, _)| recorded == *label)));
        assert!(recount[stage].iter().all(|(recorded, _)| labels.contains(&recorded)));
    }
    place.run(&["verify", "data"]);
}

#[test]
fn a_challenger_of_another_definition_is_refused_and_one_that_leaves_decides_no_longer() {
    let place = place();
    let other = format!("{TABLE}{}", BY_PAST.replace("AS risk", "AS hazard"));
    place.write("models/other.model", model(&other));
    place.write("models/shorter.model", model(&by_shorter_past()));
    let mut manifest = Artifact::read(&place.read("models/two.model")).unwrap().manifest().clone();
    manifest.definition = None;
    place.write("models/rows.model", Artifact::build(manifest, "").unwrap().1);
    let mut server = serve(&place);
    let payments = payments(400);
    let [one, two] = ["one", "two"].map(|name| label(&server, name));
    for (name, status, code) in [
        ("other", 409, "model_takes_other_rows"),
        // Its features have the same names; what they are of transactions is another thing.
        ("shorter", 409, "model_takes_other_rows"),
        ("rows", 422, "model_without_definition"),
        ("one", 409, "model_is_active"),
    ] {
        until(&server, &format!("/v1/models/{name}"), |about| about["version"].is_string());
        let reply = roll_out(&server, name, 30.0);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{name}");
    }
    assert!(decide_all(&server, &payments[..100]).iter().all(|made| made["model_version"] == json!(one)));
    assert_eq!(rollouts(&place), []);
    assert_eq!(roll_out(&server, "two", 40.0).status, 200);
    assert_eq!(roll_out(&server, "three", 40.0).code(), "other_rollout");
    decide_all(&server, &payments[100..200]);
    // Who is deleted decides no longer, and a shadow neither.
    assert_eq!(server.ask("DELETE", "/v1/models/two", b"").status, 200);
    decide_all(&server, &payments[200..250]);
    let three = label(&server, "three");
    assert_eq!(roll_out(&server, "three", 40.0).status, 200);
    assert_eq!(post(&server, "/v1/models/three/shadow", r#"{"on":true}"#).json()["state"], "shadow");
    decide_all(&server, &payments[250..300]);
    // Another definition takes over: the challenger's features are not those any more.
    assert_eq!(roll_out(&server, "three", 40.0).json()["state"], "rollout");
    assert_eq!(post(&server, "/v1/models/shorter/activate", "").status, 202);
    until(&server, "/v1/models/shorter", |about| about["state"] == "active");
    assert_eq!(server.ask("GET", "/v1/models/three", b"").json()["state"], "loaded");
    let made = decide(&server, &payments[300]);
    assert!(made["model_version"].as_str().unwrap().starts_with("shorter@"));
    decide_all(&server, &payments[301..]);
    let at = |label: &String, percent| (label.clone(), percent);
    let expected = [at(&two, 40.0), at(&two, 0.0), at(&three, 40.0), at(&three, 0.0), at(&three, 40.0), at(&three, 0.0)];
    assert_eq!(rollouts(&place), expected);
    server.signal("TERM");
    server.wait();
    let all = entries(&place.path("data"));
    assert!(recounted(&all).iter().all(|(recorded, expected)| recorded == expected));
    place.run(&["verify", "data"]);
    // Where the folder says so all the same, a start ends it rather than to mix two definitions.
    let mut written: Value = serde_json::from_str(&place.text("models/assay-models.json")).unwrap();
    let version = three.split_once('@').unwrap().1;
    written["rollout"] = json!({ "model": { "name": "three", "version": version }, "percent": 40.0 });
    place.write("models/assay-models.json", written.to_string());
    let server = serve(&place);
    assert!(server.log().contains("a rollout is ended"), "{}", server.log());
    assert_eq!(server.ask("GET", "/v1/models/three", b"").json()["state"], "loaded");
    assert_eq!(rollouts(&place), expected);
}

#[test]
fn shadows_score_the_rows_of_decisions_whoever_made_them_and_their_figures_are_those_of_a_recount() {
    let place = place();
    let server = serve(&place);
    let payments = payments(300);
    decide_all(&server, &payments[..50]);
    assert_eq!(post(&server, "/v1/models/three/shadow", r#"{"on":true}"#).json()["state"], "shadow");
    assert_eq!(roll_out(&server, "two", 50.0).status, 200);
    decide_all(&server, &payments[50..]);
    decide(&server, &payment(900, &mut Random(3)));
    // What was decided before is not decided, and what is refused is not either.
    decide_all(&server, &payments[60..90]);
    assert_eq!(post(&server, "/v1/decisions", r#"{"id": "x"}"#).status, 400);

    let models = ["one", "two", "three"].map(|name| (label(&server, name), place.model(&format!("models/{name}.model"))));
    let flags = |artifact: &Artifact, probability: f64| probability >= artifact.manifest().threshold.probability;
    let (mut rows, mut difference, mut changed, mut by) = (0_u64, 0.0, 0_u64, [0_u64; 2]);
    let mut up_to_three_tenths = 0_u64;
    let all = entries(&place.path("data"));
    for entry in all.iter().filter(|entry| entry.kind == Kind::Decision).skip(50) {
        let body = body(entry);
        let row: Vec<f64> = body["row"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect();
        let made = models[..2].iter().position(|(label, _)| body["model_version"] == json!(label)).unwrap();
        let (probability, shadow) = (body["probability"].as_f64().unwrap(), models[2].1.probability(&row));
        rows += 1;
        by[made] += 1;
        difference += (shadow - probability).abs();
        changed += u64::from(flags(&models[2].1, shadow) != flags(&models[made].1, probability));
        up_to_three_tenths += u64::from(shadow <= 0.3);
    }
    assert!(
        rows == 251 && by[0] > 50 && by[1] > 50 && changed > 10 && up_to_three_tenths > 0,
        "{rows} {by:?} {changed} {up_to_three_tenths}"
    );

    let about = until(&server, "/v1/models/three", |about| about["shadow"]["rows"] == rows);
    let figure = |name: &str| about["shadow"][name].as_f64().unwrap();
    assert!((figure("mean_absolute_difference") - difference / rows as f64).abs() < 1e-9);
    assert!((figure("changed_flags") - changed as f64 / rows as f64).abs() < 1e-12);
    let text = server.ask("GET", "/metrics", b"").text().to_owned();
    let metric = |line: &str| -> f64 {
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in {text}"))
    };
    let version = models[2].0.split_once('@').unwrap().1;
    let labels = format!("model=\"three\",version=\"{version}\"");
    assert_eq!(metric(&format!("assay_shadow_score_difference_count{{{labels}}}")), rows as f64);
    assert!((metric(&format!("assay_shadow_score_difference_sum{{{labels}}}")) - difference).abs() < 1e-9);
    assert_eq!(metric(&format!("assay_shadow_score_bucket{{{labels},le=\"0.3\"}}")), up_to_three_tenths as f64);
    assert_eq!(metric(&format!("assay_shadow_changed_flags_total{{{labels}}}")), changed as f64);
    assert_eq!(metric("assay_shadow_dropped_rows_total"), 0.0);
    // Who decided is counted too: the first fifty came before the rollout.
    for ((label, _), expected) in models.iter().zip([by[0] + 50, by[1]]) {
        let (name, version) = label.split_once('@').unwrap();
        assert_eq!(metric(&format!("assay_model_requests_total{{model=\"{name}\",version=\"{version}\"}}")), expected as f64);
    }
}
