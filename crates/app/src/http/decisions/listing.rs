//! What can be read: decisions of the past, reviews that are open, policies, lists, the end of the journal.

use assay_domain::{Decision, Outcome};
use assay_journal::{Entry, Kind, Reader};
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::fields::Query;
use super::view::View;
use super::{Asked, Problem, Which};
use crate::decisions::desk::Desk;
use crate::decisions::fold::{self, FoldError};
use crate::decisions::record::{Disposition, Glance, Label, moment};
use crate::http::answer::{self, Answer};
use crate::http::refusal::Refusal;

/// Decisions that are looked at for one page; a page may be shorter than asked for where few have the outcome.
const LOOKED_AT: usize = 10_000;

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
                let Some(last) = entries.last() else { return Ok(json!({ "decisions": found, "next": null })) };
                at = last.sequence;
                looked_at += entries.len();
                for entry in &entries {
                    let decision: Decision = fold::body(&fold::borrowed(entry))?;
                    if found.len() < limit && wanted.is_none_or(|wanted| wanted == decision.outcome) {
                        found.push(json!(View::new(&decision, entry.arrived, None)));
                        at = entry.sequence;
                    } else if found.len() >= limit {
                        break;
                    }
                }
            }
            Ok(json!({ "decisions": found, "next": at.to_string() }))
        });
        page.map_err(Problem::from)
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
        let mut whole = explained(desk, &entry)?;
        whole.insert("labels".into(), labels);
        whole.insert("dispositions".into(), dispositions);
        Ok(whole.into())
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
            found.extend(entry.map(|entry| explained(&asked.desk, &entry)).transpose()?);
        }
        let next = (page.len() == limit).then(|| page.last().map(|(sequence, _)| sequence.to_string())).flatten();
        Ok(json!({ "open": open, "reviews": found, "next": next }))
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

/// A decision with its transaction, its features and its reasons.
fn explained(desk: &Desk, entry: &Entry) -> Result<Map<String, Value>, Problem> {
    let borrowed = fold::borrowed(entry);
    let read = || -> Result<_, FoldError> { Ok((fold::body::<Decision>(&borrowed)?, fold::body::<Glance>(&borrowed)?)) };
    let (decision, glance) = read()?;
    let scorer = desk.scorer(&decision.model_version)?;
    let reasons = scorer.as_ref().and_then(|scorer| scorer.reasons(&decision));
    let Value::Object(mut whole) = json!(View::new(&decision, entry.arrived, reasons)) else { return Err(Problem::Unreadable) };
    let mut fields: Map<String, Value> = serde_json::from_str(glance.transaction.get()).map_err(|_| Problem::Unreadable)?;
    if let Some(personal) = &entry.personal {
        fields.extend(serde_json::from_str::<Map<String, Value>>(personal).map_err(|_| Problem::Unreadable)?);
    }
    whole.insert("transaction".into(), fields.into());
    if let Some(scorer) = scorer {
        let named = scorer.model().artifact().features().iter().zip(&decision.row);
        let features: Map<String, Value> = named
            .map(|(feature, &value)| (feature.name.clone(), if value.is_nan() { Value::Null } else { json!(value) }))
            .collect();
        whole.insert("features".into(), features.into());
    }
    whole.insert("sequence".into(), entry.sequence.into());
    Ok(whole)
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
async fn beside(work: impl FnOnce() -> Result<Value, Problem> + Send + 'static) -> Result<Answer, Refusal> {
    let found = spawn_blocking(work).await.map_err(|_| Refusal::Internal)?;
    Ok(answer::json(found?.to_string()))
}
