//! What can be changed: labels, reviews, policies, lists, the fields of a person.

use assay_engine::Policy;
use assay_engine::lists::{Entry, ListChange, ListKind, ListValue, Provenance};
use assay_journal::MAX_TEXT;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fields::{Query, check_json, check_text, check_value, read};
use super::{Asked, Call, Problem, Which};
use crate::clock;
use crate::decisions::owner::{LabelProblem, Told};
use crate::decisions::record::{self, Disposition, Finding, Label, ListEntry, Part, PolicyChange, Truth, moment};
use crate::http::answer::{self, Answer};
use crate::http::refusal::Refusal;

/// How much longer an entry of a list may be in the journal than it was sent, at most: `{"value":1},` has all its fields there.
const ENTRY_GROWTH: usize = 8;

const LABEL_FORM: &str = "{\"transaction_id\": \"…\", \"label\": \"fraud\" or \"genuine\", \"source\": \"chargeback\", \"learnt\": \"2026-09-30T12:00:00Z\"}, or an array of them";
const DISPOSITION_FORM: &str =
    "{\"disposition\": \"confirmed_fraud\", \"false_positive\" or \"inconclusive\", \"reviewer\": \"…\", \"note\": \"…\"}";
const SNOOZE_FORM: &str = "{\"until\": \"2026-09-30T12:00:00Z\"}, or {\"until\": null} to wake the rule";
const LIST_FORM: &str = "{\"kind\": \"text\"} or {\"kind\": \"bigint\"}";
const ENTRIES_FORM: &str = "{\"entries\": [{\"value\": …, \"expires\": \"2026-12-31T00:00:00Z\", \"source\": \"…\", \"note\": \"…\"}]}, at most as many as --max-rows says";
const VALUES_FORM: &str = "{\"values\": […]}, at most as many as --max-rows says";
const PRUNE_FORM: &str = "{\"before\": \"2026-09-30T12:00:00Z\"}, or {} for now";
const REPLACES_FORM: &str = "empty, or ?replaces= with the version of the policy that is changed";

