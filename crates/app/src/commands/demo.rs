//! `assay demo`: the main job from nothing to a decision, in one command: transactions, features, a model, a journal, a server.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use assay_domain::time::SECOND;
use assay_domain::{Column, Value};
use assay_features::Definition;
use assay_model::Artifact;
use assay_trainer::rows::rows;
use assay_trainer::table::{ReadOptions, Table, Values};
use clap::Args;
use serde_json::json;
use ureq::Agent;

use super::{Failure, say};
use crate::decisions::transaction::Transaction;
use crate::history;
use crate::input::{self, InputOptions, available_bytes};
use crate::model_file;
use crate::output::{make_folder, write_whole};

/// The policy that the demo decides by: what mistakes cost, and how many reviews a day can be worked.
const POLICY: &str = r#"{
  "version": "demo",
  "rules": [
    {"id": "burst", "name": "Many payments in a day", "when": "customer_count_1d > 20", "outcome": "challenge"}
  ],
  "costs": {
    "amount": "tx_amount",
    "missed_fraud": {"share": 1.0, "fixed": 15.0},
    "false_decline": {"share": 0.1, "fixed": 2.0},
    "review": {"cost": 5.0, "per_day": 20}
  }
}
"#;
/// How long a server may take to fold a small journal.
const PATIENCE: Duration = Duration::from_secs(60);

/// The definition that the demo learns with.
const DEFINITION: &str = include_str!("../../../../examples/cards/cards.sql");

/// Simulate card payments, make features of them in SQL, train a model on these, try a policy on the past, decide about a payment, prove what was
/// decided, and serve.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Folder for the transactions, the definition, the model, the reports, the data folder and an example to score and to decide about.
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
    let flagged = write_example(&arguments.folder, model_file::load(&arguments.folder.join("fraud.model"))?.as_ref())?;

    let (data, policy) = (file("data"), file("policy.json"));
    write_whole(Path::new(&policy), POLICY.as_bytes())?;
    type_in(&["import", &file("cards.parquet"), "--data-dir", &data, "--definition", &file("cards.sql")])?;
    let backtest = ["--model", &model, "--policy", &policy, "--amount", "tx_amount", "-o", &file("backtest.html")];
    type_in(&[&["backtest", &data], &backtest[..]].concat())?;
    decide_about_one(&arguments.folder, &flagged)?;
    type_in(&["verify", &data])?;
    if arguments.no_serve {
        return Ok(());
    }
    say(format_args!(
        "\nWhat a payment looks like next to its past is written in {}; a new feature is one more line there.\nReports: {} and {}\nScore a \
         stolen card's payment from another terminal, or ask again for the decision about it:\n\n    curl --header 'Content-Type: \
         application/json' -X POST http://{bind}/predict -d @{}\n    curl http://{bind}/v1/decisions -d @{}\n",
        file("cards.sql"),
        file("report/index.html"),
        file("backtest.html"),
        file("fraudtest.json"),
        file("payment.json"),
        bind = arguments.bind,
    ))?;
    // The server takes this process over, so that signals reach it and nobody else.
    let insecure: &[&str] = if arguments.insecure { &["--insecure"] } else { &[] };
    let serve = ["serve", "--model", &model, "--data-dir", &data, "--bind", &arguments.bind];
    Err(typed(&[&serve[..], insecure].concat())?.exec().into())
}

/// A server for one decision and its label, asked as a client would.
fn decide_about_one(folder: &Path, flagged: &Value) -> Result<(), Failure> {
    let file = |name: &str| folder.join(name).display().to_string();
    let payment = write_payment(folder, flagged)?;
    let (model, data, policy) = (file("fraud.model"), file("data"), file("policy.json"));
    let serve = ["--model", &model, "--data-dir", &data, "--policy", &policy, "--bind", "127.0.0.1:0", "--drain-seconds", "0"];
    let mut command = typed(&[&["serve"], &serve[..]].concat())?;
    let mut server = Running(command.stderr(Stdio::piped()).spawn()?);
    let address = server.address()?;
    server.wait_ready(&address)?;
    say(format_args!("\n$ curl http://{address}/v1/decisions -d @{}", file("payment.json")))?;
    say(pretty(&post(&address, "/v1/decisions", &payment.fields)?)?)?;
    let label = json!({ "transaction_id": payment.id, "label": "fraud", "source": "cardholder" }).to_string();
    say(format_args!("\n$ curl http://{address}/v1/labels -d '{label}'"))?;
    say(pretty(&post(&address, "/v1/labels", &label)?)?)?;
    server.end()
}

