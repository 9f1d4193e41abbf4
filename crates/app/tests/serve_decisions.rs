//! `assay serve --data-dir` as its clients see it: decisions, labels, reviews, policies, lists, and the fields of a person.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod desk;
mod support;
mod workplace;

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use desk::{Desk, ask, decide, decide_on, entries, get, metric, nth, policy, send, transaction};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Client, Server};

/// The routes as they are written down, which a unit test holds to be those that are served.
const DOCUMENT: &str = include_str!("../src/http/openapi.json");

/// Every route of decisions, with ids and names filled in.
fn routes() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, about) in methods.as_object().unwrap() {
            if ["decide", "label", "review", "policy", "erase"].contains(&about["x-scope"].as_str().unwrap()) {
                routes.push((method.to_uppercase(), path.replace("{id}", "some").replace("{name}", "some")));
            }
        }
    }
    assert_eq!(routes.len(), 24);
    routes
}

#[test]
fn the_same_transaction_gets_the_same_bytes_also_after_a_restart_and_a_kill() {
    let desk = Desk::new();
    let mut sent = transaction("one", "2018-06-01T10:00:00Z", 3, 4, 250.0);
    sent["email"] = json!("ann@example.org");
    let mut server = desk.serve(&[]);
    let first = send(&server, "POST", "/v1/decisions", &sent);
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    assert!(first.json()["probability"].as_f64().unwrap() > 0.0);
    for end in ["TERM", "KILL"] {
        // Written otherwise, it is the same transaction.
        let other = r#"{"email":"ann@example.org","TX_AMOUNT":2.5e2,"terminal_id":4,"customer_id":3,"device":null,
            "tx_datetime":"2018-06-01T12:00:00+02:00","transaction_id":"one"}"#;
        for body in [sent.to_string().as_str(), other] {
            let again = server.ask("POST", "/v1/decisions", body.as_bytes());
            assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")), "{}", again.text());
            assert_eq!(again.body, first.body);
        }
        server.signal(end);
        server.wait();
        server = desk.serve(&[]);
    }
    assert_eq!(send(&server, "POST", "/v1/decisions", &sent).body, first.body);
    assert_eq!(metric(&server, "assay_decisions_repeated_total"), 1);
    desk.verified();
}

#[test]
fn another_transaction_under_a_known_id_is_a_conflict_and_changes_nothing() {
    let server = Desk::new();
    let server = server.serve(&[]);
    let sent = transaction("one", "2018-06-01T10:00:00Z", 3, 4, 250.0);
    let first = decide(&server, &sent);
    let before = entries(&server);
    for (column, value) in [
        ("tx_amount", json!(250.01)),
        ("customer_id", json!(5)),
        ("tx_datetime", json!("2018-06-01T10:00:01Z")),
        ("device", json!("app")),
        ("email", json!("b@example.org")),
    ] {
        let mut other = sent.clone();
        other[column] = value;
        let reply = send(&server, "POST", "/v1/decisions", &other);
        assert_eq!((reply.status, reply.code().as_str()), (409, "transaction_id_taken"), "{column}");
    }
    assert_eq!((entries(&server), decide(&server, &sent)), (before, first));
    assert_eq!(metric(&server, "assay_decisions_conflicts_total"), 5);
}

#[test]
fn a_thousand_requests_at_once_with_one_id_make_one_entry_and_get_one_answer() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let before = entries(&server);
    let body = transaction("one", "2018-06-01T10:00:00Z", 3, 4, 250.0).to_string();
    let request = format!("POST /v1/decisions HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut clients: Vec<Client> = (0..1_000).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(&request);
    }
    let replies: Vec<_> = clients.iter_mut().map(|client| client.receive().unwrap()).collect();
    assert!(replies.iter().all(|reply| reply.status == 200 && reply.body == replies[0].body));
    assert_eq!(replies.iter().filter(|reply| reply.header("idempotent-replayed").is_none()).count(), 1);
    assert_eq!(entries(&server), before + 1);
    assert_eq!((metric(&server, "assay_decisions_total"), metric(&server, "assay_decisions_repeated_total")), (1, 999));
}

