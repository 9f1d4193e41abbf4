//! `assay serve`: puts a model behind HTTP.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_model::artifact::MAX_ARTIFACT_BYTES;
use assay_model::{Artifact, ArtifactError};
use clap::Args;
use thiserror::Error;

use crate::http::{self, AllowedOrigins, Limits, ServerError, Settings};

/// Serve a model over HTTP: POST /predict, GET /health, /ready, /metrics, /openapi.json.
#[derive(Args)]
pub struct Serve {
    /// The model file that `assay train` wrote.
    #[arg(long)]
    model: PathBuf,

    /// Address and port to listen on; port 0 takes a free one, named in the first log line.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    bind: SocketAddr,

    /// Web origin whose pages may call /predict, like `https://shop.example`; may be repeated. `*` lets every page call,
    /// as the seed system did: answers carry no credentials, so a page learns only what any client on the network learns.
    #[arg(long, value_name = "ORIGIN", default_value = "*")]
    cors_origin: Vec<String>,

    /// Seconds to keep serving after SIGTERM with /ready at 503, so that load balancers look elsewhere first. SIGINT does not wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    drain_seconds: u16,

    /// Threads, each with a listener of its own [default: one per core].
    #[arg(long)]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    limits: Limits,
}

/// Why the server did not start, or stopped.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The operating system did not give us the file.
    #[error("cannot read the model {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The file is no model that may serve.
    #[error("cannot serve the model {}: {problem}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: ArtifactError,
    },
    /// Listening failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Loads and checks the model, then serves until a signal ends it.
pub fn run(serve: &Serve) -> Result<(), ServeError> {
    let origins = AllowedOrigins::from_arguments(&serve.cors_origin).map_err(ServerError::from)?;
    let model = load(&serve.model)?;
    let settings = Settings {
        bind: serve.bind,
        origins,
        drain: Duration::from_secs(serve.drain_seconds.into()),
        threads: serve.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
        limits: serve.limits,
        model_path: serve.model.display().to_string(),
    };
    Ok(http::serve(settings, model)?)
}

fn load(path: &Path) -> Result<Artifact, ServeError> {
    let bytes = read(path).map_err(|problem| ServeError::Unreadable { path: path.into(), problem })?;
    Artifact::read(&bytes).map_err(|problem| ServeError::Refused { path: path.into(), problem })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| explain(&error))?;
    if metadata.is_dir() {
        return Err("it is a directory; name the model file in it".into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_ARTIFACT_BYTES)).unwrap_or(0));
    // One byte more than the limit is enough for the artifact to refuse it by its size.
    File::open(path)
        .and_then(|file| file.take(MAX_ARTIFACT_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| explain(&error))?;
    Ok(bytes)
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; train one with `assay train`, or correct the path".into(),
        io::ErrorKind::PermissionDenied => "this user may not read it; change its permissions or the user".into(),
        _ => format!("{error}; check the path and the disk"),
    }
}
