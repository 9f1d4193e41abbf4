//! Is the world still the one the model learnt? The journal folded into what [`assay_monitor`] counts, and its report.
//!
//! It is a function of the journal alone: its "now" is the arrival of the last entry, so that the server beside the one who decides, a restart in
//! between, and `assay monitor` on a copy say the same. What happened belongs to the day of its event, what was learnt to the day on which
//! it was.

use assay_domain::time::{DAY, SECOND};
use assay_domain::{Decision, Schema, Value};
use assay_engine::Policy;
use assay_features::Definition;
use assay_journal::{Entry, Head, Kind, Reader};
use assay_model::{Feature, Reference};
use assay_monitor::flow::{jumps, silence};
use assay_monitor::matured::Counted;
use assay_monitor::report::{Decided, LabelsLearnt};
use assay_monitor::{Flow, Judgement, Labels, Matured, Report, Sensitivity, Tally, Windows, ended, governor};
use serde::{Deserialize, Serialize};

use super::data_folder::DataFolder;
use super::fold::{self, FoldError, ORIGIN, State};
use super::governing::Governing;
use super::record::{DefinitionChange, Glance, Label, ModelChange, Part, PolicyChange, RolloutChange};
use super::transaction;

/// Raised when something else is counted: what an earlier program wrote down is then counted anew.
const VERSION: u32 = 1;
/// Models whose rows are counted, the ones that decided last: a rollback finds its windows again.
const MOST_MODELS: usize = 4;
/// How many transactions of a day are looked at for precision at the top, where the policy does not say how many can be reviewed.
const TOP: usize = 100;

/// What was counted up to an entry of the journal.
#[derive(Debug)]
pub struct Monitor {
    /// The last entry that was counted.
    pub at: Head,
    counted: Counts,
    definition: Option<Definition>,
    /// By the change that brought each model, the one that decides last; without a reference where its model has none.
    models: Vec<Scored>,
}

/// What can be written down.
#[derive(Debug, Serialize, Deserialize)]
struct Counts {
    /// When the last entry arrived.
    now: i64,
    /// From which entry on which column is the amount, if any is: what is learnt of a decision later is told of the same amount.
    amounts: Vec<(u64, Option<String>)>,
    /// What the policy that decides calls the amount.
    of_policy: Option<String>,
    /// How many can be reviewed in a day.
    top: usize,
    governing: Governing,
    days: Windows<Flow>,
    hours: Windows<Flow>,
    labels: Windows<Labels>,
    last_learnt: Option<i64>,
    matured: Matured,
}

/// A model and the rows that it scored.
#[derive(Debug)]
struct Scored {
    change: ModelChange,
    basis: Option<(Reference, Vec<Feature>)>,
    /// Where the model says so, the column of the amount.
    amount: Option<String>,
    rows: Windows<Tally>,
}

/// The file that a start goes on from.
#[derive(Serialize, Deserialize)]
struct Written<Counts> {
    version: u32,
    at: String,
    definition: Option<String>,
    models: Vec<(ModelChange, Windows<Tally>)>,
    counted: Counts,
}

/// A report with what somebody should look at said in sentences, as JSON has it.
#[derive(Serialize)]
struct Told<'a> {
    alarms: Vec<String>,
    #[serde(flatten)]
    report: &'a Report,
}

/// The report as JSON.
pub fn json(report: &Report) -> String {
    super::record::json(&Told { alarms: report.alarms(), report })
}

