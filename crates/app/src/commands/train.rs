//! `assay train`: a card history in, a judged model out.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use assay_domain::Schema;
use assay_domain::time::SECOND;
use assay_features::Definition;
use assay_model::manifest::Learner;
use assay_model::{Artifact, Feature, FeatureKind};
use assay_trainer::dataset::{Dataset, Roles};
use assay_trainer::evaluate::RESAMPLES;
use assay_trainer::report::{ModelSummary, Report, html, json, text};
use assay_trainer::train::{Options, SplitBy, Trained, train};
use clap::{Args, ValueEnum};

use super::features::{labelled_features, read_definition};
use super::{Failure, say};
use crate::decisions::lessons::{Lessons, lessons};
use crate::decisions::transaction::moment_text;
use crate::duration::Seconds;
use crate::flag_values::{moment, positive, share};
use crate::input;
use crate::input_arguments::InputArguments;
use crate::output::{WholeFile, make_folder, write_whole};
use crate::progress::Steps;

/// Train a fraud model on a history of transactions, and judge it on the part that it did not see.
#[derive(Args, Clone, Debug)]
pub struct Train {
    /// History: CSV (also in .zip, .gz or .zst) or Parquet; paths or http(s) URLs, read one after another.
    #[arg(required_unless_present = "data_dir")]
    pub data: Vec<String>,

    /// Data folder whose journal is learnt from instead of DATA: transactions as they came, labels as they were known.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "label", "time", "weight", "drop"])]
    pub data_dir: Option<PathBuf>,

    /// Moment like 2026-09-30T12:34:56Z: what arrived later is not looked at [default: the end of the journal].
    #[arg(long, value_name = "MOMENT", requires = "data_dir", conflicts_with = "data", value_parser = moment)]
    pub as_of: Option<i64>,

    /// File to write the model to.
    #[arg(long, value_name = "MODEL")]
    pub out: PathBuf,

    /// Folder to write the report to: index.html and report.json.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,

    /// What learns: boosted trees (LightGBM), or the logistic regression of the 2017 workshop.
    #[arg(long, value_enum, default_value_t = LearnerName::BoostedTrees)]
    pub learner: LearnerName,

    /// SQL that makes features out of the transactions in DATA or in the journal; it names their event time, label and label delay
    /// [default: with --data-dir, the journal's own].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["label", "time", "weight", "drop"])]
    pub definition: Option<PathBuf>,

    /// Column of the label, 1 for fraud [default: the last column that has no other role].
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,

    /// Column that says how many rows each row counts as.
    #[arg(long, value_name = "COLUMN")]
    pub weight: Option<String>,

    /// Column of the event time [default: `Time`, or the only column of timestamps].
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,

    /// Column of the amount, for figures in money [default: `Amount` or `TX_AMOUNT`].
    #[arg(long, value_name = "COLUMN")]
    pub amount: Option<String>,

    /// Column to leave out; may be repeated.
    #[arg(long, value_name = "COLUMN")]
    pub drop: Vec<String>,

    /// How a fifth of the rows is held back: the last by time, or by chance [default: by time when there is one].
    #[arg(long, value_enum)]
    pub split: Option<SplitName>,

    /// Time before the first row held back whose labels were not known yet, like 7d or 12h; a number without unit is seconds
    /// [default: the label delay of the definition, else none].
    #[arg(long, value_name = "DURATION")]
    pub gap: Option<Seconds>,

    /// Seed of everything random.
    #[arg(long, default_value_t = 42)]
    pub seed: u32,

    /// Cost of looking at one flagged transaction, in the currency of the amounts.
    #[arg(long, value_name = "MONEY", default_value_t = 5.0, value_parser = positive)]
    pub review_cost: f64,

    /// Cost of a missed fraud: a share of its amount [default: 1], or without amounts the cost itself [default: 100].
    #[arg(long, value_name = "SHARE|MONEY", value_parser = positive)]
    pub fraud_cost: Option<f64>,

    /// Share of the genuine transactions that the history kept, when it was thinned out; probabilities are corrected for it.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub genuine_kept: Option<f64>,

    /// LightGBM's own setting, like `num_leaves=31`, instead of searching for settings; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,

    /// How many trees to grow, instead of stopping early.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: Option<u32>,

    /// Bootstrap resamples behind each 95 % interval.
    #[arg(long, default_value_t = RESAMPLES, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub resamples: u32,

    /// Threads to use [default: one per core]; the model does not depend on it.
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,

    /// The history came from `assay simulate`: the model says so.
    #[arg(long)]
    pub simulated: bool,

    /// Print the report as JSON instead of text.
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub input: InputArguments,
}

/// Learners by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LearnerName {
    /// Gradient-boosted trees, settings searched, calibrated.
    BoostedTrees,
    /// Logistic regression as in the 2017 workshop: balanced classes, C by 10-fold cross-validation.
    Logistic,
}

