//! `assay serve`: puts a model behind HTTP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_engine::Policy;
use assay_engine::policy::MAX_POLICY_BYTES;
use clap::Args;
use thiserror::Error;

use crate::decisions::data_folder::DataFolder;
use crate::decisions::snapshots::ENTRIES;
use crate::http::{
    self, Access, AllowedOrigins, Data, Limits, ModelArguments, OpenError, ServerError, Settings, TlsError, TlsFiles,
};
use crate::keys::Keyring;
use crate::keys::file::{self, FileError};
use crate::model_file::{self, ModelFileError};
use crate::small_file;
use crate::webhooks::{HooksFile, WebhooksError};

/// Serve models over HTTP: POST /predict, GET /health, /ready, /metrics, /openapi.json, /v1/models.
#[derive(Args)]
pub struct Serve {
    /// The model file that `assay train` wrote. With --models: the one to begin with, while nothing in the folder says which is active.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,

    #[command(flatten)]
    models: ModelArguments,

    /// Decide about transactions (POST /v1/decisions), and keep in this folder all that was decided and from what. The model must carry its
    /// definition, as `assay train --definition` writes it.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,

    /// The policy of a new data folder, JSON; later ones come by PUT /v1/policy [default: review what the model flags].
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    policy: Option<PathBuf>,

    /// Days that decisions and everything else in the data folder are kept; what is older is cut off, and a checkpoint stands in its place. An id
    /// that was cut off is not known any more [default: for ever].
    #[arg(long, value_name = "DAYS", requires = "data_dir", value_parser = days)]
    keep_days: Option<Duration>,

    /// Tell others of decisions, labels and changes as they are written down: the receivers in this file, each with its secret, as
    /// docs/webhooks.md shows. Changes of the file are followed within a second.
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    webhooks: Option<PathBuf>,

    /// Entries of the journal after which a snapshot is written while the server runs: the next start folds no more than about so many.
    #[arg(long, value_name = "ENTRIES", requires = "data_dir", hide = true, default_value_t = NonZeroU64::new(ENTRIES).expect("not zero"))]
    snapshot_every: NonZeroU64,

    /// Address and port to listen on; port 0 takes a free one, named in the first log line [default: 127.0.0.1:5000]. A socket that a
    /// supervisor such as systemd hands over is listened on instead.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    bind: Option<SocketAddr>,

    /// The keys of those who may call, as `assay keys create` writes them; without a valid one a client gets /health, /ready and little
    /// more. Changes of the file are followed within a second. Without a file to read, as in a container, the environment variable
    /// `ASSAY_KEYS` may hold what would be in it.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,

    /// Without keys, serve on an address that other machines reach all the same: something else has to guard it, such as a firewall. Models
    /// are then neither shown nor changed over HTTP, nor are policies and lists, and nothing is erased.
    #[arg(long)]
    insecure: bool,