impl Monitor {
    /// Nothing counted yet; behind a cut, with what its checkpoint says was in force.
    pub fn begin(reader: &Reader, folder: &DataFolder) -> Result<Self, FoldError> {
        let counted = Counts {
            now: 0,
            amounts: Vec::new(),
            of_policy: None,
            top: TOP,
            governing: Governing::default(),
            days: Windows::new(DAY),
            hours: Windows::new(3_600 * SECOND),
            labels: Windows::new(DAY),
            last_learnt: None,
            matured: Matured::default(),
        };
        let mut monitor = Self { at: ORIGIN, counted, definition: None, models: Vec::new() };
        let is_cut = reader.latest(Kind::Cut, u64::MAX, 1)?.pop().is_some();
        if let Some(state) = is_cut.then(|| State::begin(reader, folder)).transpose()?.flatten() {
            monitor.definition = Some(state.engine.features().definition().clone());
            monitor.take_model(state.model, Windows::new(DAY), folder);
            if let Some(rollout) = state.rollout {
                monitor.take_challenger(rollout.model, folder);
            }
            monitor.take_policy(state.engine.policy());
            monitor.note_amount(state.at.sequence);
            monitor.counted.governing = state.governing;
            monitor.at = state.at;
        }
        Ok(monitor)
    }

    /// Goes on from what was written down, where that is of this journal; else from its beginning.
    pub fn open(reader: &Reader, folder: &DataFolder) -> Result<Self, FoldError> {
        let written = std::fs::read(folder.monitor()).ok().and_then(|bytes| Self::from_written(&bytes, folder));
        match written.filter(|monitor| reader.verify_head(monitor.at).is_ok()) {
            Some(monitor) => Ok(monitor),
            None => Self::begin(reader, folder),
        }
    }

    /// Counts at most `limit` entries more; tells how many there were.
    pub fn follow(&mut self, reader: &Reader, folder: &DataFolder, limit: u64) -> Result<u64, FoldError> {
        reader.replay(self.at.sequence, limit, |entry| self.fold(entry, reader, folder))
    }

    fn fold(&mut self, entry: &Entry<&str>, reader: &Reader, folder: &DataFolder) -> Result<(), FoldError> {
        self.counted.now = entry.arrived;
        match entry.kind {
            Kind::Decision => self.count(entry)?,
            Kind::Label => self.learn(entry, reader)?,
            Kind::Definition => {
                let change: DefinitionChange = fold::body(entry)?;
                self.definition = Some(fold::parsed(&change.sql, entry.sequence)?);
            }
            Kind::Model => {
                self.take_model(fold::body(entry)?, Windows::new(DAY), folder);
                self.note_amount(entry.sequence);
            }
            Kind::Rollout => {
                let change: RolloutChange = fold::body(entry)?;
                if change.percent > 0.0 {
                    self.take_challenger(change.model, folder);
                }
            }
            Kind::Policy => {
                let change: PolicyChange = fold::body(entry)?;
                if change.part == Part::Live {
                    self.take_policy(&change.policy.unwrap_or_else(Policy::approve_all));
                    self.note_amount(entry.sequence);
                }
            }
            Kind::Governor => {
                let event: governor::Event = fold::body(entry)?;
                self.counted.governing.follow(&event);
            }
            _ => {}
        }
        self.at = Head { sequence: entry.sequence, hash: entry.hash };
        Ok(())
    }

    /// A decision: its row, its outcome, its amount.
    fn count(&mut self, entry: &Entry<&str>) -> Result<(), FoldError> {
        let Some((decision, at, amount_minor)) = self.decided(entry)? else { return Ok(()) };
        let counted = &mut self.counted;
        counted.governing.count(entry.arrived, fold::asked_for(decision.outcome, &decision.flags));
        for windows in [&mut counted.days, &mut counted.hours] {
            if let Some(flow) = windows.at(at) {
                flow.observe(decision.outcome);
            }
        }
        counted.matured.observe(&counted_of(&decision, at, amount_minor));
        let scored = self.models.iter_mut().rev().find(|scored| scored.change.label() == *decision.model_version);
        if let (Some(Scored { basis: Some((reference, _)), rows, .. }), Some(probability)) = (scored, decision.probability)
            && decision.row.len() == reference.features.len()
            && let Some(tally) = rows.at(at)
        {
            tally.observe(reference, &decision.row, probability);
        }
        Ok(())
    }