/// Splits by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// The last fifth by time.
    Time,
    /// A fifth by chance, the same rows as scikit-learn's `train_test_split` with this seed.
    Random,
}

/// Trains, writes the model and the report, and says how it went.
pub fn run(arguments: &Train) -> Result<(), Failure> {
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN).get();
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().ok();
    let out = WholeFile::begin(&arguments.out)?;
    let made = arguments.report.as_deref().filter(|folder| !folder.exists());
    if let Some(folder) = &arguments.report {
        make_folder(folder)?;
    }
    learn(arguments, out, threads).inspect_err(|_| {
        // An empty folder is no report.
        made.map(std::fs::remove_dir);
    })
}

fn learn(arguments: &Train, out: WholeFile, threads: usize) -> Result<(), Failure> {
    let definition = arguments.definition.as_deref().map(read_definition).transpose()?;
    let (definition, data) = if let Some(folder) = &arguments.data_dir {
        let (definition, data) = read_journal(arguments, folder, definition)?;
        (Some(definition), data)
    } else {
        let data = read(arguments, definition.as_ref())?;
        (definition, data)
    };
    let steps = Steps::default();
    let trained =
        train(&data, &options(arguments, definition, &data, threads), &|step, done, total| steps.show(step, done, total));
    steps.clear();
    let trained = trained?;
    out.write(&trained.bytes)?;
    out.finish()?;
    report(arguments, &trained)
}

fn read(arguments: &Train, definition: Option<&Definition>) -> Result<Dataset, Failure> {
    let table = match definition {
        Some(definition) => {
            let (features, _) = labelled_features(definition, &arguments.data, &arguments.input, None)?;
            features
        }
        None => input::read(&arguments.data, &arguments.input.options())?,
    };
    let (rows, columns) = (table.rows(), table.columns.len());
    let roles = match definition {
        Some(definition) => roles_of(&definition.plan.schema, arguments.amount.clone()),
        None => Roles {
            label: arguments.label.clone(),
            weight: arguments.weight.clone(),
            time: arguments.time.clone(),
            amount: arguments.amount.clone(),
            drop: arguments.drop.clone(),
        },
    };
    let data = Dataset::new(table, &roles).map_err(|error| format!("{}: {error}", arguments.data.join(", ")))?;
    if !arguments.json {
        let frauds = data.fraud.iter().filter(|&&fraud| fraud).count();
        say(format_args!("Read {}: {rows} rows, {columns} columns, {frauds} frauds.", arguments.data.join(", ")))?;
        say(roles_taken(arguments, &data))?;
    }
    Ok(data)
}

/// What the journal of a data folder teaches.
fn read_journal(arguments: &Train, folder: &Path, definition: Option<Definition>) -> Result<(Definition, Dataset), Failure> {
    let steps = Steps::default();
    let learnt = lessons(folder, definition, arguments.as_of, |done, total| steps.show("going through the journal", done, total));
    steps.clear();
    let Lessons { definition, as_of, table, immature, declined, not_admitted } = learnt?;
    let rows = table.rows();
    let roles = roles_of(&definition.plan.schema, arguments.amount.clone());
    let data = Dataset::new(table, &roles).map_err(|error| format!("{}: {error}", folder.display()))?;
    if !arguments.json {
        let frauds = data.fraud.iter().filter(|&&fraud| fraud).count();
        let (folder, as_of) = (folder.display(), moment_text(as_of));
        say(format_args!(
            "Read the journal of {folder} as of {as_of}: {rows} transactions with a known label, {frauds} frauds."
        ))?;
        say(format_args!("Left out: {immature} of which the label was not known yet, {declined} declined and never known."))?;
        if not_admitted > 0 {
            say(format_args!("Left out too: {not_admitted} that this definition does not admit."))?;
        }
        say(roles_taken(arguments, &data))?;
    }
    Ok((definition, data))
}

/// The definition says what its columns are.
pub fn roles_of(schema: &Schema, amount: Option<String>) -> Roles {
    let name = |place: usize| schema.fields[place].name.clone();
    Roles {
        label: schema.label.map(name),
        weight: None,
        time: Some(name(schema.event_time)),
        amount,
        drop: vec![name(schema.id)],
    }
}

/// Which column has which role, and which of them were taken without being asked for.
fn roles_taken(arguments: &Train, data: &Dataset) -> String {
    let label = if arguments.label.is_some() || arguments.definition.is_some() || arguments.data_dir.is_some() {
        ""
    } else {
        " (the last column; another with --label)"
    };
    let time = match &data.time {
        Some(time) if time.taken_by_default => format!("{} (taken by default; another with --time)", time.column),
        Some(time) => time.column.clone(),
        None => "none".into(),
    };
    let amount = data.amount.as_ref().map_or("none", |amount| &amount.column);
    let categories: Vec<String> = data.features.iter().filter_map(described_category).collect();
    let categories = if categories.is_empty() { String::new() } else { format!(" Categories: {}.", categories.join(", ")) };
    format!("Label: {}{label}. Event time: {time}. Amount: {amount}. Features: {}.{categories}", data.label, data.features.len())
}

