//! `assay health`: asks a running server whether it is alive, for images that hold no other program to ask with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Failure;
use crate::pinned::Pinned;

/// A server that needs longer to say `OK` is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ask a running server for /health: exit code 0 when it is well, 1 when it is not.
#[derive(Args)]
pub struct Health {
    /// Address and port where it listens.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    address: SocketAddr,

    /// The certificate that it serves with, PEM: ask over TLS, and believe nobody but who has its key.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
}

impl Health {
    /// Of a server without TLS.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, tls_cert: None }
    }
}

/// Says nothing when all is well.
pub fn run(arguments: &Health) -> Result<(), Failure> {
    let tls = arguments.tls_cert.as_deref().map(client).transpose()?;
    let url = format!("{}://{}/health", if tls.is_some() { "https" } else { "http" }, arguments.address);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let silent = |why: &dyn std::fmt::Display| format!("{url} did not answer ({why}); is `assay serve` running there?").into();
    match runtime.block_on(async { timeout(PATIENCE, connect(arguments.address, tls)).await }) {
        Ok(Ok(StatusCode::OK)) => Ok(()),
        Ok(Ok(status)) => Err(format!("{url} answered {}: the server is not well; look into its log", status.as_u16()).into()),
        Ok(Err(error)) => Err(silent(&error)),
        Err(elapsed) => Err(silent(&elapsed)),
    }
}

/// What speaks TLS with who has the certificate in this file.
fn client(certificate: &Path) -> Result<ClientConfig, Failure> {
    Pinned::read(certificate)
        .map(Pinned::client)
        .map_err(|problem| format!("cannot ask over TLS with --tls-cert {}: {problem}", certificate.display()).into())
}

async fn connect(address: SocketAddr, tls: Option<ClientConfig>) -> Result<StatusCode, Failure> {
    let stream = TcpStream::connect(address).await?;
    match tls {
        None => status(stream, address).await,
        Some(tls) => {
            let name = ServerName::from(address.ip());
            status(TlsConnector::from(Arc::new(tls)).connect(name, stream).await?, address).await
        }
    }
}

async fn status(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
) -> Result<StatusCode, Failure> {
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/health").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    Ok(requests.send_request(request).await?.status())
}
