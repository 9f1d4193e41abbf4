//! What a person can ask of `assay`: one file per command.

pub mod backup;
pub mod doctor;
pub mod health;
pub mod keys;
pub mod monitor;
pub mod serve;
pub mod verify;

#[cfg(feature = "training")]
mod backtest;
#[cfg(feature = "training")]
mod demo;
#[cfg(feature = "training")]
mod evaluate;
#[cfg(feature = "training")]
mod explain;
#[cfg(feature = "training")]
mod features;
#[cfg(feature = "training")]
mod import;
#[cfg(feature = "training")]
mod import_model;
#[cfg(feature = "training")]
mod prequential;
#[cfg(feature = "training")]
mod score;
#[cfg(feature = "training")]
mod simulate;
#[cfg(feature = "training")]
mod train;

use std::fmt::Display;
use std::io::{self, Write};

/// What works on files rather than for clients; a serving-only build has none of it.
#[cfg(feature = "training")]
#[derive(clap::Subcommand)]
pub enum Offline {
    Demo(demo::Demo),
    Simulate(simulate::Simulate),
    Train(train::Train),
    Features(features::Features),
    Import(import::Import),
    Backtest(backtest::Backtest),
    ImportModel(import_model::ImportModel),
    Evaluate(evaluate::Evaluate),
    Score(score::Score),
    Explain(explain::Explain),
}

#[cfg(feature = "training")]
impl Offline {
    /// Does it.
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Demo(arguments) => demo::run(arguments),
            Self::Simulate(arguments) => simulate::run(arguments),
            Self::Train(arguments) => train::run(arguments),
            Self::Features(arguments) => features::run(arguments),
            Self::Backtest(arguments) => backtest::run(arguments),
            Self::Import(arguments) => import::run(arguments),
            Self::ImportModel(arguments) => import_model::run(arguments),
            Self::Evaluate(arguments) => evaluate::run(arguments),
            Self::Score(arguments) => score::run(arguments),
            Self::Explain(arguments) => explain::run(arguments),
        }
    }
}

/// Why a command did not do what it was asked; the text is one sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A line for the person at the terminal. Results go to standard output, so that they can be piped; this is a result. A reader that has
/// seen enough, as `head` has, is no failure.
pub fn say(line: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}").into())
        }
        _ => Ok(()),
    }
}

/// Why a command failed, for the person at the terminal; when even that cannot be written, nobody is there to be told.
pub fn complain(problem: impl Display) {
    writeln!(io::stderr(), "error: {problem}").ok();
}

/// The command as it was typed, for reports.
#[cfg(feature = "training")]
pub fn typed() -> String {
    std::iter::once("assay".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}
