//! `assay demo`: the main job from nothing to a score, in one command.

use std::path::{Path, PathBuf};

use assay_simulator::{Creditcard, CreditcardSettings};
use clap::{Args, Parser};

use super::{Failure, evaluate, say, serve, simulate, train};
use crate::output::{make_folder, write_whole};
use crate::{Cli, Command};

/// Simulate a card history, train on it, judge the model on another history, and serve it.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Folder for the history, the model, the report and an example transaction.
    #[arg(long, value_name = "DIR", default_value = "demo")]
    pub folder: PathBuf,

    /// Address and port to serve on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    pub bind: String,

    /// Stop before serving.
    #[arg(long)]
    pub no_serve: bool,
}

/// Runs the commands that a person would type, showing each.
pub fn run(arguments: &Demo) -> Result<(), Failure> {
    make_folder(&arguments.folder)?;
    let file = |name: &str| arguments.folder.join(name).display().to_string();
    type_in(&["simulate", "--shape", "creditcard", "--out", &file("history.csv")])?;
    type_in(&["train", &file("history.csv"), "--out", &file("fraud.model"), "--report", &file("report"), "--simulated"])?;
    type_in(&["simulate", "--shape", "creditcard", "--seed", "43", "--out", &file("next.csv")])?;
    type_in(&["evaluate", &file("fraud.model"), &file("next.csv"), "--report", &file("next-report")])?;
    write_example(&arguments.folder)?;
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
    type_in(&["serve", "--model", &file("fraud.model"), "--bind", &arguments.bind])
}

fn type_in(words: &[&str]) -> Result<(), Failure> {
    say(format_args!("\n$ assay {}", words.join(" ")))?;
    match Cli::parse_from(std::iter::once(&"assay").chain(words)).command {
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Serve(arguments) => Ok(serve::run(&arguments)?),
        Command::Score(_) | Command::Demo(_) => Err("the demo does not call this".into()),
    }
}

/// A transaction to try: the first fraud of yet another history.
fn write_example(folder: &Path) -> Result<(), Failure> {
    let mut history = Creditcard::new(&CreditcardSettings::default(), 44)?;
    let fraud = history.find(|row| row.fraud).ok_or("the simulator made no fraud")?;
    let numbers = [fraud.time_seconds as f64].into_iter().chain(fraud.components).chain([fraud.amount_minor as f64 / 100.0]);
    let features: Vec<f64> = numbers.collect();
    Ok(write_whole(&folder.join("fraudtest.json"), format!("{}\n", serde_json::json!({ "features": features })).as_bytes())?)
}
