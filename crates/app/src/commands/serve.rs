//! `assay serve`: puts a model behind HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use thiserror::Error;

use crate::http::{self, AllowedOrigins, Limits, ModelArguments, OpenError, ServerError, Settings};
use crate::model_file::{self, ModelFileError};

/// Serve models over HTTP: POST /predict, GET /health, /ready, /metrics, /openapi.json, /v1/models.
#[derive(Args)]
pub struct Serve {
    /// The model file that `assay train` wrote. With --models: the one to begin with, while nothing in the folder says which is active.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,

    #[command(flatten)]
    models: ModelArguments,

    /// Address and port to listen on; port 0 takes a free one, named in the first log line [default: 127.0.0.1:5000].
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    bind: Option<SocketAddr>,

    /// Serve as SageMaker's container: on port 8080 of every address, with the one model in the folder /opt/ml/model or the one that
    /// --model names. Without any model named, a machine that has that folder is taken for such a container.
    #[arg(long)]
    sagemaker: bool,

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

/// Where SageMaker unpacks a model.
const SAGEMAKER_FOLDER: &str = "/opt/ml/model";
/// The port that SageMaker asks.
const SAGEMAKER_PORT: u16 = 8080;
/// How long SageMaker waits between SIGTERM and SIGKILL.
const SAGEMAKER_PATIENCE: Duration = Duration::from_secs(30);

/// Why the server did not start, or stopped.
#[derive(Debug, Error)]
pub enum ServeError {
    /// No model was named, and there is no folder that SageMaker would have filled.
    #[error("no model to serve: name the file that `assay train` wrote with --model, or a folder of them with --models")]
    NoModel,
    /// SageMaker would kill the server in the middle of its drain.
    #[error(
        "SageMaker kills a container {} seconds after it told it to stop, and requests in flight may take {} of them: give \
         --drain-seconds less than the rest",
        SAGEMAKER_PATIENCE.as_secs(),
        http::FINISH.as_secs()
    )]
    DrainTooLong,
    /// There is no model to serve.
    #[error(transparent)]
    Models(#[from] OpenError),
    /// There is no model in SageMaker's folder.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// Listening failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Loads and checks the model, then serves until a signal ends it.
pub fn run(serve: &Serve) -> Result<(), ServeError> {
    let origins = AllowedOrigins::from_arguments(&serve.cors_origin).map_err(ServerError::from)?;
    let sagemaker =
        serve.sagemaker || (serve.model.is_none() && !serve.models.has_folder() && Path::new(SAGEMAKER_FOLDER).is_dir());
    let is_decided_by_the_folder = serve.models.has_folder() && serve.model.is_none() && !sagemaker;
    let path = (!is_decided_by_the_folder).then(|| model_path(serve.model.as_deref(), sagemaker)).transpose()?;
    if sagemaker && Duration::from_secs(serve.drain_seconds.into()) + http::FINISH >= SAGEMAKER_PATIENCE {
        return Err(ServeError::DrainTooLong);
    }
    let models = http::open(&serve.models, path.as_deref())?;
    let settings = Settings {
        bind: serve.bind.unwrap_or_else(|| default_address(sagemaker)),
        origins,
        drain: Duration::from_secs(serve.drain_seconds.into()),
        threads: serve.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
        limits: serve.limits,
    };
    Ok(http::serve(settings, models)?)
}

/// The model file: the one that is named, or the only one in SageMaker's folder.
fn model_path(named: Option<&Path>, sagemaker: bool) -> Result<PathBuf, ServeError> {
    match named {
        Some(path) if sagemaker && path.is_dir() => Ok(model_file::only_one_in(path)?),
        Some(path) => Ok(path.into()),
        None if sagemaker => Ok(model_file::only_one_in(Path::new(SAGEMAKER_FOLDER))?),
        None => Err(ServeError::NoModel),
    }
}

fn default_address(sagemaker: bool) -> SocketAddr {
    let (address, port) = if sagemaker { (Ipv4Addr::UNSPECIFIED, SAGEMAKER_PORT) } else { (Ipv4Addr::LOCALHOST, 5000) };
    (address, port).into()
}

/// An address of this machine and a port, as `--bind` takes it.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, as in 127.0.0.1:5000, or 0.0.0.0:5000 for every address of this machine".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sagemaker_is_served_where_it_asks_and_everybody_else_on_loopback() {
        assert_eq!(default_address(true).to_string(), "0.0.0.0:8080");
        assert_eq!(default_address(false).to_string(), "127.0.0.1:5000");
    }

    #[test]
    fn without_sagemaker_a_model_must_be_named() {
        assert_eq!(model_path(Some(Path::new("a.model")), false).unwrap(), Path::new("a.model"));
        assert!(model_path(None, false).unwrap_err().to_string().contains("--model"));
        let problem = model_path(Some(Path::new(env!("CARGO_MANIFEST_DIR"))), true).unwrap_err().to_string();
        assert!(problem.contains("no file that ends in .model"), "{problem}");
    }
}
