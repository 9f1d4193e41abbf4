//! The thread that reads models: one at a time, looking into the folder once a second, and never in the way of a request.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::sync::oneshot;

use super::book::Entry;
use super::model::{Model, is_name};
use super::problem::Problem;
use super::reason::Reason;
use super::{Models, not_written};
use crate::clock;
use crate::model_file::{self, ModelFile};
use crate::model_folder::{ModelFolder, Sighting};

/// How often the folder is looked at. A file is judged once it looked the same twice, so that one that is being copied is left alone.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A model that was sent to us, whole but not checked.
pub struct Upload {
    /// What it is to be called; its version when it was not said.
    pub name: Option<String>,
    /// Its bytes.
    pub file: NamedTempFile,
    /// Who waits for the model, or for why not.
    pub reply: oneshot::Sender<Result<Arc<Model>, Problem>>,
}

/// Reads what is uploaded and what appears in the folder, until the server is gone.
pub fn run(models: &Arc<Models>, folder: &ModelFolder, uploads: &Receiver<Upload>) {
    let mut looker = Looker { models, folder, last: BTreeMap::new(), could_list: true };
    let mut next_look = clock::now() + LOOK_INTERVAL;
    loop {
        models.free_retired();
        match uploads.recv_timeout(next_look.saturating_duration_since(clock::now())) {
            Ok(Upload { name, file, reply }) => {
                // Nobody may be waiting any more; the model is there all the same.
                reply.send(take(models, folder, name.as_deref(), file)).ok();
            }
            Err(RecvTimeoutError::Timeout) => {
                looker.look();
                next_look = clock::now() + LOOK_INTERVAL;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Checks an upload and gives it its place.
fn take(models: &Arc<Models>, folder: &ModelFolder, name: Option<&str>, file: NamedTempFile) -> Result<Arc<Model>, Problem> {
    let refuse = |reason: Reason| {
        models.figures.refused(reason);
        // Its name is not repeated: what was refused has none yet.
        tracing::warn!(reason = reason.word(), "an upload was refused: {}", reason.sentence());
        Problem::Refused(reason)
    };
    models.room()?;
    let read = read(file.path(), models.limits.bytes.get()).map_err(refuse)?;
    let name = name.map_or_else(|| format!("model-{}", read.version()), str::to_owned);
    let model = Model::new(&name, read, folder.file_of(&name).display().to_string());
    let mut book = models.book();
    if let Some(entry) = book.entries.get(&name) {
        // The same bytes under the same name are the same model: sending them twice does no harm.
        let same = entry.model.as_ref().filter(|known| known.version == model.version);
        return same.cloned().ok_or(Problem::NameTaken);
    }
    if !folder.keep(file, &name).map_err(|error| not_written(&error))? {
        return Err(Problem::NameTaken);
    }
    let entry = Entry::of(model, folder.look_at(&name));
    let model = entry.model.clone().expect("it was just put there");
    book.entries.insert(name, entry);
    models.publish(&book);
    tracing::info!(model = model.name, version = model.version, "a model was uploaded and is loaded");
    Ok(model)
}

/// A file's model, or why it is none. A panic of a reader, which would be a defect, ends neither the thread nor the server.
fn read(path: &Path, limit: u64) -> Result<ModelFile, Reason> {
    match catch_unwind(AssertUnwindSafe(|| model_file::open(path, limit))) {
        Ok(read) => read.map_err(|error| Reason::from(&error)),
        Err(_) => Err(Reason::Damaged),
    }
}

struct Looker<'a> {
    models: &'a Arc<Models>,
    folder: &'a ModelFolder,
    /// What the last look saw.
    last: BTreeMap<String, Sighting>,
    could_list: bool,
}

impl Looker<'_> {
    fn look(&mut self) {
        let seen = match self.folder.list() {
            Ok(seen) => seen,
            Err(error) => {
                if std::mem::replace(&mut self.could_list, false) {
                    tracing::warn!("{error}; the models that are loaded serve on");
                }
                return;
            }
        };
        self.could_list = true;
        let settled = seen.iter().filter(|(name, sighting)| self.last.get(*name) == Some(*sighting));
        for (name, &sighting) in settled {
            if self.is_to_be_judged(name, sighting) {
                self.judge(name, sighting);
            }
        }
        self.forget_the_gone(&seen);
        self.last = seen;
    }

    /// Whether a file is new or another one, or what spoke against it has passed.
    fn is_to_be_judged(&self, name: &str, sighting: Sighting) -> bool {
        let book = self.models.book();
        let Some(entry) = book.entries.get(name) else { return true };
        let has_passed = match entry.refused {
            Some(Reason::TooMany) => book.loaded_count() < self.models.limits.count.get(),
            Some(Reason::InUse) => !book.is_in_use(name),
            _ => false,
        };
        entry.judged != Some(sighting) || has_passed
    }

    fn judge(&self, name: &str, sighting: Sighting) {
        let loaded = self.may_be_read(name).and_then(|()| read(&self.folder.file_of(name), self.models.limits.bytes.get()));
        let mut book = self.models.book();
        // What was deleted, replaced or cut short while we read is not what we read.
        if self.folder.look_at(name) != Some(sighting) {
            return;
        }
        let is_in_use = book.is_in_use(name);
        let entry = book.entries.entry(name.to_owned()).or_default();
        let loaded = loaded.and_then(|file| match &entry.model {
            Some(model) if model.version == file.version() => Ok(None),
            Some(_) if entry.is_outside => Err(Reason::NameTaken),
            Some(_) if is_in_use => Err(Reason::InUse),
            _ => Ok(Some(file)),
        });
        entry.judged = Some(sighting);
        entry.refused = loaded.as_ref().err().copied();
        match loaded {
            // The bytes that are loaded already; now they are in the folder.
            Ok(None) => entry.is_outside = false,
            Ok(Some(file)) => {
                tracing::info!(model = name, version = file.version(), "a model in the folder is loaded");
                entry.model = Some(Arc::new(Model::new(name, file, self.folder.file_of(name).display().to_string())));
                self.models.publish(&book);
            }
            Err(reason) => {
                self.models.figures.refused(reason);
                tracing::warn!(model = name, reason = reason.word(), "a model in the folder was refused: {}", reason.sentence());
            }
        }
    }

    fn may_be_read(&self, name: &str) -> Result<(), Reason> {
        if !is_name(name) {
            return Err(Reason::Name);
        }
        let book = self.models.book();
        let is_loaded = book.entries.get(name).is_some_and(|entry| entry.model.is_some());
        if is_loaded || book.loaded_count() < self.models.limits.count.get() { Ok(()) } else { Err(Reason::TooMany) }
    }

    /// A model whose file is gone goes too, unless it is in use.
    fn forget_the_gone(&self, seen: &BTreeMap<String, Sighting>) {
        let mut book = self.models.book();
        let is_gone = |name: &&String| !seen.contains_key(*name) && self.folder.look_at(name).is_none();
        let gone: Vec<String> = book.entries.keys().filter(is_gone).cloned().collect();
        let mut changed = false;
        for name in gone {
            let is_in_use = book.is_in_use(&name);
            let Some(entry) = book.entries.get_mut(&name) else { continue };
            if entry.model.is_some() && (is_in_use || entry.is_outside) {
                (entry.refused, entry.judged) = (None, None);
                if !entry.is_outside && self.last.contains_key(&name) {
                    tracing::warn!(
                        model = name,
                        "the file of a model in use is gone: it serves on, but a restart will not find it"
                    );
                }
            } else {
                tracing::info!(model = name, "the file of a model is gone, and the model with it");
                changed |= book.entries.remove(&name).is_some_and(|entry| entry.model.is_some());
            }
        }
        if changed {
            self.models.publish(&book);
        }
    }
}