fn described_category(feature: &Feature) -> Option<String> {
    match &feature.kind {
        FeatureKind::Category { levels } => Some(format!("{} ({} levels)", feature.name, levels.len())),
        FeatureKind::Number => None,
    }
}

fn options(arguments: &Train, definition: Option<Definition>, data: &Dataset, threads: usize) -> Options {
    let label_delay = definition.as_ref().map_or(0.0, |definition| definition.plan.schema.label_delay as f64 / SECOND as f64);
    Options {
        learner: match arguments.learner {
            LearnerName::BoostedTrees => Learner::BoostedTrees,
            LearnerName::Logistic => Learner::Logistic,
        },
        split: match arguments.split {
            None => SplitBy::Default,
            Some(SplitName::Time) => SplitBy::Time,
            Some(SplitName::Random) => SplitBy::Random,
        },
        gap_seconds: arguments.gap.map_or(label_delay, |gap| gap.0),
        seed: arguments.seed,
        threads,
        review_cost: arguments.review_cost,
        fraud_cost: arguments.fraud_cost.unwrap_or(if data.amount.is_some() { 1.0 } else { 100.0 }),
        genuine_kept: arguments.genuine_kept,
        settings: arguments.set.iter().cloned().collect::<BTreeMap<_, _>>(),
        rounds: arguments.rounds.map(|rounds| rounds as usize),
        resamples: arguments.resamples,
        simulated: arguments.simulated,
        definition: definition.map(|definition| definition.text),
        made_by: format!("assay {}", env!("CARGO_PKG_VERSION")),
    }
}

fn report(arguments: &Train, trained: &Trained) -> Result<(), Failure> {
    let title = "How good is this fraud model?";
    let report = Report { title, model: summary(trained), evaluations: &trained.evaluations, importance: &trained.importance };
    if let Some(folder) = &arguments.report {
        write_report(folder, &report)?;
    }
    if arguments.json {
        say(json(&report))?;
        return Ok(());
    }
    for note in &report.model.notes {
        say(note)?;
    }
    say(format_args!("\n{}", text(&trained.evaluations)))?;
    say(format_args!("Model: {} ({} bytes)", arguments.out.display(), trained.bytes.len()))?;
    if let Some(folder) = &arguments.report {
        say(format_args!("Report: {}", folder.join("index.html").display()))?;
    }
    say(format_args!("Serve it: assay serve --model {}", arguments.out.display()))?;
    Ok(())
}

/// Writes `index.html` and `report.json` into `folder`.
pub fn write_report(folder: &Path, report: &Report) -> Result<(), Failure> {
    make_folder(folder)?;
    write_whole(&folder.join("index.html"), html(report).as_bytes())?;
    write_whole(&folder.join("report.json"), format!("{:#}\n", json(report)).as_bytes())?;
    Ok(())
}

fn summary(trained: &Trained) -> ModelSummary {
    let training = &trained.artifact.manifest().training;
    let simulated = training.simulated.then(|| {
        "The history is simulated: this model is for trying things out, not for deciding about people's payments.".to_owned()
    });
    let mut summary = model_summary(&trained.artifact, simulated.into_iter().chain(trained.notes.clone()).collect());
    summary.settings.insert(0, ("seed".to_owned(), training.seed.to_string()));
    summary
}

/// What a model says of its making, with `notes` for the reader.
pub fn model_summary(artifact: &Artifact, notes: Vec<String>) -> ModelSummary {
    let manifest = artifact.manifest();
    let training = &manifest.training;
    ModelSummary {
        learner: manifest.learner_name().replace('-', " "),
        label: manifest.label.clone(),
        features: manifest.features.len(),
        rows_trained: manifest.imported.is_none().then_some(training.rows),
        frauds_trained: manifest.imported.is_none().then_some(training.frauds),
        training_range: match (&training.time_column, training.time_range) {
            _ if manifest.imported.is_some() => "not known: the model was trained elsewhere".into(),
            (Some(column), Some((first, last))) => format!("{column} {first} to {last}"),
            _ => "rows drawn by chance".into(),
        },
        settings: training.settings.clone().into_iter().collect(),
        notes,
        commands: vec![super::typed()],
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-+.,".contains(letter));
    match text.split_once('=') {
        Some((name, value)) if plain(name) && plain(value) => Ok((name.into(), value.into())),
        _ => Err("write it as NAME=VALUE, as in num_leaves=31".into()),
    }
}