#[test]
fn an_array_is_answered_item_by_item_in_its_order_with_problems_in_their_places() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let one = transaction("one", "2018-06-01T10:00:00Z", 3, 4, 250.0);
    let mut other = one.clone();
    other["tx_amount"] = json!(1);
    let mut unknown = transaction("two", "2018-06-01T10:00:00Z", 3, 4, 250.0);
    unknown["tx_amont"] = json!(1);
    let mut late = transaction("three", "2018-06-01T10:00:00Z", 3, 4, 250.0);
    late.as_object_mut().unwrap().remove("tx_amount");
    let far = transaction("four", "2999-06-01T10:00:00Z", 3, 4, 250.0);
    let mut labelled = transaction("five", "2018-06-01T10:00:00Z", 3, 4, 250.0);
    labelled["tx_fraud"] = json!(true);
    let last = transaction("six", "2018-06-01T10:00:00Z", 3, 4, 250.0);
    let before = entries(&server);
    let items = json!([one, other, unknown, late, far, labelled, 7, one, last]);
    let answer = ask(&server, "POST", "/v1/decisions", &items);
    let answers = answer["decisions"].as_array().unwrap();
    let told: Vec<&str> = answers.iter().map(|item| item["code"].as_str().or(item["decision_id"].as_str()).unwrap()).collect();
    let expected = [
        "one",
        "transaction_id_taken",
        "unknown_column",
        "missing_column",
        "event_in_the_future",
        "label_in_transaction",
        "not_a_transaction",
        "one",
        "six",
    ];
    assert_eq!(told, expected);
    assert_eq!(answers[0], answers[7]);
    assert!(answers[2]["error"].as_str().unwrap().contains("did you mean `tx_amount`"), "{}", answers[2]);
    assert_eq!(entries(&server), before + 2);
    // One after the other gives the same as all at once.
    let single = Desk::new();
    let single = single.serve(&[]);
    for (place, item) in [(0, &one), (8, &last)] {
        let alone = decide(&single, item);
        for field in ["probability", "outcome", "risk_score", "rules"] {
            assert_eq!(alone[field], answers[place][field]);
        }
    }
    assert_eq!(ask(&server, "POST", "/v1/decisions", &json!([])), json!({ "decisions": [] }));
}

/// The feature values of a decision as `assay explain` and `/v1/score` take them.
fn features(shown: &Value) -> &serde_json::Map<String, Value> {
    shown["features"].as_object().unwrap()
}

#[test]
fn reasons_are_those_of_assay_explain_and_come_with_what_is_not_approved() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    ask(&server, "PUT", "/v1/policy", &policy("2", &[("large", "tx_amount > 100", "decline")]));
    for number in 0..40 {
        let sent = nth(number * 13);
        let decision = decide(&server, &sent);
        let shown = get(&server, &format!("/v1/decisions/{}", decision["decision_id"].as_str().unwrap()));
        let is_approved = decision["outcome"] == "approve";
        assert_eq!(is_approved, sent["tx_amount"].as_f64().unwrap() <= 100.0);
        assert_eq!(decision.get("reasons").is_none(), is_approved);
        if !is_approved {
            assert_eq!(decision["reasons"], shown["reasons"]);
        }
        let reasons = shown["reasons"].as_array().unwrap();
        assert!((1..=5).contains(&reasons.len()), "{shown}");
        let names: Vec<&str> = features(&shown).keys().map(String::as_str).collect();
        let cells: Vec<String> =
            features(&shown).values().map(|value| if value.is_null() { String::new() } else { value.to_string() }).collect();
        desk.0.write("rows.csv", format!("{}\n{}\n", names.join(","), cells.join(",")));
        let told = desk.0.run(&["explain", "fraud.model", "rows.csv", "--row", "1", "--json", "--top", "10"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["probability"], shown["probability"]);
        let mut largest = f64::INFINITY;
        for reason in reasons {
            assert_eq!(told["contributions"][reason["feature"].as_str().unwrap()], reason["impact"], "{reason}");
            let impact = reason["impact"].as_f64().unwrap();
            assert!(impact != 0.0);
            assert_eq!(reason["direction"] == "increases", impact > 0.0);
            assert!(impact.abs() <= largest || impact.signum() != largest.signum());
            largest = impact.abs();
        }
    }
}

#[test]
fn probabilities_are_those_of_v1_score_to_the_bit() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let mut client = server.connect();
    for number in 0..300 {
        let decision = decide_on(&mut client, &nth(number)).json();
        let shown = get(&server, &format!("/v1/decisions/n-{number}"));
        let scored = ask(&server, "POST", "/v1/score", &json!({ "transactions": [features(&shown)] }));
        let bits = |value: &Value| value.as_f64().unwrap().to_bits();
        assert_eq!(bits(&scored["scores"][0]["probability"]), bits(&decision["probability"]), "{shown}");
        assert_eq!(bits(&shown["probability"]), bits(&decision["probability"]));
    }
}

