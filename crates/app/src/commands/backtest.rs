//! `assay backtest`: what would another model or another policy have made of the past, in money?

mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_domain::Value;
use assay_engine::backtest::{Days, Difference, Past, Report, Tried, try_out};
use assay_engine::lists::ListChange;
use assay_engine::{Engine, Event, Model, Policy, costs};
use assay_features::Definition;
use assay_journal::{Kind, Reader};
use clap::Args;
use serde::Serialize;

use super::{Failure, say};
use crate::decisions::data_folder::DataFolder;
use crate::decisions::fold::{self, State};
use crate::decisions::past::{self, Came, Happened, Labels, Learnt, Told};
use crate::decisions::record::{ListEntry, ModelChange, Part, PolicyChange};
use crate::decisions::transaction::moment_text;
use crate::flag_values::moment;
use crate::model_file;
use crate::output::{WholeFile, write_whole};
use crate::progress::Steps;

/// Entries after which progress is told.
const STEP: u64 = 10_000;

/// Try another model or policy on the past of a journal, event by event, and say in money what would have come of it.
#[derive(Args, Clone, Debug)]
pub struct Backtest {
    /// The data folder; a server may go on writing in it.
    pub folder: PathBuf,

    /// The model to try [default: the one that decides at the end of the journal].
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// The policy to try, as JSON [default: the one that decides at the end of the journal].
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Moment like 2026-09-30T12:34:56Z from which transactions count by their arrival; those before it are the past of those after it.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub from: Option<i64>,

    /// Moment before which transactions must have arrived to count.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub to: Option<i64>,

    /// Column of the amount, in money.
    #[arg(long, value_name = "COLUMN")]
    pub amount: String,

    /// HTML file to write the report to.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// JSON file to write the same to.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Work out what one more review a day would have been worth, for `review.price` of a policy of costs.
    #[arg(long)]
    pub review_price: bool,

    /// Seed of the resamples behind the intervals.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    folder: String,
    model: String,
    policy: String,
    amount: String,
    from: Option<String>,
    to: Option<String>,
    /// Transactions that were imported, so that nobody decided: they do not count where others were decided.
    imported: u64,
    not_admitted: u64,
    candidate: Report,
    /// What was really decided of the same transactions; none where nothing was.
    recorded: Option<Report>,
    difference: Option<Difference>,
    review_price: Option<f64>,
    command: String,
}

/// Folds the past, then says and writes what came of it.
pub fn run(arguments: &Backtest) -> Result<(), Failure> {
    let page = WholeFile::begin(&arguments.output)?;
    let steps = Steps::default();
    let found = find(arguments, &steps);
    steps.clear();
    let found = found?;
    page.write(report::html(&found).as_bytes())?;
    if let Some(json) = &arguments.json {
        write_whole(json, format!("{}\n", serde_json::to_string_pretty(&found)?).as_bytes())?;
    }
    page.finish()?;
    say(report::text(&found))?;
    say(format_args!("Report: {}", arguments.output.display()))
}

