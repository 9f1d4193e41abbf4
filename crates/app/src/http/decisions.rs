//! `/v1/decisions` and what belongs to it: decisions, labels, reviews, policies, lists. Decided by [`crate::decisions`], told here.

mod asking;
mod changes;
mod fields;
mod listing;
mod problem;
mod view;

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::{Method, Request};
use percent_encoding::percent_decode_str;

pub use problem::Problem;

use super::answer::{self, Answer};
use super::body;
use super::models::Models;
use super::progress::Progress;
use super::refusal::Refusal;
use super::worker::Worker;
use crate::decisions::desk::Desk;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    /// Decisions about transactions.
    Decide,
    /// The decisions of the past, latest first.
    List,
    /// One of them, with its reasons.
    Show,
    /// What became known of transactions.
    Label,
    /// What waits for a person.
    Reviews,
    /// What a person made of it.
    Dispose,
    /// The policy, or its shadow.
    ShowPolicy(Which),
    /// Another one.
    ChangePolicy(Which),
    /// No policy is tried out any more.
    EndShadow,
    /// What came of each rule.
    Rules,
    /// A rule sleeps.
    Snooze,
    /// Declines hold again.
    Release,
    /// All lists.
    Lists,
    /// What is on one.
    ShowList,
    /// A new one.
    CreateList,
    /// One goes.
    DropList,
    /// Entries come.
    AddEntries,
    /// Entries go.
    RemoveEntries,
    /// What has expired goes.
    Prune,
    /// The fields of a person go.
    Erase,
    /// Where the journal ends.
    Journal,
    /// How things stand.
    Monitor,
}

/// Which policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    /// The one that decides.
    Live,
    /// The one that is tried out.
    Shadow,
}

/// A call as it came.
struct Asked {
    desk: Arc<Desk>,
    models: Arc<Models>,
    /// The segment of the path that is a name or an id.
    name: String,
    query: String,
    /// The id of the key.
    key: Option<String>,
}

/// Answers `call`; `key` is the id of the key it came with.
pub async fn answer(
    call: Call,
    key: Option<String>,
    request: Request<Incoming>,
    worker: &Rc<Worker>,
    progress: &Rc<Progress>,
) -> Answer {
    answered(call, key, request, worker, progress).await.unwrap_or_else(|refusal| answer::refusal(&refusal))
}

async fn answered(
    call: Call,
    key: Option<String>,
    request: Request<Incoming>,
    worker: &Rc<Worker>,
    progress: &Rc<Progress>,
) -> Result<Answer, Refusal> {
    let (head, incoming) = request.into_parts();
    let found = worker.shared.decisions.clone().ok_or(Problem::NoDataFolder);
    let open = found.and_then(|desk| desk.open().map(|_| desk).map_err(Problem::from));
    // A page that its reader's browser was led to could otherwise ask a server that only this machine reaches.
    let from_page = !matches!(head.method, Method::GET | Method::HEAD) && head.headers.contains_key(ORIGIN);
    let desk = match open {
        Ok(desk) if !from_page => desk,
        refused => {
            body::pass_over(incoming, worker, progress).await;
            return Err(refused.err().unwrap_or(Problem::FromPage).into());
        }
    };
    // As in `/v1/lists/{name}/entries`, or `/v1/policy/rules/{id}/snooze`.
    let place = if call == Call::Snooze { 4 } else { 3 };
    let name = head.uri.path().split('/').nth(place).unwrap_or_default();
    let name = percent_decode_str(name).decode_utf8().map_err(|_| Problem::NotFound)?.into_owned();
    let models = worker.shared.models.clone();
    let asked = Asked { desk, models, name, query: head.uri.query().unwrap_or_default().to_owned(), key };
    let limits = &worker.shared.settings.limits;
    match call {
        Call::Decide => {
            let body = body::read(incoming, worker, progress).await?;
            asking::decide(&asked, &body, limits.rows.get()).await
        }
        Call::Label
        | Call::Dispose
        | Call::ChangePolicy(_)
        | Call::Snooze
        | Call::CreateList
        | Call::AddEntries
        | Call::RemoveEntries
        | Call::Prune => {
            let body = body::read(incoming, worker, progress).await?;
            changes::change(call, asked, &body, limits.rows.get()).await
        }
        Call::EndShadow | Call::Release | Call::DropList | Call::Erase => {
            body::pass_over(incoming, worker, progress).await;
            changes::change(call, asked, &[], 0).await
        }
        Call::List => listing::list(asked).await,
        Call::Show => listing::show(asked).await,
        Call::Reviews => listing::reviews(asked).await,
        Call::ShowPolicy(which) => listing::policy(&asked, which).await,
        Call::Rules => listing::rules(&asked).await,
        Call::Lists => listing::lists(&asked).await,
        Call::ShowList => listing::entries(&asked).await,
        Call::Journal => listing::journal(&asked).await,
        Call::Monitor => listing::monitor(asked).await,
    }
}