#[test]
fn labels_are_taken_once_corrected_and_refused_when_they_cannot_be() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    decide(&server, &transaction("one", "2018-06-01T10:00:00Z", 3, 4, 250.0));
    let before = entries(&server);
    let label = |label: &str, more: Value| {
        let mut told = json!({ "transaction_id": "one", "label": label, "source": "chargeback" });
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        send(&server, "POST", "/v1/labels", &told)
    };
    let told = label("fraud", json!({ "learnt": "2018-07-01T00:00:00Z" }));
    assert_eq!(told.json(), json!({ "transaction_id": "one", "label": "fraud", "is_new": true }));
    assert_eq!(label("fraud", json!({})).json()["is_new"], false);
    assert_eq!(entries(&server), before + 1);
    assert_eq!(label("genuine", json!({})).json()["is_new"], true);
    for (more, status, code) in [
        (json!({ "learnt": "2999-01-01T00:00:00Z" }), 400, "learnt_in_the_future"),
        (json!({ "learnt": "2018-05-01T00:00:00Z" }), 400, "learnt_before_event"),
        (json!({ "learnt": "yesterday" }), 400, "bad_body"),
        (json!({ "transaction_id": "two" }), 404, "transaction_not_found"),
        (json!({ "more": 1 }), 400, "bad_body"),
    ] {
        let reply = label("fraud", more.clone());
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{more}");
    }
    let items = json!([
        { "transaction_id": "one", "label": "fraud" }, { "transaction_id": "none", "label": "fraud" },
        { "transaction_id": "one", "label": "fraud" }, { "transaction_id": "one", "label": "genuine" },
    ]);
    let answer = ask(&server, "POST", "/v1/labels", &items);
    let told: Vec<Value> = answer["labels"].as_array().unwrap().iter().map(|item| item["is_new"].clone()).collect();
    assert_eq!(told, [json!(true), Value::Null, json!(false), json!(true)]);
    assert_eq!(answer["labels"][1]["code"], "transaction_not_found");
    assert_eq!(entries(&server), before + 4);
    let shown = get(&server, "/v1/decisions/one");
    let labels: Vec<&str> = shown["labels"].as_array().unwrap().iter().map(|told| told["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["fraud", "genuine", "fraud", "genuine"]);
    assert_eq!(shown["labels"][0]["learnt"], "2018-07-01T00:00:00Z");
    assert_eq!(metric(&server, "assay_labels_total"), 4);
}

#[test]
fn a_later_decision_sees_a_label_once_its_delay_has_passed() {
    let desk = Desk::new();
    let mut server = desk.serve(&[]);
    let risk = |server: &Server, id: &str, at: &str| {
        decide(server, &transaction(id, at, 9, 4, 20.0));
        get(server, &format!("/v1/decisions/{id}"))["features"]["terminal_risk"].clone()
    };
    let tell = |server: &Server, label: &str| {
        assert_eq!(ask(server, "POST", "/v1/labels", &json!({ "transaction_id": "one", "label": label }))["is_new"], true);
    };
    assert_eq!(risk(&server, "one", "2018-04-01T10:00:00Z"), 0.0);
    tell(&server, "fraud");
    assert_eq!(risk(&server, "too-early", "2018-04-08T09:59:59Z"), 0.0);
    assert_eq!(risk(&server, "in-time", "2018-04-08T10:00:00Z"), 1.0);
    // What was said stays said; what comes is told by what is known then.
    tell(&server, "genuine");
    assert_eq!(risk(&server, "corrected", "2018-04-08T10:00:01Z"), 0.0);
    assert_eq!(get(&server, "/v1/decisions/in-time")["features"]["terminal_risk"], 1.0);
    tell(&server, "fraud");
    for end in ["TERM", "KILL"] {
        server.signal(end);
        server.wait();
        server = desk.serve(&[]);
        assert_eq!(risk(&server, end, "2018-04-08T10:00:02Z"), 1.0);
    }
    assert_eq!(risk(&server, "too-late", "2018-04-15T10:00:01Z"), 0.0);
}

#[test]
fn reviews_wait_oldest_first_until_somebody_says_what_they_were() {
    let desk = Desk::new();
    let mut server = desk.serve(&[]);
    ask(&server, "PUT", "/v1/policy", &policy("2", &[("all", "tx_amount > 0", "review")]));
    for number in 0..7 {
        decide(&server, &nth(number));
    }
    let waiting = |server: &Server| {
        let (mut ids, mut path) = (Vec::new(), "/v1/reviews?limit=2".to_owned());
        loop {
            let page = get(server, &path);
            ids.extend(
                page["reviews"].as_array().unwrap().iter().map(|review| review["decision_id"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else {
                assert_eq!(page["open"], ids.len());
                return ids;
            };
            path = format!("/v1/reviews?limit=2&after={next}");
        }
    };
    assert_eq!(waiting(&server), ["n-0", "n-1", "n-2", "n-3", "n-4", "n-5", "n-6"]);
    let review = get(&server, "/v1/reviews?limit=1")["reviews"][0].clone();
    assert!(review["reasons"].is_array() && review["features"].is_object() && review["transaction"]["customer_id"] == 0);
    for (id, found, label) in [
        ("n-0", "confirmed_fraud", json!("fraud")),
        ("n-3", "false_positive", json!("genuine")),
        ("n-6", "inconclusive", Value::Null),
    ] {
        let told = json!({ "disposition": found, "reviewer": "anna", "note": "called" });
        let answer = ask(&server, "POST", &format!("/v1/reviews/{id}"), &told);
        assert_eq!(answer, json!({ "decision_id": id, "disposition": found, "label": label }));
        let shown = get(&server, &format!("/v1/decisions/{id}"));
        assert_eq!(
            (&shown["dispositions"][0]["disposition"], &shown["dispositions"][0]["reviewer"]),
            (&json!(found), &json!("anna"))
        );
        let known = shown["labels"].as_array().unwrap();
        assert_eq!(known.first().map_or(Value::Null, |told| told["label"].clone()), label);
        assert!(known.iter().all(|told| told["source"] == "review"));
    }
    // A label from elsewhere ends a review too.
    ask(&server, "POST", "/v1/labels", &json!({ "transaction_id": "n-1", "label": "fraud", "source": "chargeback" }));
    for _ in 0..2 {
        assert_eq!(waiting(&server), ["n-2", "n-4", "n-5"]);
        assert_eq!(metric(&server, "assay_reviews_open"), 3);
        server.signal("KILL");
        server.wait();
        server = desk.serve(&[]);
    }
    let unknown = send(&server, "POST", "/v1/reviews/none", &json!({ "disposition": "inconclusive" }));
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "transaction_not_found"));
}

#[test]
fn policies_are_changed_whole_by_who_knows_which_one_decides() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let put = |path: &str, policy: &Value| send(&server, "PUT", path, policy);
    let second = policy("2", &[("large", "tx_amount > 100", "review")]);
    assert_eq!(put("/v1/policy?replaces=from-the-model", &second).status, 200);
    let before = entries(&server);
    assert_eq!(put("/v1/policy?replaces=from-the-model", &policy("3", &[])).code(), "policy_moved");
    assert_eq!(put("/v1/policy", &policy("2", &[])).code(), "policy_version_taken");
    assert_eq!(put("/v1/policy?replace=2", &policy("3", &[])).code(), "bad_query");
    // The same policy again is no change.
    assert_eq!(put("/v1/policy", &second).status, 200);
    let wrong = put(
        "/v1/policy",
        &policy("3", &[("a", "tx_amount > 1", "review"), ("b", "tx_amount > 1\n AND tx_amont < 5", "decline")]),
    );
    let told = wrong.json();
    assert_eq!((wrong.status, &told["code"], &told["rule"]), (422, &json!("policy_does_not_fit"), &json!("b")));
    assert_eq!((&told["line"], &told["column"]), (&json!(2), &json!(6)), "{told}");
    let broken = server.ask("PUT", "/v1/policy", b"{\"version\":\"3\",\n\"rules\":[{\"id\":\"a\"}]}").json();
    assert_eq!((&broken["code"], &broken["line"]), (&json!("bad_policy"), &json!(2)), "{broken}");
    assert_eq!(entries(&server), before);
    assert_eq!(get(&server, "/v1/policy")["rules"][0]["id"], "large");
}

#[test]
fn of_many_policies_that_come_at_once_under_one_version_one_is_taken() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    for version in 0..20 {
        let mut clients: Vec<Client> = (0..16).map(|_| server.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let body = policy(&format!("v{version}"), &[("large", &format!("tx_amount > {number}"), "review")]).to_string();
            client.send(format!("PUT /v1/policy HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
        let statuses: Vec<u16> = clients.iter_mut().map(|client| client.receive().unwrap().status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 409].contains(status)));
    }
}

#[test]
fn a_rule_that_sleeps_does_nothing_and_is_told_of() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    ask(&server, "PUT", "/v1/policy", &policy("2", &[("large", "tx_amount > 100", "decline")]));
    let large = |id: &str| decide(&server, &transaction(id, "2018-06-01T10:00:00Z", 3, 4, 250.0));
    assert_eq!(large("a")["outcome"], "decline");
    let path = "/v1/policy/rules/large/snooze";
    let version = ask(&server, "POST", path, &json!({ "until": "2999-01-01T00:00:00Z" }))["policy_version"].clone();
    assert!(version.as_str().unwrap().starts_with("2~"), "{version}");
    let asleep = large("b");
    assert_eq!((&asleep["outcome"], &asleep["policy_version"]), (&json!("approve"), &version));
    assert_eq!(asleep["rules"], json!([{ "id": "large", "status": "snoozed" }]));
    assert_eq!(get(&server, "/v1/policy/rules")["rules"][0]["snoozed"], 1);
    ask(&server, "POST", path, &json!({ "until": null }));
    assert_eq!(large("c")["outcome"], "decline");
    // What sleeps until a moment that is over is awake.
    ask(&server, "POST", path, &json!({ "until": "2019-01-01T00:00:00Z" }));
    assert_eq!(large("d")["outcome"], "decline");
    let unknown = send(&server, "POST", "/v1/policy/rules/none/snooze", &json!({ "until": null }));
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "rule_not_found"));
}