    /// Serve over TLS 1.2 and 1.3 with this certificate, PEM, with those that vouch for it behind it. Taken anew when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, PEM, without a passphrase.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

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

/// What holds the keys where there is no file.
const KEYS_VARIABLE: &str = "ASSAY_KEYS";

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
    /// It would be open to strangers.
    #[error(
        "without keys whoever reaches {0} may have transactions scored, and that address is not for this machine alone: make a key with \
         `assay keys create` and give --keys FILE, or listen on 127.0.0.1, or, where something else guards the port, say --insecure"
    )]
    Open(SocketAddr),
    /// There are no keys to ask for.
    #[error(transparent)]
    Keys(#[from] FileError),
    /// There are no keys to ask for, in the environment.
    #[error("cannot read the keys in the environment variable {KEYS_VARIABLE}: {0}")]
    KeysVariable(String),
    /// There is no certificate to serve with.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no model to serve.
    #[error(transparent)]
    Models(#[from] OpenError),
    /// There is no model in SageMaker's folder.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// A supervisor's socket cannot be served.
    #[error(transparent)]
    Inherited(#[from] http::InheritedError),
    /// The operating system does not say where a supervisor listens.
    #[error("the socket that the supervisor holds has no address: {0}")]
    Held(#[from] io::Error),
    /// There is no policy to start with.
    #[error("cannot use the policy {path}: {problem}")]
    Policy {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nobody to tell of decisions.
    #[error(transparent)]
    Webhooks(#[from] WebhooksError),
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
    let inherited = http::inherited()?;
    let held = inherited.as_ref().map(TcpListener::local_addr).transpose()?;
    let bind = held.or(serve.bind).unwrap_or_else(|| default_address(sagemaker));
    // SageMaker lets nobody but itself reach its containers, and has no way to show a key.
    let access = access(serve.keys.as_deref(), bind, serve.insecure || sagemaker)?;
    let tls = serve
        .tls_cert
        .clone()
        .zip(serve.tls_key.clone())
        .map(|(certificate, key)| TlsFiles::open(certificate, key))
        .transpose()?;
    let models = http::open(&serve.models, path.as_deref())?;
    let policy = serve.policy.as_deref().map(policy).transpose()?;
    let webhooks = serve.webhooks.clone().map(HooksFile::open).transpose()?;
    let data = serve.data_dir.as_deref().map(|folder| Data {
        folder: DataFolder::at(folder),
        policy,
        keep: serve.keep_days,
        webhooks,
        snapshot_every: serve.snapshot_every,
    });
    let settings = Settings {
        bind,
        inherited,
        origins,
        drain: Duration::from_secs(serve.drain_seconds.into()),
        threads: serve.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
        limits: serve.limits,
    };
    Ok(http::serve(settings, access, tls, models, data)?)
}

/// The policy in a file.
fn policy(path: &Path) -> Result<Policy, ServeError> {
    let refused = |problem: String| ServeError::Policy { path: path.display().to_string(), problem };
    let bytes = small_file::read(path, MAX_POLICY_BYTES as u64).map_err(refused)?;
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8".into()))?;
    Policy::parse(&text).map_err(|error| refused(error.to_string()))
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

/// Who may call: those with keys where there are keys, else everybody where nobody is a stranger or strangers are welcome.
fn access(keys: Option<&Path>, bind: SocketAddr, may_be_open: bool) -> Result<Access, ServeError> {
    if let Some(path) = keys {
        let refused = |problem| FileError::Read { path: path.display().to_string(), problem };
        let bytes = file::bytes(path).map_err(refused)?;
        let keyring = Keyring::of(file::parse(&bytes).map_err(refused)?);
        return Ok(Access::Holders { keyring, file: Some((path.to_owned(), bytes)) });
    }
    if let Some(json) = std::env::var_os(KEYS_VARIABLE) {
        let keys = file::parse(json.as_encoded_bytes()).map_err(ServeError::KeysVariable)?;
        return Ok(Access::Holders { keyring: Keyring::of(keys), file: None });
    }
    match bind.ip().to_canonical().is_loopback() {
        true => Ok(Access::ThisMachine),
        false if may_be_open => Ok(Access::Everybody),
        false => Err(ServeError::Open(bind)),
    }
}

fn default_address(sagemaker: bool) -> SocketAddr {
    let (address, port) = if sagemaker { (Ipv4Addr::UNSPECIFIED, SAGEMAKER_PORT) } else { (Ipv4Addr::LOCALHOST, 5000) };
    (address, port).into()
}

/// Whole or broken days, more than none.
fn days(text: &str) -> Result<Duration, String> {
    let days = text.parse::<f64>().ok().filter(|days| *days > 0.0).ok_or("not a number of days above 0")?;
    Duration::try_from_secs_f64(days * 86_400.0).map_err(|_| "more days than there are".into())
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
    fn without_keys_only_this_machine_is_served_unless_told_otherwise() {
        let access = |bind: &str, may_be_open| access(None, bind.parse().unwrap(), may_be_open);
        for bind in ["127.0.0.1:5000", "127.8.8.8:1", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            assert!(matches!(access(bind, false), Ok(Access::ThisMachine)), "{bind}");
        }
        for bind in ["0.0.0.0:5000", "10.0.0.1:5000", "[::]:5000", "[::ffff:10.0.0.1]:5000"] {
            let sentence = access(bind, false).err().unwrap().to_string();
            assert!(sentence.contains("--keys FILE") && sentence.contains("--insecure"), "{sentence}");
            assert!(matches!(access(bind, true), Ok(Access::Everybody)), "{bind}");
        }
    }

    #[test]
    fn without_sagemaker_a_model_must_be_named() {
        assert_eq!(model_path(Some(Path::new("a.model")), false).unwrap(), Path::new("a.model"));
        assert!(model_path(None, false).unwrap_err().to_string().contains("--model"));
        let problem = model_path(Some(Path::new(env!("CARGO_MANIFEST_DIR"))), true).unwrap_err().to_string();
        assert!(problem.contains("no file that ends in .model"), "{problem}");
    }
}
