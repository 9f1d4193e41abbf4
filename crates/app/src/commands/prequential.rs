//! `assay evaluate --prequential`: how would models have done, week after week, with the labels that were known by then?

use std::path::PathBuf;

use assay_domain::time::{self, SECOND};
use assay_model::manifest::Learner;
use assay_trainer::dataset::{Dataset, Roles};
use assay_trainer::prequential::{Prequential, Protocol, Spread, prequential};
use assay_trainer::table::{MISSING_CODE, Values};
use clap::Args;

use super::evaluate::Evaluate;
use super::features::{labelled_features, read_definition};
use super::train::{LearnerName, roles_of};
use super::{Failure, say};
use crate::duration::Seconds;
use crate::input;
use crate::progress::Steps;

/// Learn and test again and again instead of judging a model file.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "With --prequential")]
pub struct PrequentialArguments {
    /// Learn, wait for labels, test, and the same again earlier: how a learner does on these transactions, instead of how a model does.
    #[arg(long)]
    pub prequential: bool,

    /// SQL that makes features out of the transactions in DATA; it names their event time, label and label delay.
    #[arg(long, value_name = "FILE", requires = "prequential")]
    pub definition: Option<PathBuf>,

    /// Length of what each model learns from.
    #[arg(long, value_name = "DURATION", default_value = "7d", requires = "prequential")]
    pub train: Seconds,

    /// Length between that and the test, in which labels arrive [default: the label delay of the definition, else 7d].
    #[arg(long, value_name = "DURATION", requires = "prequential")]
    pub delay: Option<Seconds>,

    /// Length of each test, and how much earlier the next fold is.
    #[arg(long, value_name = "DURATION", default_value = "7d", requires = "prequential")]
    pub test: Seconds,

    /// How many folds; settings are chosen on as many before them.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100), requires = "prequential")]
    pub folds: u32,

    /// Where the last test ends, like 2018-08-15 [default: at the end of the last day of DATA].
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "prequential")]
    pub until: Option<i64>,

    /// Column of the card, or of whoever pays: cards known to be compromised are not tested, and card precision is told.
    #[arg(long, value_name = "COLUMN", requires = "prequential")]
    pub card: Option<String>,

    /// Cards that are looked at each day, for card precision.
    #[arg(long, value_name = "CARDS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), requires = "prequential")]
    pub top: u32,

    /// What learns.
    #[arg(long, value_enum, default_value_t = LearnerName::BoostedTrees, requires = "prequential")]
    pub learner: LearnerName,

    /// Column of the event time, without a definition [default: `Time`, or the only column of timestamps].
    #[arg(long, value_name = "COLUMN", requires = "prequential", conflicts_with = "definition")]
    pub time: Option<String>,

    /// Column to leave out, without a definition; may be repeated.
    #[arg(long, value_name = "COLUMN", requires = "prequential", conflicts_with = "definition")]
    pub drop: Vec<String>,
}

