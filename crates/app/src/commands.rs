//! What a person can ask of `assay`: one file per command.

pub mod demo;
pub mod evaluate;
pub mod health;
pub mod score;
pub mod serve;
pub mod simulate;
pub mod train;

use std::fmt::Display;
use std::io::{self, Write};

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
pub fn typed() -> String {
    std::iter::once("assay".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}