#[test]
fn a_shadow_policy_is_told_beside_and_does_nothing() {
    let desk = Desk::new();
    let mut server = desk.serve(&[]);
    assert_eq!(server.ask("GET", "/v1/policy/shadow", b"").code(), "no_shadow_policy");
    ask(&server, "PUT", "/v1/policy", &policy("2", &[]));
    ask(&server, "PUT", "/v1/policy/shadow", &policy("trial", &[("all", "tx_amount > 0", "decline")]));
    let expected = json!({ "policy_version": "trial", "outcome": "decline", "decided_by": { "rule": "all" } });
    for number in 0..2 {
        let decision = decide(&server, &nth(number));
        assert_eq!((&decision["outcome"], &decision["shadow"]), (&json!("approve"), &expected));
        server.signal("KILL");
        server.wait();
        server = desk.serve(&[]);
    }
    assert_eq!(get(&server, "/v1/policy/shadow")["version"], "trial");
    assert_eq!(server.ask("DELETE", "/v1/policy/shadow", b"").status, 204);
    assert!(decide(&server, &nth(3)).get("shadow").is_none());
    assert_eq!(get(&server, "/v1/decisions/n-1")["shadow"], expected);
}

#[test]
fn a_policy_that_declines_everything_declines_all_but_whom_chance_drew() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let mut all = policy("none-shall-pass", &[("all", "tx_amount >= 0", "decline")]);
    all["control_group"] = json!({ "share": 0.1, "seed": 20_261_001 });
    ask(&server, "PUT", "/v1/policy", &all);
    let items: Vec<Value> = (0..500).map(nth).collect();
    let answer = ask(&server, "POST", "/v1/decisions", &json!(items));
    let mut drawn = 0;
    for decision in answer["decisions"].as_array().unwrap() {
        let hash = Sha256::digest(format!("20261001:{}", decision["decision_id"].as_str().unwrap()));
        let first = u64::from_be_bytes(hash[..8].try_into().unwrap());
        let is_drawn = (first as f64) < 0.1 * 2_f64.powi(64);
        drawn += usize::from(is_drawn);
        assert_eq!(decision["flags"].as_array().unwrap().contains(&json!("control_group")), is_drawn);
        if is_drawn {
            assert_eq!((&decision["outcome"], &decision["decided_by"]), (&json!("approve"), &json!("control_group")));
            assert_eq!(decision["without_control"], "decline");
        } else {
            assert_eq!((&decision["outcome"], &decision["decided_by"]), (&json!("decline"), &json!({ "rule": "all" })));
        }
    }
    assert!((25..80).contains(&drawn), "{drawn}");
    assert_eq!(metric(&server, "assay_decisions_total{outcome=\"decline\"}"), 500 - drawn as u64);
}

