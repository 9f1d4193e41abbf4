//! `POST /v1/decisions`: a transaction, or an array of them.

use std::fmt;
use std::sync::Arc;

use assay_domain::decision::ReasonCode;
use assay_domain::{Decision, Outcome};
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::view::View;
use super::{Asked, Problem};
use crate::clock;
use crate::decisions::desk::Open;
use crate::decisions::owner::{Answer as Decided, Made};
use crate::decisions::transaction::Transaction;
use crate::http::answer::{self, Answer};
use crate::http::refusal::Refusal;

/// What a request may be.
const FORM: &str = "JSON in UTF-8: a transaction as an object, or an array of them";

/// One answer among several.
#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Decision(View<'a>),
    Problem { error: String, code: &'static str },
}

#[derive(Serialize)]
struct Items<'a> {
    decisions: Vec<Item<'a>>,
}

/// Answers one object with its decision, an array item by item.
pub async fn decide(asked: &Asked, body: &[u8], limit: usize) -> Result<Answer, Refusal> {
    let open = asked.desk.open().map_err(Problem::from)?;
    let text = std::str::from_utf8(body).map_err(|_| Problem::BadBody(FORM))?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|_| Problem::BadBody(FORM))?;
    if !whole.get().starts_with('[') {
        let transaction = Transaction::read(whole.get(), &open.definition.plan.schema);
        let transaction = transaction.inspect_err(|_| asked.desk.figures.refused.inc()).map_err(Problem::from)?;
        let decided = ask(asked, vec![transaction]).await?.pop().ok_or(Refusal::Internal)?;
        let is_again = matches!(decided, Decided::Again(_));
        let made = made(&decided)?;
        let view = View::new(&made.decision, made.arrived, reasons(asked, &open, made).await?);
        let mut answer = answer::json(serde_json::to_vec(&view).map_err(|_| Refusal::Internal)?);
        if is_again {
            answer.headers_mut().insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
        }
        return Ok(answer);
    }
    let items = items(whole.get(), limit)?;
    let mut transactions = Vec::with_capacity(items.len());
    let mut problems = Vec::with_capacity(items.len());
    for item in items {
        match Transaction::read(item.get(), &open.definition.plan.schema) {
            Ok(transaction) => {
                transactions.push(transaction);
                problems.push(None);
            }
            Err(problem) => {
                asked.desk.figures.refused.inc();
                problems.push(Some(Problem::from(problem)));
            }
        }
    }
    let decided = ask(asked, transactions).await?;
    let mut explained = Vec::with_capacity(decided.len());
    for one in &decided {
        explained.push(match made(one) {
            Ok(made) => Ok((made, reasons(asked, &open, made).await?)),
            Err(problem) => Err(problem),
        });
    }
    let mut explained = explained.into_iter();
    let item = |problem: Option<Problem>| {
        let found = problem.map_or_else(|| explained.next().unwrap_or(Err(Problem::Unreadable)), Err);
        match found {
            Ok((made, reasons)) => Item::Decision(View::new(&made.decision, made.arrived, reasons)),
            Err(problem) => Item::Problem { error: problem.to_string(), code: problem.code() },
        }
    };
    let decisions = problems.into_iter().map(item).collect();
    Ok(answer::json(serde_json::to_vec(&Items { decisions }).map_err(|_| Refusal::Internal)?))
}

/// The items of an array; one of millions of tiny ones is refused before there is room for all of them.
fn items(array: &str, limit: usize) -> Result<Vec<&RawValue>, Refusal> {
    let mut items = Vec::new();
    let read = serde_json::Deserializer::from_str(array).deserialize_seq(AtMost { items: &mut items, limit });
    if items.len() > limit {
        return Err(Refusal::TooManyRows { limit });
    }
    read.map_err(|_| Problem::BadBody(FORM))?;
    Ok(items)
}

/// Reads items up to one more than the limit.
struct AtMost<'a, 'de> {
    items: &'a mut Vec<&'de RawValue>,
    limit: usize,
}

impl<'de> Visitor<'de> for AtMost<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while self.items.len() <= self.limit
            && let Some(item) = array.next_element()?
        {
            self.items.push(item);
        }
        Ok(())
    }
}

async fn ask(asked: &Asked, transactions: Vec<Transaction>) -> Result<Vec<Decided>, Refusal> {
    let now = clock::now();
    let decided = asked.desk.ask(move |owner, reply| owner.decide(transactions, now, reply)).await.map_err(Problem::from)?;
    let lineup = asked.models.now();
    for made in decided.iter().filter_map(|one| if let Decided::Made(made) = one { Some(made) } else { None }) {
        let Decision { model_version, row, probability, .. } = &made.decision;
        // Models that score beside the one that decides get its rows.
        if let (Some(by), Some(probability)) = (lineup.answering(model_version), probability) {
            asked.models.answered(&lineup, by, row, &[*probability]);
        }
    }
    Ok(decided)
}

fn made(decided: &Decided) -> Result<&Arc<Made>, Problem> {
    match decided {
        Decided::Made(made) | Decided::Again(made) => Ok(made),
        Decided::Conflict => Err(Problem::Conflict),
        Decided::Imported => Err(Problem::Imported),
        Decided::Refused(refusal) => Err(refusal.clone().into()),
    }
}

/// Reasons for what was not approved; they are made here, off the thread that decides.
async fn reasons(asked: &Asked, open: &Open, made: &Arc<Made>) -> Result<Option<Vec<ReasonCode>>, Refusal> {
    if made.decision.outcome == Outcome::Approve {
        return Ok(None);
    }
    if let Some(scorer) = open.scorer_of(&made.decision.model_version) {
        return Ok(scorer.reasons(&made.decision));
    }
    let (desk, made) = (asked.desk.clone(), made.clone());
    let found = spawn_blocking(move || {
        let scorer = desk.scorer(&made.decision.model_version)?;
        Ok::<_, Problem>(scorer.and_then(|scorer| scorer.reasons(&made.decision)))
    });
    Ok(found.await.map_err(|_| Refusal::Internal)??)
}
