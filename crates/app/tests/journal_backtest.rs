//! `assay backtest`: what was decided, decided again, comes to the same money; what is other, comes to what a recount says.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod ledger;
mod workplace;

use assay_domain::{Decision, Outcome};
use assay_journal::Kind;
use ledger::{Ledger, POLICY, Payment, csv, history, moment};
use serde_json::{Value, json};
use workplace::Workplace;

const COMMON: [&str; 6] = ["backtest", "data", "--amount", "tx_amount", "-o", "report.html"];

fn backtest(place: &Workplace, more: &[&str]) -> Value {
    place.run(&[&COMMON[..], &["--json", "report.json"], more].concat());
    serde_json::from_str(&place.text("report.json")).unwrap()
}

fn close(one: &Value, other: f64) -> bool {
    (one.as_f64().unwrap() - other).abs() <= 1e-6 * other.abs().max(1.0)
}

/// What is known today, read off the entries: the last label, else genuine three days later, unless it was declined.
fn truth(ledger: &Ledger, payment: &Payment, decision: &Decision) -> Option<bool> {
    let id = payment.id.to_string();
    let last = ledger.entries.iter().rfind(|entry| entry.kind == Kind::Label && entry.id.as_deref() == Some(&id));
    let end = ledger.entries.last().unwrap().arrived;
    let unreported = payment.at + 3 * assay_domain::time::DAY <= end && decision.outcome != Outcome::Decline;
    last.map(|label| label.body.contains("\"fraud\"")).or(unreported.then_some(false))
}

#[test]
fn what_decided_comes_to_what_was_decided_and_the_record_to_a_recount() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    // From when the second policy decided on, the default of the backtest is what decided.
    let second = ledger.entries.iter().rfind(|entry| entry.kind == Kind::Policy).unwrap();
    let from = moment(second.arrived);
    let found = backtest(place, &["--from", &from]);
    assert_eq!((&found["policy"], &found["from"]), (&json!("p-2"), &json!(from)));
    assert_eq!(found["candidate"], found["recorded"]);
    let apart = found["difference"].as_object().unwrap();
    assert!(apart.values().all(|figure| ["value", "low", "high"].iter().all(|part| figure[part] == 0.0)), "{apart:?}");

    let mut expected = [[(0_u64, 0.0_f64); 3]; 4];
    for (payment, decision) in ledger.payments.iter().zip(&ledger.decisions) {
        if payment.at + assay_domain::time::SECOND >= second.arrived {
            let known = truth(&ledger, payment, decision).map_or(2, |fraud| usize::from(!fraud));
            let sum = &mut expected[decision.outcome as usize][known];
            *sum = (sum.0 + 1, sum.1 + payment.amount);
        }
    }
    for (outcome, sums) in found["recorded"]["outcomes"].as_array().unwrap().iter().zip(&expected) {
        for (name, (number, amount)) in ["fraud", "genuine", "unknown"].iter().zip(sums) {
            assert!(outcome[name]["count"] == *number && close(&outcome[name]["amount"], *amount), "{outcome} {name}");
        }
    }
    let [approve, review, challenge, decline] = expected;
    let stopped = review[0].1 + challenge[0].1 + decline[0].1;
    let recorded = &found["recorded"];
    assert!(close(&recorded["fraud_stopped"]["value"], stopped) && close(&recorded["fraud_missed"]["value"], approve[0].1));
    assert!(close(&recorded["value_detection_rate"]["value"], stopped / (stopped + approve[0].1)));
    assert!(close(&recorded["good_sales_lost"]["value"], decline[1].1));
    assert_eq!(recorded["reviews"]["value"], review.iter().map(|sum| sum.0).sum::<u64>() as f64);
    let genuine = approve[1].0 + review[1].0 + challenge[1].0 + decline[1].0;
    assert!(close(&recorded["insult_rate"]["value"], (challenge[1].0 + decline[1].0) as f64 / genuine as f64));

    // Who approves everything stops nothing, and is as far from the record as the record from nothing.
    place.write("nothing.json", r#"{"version": "nothing"}"#);
    let nothing = backtest(place, &["--from", &from, "--policy", "nothing.json"]);
    assert_eq!(nothing["candidate"]["fraud_stopped"]["value"], 0.0);
    assert_eq!(nothing["recorded"], found["recorded"]);
    let (apart, lost) = (&nothing["difference"]["fraud_stopped"], &found["recorded"]["fraud_stopped"]);
    assert!(close(&apart["value"], -lost["value"].as_f64().unwrap()));
    assert!(close(&apart["low"], -lost["high"].as_f64().unwrap()) && close(&apart["high"], -lost["low"].as_f64().unwrap()));

    // Another model, of a definition with one feature more.
    place.write("other.sql", ledger::SQL.replace("tx_amount, extract", "tx_amount, tx_amount > 100 AS is_large, extract"));
    let train = ["train", "--data-dir", "data", "--definition", "other.sql", "--out", "other.model"];
    place.run(&[&train[..], &workplace::QUICK].concat());
    let other = backtest(place, &["--model", "other.model"]);
    assert!(other["model"].as_str().unwrap().starts_with("other@"), "{}", other["model"]);
    assert_eq!(other["candidate"]["transactions"], ledger.decisions.len());

    // The page holds everything itself, and a later run gives the same bytes.
    let page = place.text("report.html");
    assert!(page.contains("What would it have cost?") && page.contains("Value detection rate"));
    for foreign in ["<script", "http:", "https:", "src=", "url("] {
        assert!(!page.contains(foreign), "{foreign} is in the page");
    }
    backtest(place, &["--model", "other.model"]);
    assert!(place.text("report.html") == page);
}