#[test]
fn a_rule_that_divides_by_zero_matches_nobody_and_is_counted() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let rules = [("zero", "tx_amount / (tx_amount - tx_amount) > 1", "decline"), ("score", "probability / 0.0 > 1", "decline")];
    ask(&server, "PUT", "/v1/policy", &policy("2", &rules));
    for number in 0..5 {
        let decision = decide(&server, &nth(number));
        assert_eq!(decision["rules"][0], json!({ "id": "zero", "status": "no_hit" }));
        assert_eq!(decision["outcome"], "approve", "{decision}");
    }
    let told = get(&server, "/v1/policy/rules");
    assert_eq!((&told["rules"][0]["unknown"], &told["rules"][0]["hits"]), (&json!(5), &json!(0)), "{told}");
}

#[test]
fn a_list_of_a_hundred_thousand_is_shown_in_pages_and_cannot_go_while_it_is_used() {
    let desk = Desk::new();
    let mut server = desk.serve(&[]);
    assert_eq!(send(&server, "PUT", "/v1/lists/stolen", &json!({ "kind": "bigint" })).status, 201);
    assert_eq!(send(&server, "PUT", "/v1/lists/stolen", &json!({ "kind": "text" })).code(), "list_exists");
    for part in 0..10 {
        let entries: Vec<Value> =
            (0..10_000).map(|number| json!({ "value": part * 10_000 + number, "source": "file" })).collect();
        let answer = ask(&server, "POST", "/v1/lists/stolen/entries", &json!({ "entries": entries }));
        assert_eq!(answer["entries"], (part + 1) * 10_000);
    }
    let mut blocked = policy("2", &[]);
    blocked["block"] = json!([{ "list": "stolen", "column": "customer_id" }]);
    ask(&server, "PUT", "/v1/policy", &blocked);
    assert_eq!(server.ask("DELETE", "/v1/lists/stolen", b"").code(), "list_in_use");
    for _ in 0..2 {
        let (mut values, mut after) = (BTreeSet::new(), "0".to_owned());
        loop {
            let page = get(&server, &format!("/v1/lists/stolen?limit=1000&after={after}"));
            values.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["value"].as_i64().unwrap()));
            let Some(next) = page["next"].as_str() else { break };
            next.clone_into(&mut after);
        }
        assert_eq!((values.len(), values.last()), (100_000, Some(&99_999)));
        server.signal("KILL");
        server.wait();
        server = desk.serve(&[]);
    }
    let decision = decide(&server, &transaction("one", "2018-06-01T10:00:00Z", 77_777, 4, 1.0));
    assert_eq!((&decision["outcome"], &decision["decided_by"]), (&json!("decline"), &json!({ "block_list": "stolen" })));
    ask(&server, "POST", "/v1/lists/stolen/remove", &json!({ "values": [77_777, -1] }));
    assert_eq!(decide(&server, &transaction("two", "2018-06-01T10:00:01Z", 77_777, 4, 1.0))["outcome"], "approve");
    ask(&server, "PUT", "/v1/policy", &policy("3", &[]));
    assert_eq!(server.ask("DELETE", "/v1/lists/stolen", b"").status, 204);
    assert_eq!(server.ask("GET", "/v1/lists/stolen", b"").code(), "list_not_found");
    assert_eq!(get(&server, "/v1/lists"), json!({ "lists": [] }));
}

