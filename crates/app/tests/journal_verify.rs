//! `assay verify`: what is whole is proved, and whatever is changed is named, even if the chain was made anew over it.

mod ledger;
mod workplace;

use assay_domain::Outcome;
use assay_journal::{Journal, Kind, Reader};
use ledger::Ledger;
use serde_json::Value;

/// What is made of a body.
type Change = Box<dyn FnOnce(&str) -> String>;

#[test]
fn every_decision_comes_out_again_and_whatever_was_changed_in_one_is_named() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    let outcomes = Outcome::ALL.map(|outcome| ledger.decisions.iter().filter(|made| made.outcome == outcome).count());
    println!("{} decisions, {outcomes:?}", ledger.decisions.len());
    assert!(outcomes.iter().all(|&count| count > 0), "{outcomes:?}");

    let found: Value = serde_json::from_str(&place.run(&["verify", "data", "--json"])).unwrap();
    assert_eq!(found["entries"], ledger.entries.len());
    assert_eq!(found["decisions"], ledger.decisions.len());
    assert_eq!((&found["erased"], &found["not_compared"]), (&0.into(), &0.into()));
    assert_eq!(found["explained"], ledger.decisions.len().div_ceil(1_000));
    let head = found["head"].as_str().unwrap();
    assert_eq!(head, Reader::open(&place.path("data")).unwrap().head().unwrap().to_string());
    let said = place.run(&["verify", "data", "--head", head]);
    assert!(said.contains(&format!("{} decisions were made once more", ledger.decisions.len())), "{said}");
    assert!(said.contains(&format!("Head: {head}")), "{said}");

    // The same entries in another journal do not lead to this head.
    ledger.write("anew", &ledger.entries);
    let sentence = place.refused(&["verify", "anew", "--head", head]);
    assert!(sentence.contains("does not lead to the exported head"), "{sentence}");
    assert!(place.misused(&["verify", "data", "--head", "17"]).contains("this is no head of a journal"));

    // A change of any field of a decision, in a chain that is whole again.
    let changed = ledger.decisions.iter().rfind(|made| made.outcome == Outcome::Approve && made.shadow.is_some()).unwrap();
    let id: i64 = changed.id.parse().unwrap();
    let sequence = ledger.entry_of(id) + 1;
    let replace = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |body: &str| body.replacen(&from, &to, 1)
    };
    let amount = serde_json::to_string(&changed.row[0]).unwrap();
    let cases: [(&str, &str, Change); 14] = [
        ("outcome", "outcome", Box::new(replace("\"outcome\":\"approve\"", "\"outcome\":\"decline\""))),
        ("probability", "probability", Box::new(replace("\"probability\":0.", "\"probability\":0.0"))),
        ("risk", "risk_score", Box::new(replace("\"risk_score\":", "\"risk_score\":1"))),
        ("row", "row[0]", Box::new(replace(&format!("\"row\":[{amount}"), "\"row\":[-0.0"))),
        ("longer", "row[5]", Box::new(replace("],\"flags\"", ",1.0],\"flags\""))),
        ("rule", "rules[0]", Box::new(replace("\"status\":\"no_hit\"", "\"status\":\"hit\""))),
        ("model", "model_version", Box::new(replace("\"model_version\":\"ledger", "\"model_version\":\"other"))),
        ("policy", "policy_version", Box::new(replace("\"policy_version\":\"p-2\"", "\"policy_version\":\"p-3\""))),
        ("shadow", "shadow", Box::new(replace("\"policy_version\":\"p-shadow\"", "\"policy_version\":\"p-1\""))),
        ("flag", "flags[0]", Box::new(replace("\"flags\":[", "\"flags\":[\"late\""))),
        ("id", "decision_id", Box::new(replace("\"decision_id\":\"", "\"decision_id\":\"0"))),
        ("by", "decided_by", Box::new(replace("\"decided_by\":\"", "\"decided_by\":\"safe_outcome\",\"was\":\""))),
        ("none", "outcome", Box::new(|body| format!("{}}}", body.split_once(",\"latency_us\"").unwrap().0))),
        ("amount", "row[0]", Box::new(replace("\"tx_amount\":", "\"tx_amount\":1"))),
    ];
    for (folder, field, change) in cases {
        ledger.write(folder, &ledger.with_body(id, change));
        let sentence = place.refused(&["verify", folder]);
        let named = format!("entry {sequence} of the journal: the decision about transaction {id},");
        assert!(sentence.starts_with(&named) && sentence.contains(&format!("`{field}`")), "{folder}: {sentence}");
    }

    // A later version may have written more; the same field twice is no way to say two things.
    ledger.write("grown", &ledger.with_body(id, replace("\"latency_us\":17,", "\"latency_us\":17,\"place\":{\"of\":[1]},")));
    place.run(&["verify", "grown"]);
    ledger.write("twice", &ledger.with_body(id, replace("\"latency_us\":17,", "\"risk_score\":1000,\"latency_us\":17,")));
    let sentence = place.refused(&["verify", "twice"]);
    assert!(sentence.contains(&format!("entry {sequence} of the journal is not understood")), "{sentence}");

    // A label that is gone changes a feature of a later decision; the first that it touches is named.
    let mut entries = ledger.entries.clone();
    let fraud = entries.iter().position(|entry| entry.kind == Kind::Label && entry.body.contains("fraud")).unwrap();
    entries.remove(fraud);
    ledger.write("unlabelled", &entries);
    let sentence = place.refused(&["verify", "unlabelled"]);
    assert!(sentence.contains("`row[4]`"), "{sentence}");
}