fn find(arguments: &Backtest, steps: &Steps) -> Result<Found, Failure> {
    let reader = Reader::open(&arguments.folder)?;
    let checkpoint = past::checkpoint(&reader, &DataFolder::at(&arguments.folder))?;
    let (definition, model) = model(arguments, &reader, checkpoint.as_ref())?;
    let policy = policy(arguments.policy.as_deref(), &reader, checkpoint.as_ref())?;
    let schema = definition.plan.schema.clone();
    let amount = schema.place(&arguments.amount).ok_or_else(|| {
        let columns = schema.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
        format!("--amount: the definition has no column of that name; the columns are {columns}")
    })?;
    if !matches!(schema.fields[amount].kind, assay_domain::Type::Double | assay_domain::Type::Integer) {
        return Err(
            format!("--amount: column `{}` holds no numbers; name the column of the amount", schema.fields[amount].name).into()
        );
    }
    let costs = policy.costs.clone().filter(|costs| costs.review.is_some_and(|review| review.per_day.is_some()));
    if arguments.review_price && costs.is_none() {
        return Err("--review-price: the policy has no costs with a number of reviews per day; docs/policy.md shows some".into());
    }
    let version = policy.version.clone();
    let mut trial = Trial {
        engine: engine(&reader, checkpoint, &definition, &model, policy)?,
        labels: past::last_labels(&reader)?,
        end: past::end(&reader)?.unwrap_or(i64::MIN),
        amount,
        window: arguments.from.unwrap_or(i64::MIN)..arguments.to.unwrap_or(i64::MAX),
        all: Side::default(),
        decided: Side::default(),
        recorded: Days::default(),
        not_admitted: 0,
    };
    let total = reader.head()?.sequence;
    past::visit(&reader, &schema, i64::MAX, |sequence, happened| -> Result<(), Problem> {
        if sequence.is_multiple_of(STEP) {
            steps.show("folding the past", sequence, total);
        }
        trial.take(happened)
    })?;
    let Trial { all, decided, recorded, not_admitted, .. } = trial;
    let was_decided = decided.transactions > 0;
    let imported = if was_decided { all.transactions - decided.transactions } else { 0 };
    let side = if was_decided { decided } else { all };
    if side.transactions == 0 {
        return Err("no transaction arrived between --from and --to that this model and policy could decide about".into());
    }
    let seed = arguments.seed;
    let candidate = side.days.report(side.refused, seed);
    let price = costs.filter(|_| arguments.review_price);
    Ok(Found {
        folder: arguments.folder.display().to_string(),
        model: model.version().to_string(),
        policy: version,
        amount: schema.fields[amount].name.clone(),
        from: arguments.from.map(moment_text),
        to: arguments.to.map(moment_text),
        imported,
        not_admitted,
        recorded: was_decided.then(|| recorded.report(0, seed)),
        difference: was_decided.then(|| side.days.difference(&recorded, seed)),
        review_price: price.map(|costs| costs::review_price(&costs, side.scored.into_iter(), candidate.days as f64)),
        candidate,
        command: super::typed(),
    })
}

/// The model to be tried, and the definition of its features.
fn model(arguments: &Backtest, reader: &Reader, checkpoint: Option<&State>) -> Result<(Definition, Model), Failure> {
    if let Some(path) = &arguments.model {
        let file = model_file::open(path, assay_model::artifact::MAX_ARTIFACT_BYTES)?;
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let label = format!("{name}@{}", file.version());
        let Some(sql) = file.artifact.manifest().definition.clone() else {
            let path = path.display();
            return Err(format!("the model {path} does not say how its features are made; train one with a definition").into());
        };
        let definition = Definition::parse(&sql, "the model's definition")?;
        let model = Model::new(&label, file.artifact, &definition.plan)?;
        return Ok((definition, model));
    }
    let none = "the journal names no model: nothing decides in it; name one with --model";
    let definition = past::definition(reader, checkpoint)?.ok_or(none)?;
    let change: ModelChange = match reader.latest(Kind::Model, u64::MAX, 1)?.pop() {
        Some(entry) => fold::body(&fold::borrowed(&entry))?,
        None => checkpoint.map(|state| state.model.clone()).ok_or(none)?,
    };
    let artifact: Arc<_> = DataFolder::at(&arguments.folder).model(&change)?;
    let model = Model::new(&change.label(), artifact, &definition.plan)?;
    Ok((definition, model))
}

/// The policy to be tried.
fn policy(path: Option<&Path>, reader: &Reader, checkpoint: Option<&State>) -> Result<Policy, Failure> {
    if let Some(path) = path {
        let name = path.display();
        let json = fs::read_to_string(path).map_err(|error| format!("{name}: cannot be read: {error}; check the path"))?;
        return Ok(Policy::parse(&json).map_err(|problem| format!("{name}: {problem}"))?);
    }
    let mut last = checkpoint.map(|state| state.engine.policy().clone());
    reader.replay_kind(Kind::Policy, 0, u64::MAX, |entry| -> Result<(), fold::FoldError> {
        let change: PolicyChange = fold::body(entry)?;
        if change.part == Part::Live {
            last = Some(change.policy.unwrap_or_else(Policy::approve_all));
        }
        Ok(())
    })?;
    Ok(last.ok_or("the journal names no policy: nothing decides in it; name one with --policy")?)
}

