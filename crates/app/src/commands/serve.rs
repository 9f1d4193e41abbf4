//! `assay serve`: puts a model behind HTTP.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use thiserror::Error;

use crate::http::{self, AllowedOrigins, Limits, ServerError, Settings};
use crate::model_file::{self, ModelFileError};

/// Serve a model over HTTP: POST /predict, GET /health, /ready, /metrics, /openapi.json.
#[derive(Args)]
pub struct Serve {
    /// The model file that `assay train` wrote.
    #[arg(long)]
    model: PathBuf,

    /// Address and port to listen on; port 0 takes a free one, named in the first log line.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000", value_parser = address)]
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
    /// There is no model to serve.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// Listening failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Loads and checks the model, then serves until a signal ends it.
pub fn run(serve: &Serve) -> Result<(), ServeError> {
    let origins = AllowedOrigins::from_arguments(&serve.cors_origin).map_err(ServerError::from)?;
    let model = model_file::load(&serve.model)?;
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

/// An address of this machine and a port, as `--bind` takes it.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, as in 127.0.0.1:5000, or 0.0.0.0:5000 for every address of this machine".to_owned()
    })
}
