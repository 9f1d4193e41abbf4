//! What a person can ask of `assay`: one file per command.

pub mod demo;
pub mod evaluate;
pub mod score;
pub mod serve;
pub mod simulate;
pub mod train;

use std::fmt::Display;

/// Why a command did not do what it was asked; the text is one sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A line for the person at the terminal. Results go to standard output, so that they can be piped; this is a result.
#[expect(clippy::print_stdout, reason = "this is where commands speak")]
pub fn say(line: impl Display) {
    println!("{line}");
}

/// Why a command failed, for the person at the terminal.
#[expect(clippy::print_stderr, reason = "this is where commands speak")]
pub fn complain(problem: impl Display) {
    eprintln!("error: {problem}");
}