/// What is to decide, before the first entry: what the checkpoint holds, where the beginning was cut off and the features are the same. The
/// policy may look at lists that came later: they are there from the beginning, empty.
fn engine(
    reader: &Reader,
    checkpoint: Option<State>,
    definition: &Definition,
    model: &Model,
    policy: Policy,
) -> Result<Engine, Failure> {
    let mut engine = match checkpoint {
        Some(state) if state.engine.features().definition().text == definition.text => state.engine,
        _ => Engine::new(definition.clone(), model, Policy::approve_all())?,
    };
    let nothing_yet =
        [Event::ShadowPolicy(None), Event::Policy(Policy::approve_all()), Event::Rollout(None), Event::Model(model.clone())];
    nothing_yet.into_iter().try_for_each(|event| engine.apply(event))?;
    let mut created = Vec::new();
    reader.replay_kind(Kind::List, 0, u64::MAX, |entry| -> Result<(), fold::FoldError> {
        let change: ListEntry = fold::body(entry)?;
        created.extend(matches!(change.list, ListChange::Create { .. }).then_some(change.list));
        Ok(())
    })?;
    for change in created {
        if !has_list(&engine, &change) {
            engine.apply(Event::List(change))?;
        }
    }
    engine.apply(Event::Policy(policy))?;
    Ok(engine)
}

fn has_list(engine: &Engine, change: &ListChange) -> bool {
    matches!(change, ListChange::Create { list, .. } if engine.lists().list(list).is_some())
}

/// Why the past cannot be folded.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Fold(#[from] fold::FoldError),
    #[error(transparent)]
    Apply(#[from] assay_engine::ApplyError),
}

/// The fold, and what is counted.
struct Trial {
    engine: Engine,
    labels: Labels,
    end: i64,
    amount: usize,
    window: std::ops::Range<i64>,
    /// All that arrived in the window.
    all: Side,
    /// Of them, those that were decided then.
    decided: Side,
    /// What was decided of those.
    recorded: Days,
    not_admitted: u64,
}

/// What the candidate came to.
#[derive(Default)]
struct Side {
    days: Days,
    transactions: u64,
    refused: u64,
    /// Probability and amount.
    scored: Vec<(f64, f64)>,
}

impl Trial {
    fn take(&mut self, happened: Happened) -> Result<(), Problem> {
        match happened {
            Happened::Transaction(came) => self.decide(came)?,
            Happened::NotAdmitted => self.not_admitted += 1,
            Happened::Label(Learnt { values, fraud, .. }) => {
                try_out(&mut self.engine, Past::Label { transaction: values, label: Some(fraud) })?;
            }
            Happened::List(change) => {
                if let Some(change) = self.still_to_make(change) {
                    try_out(&mut self.engine, Past::Change(Box::new(Event::List(change))))?;
                }
            }
        }
        Ok(())
    }

    fn decide(&mut self, came: Came) -> Result<(), Problem> {
        let told = Told::by(&came, self.engine.schema());
        let learnt = self.labels.get(&came.sequence).copied().or(told.label);
        let was_fraud = told.truth(learnt, self.engine.schema(), self.end);
        let amount = match came.values[self.amount] {
            Value::Double(amount) => amount,
            Value::Integer(amount) => amount as f64,
            _ => 0.0,
        };
        let Came { id, arrived, values, outcome, .. } = came;
        let is_counted = self.window.contains(&arrived);
        let tried = try_out(&mut self.engine, Past::Transaction { transaction: values, id, arrived, amount, was_fraud })?;
        if !is_counted {
            return Ok(());
        }
        let sides = [Some(&mut self.all), outcome.is_some().then_some(&mut self.decided)];
        for side in sides.into_iter().flatten() {
            match &tried {
                Tried::Decided(decision) => {
                    side.transactions += 1;
                    side.days.count(arrived, decision.outcome, was_fraud, amount);
                    side.scored.extend(decision.probability.map(|probability| (probability, amount)));
                }
                Tried::Refused(_) => side.refused += 1,
                Tried::Passed => {}
            }
        }
        if let (Some(outcome), Tried::Decided(_)) = (outcome, &tried) {
            self.recorded.count(arrived, outcome, was_fraud, amount);
        }
        Ok(())
    }

    /// A change of lists that are all there from the beginning: one that is dropped is emptied.
    fn still_to_make(&self, change: ListChange) -> Option<ListChange> {
        match change {
            ListChange::Create { .. } if has_list(&self.engine, &change) => None,
            ListChange::Drop { list } => {
                let values = self.engine.lists().list(&list)?.entries().map(|entry| entry.value).collect();
                Some(ListChange::Remove { list, values })
            }
            other => Some(other),
        }
    }
}

/// How many days the window has, for people.
fn days(found: &Found) -> String {
    let days = found.candidate.days;
    if days == 1 { "1 day".into() } else { format!("{days} days") }
}