/// Makes a change that has a body of at most `limit` items.
pub async fn change(call: Call, asked: Asked, body: &[u8], limit: usize) -> Result<Answer, Refusal> {
    match call {
        Call::Label => label(asked, body, limit).await,
        Call::Dispose => dispose(asked, body).await,
        Call::ChangePolicy(which) => policy(asked, which, body).await,
        Call::EndShadow => {
            change_policy(&asked, Part::Shadow, None, None).await?;
            Ok(answer::empty())
        }
        Call::Snooze => snooze(asked, body).await,
        Call::Release => release(asked).await,
        Call::Erase => erase(asked).await,
        _ => list(call, asked, body, limit).await,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelBody {
    transaction_id: Id,
    label: Truth,
    #[serde(default)]
    source: String,
    #[serde(default)]
    learnt: Option<String>,
}

/// The id of a transaction, as its column has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Integer(i64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Labels {
    One(LabelBody),
    Many(Vec<LabelBody>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Taken {
    Label { transaction_id: String, label: Truth, is_new: bool },
    Problem { error: String, code: &'static str },
}

async fn label(asked: Asked, body: &[u8], limit: usize) -> Result<Answer, Refusal> {
    let (labels, is_one) = match read(body, LABEL_FORM)? {
        Labels::One(one) => (vec![one], true),
        Labels::Many(many) => (many, false),
    };
    if labels.len() > limit {
        return Err(Refusal::TooManyRows { limit });
    }
    let mut told = Vec::with_capacity(labels.len());
    for LabelBody { transaction_id, label, source, learnt } in labels {
        check_text("source", &source, LABEL_FORM)?;
        let id = match transaction_id {
            Id::Text(id) => id,
            Id::Integer(id) => id.to_string(),
        };
        let learnt = learnt.map(|text| time(&text).ok_or(Problem::BadBody(LABEL_FORM))).transpose()?;
        let label = Label { label, source, learnt: String::new(), by: asked.key.clone() };
        told.push(Told { id, label, learnt });
    }
    let named: Vec<(String, Truth)> = told.iter().map(|told| (told.id.clone(), told.label.label)).collect();
    let taken = asked.desk.ask(move |owner, reply| owner.label(told, reply)).await.map_err(Problem::from)?;
    let mut answers = named.into_iter().zip(taken);
    if is_one {
        let ((transaction_id, label), taken) = answers.next().ok_or(Refusal::Internal)?;
        let is_new = taken.map_err(Problem::from)?;
        return json_of(&Taken::Label { transaction_id, label, is_new });
    }
    let item = |((transaction_id, label), taken): ((String, Truth), Result<bool, LabelProblem>)| match taken {
        Ok(is_new) => Taken::Label { transaction_id, label, is_new },
        Err(problem) => Taken::Problem { error: problem.to_string(), code: Problem::from(problem).code() },
    };
    let labels: Vec<Taken> = answers.map(item).collect();
    json_of(&json!({ "labels": labels }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DispositionBody {
    disposition: Finding,
    #[serde(default)]
    reviewer: String,
    #[serde(default)]
    note: String,
}

async fn dispose(asked: Asked, body: &[u8]) -> Result<Answer, Refusal> {
    let DispositionBody { disposition, reviewer, note } = read(body, DISPOSITION_FORM)?;
    check_text("reviewer", &reviewer, DISPOSITION_FORM)?;
    check_text("note", &note, DISPOSITION_FORM)?;
    let Asked { desk, name, key, .. } = asked;
    let (id, found) = (name.clone(), Disposition { disposition, reviewer, note, by: key });
    desk.ask(move |owner, reply| owner.dispose(id, &found, reply)).await.map_err(Problem::from)?.map_err(Problem::from)?;
    json_of(&json!({ "decision_id": name, "disposition": disposition, "label": disposition.truth() }))
}

async fn policy(asked: Asked, which: Which, body: &[u8]) -> Result<Answer, Refusal> {
    let query = Query::of(&asked.query, &["replaces"], REPLACES_FORM)?;
    let replaces = query.text("replaces");
    let text = std::str::from_utf8(body).map_err(|_| Problem::BadBody("a policy in UTF-8"))?;
    // Before anything else is said of it: what is wrong is told with the rule's id and the words of its condition.
    check_json("policy", text)?;
    let policy = Policy::parse(text).map_err(Problem::from)?;
    let part = if which == Which::Live { Part::Live } else { Part::Shadow };
    let shown = json!(policy);
    change_policy(&asked, part, Some(policy), replaces).await?;
    json_of(&shown)
}

/// Takes a policy, or none.
async fn change_policy(asked: &Asked, part: Part, policy: Option<Policy>, replaces: Option<String>) -> Result<(), Refusal> {
    let change = PolicyChange { part, policy, by: asked.key.clone() };
    let changed = asked.desk.ask(move |owner, reply| owner.change_policy(change, replaces.as_deref(), reply));
    Ok(changed.await.map_err(Problem::from)?.map_err(Problem::from)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnoozeBody {
    until: Option<String>,
}

async fn snooze(asked: Asked, body: &[u8]) -> Result<Answer, Refusal> {
    let SnoozeBody { until } = read(body, SNOOZE_FORM)?;
    let until = until.map(|text| time(&text).ok_or(Problem::BadBody(SNOOZE_FORM))).transpose()?;
    let Asked { desk, name, key, .. } = asked;
    let snoozed = desk.ask(move |owner, reply| owner.snooze(&name, until, key, reply)).await.map_err(Problem::from)?;
    let version = snoozed.map_err(Problem::from)?;
    json_of(&json!({ "policy_version": version, "until": until.map(moment) }))
}

async fn release(asked: Asked) -> Result<Answer, Refusal> {
    let key = asked.key;
    let released = asked.desk.ask(move |owner, reply| owner.release(key.as_deref(), reply)).await.map_err(Problem::from)?;
    json_of(&released.ok_or(Problem::NothingHeldBack)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindBody {
    kind: ListKind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntriesBody {
    entries: Vec<EntryBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryBody {
    value: ListValue,
    #[serde(default)]
    expires: Option<String>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    note: String,
}

impl EntryBody {
    /// The entry, by the one with this key where it names nobody.
    fn entry(self, key: Option<&String>) -> Result<Entry, Problem> {
        let Self { value, expires, source, mut author, note } = self;
        check_value(&value)?;
        for (field, text) in [("source", &source), ("author", &author), ("note", &note)] {
            check_text(field, text, ENTRIES_FORM)?;
        }
        if author.is_empty() {
            author = key.cloned().unwrap_or_default();
        }
        let expires = expires.map(|text| time(&text).ok_or(Problem::BadBody(ENTRIES_FORM))).transpose()?;
        Ok(Entry { value, expires, provenance: Provenance { source, author, note } })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValuesBody {
    values: Vec<ListValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PruneBody {
    #[serde(default)]
    before: Option<String>,
}

async fn list(call: Call, asked: Asked, body: &[u8], limit: usize) -> Result<Answer, Refusal> {
    let list = asked.name.clone();
    if assay_domain::card_data::holds_card_number(&list) {
        return Err(Problem::CardNumber("name").into());
    }
    let change = match call {
        Call::CreateList => ListChange::Create { list, kind: read::<KindBody>(body, LIST_FORM)?.kind },
        Call::AddEntries => {
            let EntriesBody { entries } = read(body, ENTRIES_FORM)?;
            refuse_many(entries.len(), limit)?;
            let entries = entries.into_iter().map(|entry| entry.entry(asked.key.as_ref())).collect::<Result<_, _>>()?;
            ListChange::Add { list, entries }
        }
        Call::RemoveEntries => {
            let ValuesBody { values } = read(body, VALUES_FORM)?;
            refuse_many(values.len(), limit)?;
            for value in &values {
                check_value(value)?;
            }
            ListChange::Remove { list, values }
        }
        Call::Prune => {
            let PruneBody { before } = read(body, PRUNE_FORM)?;
            let before = before.map(|text| time(&text).ok_or(Problem::BadBody(PRUNE_FORM))).transpose()?;
            ListChange::Prune { list, before: Some(before.unwrap_or_else(clock::microseconds)) }
        }
        _ => ListChange::Drop { list },
    };
    let Asked { desk, name, key, .. } = asked;
    let asked_for = name.clone();
    let change = ListEntry { list: change, by: key };
    // What the journal cannot hold as one entry would stop the one that writes.
    if body.len() > MAX_TEXT / ENTRY_GROWTH && record::json(&change).len() > MAX_TEXT {
        return Err(Refusal::BodyTooLarge { limit: MAX_TEXT });
    }
    let changed = desk.ask(move |owner, reply| owner.change_list(change, asked_for, reply)).await.map_err(Problem::from)?;
    let Some(left) = changed.map_err(Problem::from)? else { return Ok(answer::empty()) };
    let mut answer = json_of(&json!({ "list": name, "entries": left }))?;
    if call == Call::CreateList {
        *answer.status_mut() = StatusCode::CREATED;
    }
    Ok(answer)
}

async fn erase(asked: Asked) -> Result<Answer, Refusal> {
    let Asked { desk, name, .. } = asked;
    let erased = desk.ask(move |owner, reply| owner.erase(&name, reply)).await.map_err(Problem::from)?;
    let erased = erased.ok_or(Problem::Label(LabelProblem::Unknown))?;
    json_of(&json!({ "erased_entries": erased.sequences.len(), "is_gone_from_log": erased.is_gone_from_log }))
}

fn refuse_many(items: usize, limit: usize) -> Result<(), Refusal> {
    if items > limit { Err(Refusal::TooManyRows { limit }) } else { Ok(()) }
}

fn json_of(value: &impl Serialize) -> Result<Answer, Refusal> {
    Ok(answer::json(serde_json::to_vec(value).map_err(|_| Refusal::Internal)?))
}

fn time(text: &str) -> Option<i64> {
    assay_domain::time::parse(text.as_bytes())
}