#[test]
fn a_past_that_was_only_imported_has_one_column_and_a_price_of_reviews() {
    let place = Workplace::new();
    let payments = history(&place);
    place.run(&[&["train", "--definition", "ledger.sql", "history.csv", "--out", "m.model"][..], &workplace::QUICK].concat());
    place.write("history.csv", csv(&payments));
    place.run(&["import", "history.csv", "--data-dir", "data", "--definition", "ledger.sql", "--learnt", "learnt"]);
    let costs = json!({
        "amount": "tx_amount", "missed_fraud": {"share": 1.0, "fixed": 15.0}, "false_decline": {"share": 0.1, "fixed": 2.0},
        "review": {"cost": 1.0, "per_day": 2}
    });
    let policy = |price: f64| {
        let mut costs = costs.clone();
        costs["review"]["price"] = json!(price);
        json!({ "version": "costs", "costs": costs }).to_string()
    };
    place.write("costs.json", policy(0.0));
    let flags = ["--model", "m.model", "--policy", "costs.json", "--review-price"];
    let found = backtest(&place, &flags);
    assert_eq!(found["candidate"]["transactions"], payments.len());
    assert_eq!((&found["recorded"], &found["difference"]), (&Value::Null, &Value::Null));
    let price = found["review_price"].as_f64().unwrap();
    assert!(price > 0.0, "{price}");
    // With the price no more reviews are wanted than can be worked, on average.
    place.write("costs.json", policy(price).replace(",\"per_day\":2", "").replace("\"per_day\":2,", ""));
    let unlimited = backtest(&place, &flags[..4]);
    let reviews = unlimited["candidate"]["reviews_per_day"]["value"].as_f64().unwrap();
    assert!((1.5..=2.1).contains(&reviews), "{reviews} a day");
    let said = place.run(&[&COMMON[..], &flags[..4]].concat());
    assert!(said.contains("Good sales lost") && !said.contains("difference  "), "{said}");
}

#[test]
fn what_cannot_be_tried_is_refused() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    let refused = |more: &[&str], expected: &str| {
        let sentence = place.refused(&[&COMMON[..], more].concat());
        assert!(sentence.contains(expected), "{sentence}");
    };
    let column = ["backtest", "data", "-o", "report.html", "--amount"];
    assert!(place.refused(&[&column[..], &["price"]].concat()).contains("no column of that name"));
    assert!(place.refused(&[&column[..], &["email"]].concat()).contains("holds no numbers"));
    refused(&["--review-price"], "no costs with a number of reviews per day");
    refused(&["--from", "2090-01-01T00:00:00Z"], "no transaction arrived between");
    place.write("wrong.json", POLICY.replace("tx_amount > 150", "tx_amuont > 150"));
    refused(&["--policy", "wrong.json"], "did you mean `tx_amount`");
    place.write("list.json", POLICY.replace("tx_amount > 150", "in_list('staff', customer_id)"));
    refused(&["--policy", "list.json"], "staff");
    place.write("broken.json", "{");
    refused(&["--policy", "broken.json"], "this is no policy");
    refused(&["--policy", "none.json"], "cannot be read");
    refused(&["--model", "ledger.sql"], "ledger.sql");
}
