//! `assay demo`: the main job from nothing to a score, in one command.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use assay_model::Artifact;
use assay_simulator::{Creditcard, CreditcardRow, CreditcardSettings};
use clap::Args;

use super::{Failure, say};
use crate::model_file;
use crate::output::{make_folder, write_whole};

/// Simulate a card history, train on it, judge the model on another history, and serve it.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Folder for the history, the model, the report and an example transaction.
    #[arg(long, value_name = "DIR", default_value = "demo")]
    pub folder: PathBuf,

    /// Address and port to serve on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    pub bind: String,

    /// Transactions in each simulated history.
    #[arg(long, default_value_t = 284_807)]
    pub rows: u64,

    /// Stop before serving.
    #[arg(long)]
    pub no_serve: bool,
}

/// Runs the commands that a person would type, showing each.
pub fn run(arguments: &Demo) -> Result<(), Failure> {
    make_folder(&arguments.folder)?;
    let file = |name: &str| arguments.folder.join(name).display().to_string();
    let rows = &arguments.rows.to_string();
    type_in(&["simulate", "--shape", "creditcard", "--rows", rows, "--out", &file("history.csv")])?;
    type_in(&["train", &file("history.csv"), "--out", &file("fraud.model"), "--report", &file("report"), "--simulated"])?;
    type_in(&["simulate", "--shape", "creditcard", "--rows", rows, "--seed", "43", "--out", &file("next.csv")])?;
    type_in(&["evaluate", &file("fraud.model"), &file("next.csv"), "--report", &file("next-report")])?;
    write_example(&arguments.folder, &model_file::load(&arguments.folder.join("fraud.model"))?)?;
    if arguments.no_serve {
        return Ok(());
    }
    say(format_args!(
        "\nReport: {}\nScore a transaction from another terminal:\n\n    curl --header 'Content-Type: application/json' -X POST \
         http://{}/predict -d @{}\n",
        file("report/index.html"),
        arguments.bind,
        file("fraudtest.json")
    ))?;
    // The server takes this process over, so that signals reach it and nobody else.
    Err(typed(&["serve", "--model", &file("fraud.model"), "--bind", &arguments.bind])?.exec().into())
}

/// Runs `assay` with these words, as a shell would.
fn type_in(words: &[&str]) -> Result<(), Failure> {
    let status = typed(words)?.status()?;
    if status.success() { Ok(()) } else { Err("the command above failed, so the demo ends here".into()) }
}

/// The command that `words` make, shown.
fn typed(words: &[&str]) -> Result<Command, Failure> {
    say(format_args!("\n$ assay {}", words.join(" ")))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words);
    Ok(command)
}

/// A transaction to try: the first fraud of yet another history that the model flags, or if it flags none, the first.
fn write_example(folder: &Path, artifact: &Artifact) -> Result<(), Failure> {
    let frauds: Vec<Vec<f64>> =
        Creditcard::new(&CreditcardSettings::default(), 44)?.filter(|row| row.fraud).map(|row| features(&row)).collect();
    let mut probabilities = Vec::new();
    artifact.probabilities(&frauds.concat(), &mut probabilities);
    let flagged = probabilities.iter().position(|&probability| probability >= artifact.manifest().threshold.probability);
    let features = frauds.get(flagged.unwrap_or(0)).ok_or("the simulator made no fraud")?;
    Ok(write_whole(&folder.join("fraudtest.json"), format!("{}\n", serde_json::json!({ "features": features })).as_bytes())?)
}

fn features(row: &CreditcardRow) -> Vec<f64> {
    [row.time_seconds as f64].into_iter().chain(row.components).chain([row.amount_minor as f64 / 100.0]).collect()
}
