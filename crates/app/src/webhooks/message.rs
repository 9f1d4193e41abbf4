//! What is told of an entry of the journal: as little as a receiver needs to act, nothing of a person, and the same bytes every time.

use std::collections::BTreeSet;

use assay_domain::Outcome;
use assay_journal::{Entry, Head, Kind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::decisions::record::{Label, Truth, json, moment};

/// Something that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A transaction was approved.
    Approve,
    /// One waits for a review.
    Review,
    /// Its cardholder must prove who they are.
    Challenge,
    /// One was declined.
    Decline,
    /// It became known whether one was fraud.
    Label,
    /// Another policy decides, or is tried out.
    Policy,
    /// Another model decides.
    Model,
    /// The governor acted.
    Governor,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Approve, Self::Review, Self::Challenge, Self::Decline, Self::Label, Self::Policy, Self::Model, Self::Governor];

    /// Its name in files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "decision.approve",
            Self::Review => "decision.review",
            Self::Challenge => "decision.challenge",
            Self::Decline => "decision.decline",
            Self::Label => "label",
            Self::Policy => "policy",
            Self::Model => "model",
            Self::Governor => "governor",
        }
    }

    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Approve => Self::Approve,
            Outcome::Review => Self::Review,
            Outcome::Challenge => Self::Challenge,
            Outcome::Decline => Self::Decline,
        }
    }
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// By which receivers know a repetition.
    pub id: String,
    /// The entry that it is made of.
    pub entry: Head,
    /// JSON.
    pub body: String,
}

/// The entry's body is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// What is told of an entry to somebody who wants these events, if anything.
pub fn message(entry: &Entry<&str>, wanted: &BTreeSet<Event>) -> Result<Option<Message>, Unreadable> {
    let Some((event, data)) = told(entry, wanted)? else { return Ok(None) };
    let body = json(&Told { event: event.name(), timestamp: moment(entry.arrived), data: &data });
    Ok(Some(Message { id: id_of(entry), entry: Head { sequence: entry.sequence, hash: entry.hash }, body }))
}

/// The entry's place, and the beginning of its hash: after a restore the place may be taken by another entry, the hash is not.
fn id_of(entry: &Entry<&str>) -> String {
    let [a, b, c, d, e, f, g, h, ..] = entry.hash;
    format!("{:016x}-{}", u64::from_be_bytes([a, b, c, d, e, f, g, h]), entry.sequence)
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    event: &'static str,
    timestamp: String,
    data: &'a RawValue,
}

fn told(entry: &Entry<&str>, wanted: &BTreeSet<Event>) -> Result<Option<(Event, Box<RawValue>)>, Unreadable> {
    let event = match entry.kind {
        Kind::Decision => return decided(entry, wanted),
        Kind::Label => Event::Label,
        Kind::Policy => Event::Policy,
        Kind::Model => Event::Model,
        Kind::Governor => Event::Governor,
        _ => return Ok(None),
    };
    if !wanted.contains(&event) {
        return Ok(None);
    }
    let data = if event == Event::Label { labelled(entry)? } else { raw(entry.body.to_owned())? };
    Ok(Some((event, data)))
}

/// A decision, without its row and its transaction.
#[derive(Serialize, Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    decision_id: &'a RawValue,
    outcome: Outcome,
    #[serde(borrow)]
    probability: &'a RawValue,
    #[serde(borrow)]
    risk_score: &'a RawValue,
    #[serde(borrow)]
    decided_by: &'a RawValue,
    #[serde(borrow)]
    rules: &'a RawValue,
    #[serde(borrow)]
    model_version: &'a RawValue,
    #[serde(borrow)]
    policy_version: &'a RawValue,
    #[serde(borrow)]
    flags: &'a RawValue,
    #[serde(skip_deserializing)]
    arrived: String,
}

fn decided(entry: &Entry<&str>, wanted: &BTreeSet<Event>) -> Result<Option<(Event, Box<RawValue>)>, Unreadable> {
    // Most decisions are approvals, which few want to be told: then not even their outcome is looked for.
    if wanted.iter().all(|event| *event >= Event::Label) {
        return Ok(None);
    }
    let mut shown: Shown<'_> = serde_json::from_str(entry.body).map_err(|_| Unreadable)?;
    let event = Event::of(shown.outcome);
    if !wanted.contains(&event) {
        return Ok(None);
    }
    shown.arrived = moment(entry.arrived);
    Ok(Some((event, raw(json(&shown))?)))
}

#[derive(Serialize)]
struct KnownTruth<'a> {
    id: &'a str,
    label: Truth,
    source: String,
    learnt: String,
}