/// A payment that comes a minute after all others, by the card and at the terminal of one that was fraud.
fn write_payment(folder: &Path, flagged: &Value) -> Result<Transaction, Failure> {
    let definition = Definition::parse(DEFINITION, "cards.sql")?;
    let schema = &definition.plan.schema;
    let mut read = ReadOptions { memory_limit_bytes: available_bytes(), ..ReadOptions::default() };
    history::read_options(schema, &mut read);
    let columns = history::columns(read_file(folder, "cards.parquet", read)?, schema)?;
    let (Column::Integer(ids), Column::Timestamp(times)) = (&columns[schema.id], &columns[schema.event_time]) else {
        return Err("the demo's own definition has other columns".into());
    };
    let row = (0..ids.len()).find(|&row| columns[schema.id].value(row) == *flagged).ok_or("the simulator made no payment")?;
    let mut values: Vec<Value> = columns.iter().map(|column| column.value(row)).collect();
    let newest = times.iter().max().copied().unwrap_or_default();
    values[schema.event_time] = Value::Timestamp(newest + 60 * SECOND);
    values[schema.id] = Value::Integer(ids.iter().max().map_or(1, |id| id + 1));
    if let Some(label) = schema.label {
        values[label] = Value::Null;
    }
    let payment = Transaction::of(values, schema)?;
    write_whole(&folder.join("payment.json"), format!("{}\n", payment.fields).as_bytes())?;
    Ok(payment)
}

/// A server that ends with the demo.
struct Running(Child);

impl Running {
    /// Where it listens, as its first log lines say.
    fn address(&mut self) -> Result<String, Failure> {
        let log = self.0.stderr.take().ok_or("the server's log is not to be had")?;
        let mut lines = BufReader::new(log).lines();
        while let Some(line) = lines.next() {
            let line = line?;
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = event["address"].as_str() {
                let address = address.to_owned();
                // Whatever it logs later has somewhere to go.
                thread::spawn(move || lines.for_each(drop));
                return Ok(address);
            }
            if event["level"] == "ERROR" {
                return Err(event["message"].as_str().unwrap_or("the server did not start").into());
            }
        }
        Err("the server ended before it listened".into())
    }

    fn wait_ready(&mut self, address: &str) -> Result<(), Failure> {
        let until = crate::clock::now() + PATIENCE;
        while agent().get(format!("http://{address}/ready")).call().is_err() {
            if let Some(status) = self.0.try_wait()? {
                return Err(format!("the server ended ({status})").into());
            }
            if crate::clock::now() > until {
                return Err("the server did not become ready".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it as an operator would.
    fn end(mut self) -> Result<(), Failure> {
        let told = Command::new("kill").arg(self.0.id().to_string()).status()?;
        if told.success() && self.0.wait()?.success() { Ok(()) } else { Err("the server did not end well".into()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn post(address: &str, path: &str, body: &str) -> Result<String, Failure> {
    Ok(agent().post(format!("http://{address}{path}")).send(body)?.body_mut().read_to_string()?)
}

/// A client for this machine, whatever proxy leads out of it.
fn agent() -> Agent {
    Agent::config_builder().proxy(None).build().new_agent()
}

fn pretty(json: &str) -> Result<String, Failure> {
    let value: serde_json::Value = serde_json::from_str(json)?;
    Ok(serde_json::to_string_pretty(&value)?)
}

fn read_file(folder: &Path, name: &str, read: ReadOptions) -> Result<Table, Failure> {
    let options = InputOptions { read, sha256: None, download_folder: folder.into(), download_limit_bytes: 0 };
    Ok(input::read(&[folder.join(name).display().to_string()], &options)?)
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

/// A payment to try: of the last frauds, one that the model flags, or if it flags none, the last; else the last payment of all. Tells its id.
fn write_example(folder: &Path, artifact: &Artifact) -> Result<Value, Failure> {
    let read =
        ReadOptions { kinds: super::score::kinds(artifact), memory_limit_bytes: available_bytes(), ..ReadOptions::default() };
    let table = read_file(folder, "features.parquet", read)?;
    let matrix = rows(&table, artifact.features(), 0)?;
    let width = artifact.features().len();
    let mut probabilities = Vec::new();
    artifact.probabilities(&matrix, &mut probabilities);
    let numbers = |name: &str| match table.column(name).map(|column| &column.values) {
        Some(Values::Numbers(numbers)) => Some(numbers),
        _ => None,
    };
    let fraud = |row: &usize| numbers(&artifact.manifest().label).is_some_and(|labels| labels[*row] == 1.0);
    let frauds = || (0..table.rows()).rev().filter(fraud);
    let flagged = frauds().find(|&row| probabilities[row] >= artifact.manifest().threshold.probability);
    let row = flagged.or_else(|| frauds().next()).or(table.rows().checked_sub(1)).ok_or("the simulator made no payment")?;
    let cell = |value: &f64| value.is_finite().then_some(*value);
    let features: Vec<Option<f64>> = matrix[row * width..][..width].iter().map(cell).collect();
    write_whole(&folder.join("fraudtest.json"), format!("{}\n", json!({ "features": features })).as_bytes())?;
    #[expect(clippy::cast_possible_truncation, reason = "ids of the simulator are small whole numbers")]
    let id = numbers("transaction_id").map(|ids| ids[row] as i64).ok_or("the demo's own definition has other columns")?;
    Ok(Value::Integer(id))
}