#[test]
fn decisions_of_whom_something_was_erased_are_taken_as_recorded_and_counted() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    let mut journal = Journal::open(&place.path("data")).unwrap();
    let challenged = ledger.decisions.iter().find(|made| made.outcome == Outcome::Challenge).unwrap();
    journal.erase(&challenged.id, 1).unwrap();
    let found = || serde_json::from_str::<Value>(&place.run(&["verify", "data", "--json"])).unwrap();
    // The writer is still there.
    let one = found();
    drop(journal);
    assert_eq!((&one["erased"], &one["not_compared"]), (&1.into(), &1.into()));
    assert_eq!(one["decisions"], ledger.decisions.len() - 1);
    assert_eq!(found()["head"], one["head"]);
    let said = place.run(&["verify", "data"]);
    assert!(said.contains("1 more were taken as recorded"), "{said}");

    // Of whom nothing was erased, an email that is gone is a change.
    let mut entries = ledger.entries.clone();
    entries[ledger.entry_of(challenged.id.parse().unwrap())].personal = None;
    ledger.write("taken", &entries);
    let sentence = place.refused(&["verify", "taken"]);
    assert!(sentence.contains(&format!("about transaction {},", challenged.id)), "{sentence}");
}

#[test]
fn what_was_imported_by_another_definition_is_no_transaction_to_one_that_does_not_admit_it() {
    let ledger = Ledger::new();
    let first = ledger.entries[0].clone();
    let (kind, id) = (Kind::Transaction, Some("999999999".to_owned()));
    // An id and nothing else: not even when it was.
    let imported =
        ledger::Entry { kind, id: id.clone(), body: r#"{"transaction":{"transaction_id":999999999}}"#.into(), ..first.clone() };
    let label = r#"{"label":"fraud","source":"import","learnt":"2018-04-01T00:00:00Z"}"#;
    let label = ledger::Entry { kind: Kind::Label, id, body: label.into(), ..first };
    ledger.write("imported", &[&[imported, label], &ledger.entries[..]].concat());
    let said = ledger.place.run(&["verify", "imported"]);
    assert!(said.contains(&format!("{} decisions were made once more", ledger.decisions.len())), "{said}");
}

#[test]
fn a_folder_without_a_journal_and_a_data_folder_without_its_model_are_refused() {
    let ledger = Ledger::new();
    let place = &ledger.place;
    assert!(place.refused(&["verify", "nothing"]).contains("holds no journal"));
    std::fs::remove_dir_all(place.path("data/models")).unwrap();
    let sentence = place.refused(&["verify", "data"]);
    assert!(sentence.contains("restore it from a backup"), "{sentence}");
}
