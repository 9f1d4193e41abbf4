//! What may be asked and changed of the models over HTTP. None of it runs on a serving thread: it may wait for the disk.

use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::ORIGIN;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use super::loader::Upload;
use super::model::is_name;
use super::{Book, Changed, Models, Problem, Uploading, not_written};
use crate::http::answer::{self, Answer};
use crate::http::body;
use crate::http::limits::UPLOAD_TIME;
use crate::http::progress::{Progress, Stage};
use crate::http::refusal::Refusal;
use crate::http::worker::Worker;
use crate::model_folder::{ModelFolder, Named};

/// Pieces of an upload between the network and the disk.
const PIECES: usize = 4;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    /// All models.
    List,
    /// One of them.
    Show,
    /// A new one comes.
    Upload,
    /// It becomes active.
    Activate,
    /// What was active before becomes active again.
    RollBack,
    /// It scores without answering, or ceases to.
    Shadow,
    /// It answers a share.
    RollOut,
    /// It leaves.
    Delete,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShadowSetting {
    on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RolloutSetting {
    percent: f64,
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
    let models = worker.shared.models.clone();
    let (head, incoming) = request.into_parts();
    // A page that its reader's browser was led to could otherwise post to a server that only this machine reaches.
    if !matches!(call, Call::List | Call::Show) && head.headers.contains_key(ORIGIN) {
        return Err(Problem::FromPage.into());
    }
    // As in `/v1/models/{name}/activate`.
    let name = head.uri.path().split('/').nth(3).unwrap_or_default().to_owned();
    match call {
        Call::List => beside(move || Ok(list(&models))).await,
        Call::Show => beside(move || show(&models.book(), &models, &name)).await,
        Call::Activate => switched(move || changed(&models, key, &name, |book| book.activated(&name))).await,
        Call::RollBack => {
            let roll_back = move || {
                let changed = models.change(key, Book::rolled_back)?;
                let filling = models.filling.now().map(|progress| progress.model.name.clone());
                let book = models.book();
                Ok((show(&book, &models, filling.as_deref().unwrap_or(&book.state.active.name))?, changed))
            };
            switched(roll_back).await
        }
        Call::Shadow => {
            let ShadowSetting { on } = setting(incoming, worker, progress, "{\"on\": true} or {\"on\": false}").await?;
            switched(move || shadowed(&models, key, &name, on)).await
        }
        Call::RollOut => {
            const FORM: &str = "{\"percent\": 10}, with a number from 0 to 100";
            let RolloutSetting { percent } = setting(incoming, worker, progress, FORM).await?;
            if !(0.0..=100.0).contains(&percent) {
                return Err(Problem::BadSetting(FORM).into());
            }
            switched(move || changed(&models, key, &name, |book| book.rolled_out(&name, percent))).await
        }
        Call::Delete => beside(move || delete(&models, key, &name)).await,
        Call::Upload => upload(&models, head.uri.query(), incoming, worker, progress).await,
    }
}

/// Does `work` where waiting harms nobody.
async fn beside(work: impl FnOnce() -> Result<Value, Problem> + Send + 'static) -> Result<Answer, Refusal> {
    let found = spawn_blocking(work).await.map_err(|_| Refusal::Internal)?;
    Ok(answer::json(found?.to_string()))
}

async fn setting<T: DeserializeOwned>(
    incoming: Incoming,
    worker: &Rc<Worker>,
    progress: &Rc<Progress>,
    form: &'static str,
) -> Result<T, Refusal> {
    let body = body::read(incoming, worker, progress).await?;
    serde_json::from_slice(&body).map_err(|_| Problem::BadSetting(form).into())
}

/// The same for a change, which may be made later.
async fn switched(work: impl FnOnce() -> Result<(Value, Changed), Problem> + Send + 'static) -> Result<Answer, Refusal> {
    let (shown, changed) = spawn_blocking(work).await.map_err(|_| Refusal::Internal)??;
    let mut answer = answer::json(shown.to_string());
    if changed == Changed::Filling {
        *answer.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(answer)
}

fn changed(
    models: &Arc<Models>,
    by: Option<String>,
    name: &str,
    decide: impl FnOnce(&Book) -> Result<crate::model_folder::State, Problem>,
) -> Result<(Value, Changed), Problem> {
    let changed = models.change(by, decide)?;
    Ok((show(&models.book(), models, name)?, changed))
}

/// A shadow with another definition scores once its features have caught up.
fn shadowed(models: &Arc<Models>, by: Option<String>, name: &str, on: bool) -> Result<(Value, Changed), Problem> {
    let follower = || models.now().followers.iter().find(|one| one.shadow.model.name == name).cloned();
    let had_joined = follower().is_some_and(|follower| follower.joined_at().is_some());
    let (shown, changed) = changed(models, by, name, |book| book.shadowed(name, on))?;
    Ok((shown, if follower().is_some() && !had_joined { Changed::Filling } else { changed }))
}

/// What it did ends first, then its file goes, then the model: should the folder refuse, the model is still there to be deleted.
fn delete(models: &Arc<Models>, by: Option<String>, name: &str) -> Result<Value, Problem> {
    let mut book = models.book();
    let state = book.forgotten(name)?;
    let folder = models.folder.as_ref().ok_or(Problem::NoFolder)?;
    models.settle_rollout(&mut book, state, by)?;
    folder.remove(name).map_err(|error| not_written(&error))?;
    book.entries.remove(name);
    models.publish(&book);
    tracing::info!(model = name, "a model was deleted");
    Ok(json!({ "deleted": name }))
}

fn list(models: &Models) -> Value {
    let book = models.book();
    let all: Vec<Value> = book.entries.keys().filter_map(|name| show(&book, models, name).ok()).collect();
    let label = |named: &Named| format!("{}@{}", named.name, named.version);
    json!({ "active": label(&book.state.active), "previous": book.state.previous.as_ref().map(label), "models": all })
}

/// What is known of one model.
fn show(book: &Book, models: &Models, name: &str) -> Result<Value, Problem> {
    let entry = book.entries.get(name).ok_or(Problem::NotFound)?;
    let mut about = Map::new();
    about.insert("name".into(), name.into());
    about.insert("state".into(), "refused".into());
    if let Some(reason) = entry.refused {
        about.insert("refused".into(), json!({ "reason": reason.word(), "sentence": reason.sentence() }));
    }
    if let Some(model) = &entry.model {
        let manifest = model.artifact.manifest();
        about.insert("version".into(), model.version.as_str().into());
        about.insert("learner".into(), manifest.learner_name().into());
        about.insert("fingerprint".into(), manifest.fingerprint.as_str().into());
        about.insert("features".into(), manifest.features.len().into());
        about.insert("threshold".into(), model.threshold().into());
        about.insert("made_by".into(), manifest.made_by.as_str().into());
        about.insert("origin".into(), model.origin.as_str().into());
        about.insert("requests".into(), model.requests.get().into());
        let lineup = models.now();
        let shadow = lineup.all_shadows().find(|shadow| Arc::ptr_eq(&shadow.model, model));
        let follower = lineup.follower(model);
        let rollout = book.state.rollout.as_ref().filter(|rollout| model.is(&rollout.model));
        let filling = models.filling.now().filter(|progress| model.is(&progress.model));
        let entries = filling.as_ref().map(|progress| progress.entries());
        let entries = entries.or_else(|| follower.and_then(|follower| follower.filling()));
        if let Some((done, of)) = entries {
            about.insert("filling".into(), json!({ "done": done, "of": of }));
        }
        let state = match (shadow, rollout) {
            _ if model.is(&book.state.active) => "active",
            _ if entries.is_some() => "filling",
            (Some(_), _) => "shadow",
            (_, Some(_)) => "rollout",
            _ => "loaded",
        };
        about.insert("state".into(), state.into());
        about.insert("previous".into(), book.state.previous.as_ref().is_some_and(|previous| model.is(previous)).into());
        if let Some(rollout) = rollout {
            about.insert("percent".into(), rollout.percent.into());
        }
        if let Some(shadow) = shadow {
            let rows = shadow.rows();
            let of_each = |sum: f64| if rows == 0 { Value::Null } else { (sum / rows as f64).into() };
            let mut figures = json!({
                "rows": rows,
                "mean_absolute_difference": of_each(shadow.differences.get_sample_sum()),
                "changed_flags": of_each(shadow.changed_flags.get() as f64),
            });
            if let Some((follower, joined_at)) = follower.and_then(|follower| Some((follower, follower.joined_at()?))) {
                figures["joined_at"] = joined_at.into();
                figures["through"] = follower.through().into();
            }
            about.insert("shadow".into(), figures);
        }
    }
    Ok(about.into())
}

/// Takes a model from the network to the disk, lets it be checked, and says what it is.
async fn upload(
    models: &Arc<Models>,
    query: Option<&str>,
    mut incoming: Incoming,
    worker: &Rc<Worker>,
    progress: &Rc<Progress>,
) -> Result<Answer, Refusal> {
    let folder = models.folder.clone().ok_or(Problem::NoFolder)?;
    let name = wanted_name(query)?;
    let limit = models.limits.bytes.get();
    if incoming.size_hint().lower() > limit {
        return Err(Problem::TooLarge { limit }.into());
    }
    models.room()?;
    let uploading = models.begin_upload().ok_or(Refusal::Busy)?;
    let (pieces, write) = writer(folder, uploading);
    let (limits, until) = (&worker.shared.settings.limits, worker.now() + UPLOAD_TIME);
    let mut bytes = 0;
    progress.enter(Stage::Body, worker.now(), limits);
    while let Some(piece) = body::next_piece(&mut incoming, worker, progress).await? {
        bytes += piece.len() as u64;
        if bytes > limit {
            return Err(Problem::TooLarge { limit }.into());
        }
        if worker.now() > until {
            return Err(Refusal::BodyTimeout { seconds: UPLOAD_TIME.as_secs_f64() });
        }
        // The patience of a body is that of each of its pieces here: a large model may take its time, but has to move.
        progress.enter(Stage::Body, worker.now(), limits);
        if pieces.send(piece).await.is_err() {
            // The disk refused; the writer says why.
            break;
        }
    }
    drop(pieces);
    let (file, _uploading) = write.await.map_err(|_| Refusal::Internal)??;
    let (reply, checked) = oneshot::channel();
    models.uploads.try_send(Upload { name, file, reply }).map_err(|_| Refusal::Busy)?;
    let model = checked.await.map_err(|_| Refusal::Internal)??;
    let models = models.clone();
    let mut answer = beside(move || show(&models.book(), &models, &model.name)).await?;
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}

/// The name asked for by `?name=…`.
fn wanted_name(query: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(None) };
    let name = query.strip_prefix("name=").filter(|name| is_name(name)).ok_or(Problem::BadName)?;
    Ok(Some(name.to_owned()))
}

type Written = JoinHandle<Result<(tempfile::NamedTempFile, Uploading), Problem>>;

/// Writes pieces into a file without a name, which goes away again unless it is kept.
fn writer(folder: Arc<ModelFolder>, uploading: Uploading) -> (mpsc::Sender<bytes::Bytes>, Written) {
    let (pieces, mut coming) = mpsc::channel::<bytes::Bytes>(PIECES);
    let write = move || {
        let mut file = folder.begin().map_err(|error| not_written(&error))?;
        while let Some(piece) = coming.blocking_recv() {
            file.write_all(&piece).map_err(|error| {
                tracing::error!("an upload could not be written: {error}");
                Problem::NotWritten
            })?;
        }
        Ok((file, uploading))
    };
    (pieces, spawn_blocking(write))
}