#[test]
fn entries_of_lists_expire_and_are_pruned() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    ask(&server, "PUT", "/v1/lists/devices", &json!({ "kind": "text" }));
    ask(&server, "PUT", "/v1/policy", &policy("2", &[("known", "in_list('devices', device)", "decline")]));
    let entry = |value: &str, expires: Value| json!({ "value": value, "expires": expires, "note": "seen" });
    let told = json!({ "entries": [
        entry("over", json!("2019-01-01T00:00:00Z")), entry("valid", json!("2999-01-01T00:00:00Z")), entry("always", Value::Null),
    ] });
    assert_eq!(ask(&server, "POST", "/v1/lists/devices/entries", &told)["entries"], 3);
    for (device, outcome) in [("over", "approve"), ("valid", "decline"), ("always", "decline"), ("other", "approve")] {
        let mut sent = transaction(device, "2018-06-01T10:00:00Z", 3, 4, 250.0);
        sent["device"] = json!(device);
        assert_eq!(decide(&server, &sent)["outcome"], outcome, "{device}");
    }
    assert_eq!(ask(&server, "POST", "/v1/lists/devices/prune", &json!({}))["entries"], 2);
    let before = entries(&server);
    for (path, body, code) in [
        ("entries", json!({ "entries": [{ "value": "new" }, { "value": 7 }] }), "bad_list_change"),
        ("entries", json!({ "entries": [{ "value": 1.5 }] }), "bad_body"),
        ("entries", json!({ "entries": [{ "value": "new", "cvv": "123" }] }), "bad_body"),
        ("entries", json!({ "entries": [{ "value": "new", "expires": "soon" }] }), "bad_body"),
        ("remove", json!({ "values": ["valid", 1.5] }), "bad_body"),
        ("prune", json!({ "before": "soon" }), "bad_body"),
    ] {
        assert_eq!(send(&server, "POST", &format!("/v1/lists/devices/{path}"), &body).code(), code, "{body}");
    }
    assert_eq!(send(&server, "PUT", "/v1/lists/a%20b", &json!({ "kind": "text" })).code(), "bad_list_change");
    let nowhere = send(&server, "POST", "/v1/lists/none/entries", &told);
    assert_eq!((nowhere.status, nowhere.code().as_str()), (404, "no_such_list"));
    assert_eq!(entries(&server), before);
    assert_eq!(get(&server, "/v1/lists/devices")["entries"].as_array().unwrap().len(), 2);
}

