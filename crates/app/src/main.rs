//! The binary `assay`.

mod clock;
mod commands;
mod http;
mod logging;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Self-hosted card-fraud detection.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(commands::serve::Serve),
}

fn main() -> ExitCode {
    logging::start();
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => commands::serve::run(&serve),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