    /// What became known of a transaction.
    fn learn(&mut self, entry: &Entry<&str>, reader: &Reader) -> Result<(), FoldError> {
        let label: Label = fold::body(entry)?;
        let id = entry.id.unwrap_or_default();
        let (Some(labelled), Some(definition)) = (fold::find(reader, id)?, &self.definition) else { return Ok(()) };
        let labelled = fold::borrowed(&labelled);
        let learnt = assay_domain::time::parse(label.learnt.as_bytes()).unwrap_or(entry.arrived);
        let glance: Glance = fold::body(&labelled)?;
        let schema = &definition.plan.schema;
        let Some(at) = event_of(&glance, &labelled, schema).map(|(_, at)| at) else { return Ok(()) };
        let (fraud, label_delay) = (label.label.is_fraud(), schema.label_delay);
        if let Some(labels) = self.counted.labels.at(learnt) {
            labels.observe(fraud, learnt.saturating_sub(at), label_delay);
        }
        self.counted.last_learnt = self.counted.last_learnt.max(Some(learnt));
        if labelled.kind == Kind::Decision {
            let earlier = fold::last_label(reader, id, entry.sequence)?.map(|earlier| earlier.label.is_fraud());
            if let Some((decision, at, amount_minor)) = self.decided(&labelled)? {
                self.counted.matured.learn(&counted_of(&decision, at, amount_minor), earlier, fraud);
            }
        }
        Ok(())
    }

    /// A decision, when its transaction happened, and its amount; none where the definition does not know its columns.
    fn decided(&self, entry: &Entry<&str>) -> Result<Option<(Decision, i64, i64)>, FoldError> {
        let Some(definition) = &self.definition else { return Ok(None) };
        let glance: Glance = fold::body(entry)?;
        let schema = &definition.plan.schema;
        let Some((values, at)) = event_of(&glance, entry, schema) else { return Ok(None) };
        let decision: Decision = fold::body(entry)?;
        Ok(Some((decision, at, self.amount_minor(entry.sequence, &values, schema))))
    }

    /// The amount by the column that the policy named then, or else the model; 0 where neither did.
    fn amount_minor(&self, sequence: u64, values: &[Value], schema: &Schema) -> i64 {
        let then = self.counted.amounts.iter().rev().find(|(from, _)| *from <= sequence);
        let place = then.and_then(|(_, column)| schema.place(column.as_deref()?));
        match place.map(|place| &values[place]) {
            #[expect(clippy::cast_possible_truncation, reason = "amounts beyond 64 bits are held at the ends")]
            Some(Value::Double(amount)) => (amount * 100.0).round() as i64,
            Some(Value::Integer(amount)) => amount.saturating_mul(100),
            _ => 0,
        }
    }

    fn take_policy(&mut self, policy: &Policy) {
        let obeyed = self.counted.governing.obey(policy);
        debug_assert!(obeyed.is_ok(), "a policy that was checked has limits of a governor");
        self.counted.of_policy = policy.costs.as_ref().map(|costs| costs.amount.clone());
        let per_day = policy.costs.as_ref().and_then(|costs| costs.review?.per_day);
        self.counted.top = per_day.and_then(|per_day| usize::try_from(per_day).ok()).filter(|&top| top > 0).unwrap_or(TOP);
    }

    /// From this entry on the amount may be another column.
    fn note_amount(&mut self, sequence: u64) {
        let of_model = || self.models.last().and_then(|scored| scored.amount.clone());
        let column = self.counted.of_policy.clone().or_else(of_model);
        if self.counted.amounts.last().is_none_or(|(_, last)| *last != column) {
            self.counted.amounts.push((sequence, column));
        }
    }

    /// A model that decides about a share from here on: its rows are counted, and what is told of drift stays that of the one beside it.
    fn take_challenger(&mut self, change: ModelChange, folder: &DataFolder) {
        let deciding = self.models.pop();
        if deciding.as_ref().is_none_or(|deciding| deciding.change.label() != change.label()) {
            self.take_model(change, Windows::new(DAY), folder);
        }
        self.models.extend(deciding);
        if self.models.len() > MOST_MODELS {
            self.models.remove(0);
        }
    }