#[test]
fn a_cursor_sees_each_of_a_thousand_decisions_once_while_others_are_made() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    ask(&server, "PUT", "/v1/policy", &policy("2", &[("third", "terminal_id % 3 = 0", "challenge")]));
    let items: Vec<Value> = (0..1_000).map(nth).collect();
    let made = ask(&server, "POST", "/v1/decisions", &json!(items));
    let challenged = made["decisions"].as_array().unwrap().iter().filter(|one| one["outcome"] == "challenge").count();
    let walk = |more: &str, disturb: bool| {
        let (mut ids, mut path, mut number) = (Vec::new(), format!("/v1/decisions?limit=37{more}"), 1_000);
        loop {
            let page = get(&server, &path);
            let found = page["decisions"].as_array().unwrap();
            ids.extend(found.iter().map(|one| one["decision_id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { return ids };
            path = format!("/v1/decisions?limit=37{more}&before={next}");
            if disturb {
                decide(&server, &nth(number));
                number += 1;
            }
        }
    };
    let expected: Vec<String> = (0..1_000).rev().map(|number| format!("n-{number}")).collect();
    let (one, other) = (walk("&outcome=challenge", false), walk("&outcome=approve", false));
    assert_eq!((one.len(), one.len() + other.len()), (challenged, 1_000));
    assert_eq!(one.iter().chain(&other).collect::<BTreeSet<_>>().len(), 1_000);
    assert_eq!(walk("", true), expected);
    for query in ["limit=0", "limit=1001", "limit=x", "before=-1", "outcome=refuse", "page=2"] {
        let reply = server.ask("GET", &format!("/v1/decisions?{query}"), b"");
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_query"), "{query}");
    }
}

/// Whether any file of the data folder holds these bytes.
fn is_anywhere(desk: &Desk, bytes: &str) -> bool {
    let holds = |content: &[u8]| content.windows(bytes.len()).any(|part| part == bytes.as_bytes());
    fs::read_dir(desk.data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .any(|path| holds(&fs::read(path).unwrap()))
}

#[test]
fn what_is_a_persons_can_be_erased_and_the_chain_stays_whole() {
    let desk = Desk::new();
    let mut server = desk.serve(&[]);
    ask(&server, "PUT", "/v1/policy", &policy("2", &[("mail", "email LIKE '%@example.org'", "review")]));
    let mut sent = transaction("one", "2018-06-01T10:00:00Z", 3, 4, 250.0);
    sent["email"] = json!("zebra.quokka@example.org");
    let first = send(&server, "POST", "/v1/decisions", &sent);
    assert_eq!(first.json()["outcome"], "review");
    decide(&server, &nth(1));
    assert_eq!(get(&server, "/v1/decisions/one")["transaction"]["email"], "zebra.quokka@example.org");
    assert!(is_anywhere(&desk, "zebra.quokka"));
    let before = (entries(&server), desk.verified().erased);
    let erase = |server: &Server, id: &str| server.ask("DELETE", &format!("/v1/transactions/{id}/personal"), b"");
    let told = erase(&server, "one").json();
    assert_eq!(told["erased_entries"], 1, "{told}");
    assert_eq!(metric(&server, "assay_journal_entries"), entries(&server));
    assert_eq!((entries(&server), desk.verified().erased), (before.0 + 1, before.1 + 1));
    while erase(&server, "one").json()["is_gone_from_log"] != true {}
    assert!(!is_anywhere(&desk, "zebra.quokka"), "the bytes are in a file still");
    assert!(get(&server, "/v1/decisions/one")["transaction"].get("email").is_none());
    assert!(!get(&server, "/v1/reviews").to_string().contains("zebra"));
    // The decision stands, and asking for it again brings nothing back.
    for end in ["TERM", "KILL"] {
        assert_eq!(send(&server, "POST", "/v1/decisions", &sent).body, first.body);
        assert!(!is_anywhere(&desk, "zebra.quokka"));
        server.signal(end);
        server.wait();
        server = desk.serve(&[]);
    }
    assert_eq!(desk.verified().erased, before.1 + 1);
    assert_eq!(erase(&server, "n-1").json()["erased_entries"], 0);
    let unknown = erase(&server, "none");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "transaction_not_found"));
}

#[test]
fn pages_are_refused_wherever_something_would_change() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let before = entries(&server);
    for (method, path) in routes() {
        let reply = server.connect().ask(&method, &path, &["Origin: https://shop.example"], b"{}");
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
        if method != "GET" {
            assert_eq!((reply.status, reply.code().as_str()), (403, "decisions_not_for_pages"), "{method} {path}");
        }
    }
    assert_eq!(entries(&server), before);
}

