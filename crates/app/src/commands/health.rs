//! `assay health`: asks a running server whether it is alive, for images that hold no other program to ask with.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

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
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        // The server is asked itself, whatever proxy the environment names.
        .proxy(None)
        .build()
        .into();
    match agent.get(&url).call() {
        Ok(answer) if answer.status() == 200 => Ok(()),
        Ok(answer) => {
            Err(format!("{url} answered {}: the server is not well; look into its log", answer.status().as_u16()).into())
        }
        Err(error) => Err(format!("{url} did not answer ({error}); is `assay serve` running there?").into()),
    }
}