/// Reads the transactions, evaluates, and says what came out.
pub fn run(arguments: &Evaluate) -> Result<(), Failure> {
    let asked = &arguments.prequential;
    let first = arguments.model.display().to_string();
    let files: Vec<String> = std::iter::once(first).chain(arguments.data.iter().cloned()).collect();
    let Transactions { data, cards, label_delay } = read(arguments, &files)?;
    let units = data.time.as_ref().map_or(1.0, |time| time.units_per_second);
    let delay = asked.delay.or(label_delay).unwrap_or(Seconds(7.0 * 86_400.0));
    let protocol = Protocol {
        learner: match asked.learner {
            LearnerName::BoostedTrees => Learner::BoostedTrees,
            LearnerName::Logistic => Learner::Logistic,
        },
        train_seconds: asked.train.0,
        delay_seconds: delay.0,
        test_seconds: asked.test.0,
        folds: asked.folds as usize,
        until: asked.until.map(|moment| moment as f64 / SECOND as f64 * units),
        top: asked.top as usize,
        seed: arguments.seed,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let steps = Steps::default();
    let evaluated = prequential(&data, cards.as_deref(), &protocol, &|step, done, total| steps.show(step, done, total));
    steps.clear();
    let evaluated = evaluated.map_err(|error| format!("{}: {error}", files.join(", ")))?;
    if arguments.json {
        return say(serde_json::to_string_pretty(&evaluated)?);
    }
    tell(asked, delay, &evaluated, units)
}

/// What there is to learn from and to test on.
struct Transactions {
    data: Dataset,
    cards: Option<Vec<u64>>,
    label_delay: Option<Seconds>,
}

fn read(arguments: &Evaluate, files: &[String]) -> Result<Transactions, Failure> {
    let asked = &arguments.prequential;
    let in_file = |problem: &dyn std::fmt::Display| format!("{}: {problem}", files.join(", "));
    let Some(path) = &asked.definition else {
        let table = input::read(files, &arguments.input.options())?;
        let card = asked.card.as_deref().map(|name| {
            let column = table.column(name).ok_or_else(|| in_file(&format!("there is no column `{name}` for --card")))?;
            cards(&column.values)
        });
        let drop = asked.drop.iter().chain(&asked.card).cloned().collect();
        let roles = Roles { label: arguments.label.clone(), time: asked.time.clone(), drop, ..Roles::default() };
        let cards = card.transpose()?;
        return Ok(Transactions {
            data: Dataset::new(table, &roles).map_err(|error| in_file(&error))?,
            cards,
            label_delay: None,
        });
    };
    let definition = read_definition(path)?;
    let schema = &definition.plan.schema;
    let find = |name: &String| {
        let place = schema.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
        place.ok_or_else(|| format!("{}: there is no column `{name}` for --card", path.display()))
    };
    let card = asked.card.as_ref().map(find).transpose()?;
    let (features, beside) = labelled_features(&definition, files, &arguments.input, card)?;
    Ok(Transactions {
        data: Dataset::new(features, &roles_of(schema, None)).map_err(|error| in_file(&error))?,
        cards: beside.map(|values| cards(&values)).transpose()?,
        label_delay: Some(Seconds(schema.label_delay as f64 / SECOND as f64)),
    })
}

/// A number per transaction that is the same for those of one card.
fn cards(values: &Values) -> Result<Vec<u64>, Failure> {
    match values {
        Values::Numbers(numbers) => Ok(numbers.iter().map(|number| number.to_bits()).collect()),
        Values::Categories { codes, .. } => {
            Ok(codes.iter().map(|&code| if code == MISSING_CODE { u64::MAX } else { code.into() }).collect())
        }
        Values::Times(_) => Err("the column for --card holds times; name the one that says whose card it is".into()),
    }
}

fn tell(asked: &PrequentialArguments, delay: Seconds, evaluated: &Prequential, units: f64) -> Result<(), Failure> {
    let cards = match &asked.card {
        Some(card) => format!("Transactions of a {card} with a known fraud are not tested."),
        None => "No card is left out; name their column with --card.".into(),
    };
    say(format_args!("{} to learn from, {delay} for labels, {} to test. {cards}", asked.train, asked.test))?;
    let settings: Vec<String> = evaluated.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    say(format_args!("Settings, chosen on {} folds before these: {}\n", evaluated.folds.len(), settings.join(" ")))?;
    let top = format!("CP@{}", asked.top);
    say(format_args!(
        "{:<23} {:>9} {:>7}   {:<23} {:>9} {:>7}   {:>6} {:>6} {top:>7}",
        "learnt from", "rows", "frauds", "tested on", "rows", "frauds", "AUC", "AP"
    ))?;
    for fold in &evaluated.folds {
        say(format_args!(
            "{:<23} {:>9} {:>7}   {:<23} {:>9} {:>7}   {:>6.3} {:>6.3} {:>7}",
            span(fold.train_from, fold.train_until, units),
            fold.rows_trained,
            fold.frauds_trained,
            span(fold.test_from, fold.test_until, units),
            fold.rows_tested,
            fold.frauds_tested,
            fold.auc,
            fold.average_precision,
            fold.card_precision.map_or("-".into(), |precision| format!("{precision:.3}")),
        ))?;
    }
    let spread = |of: &Spread| match of.standard_deviation {
        deviation if deviation.is_nan() => format!("{:.3}", of.mean),
        deviation => format!("{:.3} ± {deviation:.3}", of.mean),
    };
    say(format_args!("\nAUC    {}\nAP     {}", spread(&evaluated.auc), spread(&evaluated.average_precision)))?;
    if let Some(precision) = &evaluated.card_precision {
        say(format_args!("{top} {}", spread(precision)))?;
    }
    Ok(())
}

/// First and last day, or the seconds of a time that is a number.
fn span(from: f64, until: f64, units: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a moment in microseconds")]
    let day = |moment: f64| {
        let mut text = Vec::new();
        time::write(&mut text, (moment as i64).clamp(time::FIRST, time::LAST)).expect("memory takes it");
        String::from_utf8_lossy(&text[..10]).into_owned()
    };
    if units == SECOND as f64 { format!("{}…{}", day(from), day(until - 1.0)) } else { format!("{from}…{until}") }
}

fn moment(text: &str) -> Result<i64, String> {
    time::parse(text.as_bytes()).ok_or_else(|| "write a date, as in 2018-08-15, or a moment, as in 2018-08-15T12:00:00Z".into())
}
