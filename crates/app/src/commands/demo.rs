//! `assay demo`: the main job from nothing to a score, in one command: transactions, features, a model, a server.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use assay_model::Artifact;
use assay_trainer::rows::rows;
use assay_trainer::table::{ReadOptions, Values};
use clap::Args;

use super::{Failure, say};
use crate::input::{self, InputOptions, available_bytes};
use crate::model_file;
use crate::output::{make_folder, write_whole};

/// The definition that the demo learns with.
const DEFINITION: &str = include_str!("../../../../examples/cards/cards.sql");

/// Simulate card payments, make features of them in SQL, train a model on these, and serve it.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Folder for the transactions, the definition, the model, the report and an example to score.
    #[arg(long, value_name = "DIR", default_value = "demo")]
    pub folder: PathBuf,

    /// Address and port to serve on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    pub bind: String,

    /// Serve on an address that other machines reach, too: as `assay serve --insecure`.
    #[arg(long)]
    pub insecure: bool,

    /// Cardholders to simulate.
    #[arg(long, default_value_t = 500)]
    pub customers: u64,

    /// Days of their payments.
    #[arg(long, default_value_t = 120)]
    pub days: u64,

    /// Stop before serving.
    #[arg(long)]
    pub no_serve: bool,
}

/// Runs the commands that a person would type, showing each.
pub fn run(arguments: &Demo) -> Result<(), Failure> {
    make_folder(&arguments.folder)?;
    let file = |name: &str| arguments.folder.join(name).display().to_string();
    write_whole(&arguments.folder.join("cards.sql"), DEFINITION.as_bytes())?;
    let (customers, days) = (arguments.customers.to_string(), arguments.days.to_string());
    type_in(&["simulate", "--customers", &customers, "--days", &days, "--out", &file("cards.parquet")])?;
    type_in(&["features", &file("cards.sql"), &file("cards.parquet"), "-o", &file("features.parquet")])?;
    let (model, report) = (file("fraud.model"), file("report"));
    type_in(&[
        "train",
        "--definition",
        &file("cards.sql"),
        &file("cards.parquet"),
        "--out",
        &model,
        "--report",
        &report,
        "--simulated",
    ])?;
    write_example(&arguments.folder, model_file::load(&arguments.folder.join("fraud.model"))?.as_ref())?;
    if arguments.no_serve {
        return Ok(());
    }
    say(format_args!(
        "\nWhat a payment looks like next to its past is written in {}; a new feature is one more line there.\nReport: {}\nScore a stolen \
         card's payment from another terminal:\n\n    curl --header 'Content-Type: application/json' -X POST http://{}/predict -d @{}\n",
        file("cards.sql"),
        file("report/index.html"),
        arguments.bind,
        file("fraudtest.json")
    ))?;
    // The server takes this process over, so that signals reach it and nobody else.
    let insecure: &[&str] = if arguments.insecure { &["--insecure"] } else { &[] };
    Err(typed(&[&["serve", "--model", &model, "--bind", &arguments.bind], insecure].concat())?.exec().into())
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

/// A payment to try: of the last frauds, one that the model flags, or if it flags none, the last; else the last payment of all.
fn write_example(folder: &Path, artifact: &Artifact) -> Result<(), Failure> {
    let read =
        ReadOptions { kinds: super::score::kinds(artifact), memory_limit_bytes: available_bytes(), ..ReadOptions::default() };
    let options = InputOptions { read, sha256: None, download_folder: folder.into(), download_limit_bytes: 0 };
    let table = input::read(&[folder.join("features.parquet").display().to_string()], &options)?;
    let matrix = rows(&table, artifact.features(), 0)?;
    let width = artifact.features().len();
    let mut probabilities = Vec::new();
    artifact.probabilities(&matrix, &mut probabilities);
    let fraud = |row: &usize| match table.column(&artifact.manifest().label).map(|column| &column.values) {
        Some(Values::Numbers(labels)) => labels[*row] == 1.0,
        _ => false,
    };
    let frauds = || (0..table.rows()).rev().filter(fraud);
    let flagged = frauds().find(|&row| probabilities[row] >= artifact.manifest().threshold.probability);
    let row = flagged.or_else(|| frauds().next()).or(table.rows().checked_sub(1)).ok_or("the simulator made no payment")?;
    let cell = |value: &f64| value.is_finite().then_some(*value);
    let features: Vec<Option<f64>> = matrix[row * width..][..width].iter().map(cell).collect();
    Ok(write_whole(&folder.join("fraudtest.json"), format!("{}\n", serde_json::json!({ "features": features })).as_bytes())?)
}