#[test]
fn without_a_data_folder_every_route_says_so() {
    let server = Server::start(&desk::MODEL, &[]);
    for (method, path) in routes() {
        let reply = server.ask(&method, &path, b"{}");
        assert_eq!((reply.status, reply.code().as_str()), (404, "no_data_folder"), "{method} {path}");
    }
}

#[test]
fn an_open_server_decides_and_keeps_policies_lists_and_erasing_closed() {
    let desk = Desk::new();
    let server = desk.serve(&["--insecure", "--bind", "0.0.0.0:0"]);
    let mut client = Client::connect(format!("127.0.0.1:{}", server.address.port()).parse().unwrap());
    assert_eq!(decide_on(&mut client, &nth(1)).status, 200);
    let mut closed = 0;
    for (method, path) in routes() {
        let reply = client.ask(&method, &path, &[], if method == "GET" { b"" } else { b"{}" });
        let is_closed =
            ["/v1/policy", "/v1/lists", "/v1/transactions", "/v1/governor"].iter().any(|prefix| path.starts_with(prefix));
        assert_eq!(reply.status == 403, is_closed, "{method} {path}: {}", reply.text());
        if is_closed {
            assert_eq!(reply.code(), "keys_needed");
            closed += 1;
        }
    }
    assert_eq!(closed, 16);
}

#[test]
fn more_than_a_group_of_the_journal_may_be_asked_for_at_once() {
    let desk = Desk::new();
    let server = desk.serve(&["--max-rows", "70000"]);
    let before = entries(&server);
    let items: Vec<Value> = (0..66_000).map(nth).collect();
    assert_eq!(ask(&server, "POST", "/v1/decisions", &json!(items))["decisions"].as_array().unwrap().len(), 66_000);
    let labels: Vec<Value> =
        (0..66_000).map(|number| json!({ "transaction_id": format!("n-{number}"), "label": "genuine" })).collect();
    let told = ask(&server, "POST", "/v1/labels", &json!(labels));
    assert!(told["labels"].as_array().unwrap().iter().all(|item| item["is_new"] == true));
    assert_eq!(entries(&server), before + 132_000);
}

#[test]
fn who_put_an_entry_onto_a_list_is_the_id_of_the_key() {
    let desk = Desk::new();
    let keys = desk.0.path("keys.json");
    let words = ["keys", "create", "--keys", keys.to_str().unwrap(), "--name", "desk", "--scope", "policy", "--scope", "decide"];
    let output = desk.0.assay(&[&words[..], &["--scope", "label"]].concat()).output().unwrap();
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let server = desk.serve(&["--keys", keys.to_str().unwrap()]);
    let header = format!("Authorization: Bearer {key}");
    let mut client = server.connect();
    let mut ask = |method: &str, path: &str, body: Value| {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let reply = client.ask(method, path, &[&header], body.as_bytes());
        assert!(reply.status < 300, "{}", reply.text());
        reply.json()
    };
    ask("PUT", "/v1/lists/stolen", json!({ "kind": "text" }));
    ask("POST", "/v1/lists/stolen/entries", json!({ "entries": [{ "value": "a" }, { "value": "b", "author": "import" }] }));
    let shown = ask("GET", "/v1/lists/stolen", Value::Null);
    let authors: BTreeSet<&str> =
        shown["entries"].as_array().unwrap().iter().map(|entry| entry["author"].as_str().unwrap()).collect();
    assert_eq!(authors, [&key[6..14], "import"].into());
    ask("POST", "/v1/decisions", nth(1));
    ask("POST", "/v1/labels", json!({ "transaction_id": "n-1", "label": "fraud" }));
    ask("PUT", "/v1/policy", policy("2", &[]));
    // The journal says of every change by which key it was made.
    let reader = assay_journal::Reader::open(&desk.data()).unwrap();
    for kind in [assay_journal::Kind::Label, assay_journal::Kind::Policy, assay_journal::Kind::List] {
        let entry = reader.latest(kind, u64::MAX, 1).unwrap().pop().unwrap();
        let body: Value = serde_json::from_str(&entry.body).unwrap();
        assert_eq!(body["by"], key[6..14], "{kind:?}");
    }
}

#[test]
fn many_clients_at_once_get_decisions_that_agree_with_one_journal() {
    let desk = Desk::new();
    let server = desk.serve(&[]);
    let before = entries(&server);
    thread::scope(|scope| {
        for client in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                for number in 0..100 {
                    // Each transaction is sent by two of them.
                    let reply = decide_on(&mut connection, &nth((client / 2) * 100 + number));
                    assert_eq!(reply.status, 200);
                }
            });
        }
    });
    assert_eq!(entries(&server), before + 400);
    assert_eq!(desk.verified().head.sequence, before + 400);
}