fn labelled(entry: &Entry<&str>) -> Result<Box<RawValue>, Unreadable> {
    let Label { label, source, learnt, .. } = serde_json::from_str(entry.body).map_err(|_| Unreadable)?;
    raw(json(&KnownTruth { id: entry.id.unwrap_or_default(), label, source, learnt }))
}

fn raw(json: String) -> Result<Box<RawValue>, Unreadable> {
    RawValue::from_string(json).map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECISION: &str = r#"{"transaction":{"tx_amount":12.5,"city":"Ulm"},"latency_us":31,"decision_id":"tx-1","probability":0.30000000000000004,"risk_score":384,"outcome":"review","decided_by":{"rule":"r8"},"without_control":"review","rules":[{"id":"r8","status":"hit"}],"model_version":"m-1","policy_version":"p-1","row":[1.5,null],"flags":["late"]}"#;

    fn entry(kind: Kind, body: &str) -> Entry<&str> {
        let personal = Some(r#"{"card":"secret"}"#);
        Entry { sequence: 17, kind, id: Some("tx-1"), arrived: 1_700_000_000_000_001, body, personal, hash: [0xab; 32] }
    }

    fn body(kind: Kind, text: &str) -> String {
        message(&entry(kind, text), &Event::ALL.into()).unwrap().unwrap().body
    }

    #[test]
    fn a_decision_is_told_to_the_last_digit_without_row_and_transaction() {
        assert_eq!(
            body(Kind::Decision, DECISION),
            r#"{"type":"decision.review","timestamp":"2023-11-14T22:13:20.000001Z","data":{"decision_id":"tx-1","outcome":"review","probability":0.30000000000000004,"risk_score":384,"decided_by":{"rule":"r8"},"rules":[{"id":"r8","status":"hit"}],"model_version":"m-1","policy_version":"p-1","flags":["late"],"arrived":"2023-11-14T22:13:20.000001Z"}}"#
        );
        let unscored = DECISION.replace("0.30000000000000004", "null").replace(r#"["late"]"#, r#"["not_scored"]"#);
        assert!(body(Kind::Decision, &unscored).contains(r#""probability":null"#));
    }

    #[test]
    fn a_label_is_told_with_its_transaction_and_a_change_as_it_was_written() {
        let label = r#"{"label":"fraud","source":"chargeback","learnt":"2023-11-14T00:00:00Z","by":"key-1"}"#;
        assert_eq!(
            body(Kind::Label, label),
            r#"{"type":"label","timestamp":"2023-11-14T22:13:20.000001Z","data":{"id":"tx-1","label":"fraud","source":"chargeback","learnt":"2023-11-14T00:00:00Z"}}"#
        );
        for (kind, name) in [(Kind::Model, "model"), (Kind::Policy, "policy"), (Kind::Governor, "governor")] {
            let told = body(kind, r#"{"change":"activated","share":0.10}"#);
            assert!(told.starts_with(&format!(r#"{{"type":"{name}","#)), "{told}");
            assert!(told.ends_with(r#""data":{"change":"activated","share":0.10}}"#), "{told}");
        }
    }

    #[test]
    fn only_what_is_wanted_is_told_and_other_kinds_never_are() {
        let every: BTreeSet<Event> = Event::ALL.into();
        for event in Event::ALL {
            let is_told = message(&entry(Kind::Decision, DECISION), &[event].into()).unwrap().is_some();
            assert_eq!(is_told, event == Event::Review, "{event:?}");
        }
        let rare = Kind::ALL
            .iter()
            .filter(|kind| !matches!(kind, Kind::Decision | Kind::Label | Kind::Model | Kind::Policy | Kind::Governor));
        for kind in rare {
            assert_eq!(message(&entry(*kind, "{}"), &every), Ok(None), "{kind}");
        }
    }

    #[test]
    fn an_id_is_the_entrys_own() {
        let first = message(&entry(Kind::Model, "{}"), &[Event::Model].into()).unwrap().unwrap();
        assert_eq!(first.id, "abababababababab-17");
        let mut other = entry(Kind::Model, "{}");
        other.hash[7] = 0;
        assert_ne!(message(&other, &[Event::Model].into()).unwrap().unwrap().id, first.id);
    }

    #[test]
    fn a_body_that_is_not_as_it_was_written_is_unreadable() {
        let every = Event::ALL.into();
        for (kind, text) in [(Kind::Decision, "{}"), (Kind::Label, "{\"label\":\"maybe\"}"), (Kind::Model, "{")] {
            assert_eq!(message(&entry(kind, text), &every), Err(Unreadable));
        }
    }
}
