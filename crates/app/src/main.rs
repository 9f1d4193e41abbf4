//! The binary `assay`: what a person or a machine asks of it, and where that is answered.

mod clock;
mod commands;
mod duration;
mod flag_values;
mod http;
mod input;
mod input_arguments;
mod interruption;
mod logging;
mod model_file;
mod output;
mod progress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Self-hosted card-fraud detection: train on a card history, serve scores over HTTP.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(commands::demo::Demo),
    Simulate(commands::simulate::Simulate),
    Train(commands::train::Train),
    Evaluate(commands::evaluate::Evaluate),
    Score(commands::score::Score),
    Serve(commands::serve::Serve),
    Health(commands::health::Health),
}

fn main() -> ExitCode {
    logging::start();
    let command = Cli::parse().command;
    let is_server = matches!(command, Command::Serve(_));
    let outcome = match command {
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Simulate(arguments) => commands::simulate::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Score(arguments) => commands::score::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments).map_err(Into::into),
        Command::Health(arguments) => commands::health::run(&arguments),
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
