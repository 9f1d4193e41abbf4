//! What can be read: decisions of the past, reviews that are open, policies, lists, the end of the journal.

use std::collections::BTreeMap;

use assay_domain::{Decision, Outcome};
use assay_journal::{Entry, Kind, Reader};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::fields::Query;
use super::view::View;
use super::{Asked, Problem, Which};
use crate::decisions::desk::Desk;
use crate::decisions::fold::{self, FoldError};
use crate::decisions::monitoring;
use crate::decisions::record::{Disposition, Glance, Label, moment};
use crate::decisions::scorer::Scorer;
use crate::http::answer::{self, Answer};
use crate::http::refusal::Refusal;

/// Decisions that are looked at for one page; a page may be shorter than asked for where few have the outcome.
const LOOKED_AT: usize = 10_000;

/// A page of decisions.
#[derive(Serialize)]
struct Decisions {
    decisions: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// A page of reviews.
#[expect(clippy::struct_field_names, reason = "its name in JSON")]
#[derive(Serialize)]
struct Reviews {
    open: usize,
    reviews: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// Decisions, latest first.
pub async fn list(asked: Asked) -> Result<Answer, Refusal> {
    const FORM: &str =
        "`limit` from 1 to 1000, `before` as `next` of the page before, `outcome` one of approve, review, challenge, decline";
    let query = Query::of(&asked.query, &["limit", "before", "outcome"], FORM)?;
    let (limit, before) = (query.limit(FORM)?, query.number("before", FORM)?.unwrap_or(u64::MAX));
    let wanted = query.text("outcome").map(|word| outcome(&word).ok_or(Problem::BadQuery(FORM))).transpose()?;
    beside(move || {
        let page = asked.desk.read(|reader| {
            let (mut found, mut at, mut looked_at) = (Vec::new(), before, 0);
            while found.len() < limit && looked_at < LOOKED_AT {
                let entries = reader.latest(Kind::Decision, at, limit as u64)?;
                let Some(last) = entries.last() else { return Ok(Decisions { decisions: found, next: None }) };
                at = last.sequence;
                looked_at += entries.len();
                for entry in &entries {
                    let decision: Decision = fold::body(&fold::borrowed(entry))?;
                    if found.len() < limit && wanted.is_none_or(|wanted| wanted == decision.outcome) {
                        found.extend(to_raw_value(&View::new(&decision, entry.arrived, None)));
                        at = entry.sequence;
                    } else if found.len() >= limit {
                        break;
                    }
                }
            }
            Ok(Decisions { decisions: found, next: Some(at.to_string()) })
        });
        raw(&page?)
    })
    .await
}

/// One decision, with everything that it was made from and its reasons.
pub async fn show(asked: Asked) -> Result<Answer, Refusal> {
    beside(move || {
        let Asked { desk, name, .. } = &asked;
        let found = desk.read(|reader| {
            let Some(entry) = reader.find(Kind::Decision, name)? else { return Ok(None) };
            Ok(Some((labels(reader, name)?, dispositions(reader, name)?, entry)))
        })?;
        let Some((labels, dispositions, entry)) = found else { return Err(Problem::NotFound) };
        explained(desk, &entry, Some((labels, dispositions)))
    })
    .await
}

/// What waits for a person, oldest first.
pub async fn reviews(asked: Asked) -> Result<Answer, Refusal> {
    const FORM: &str = "`limit` from 1 to 1000, `after` as `next` of the page before";
    let query = Query::of(&asked.query, &["limit", "after"], FORM)?;
    let (limit, after) = (query.limit(FORM)?, query.number("after", FORM)?.unwrap_or(0));
    let waiting = asked.desk.ask(move |owner, reply| {
        let reviews = &owner.state.reviews;
        reply.send((reviews.len(), reviews.after(after, limit)));
    });
    let (open, page) = waiting.await.map_err(Problem::from)?;
    beside(move || {
        let mut found = Vec::with_capacity(page.len());
        for (sequence, _) in &page {
            let entry = asked.desk.read(|reader| Ok(reader.entry(*sequence)?))?;
            found.extend(entry.map(|entry| explained(&asked.desk, &entry, None)).transpose()?);
        }
        let next = (page.len() == limit).then(|| page.last().map(|(sequence, _)| sequence.to_string())).flatten();
        raw(&Reviews { open, reviews: found, next })
    })
    .await
}

/// A policy as it was given.
pub async fn policy(asked: &Asked, which: Which) -> Result<Answer, Refusal> {
    let found = asked.desk.ask(move |owner, reply| {
        let engine = &owner.state.engine;
        reply.send(match which {
            Which::Live => Some(json!(engine.policy())),
            Which::Shadow => engine.shadow_policy().map(|policy| json!(policy)),
        });
    });
    let found = found.await.map_err(Problem::from)?;
    Ok(answer::json(found.ok_or(Problem::NoShadow)?.to_string()))
}

/// What came of each rule since the policy decides, or the server runs.
pub async fn rules(asked: &Asked) -> Result<Answer, Refusal> {
    let found = asked.desk.ask(move |owner, reply| {
        let engine = &owner.state.engine;
        let rules: Vec<Value> = engine
            .rule_counts()
            .map(|(id, count)| {
                json!({ "id": id, "hits": count.hits, "snoozed": count.snoozed, "unknown": count.unknown, "errors": count.errors })
            })
            .collect();
        reply.send(json!({ "policy_version": engine.policy().version, "rules": rules }));
    });
    Ok(answer::json(found.await.map_err(Problem::from)?.to_string()))
}

/// All lists.
pub async fn lists(asked: &Asked) -> Result<Answer, Refusal> {
    let found = asked.desk.ask(move |owner, reply| {
        let lists = owner.state.engine.lists();
        let all: Vec<Value> = lists
            .names()
            .iter()
            .filter_map(|(name, ..)| lists.list(name))
            .map(|list| json!({ "list": list.name(), "kind": list.kind(), "entries": list.len() }))
            .collect();
        reply.send(json!({ "lists": all }));
    });
    Ok(answer::json(found.await.map_err(Problem::from)?.to_string()))
}

/// What is on a list, in pages.
pub async fn entries(asked: &Asked) -> Result<Answer, Refusal> {
    const FORM: &str = "`limit` from 1 to 1000, `after` as `next` of the page before";
    let query = Query::of(&asked.query, &["limit", "after"], FORM)?;
    let (limit, after) = (query.limit(FORM)?, query.number("after", FORM)?.unwrap_or(0));
    let after = usize::try_from(after).map_err(|_| Problem::BadQuery(FORM))?;
    let name = asked.name.clone();
    let found = asked.desk.ask(move |owner, reply| {
        let page = owner.state.engine.lists().list(&name).map(|list| {
            let entries: Vec<Value> = list.entries().skip(after).take(limit).map(|entry| json!(entry)).collect();
            let next = (after + entries.len() < list.len()).then(|| (after + entries.len()).to_string());
            json!({ "list": list.name(), "kind": list.kind(), "entries": entries, "next": next })
        });
        reply.send(page);
    });
    Ok(answer::json(found.await.map_err(Problem::from)?.ok_or(Problem::NoList)?.to_string()))
}

/// Where the journal ends: to be kept elsewhere, so that what was changed or taken away shows.
pub async fn journal(asked: &Asked) -> Result<Answer, Refusal> {
    let head = asked.desk.ask(|owner, reply| reply.send(owner.head())).await.map_err(Problem::from)?;
    Ok(answer::json(json!({ "head": head.to_string(), "entries": head.sequence }).to_string()))
}

/// How things stand: drift, decisions, labels, quality, the governor.
pub async fn monitor(asked: Asked) -> Result<Answer, Refusal> {
    beside(move || RawValue::from_string(monitoring::json(&asked.desk.lookout.latest())).map_err(|_| Problem::Unreadable)).await
}

/// A decision with everything that it was made from.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    view: View<'a>,
    sequence: u64,
    latency_us: Option<u64>,
    transaction: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<BTreeMap<&'a str, Option<f64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dispositions: Option<Value>,
}

/// A decision with its transaction, its features, its reasons, and what became known of it.
fn explained(desk: &Desk, entry: &Entry, known: Option<(Value, Value)>) -> Result<Box<RawValue>, Problem> {
    let borrowed = fold::borrowed(entry);
    let decision: Decision = fold::body(&borrowed)?;
    let glance: Glance = fold::body(&borrowed)?;
    let scorer = desk.scorer(&decision.model_version)?;
    let mut transaction: Map<String, Value> = serde_json::from_str(glance.transaction.get()).map_err(|_| Problem::Unreadable)?;
    if let Some(personal) = &entry.personal {
        transaction.extend(serde_json::from_str::<Map<String, Value>>(personal).map_err(|_| Problem::Unreadable)?);
    }
    let named = |scorer: &'_ Scorer| -> Vec<String> {
        scorer.model().artifact().features().iter().map(|feature| feature.name.clone()).collect()
    };
    let names = scorer.as_deref().map(named);
    let features = names.as_ref().map(|names| {
        let values = decision.row.iter().map(|&value| (!value.is_nan()).then_some(value));
        names.iter().map(String::as_str).zip(values).collect()
    });
    let (labels, dispositions) = known.unzip();
    let reasons = scorer.and_then(|scorer| scorer.reasons(&decision));
    let view = View::new(&decision, entry.arrived, reasons);
    let (sequence, latency_us) = (entry.sequence, glance.latency_us);
    to_raw_value(&Explained { view, sequence, latency_us, transaction, features, labels, dispositions })
        .map_err(|_| Problem::Unreadable)
}