    /// A model that decides from here on. Without its file, or a reference in it, its drift is not known; all else is.
    fn take_model(&mut self, change: ModelChange, rows: Windows<Tally>, folder: &DataFolder) {
        if let Some(place) = self.models.iter().position(|scored| scored.change.label() == change.label()) {
            let known = self.models.remove(place);
            return self.models.push(known);
        }
        let artifact = folder.model(&change).inspect_err(|problem| tracing::warn!("drift is not watched: {problem}")).ok();
        let manifest = artifact.as_ref().map(|artifact| artifact.manifest());
        let basis = manifest.and_then(|manifest| Some((manifest.baseline.reference.clone()?, manifest.features.clone())));
        let amount = manifest.and_then(|manifest| manifest.threshold.amount_column.clone());
        if self.models.len() == MOST_MODELS {
            self.models.remove(0);
        }
        self.models.push(Scored { change, basis, amount, rows });
    }

    /// How things stand, as of the arrival of the last entry.
    pub fn report(&self) -> Report {
        let Counts { now, top, governing, days, hours, labels, last_learnt, matured, .. } = &self.counted;
        let label_delay = self.definition.as_ref().map_or(0, |definition| definition.plan.schema.label_delay);
        let judgement = Judgement { as_of: *now, label_delay, top: *top };
        let decides = self.models.last();
        let drift = decides.and_then(|scored| {
            let (reference, features) = scored.basis.as_ref()?;
            Some(ended(reference, features, &scored.rows, *now, &Sensitivity::default()))
        });
        let model = decides.map(|scored| scored.change.label());
        Report {
            title: model.as_ref().map_or_else(|| "Decisions".into(), |model| format!("Decisions of {model}")),
            as_of: *now,
            drift: drift.unwrap_or_default(),
            decided: Decided::of(days),
            labels: LabelsLearnt::of(labels),
            quality: matured.quality(&judgement),
            governor: governing.status(),
            through: Some(self.at.sequence),
            model,
            labelled: matured.labelled(&judgement),
            last_learnt: *last_learnt,
            jumps: jumps(hours, *now),
            silence: last_learnt.and_then(|last| silence(labels, last, *now)),
        }
    }

    /// Writes down what was counted, for the next start.
    pub fn write(&self, folder: &DataFolder) -> Result<(), FoldError> {
        let written = Written {
            version: VERSION,
            at: self.at.to_string(),
            definition: self.definition.as_ref().map(|definition| definition.text.clone()),
            models: self.models.iter().map(|scored| (scored.change.clone(), scored.rows.clone())).collect(),
            counted: &self.counted,
        };
        let json = super::record::json(&written);
        Ok(folder.write(&folder.monitor(), |file| std::io::Write::write_all(file, json.as_bytes()))?)
    }

    /// What an earlier program wrote down; none that this one does not understand.
    fn from_written(bytes: &[u8], folder: &DataFolder) -> Option<Self> {
        let written: Written<Counts> = serde_json::from_slice(bytes).ok()?;
        let definition = written.definition.map(|sql| fold::parsed(&sql, 0)).transpose().ok()?;
        let at = written.at.parse().ok().filter(|_| written.version == VERSION)?;
        let mut monitor = Self { at, counted: written.counted, definition, models: Vec::new() };
        for (change, rows) in written.models {
            monitor.take_model(change, rows, folder);
        }
        Some(monitor)
    }
}

fn counted_of(decision: &Decision, at: i64, amount_minor: i64) -> Counted<'_> {
    let Decision { model_version, outcome, probability, .. } = decision;
    Counted { at, model: model_version, outcome: *outcome, probability: *probability, amount_minor }
}

/// The columns of a transaction and when it happened.
fn event_of(glance: &Glance, entry: &Entry<&str>, schema: &Schema) -> Option<(Vec<Value>, i64)> {
    let values = transaction::recorded(glance.transaction.get(), entry.personal, schema)?;
    match values[schema.event_time] {
        Value::Timestamp(at) => Some((values, at)),
        _ => None,
    }
}
