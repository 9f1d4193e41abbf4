//! What a person or a machine asks of the binary `assay`, and where that is answered.

mod allowance;
mod clock;
mod commands;
mod decisions;
mod duration;
mod http;
mod keys;
mod logging;
mod model_file;
mod model_folder;
mod pinned;
mod progress;
mod small_file;
mod threads;
mod watch;
mod webhooks;

#[cfg(feature = "training")]
mod flag_values;
#[cfg(feature = "training")]
mod history;
#[cfg(feature = "training")]
mod input;
#[cfg(feature = "training")]
mod input_arguments;
#[cfg(feature = "training")]
mod interruption;
#[cfg(feature = "training")]
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(feature = "training")]
pub use decisions::lessons;
pub use decisions::transaction;
pub use http::bodies;

/// Self-hosted card-fraud detection: train on a card history, serve scores over HTTP.
#[derive(Parser)]
#[command(version)]
#[cfg_attr(
    not(feature = "training"),
    command(after_help = "This is the serving-only build: the full one also trains, evaluates, scores files and simulates.")
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "training")]
    #[command(flatten)]
    Offline(Box<commands::Offline>),
    Serve(Box<commands::serve::Serve>),
    Health(commands::health::Health),
    Keys(commands::keys::Keys),
    Doctor(commands::doctor::Doctor),
    Verify(commands::verify::Verify),
    Backup(commands::backup::Backup),
    Monitor(commands::monitor::Arguments),
}

/// Does what the command line asks for, and says whether it worked.
pub fn run() -> ExitCode {
    logging::start();
    let command = Cli::parse().command;
    let is_server = matches!(command, Command::Serve(_));
    let outcome = match command {
        #[cfg(feature = "training")]
        Command::Offline(command) => command.run(),
        Command::Serve(arguments) => commands::serve::run(&arguments).map_err(Into::into),
        Command::Health(arguments) => commands::health::run(&arguments),
        Command::Keys(arguments) => commands::keys::run(&arguments),
        Command::Doctor(arguments) => commands::doctor::run(&arguments),
        Command::Backup(arguments) => commands::backup::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Monitor(arguments) => commands::monitor::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A server speaks in log lines, to its last word.
            if is_server {
                tracing::error!("{error}");
            } else {
                commands::complain(&error);
            }
            ExitCode::FAILURE
        }
    }
}
