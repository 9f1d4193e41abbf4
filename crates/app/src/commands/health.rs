//! `assay health`: asks a running server whether it is alive, for images that hold no other program to ask with.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::Failure;

/// A server that needs longer to say `OK` is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ask a running server for /health: exit code 0 when it is well, 1 when it is not.
#[derive(Args)]
pub struct Health {
    /// Address and port where it listens.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    address: SocketAddr,
}

/// Says nothing when all is well.
pub fn run(arguments: &Health) -> Result<(), Failure> {
    let url = format!("http://{}/health", arguments.address);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let silent = |why: &dyn std::fmt::Display| format!("{url} did not answer ({why}); is `assay serve` running there?").into();
    match runtime.block_on(async { timeout(PATIENCE, status(arguments.address)).await }) {
        Ok(Ok(StatusCode::OK)) => Ok(()),
        Ok(Ok(status)) => Err(format!("{url} answered {}: the server is not well; look into its log", status.as_u16()).into()),
        Ok(Err(error)) => Err(silent(&error)),
        Err(elapsed) => Err(silent(&elapsed)),
    }
}

async fn status(address: SocketAddr) -> Result<StatusCode, Failure> {
    let stream = TcpStream::connect(address).await?;
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/health").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    Ok(requests.send_request(request).await?.status())
}
