//! The model that decided, with what explains its scores: the one that decides now, and those before it when somebody asks why.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use assay_domain::Decision;
use assay_domain::decision::ReasonCode;
use assay_engine::{Model, reasons};
use assay_features::plan::Plan;
use assay_journal::{Kind, Reader};
use assay_model::explain::Explainer;

use super::data_folder::DataFolder;
use super::fold::{self, FoldError, State};
use super::record::{DefinitionChange, ModelChange};

/// Reasons that are given for a decision.
pub const REASONS: usize = 5;
/// Models before the one that decides that are kept for questions about their decisions.
const KEPT: usize = 8;

/// A model that decides or decided.
#[derive(Debug)]
pub struct Scorer {
    model: Model,
    /// Worked out at the first question; none for a model that cannot be explained.
    explainer: OnceLock<Option<Explainer>>,
}

impl Scorer {
    /// Of this model.
    pub fn new(model: Model) -> Self {
        Self { model, explainer: OnceLock::new() }
    }

    /// What it is called in decisions.
    pub fn label(&self) -> &str {
        self.model.version()
    }

    /// The model itself.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// By how much the contributions to the score of a decision miss its margin, for a margin of at most 1; none where there is nothing to
    /// explain.
    pub fn misses_by(&self, decision: &Decision) -> Option<f64> {
        let artifact = self.model.artifact();
        let explainer = self.explainer.get_or_init(|| artifact.explainer().ok()).as_ref()?;
        decision.probability?;
        let explanation = explainer.explain(&decision.row);
        let (sum, margin) =
            (explanation.expected + explanation.contributions.iter().sum::<f64>(), artifact.margin(&decision.row));
        Some((sum - margin).abs() / margin.abs().max(1.0))
    }

    /// Why it decided so; none where no model scored, or its scores cannot be explained.
    pub fn reasons(&self, decision: &Decision) -> Option<Vec<ReasonCode>> {
        let explainer = self.explainer.get_or_init(|| self.model.artifact().explainer().ok());
        reasons(&self.model, explainer.as_ref()?, decision, REASONS).ok()
    }
}

/// Models that decided, by what they are called in decisions; the latest asked for is last.
#[derive(Debug, Default)]
pub struct Scorers(Mutex<Vec<Arc<Scorer>>>);

impl Scorers {
    /// The model that made a decision, read from the data folder if it is not here; none if the journal does not know it.
    pub fn of(&self, label: &str, reader: &Reader, folder: &DataFolder) -> Result<Option<Arc<Scorer>>, FoldError> {
        if let Some(known) = self.known(label) {
            return Ok(Some(known));
        }
        let named = match reader.find(Kind::Model, label)? {
            Some(entry) => Some(entry),
            // A challenger that never became active.
            None => reader.find(Kind::Rollout, label)?,
        };
        let Some(entry) = named else { return self.of_checkpoint(label, reader, folder) };
        let change: ModelChange = fold::body(&fold::borrowed(&entry))?;
        let Some(plan) = plan_before(entry.sequence, reader, folder)? else { return Ok(None) };
        let artifact = folder.model(&change)?;
        let model = Model::new(label, artifact, &plan)
            .map_err(|error| FoldError::Apply { sequence: entry.sequence, problem: error.into() })?;
        let scorer = Arc::new(Scorer::new(model));
        self.keep(scorer.clone());
        Ok(Some(scorer))
    }

    /// The model that decided when old entries were cut off, or its challenger.
    fn of_checkpoint(&self, label: &str, reader: &Reader, folder: &DataFolder) -> Result<Option<Arc<Scorer>>, FoldError> {
        let Some(cut) = reader.latest(Kind::Cut, u64::MAX, 1)?.pop() else { return Ok(None) };
        let state = State::from_checkpoint(&cut, folder)?;
        let mut models = state.engine.challenger().into_iter().chain([state.engine.model()]);
        let scorer = models.find(|model| **model.version() == *label).map(|model| Arc::new(Scorer::new(model.clone())));
        if let Some(scorer) = &scorer {
            self.keep(scorer.clone());
        }
        Ok(scorer)
    }

    /// Keeps a model for questions.
    pub fn keep(&self, scorer: Arc<Scorer>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|known| known.label() != scorer.label());
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(scorer);
    }

    fn known(&self, label: &str) -> Option<Arc<Scorer>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|scorer| scorer.label() == label).cloned()
    }
}

/// What the definition before an entry asked for.
fn plan_before(sequence: u64, reader: &Reader, folder: &DataFolder) -> Result<Option<Plan>, FoldError> {
    let Some(entry) = reader.latest(Kind::Definition, sequence, 1)?.pop() else {
        let Some(cut) = reader.latest(Kind::Cut, u64::MAX, 1)?.pop() else { return Ok(None) };
        return Ok(Some(State::from_checkpoint(&cut, folder)?.engine.features().definition().plan.clone()));
    };
    let change: DefinitionChange = fold::body(&fold::borrowed(&entry))?;
    Ok(Some(fold::parsed(&change.sql, entry.sequence)?.plan))
}