fn labels(reader: &Reader, id: &str) -> Result<Value, FoldError> {
    let mut told = Vec::new();
    for entry in reader.labels_of(id)? {
        let label: Label = fold::body(&fold::borrowed(&entry))?;
        told.push(
            json!({ "label": label.label, "source": label.source, "learnt": label.learnt, "arrived": moment(entry.arrived) }),
        );
    }
    Ok(told.into())
}

fn dispositions(reader: &Reader, id: &str) -> Result<Value, FoldError> {
    let mut told = Vec::new();
    for entry in reader.all(Kind::Disposition, id)? {
        let found: Disposition = fold::body(&fold::borrowed(&entry))?;
        told.push(json!({
            "disposition": found.disposition, "reviewer": found.reviewer, "note": found.note, "arrived": moment(entry.arrived),
        }));
    }
    Ok(told.into())
}

fn outcome(word: &str) -> Option<Outcome> {
    Outcome::ALL.into_iter().find(|outcome| outcome.name() == word)
}

/// Does `work` where waiting for the disk harms nobody.
async fn beside(work: impl FnOnce() -> Result<Box<RawValue>, Problem> + Send + 'static) -> Result<Answer, Refusal> {
    let found = spawn_blocking(work).await.map_err(|_| Refusal::Internal)?;
    Ok(answer::json(String::from(Box::<str>::from(found?))))
}

fn raw(page: &impl Serialize) -> Result<Box<RawValue>, Problem> {
    to_raw_value(page).map_err(|_| Problem::Unreadable)
}
