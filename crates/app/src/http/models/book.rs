//! Which models are there, and who does what? The side of the models that changes; requests never look at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::follower::{self, Follower};
use super::lineup::Lineup;
use super::model::Model;
use super::problem::Problem;
use super::reason::Reason;
use super::rollout::Rollout;
use super::shadow::Shadow;
use crate::model_folder::{Named, RolloutState, Sighting, State};

/// Everything known of one name.
#[derive(Debug, Default)]
pub struct Entry {
    /// The model, if one of this name is loaded.
    pub model: Option<Arc<Model>>,
    /// Why the file of this name is not taken, or not taken in the place of the model that is loaded.
    pub refused: Option<Reason>,
    /// The file in the folder as it was judged.
    pub judged: Option<Sighting>,
    /// Whether the model came from outside the folder.
    pub is_outside: bool,
}

impl Entry {
    /// A model and the file in the folder that it came from, if it came from there.
    pub fn of(model: Model, judged: Option<Sighting>) -> Self {
        Self { model: Some(Arc::new(model)), refused: None, is_outside: judged.is_none(), judged }
    }
}

/// All names, and who does what.
#[derive(Debug)]
pub struct Book {
    /// By name.
    pub entries: BTreeMap<String, Entry>,
    /// As it is written down.
    pub state: State,
    /// Whether the active model decides about transactions, and a challenger about a share of them.
    pub decides: bool,
}

/// What a shadow scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// The rows that the active model was given.
    Rows,
    /// What is decided, by a definition of its own.
    Journal,
}

impl Book {
    /// Models in memory.
    pub fn loaded_count(&self) -> usize {
        self.entries.values().filter(|entry| entry.model.is_some()).count()
    }

    /// The model of this name, or why there is none.
    pub fn loaded(&self, name: &str) -> Result<&Arc<Model>, Problem> {
        let entry = self.entries.get(name).ok_or(Problem::NotFound)?;
        entry.model.as_ref().ok_or_else(|| entry.refused.map_or(Problem::NotFound, Problem::Refused))
    }

    /// The state with `name` active.
    pub fn activated(&self, name: &str) -> Result<State, Problem> {
        let model = self.loaded(name)?;
        let mut state = self.state.clone();
        if model.is(&state.active) {
            return Ok(state);
        }
        state.previous = Some(std::mem::replace(&mut state.active, model.named()));
        // Who took the rows of the model before may not take those of this one.
        state
            .shadows
            .retain(|named| !model.is(named) && self.loaded(&named.name).is_ok_and(|shadow| self.beside(shadow, model).is_ok()));
        let answers_on = |named: &Named| !model.is(named) && self.takes_rows_of(named, model);
        let decides_on = |named: &Named| !self.decides || self.has_the_definition_of(named, model);
        state.rollout = state.rollout.filter(|rollout| answers_on(&rollout.model) && decides_on(&rollout.model));
        Ok(state)
    }

    /// The state with the previous model active again; a second rollback takes the first one back.
    pub fn rolled_back(&self) -> Result<State, Problem> {
        let previous = self.state.previous.as_ref().filter(|&previous| self.is_loaded(previous));
        self.activated(&previous.ok_or(Problem::NothingToRollBackTo)?.name)
    }

    /// The state with `name` as a shadow, or not. A challenger that becomes a shadow answers no longer.
    pub fn shadowed(&self, name: &str, on: bool) -> Result<State, Problem> {
        let mut state = self.without_duty(name)?;
        if on {
            let model = self.loaded(name)?;
            if !self.state.shadows.iter().any(|shadow| model.is(shadow)) {
                self.beside(model, self.loaded(&self.state.active.name)?)?;
            }
            state.shadows.push(model.named());
            state.shadows.sort_by(|one, other| one.name.cmp(&other.name));
        } else {
            state.rollout.clone_from(&self.state.rollout);
        }
        Ok(state)
    }

    /// The state in which `name` answers `percent` of the requests. A shadow that becomes the challenger is a shadow no longer.
    pub fn rolled_out(&self, name: &str, percent: f64) -> Result<State, Problem> {
        let mut state = self.without_duty(name)?;
        if percent > 0.0 {
            let model = self.beside_the_active(name)?;
            if state.rollout.is_some() {
                return Err(Problem::OtherRollout);
            }
            state.rollout = Some(RolloutState { model: model.named(), percent });
        } else {
            state.shadows.clone_from(&self.state.shadows);
        }
        Ok(state)
    }

    /// The state without `name`, which is not active.
    pub fn forgotten(&self, name: &str) -> Result<State, Problem> {
        let entry = self.entries.get(name).ok_or(Problem::NotFound)?;
        if self.state.active.name == name {
            return Err(Problem::IsActive);
        }
        if entry.is_outside {
            return Err(Problem::NotInFolder);
        }
        let mut state = without_duty(&self.state, name);
        state.previous = state.previous.filter(|previous| previous.name != name);
        Ok(state)
    }

    /// Whether a model of this name has something to do, or a rollback goes to it.
    pub fn is_in_use(&self, name: &str) -> bool {
        self.state.in_use().any(|named| named.name == name)
    }

    /// What requests see of this. Shadows of `before` keep their figures.
    pub fn lineup(&self, before: Option<&Lineup>) -> Lineup {
        let model =
            |named: &Named| self.entries.get(&named.name).and_then(|entry| entry.model.clone()).filter(|model| model.is(named));
        let active = model(&self.state.active).expect("the active model is loaded, and stays so");
        let (mut shadows, mut followers) = (Vec::new(), Vec::new());
        for model in self.state.shadows.iter().filter_map(model) {
            // Who has a past of its own already keeps it, whatever is active.
            if let Some(known) = before.and_then(|before| before.follower(&model)) {
                followers.push(known.clone());
                continue;
            }
            match self.beside(&model, &active) {
                Ok(Beside::Rows) => {
                    let known = before.and_then(|before| before.shadows.iter().find(|shadow| Arc::ptr_eq(&shadow.model, &model)));
                    shadows.push(known.cloned().unwrap_or_else(|| Arc::new(Shadow::new(model))));
                }
                Ok(Beside::Journal) => followers.push(Arc::new(Follower::new(model))),
                Err(problem) => {
                    tracing::warn!(model = model.name, "what is written down as a shadow scores nothing here: {problem}");
                }
            }
        }
        let rollout = self.state.rollout.as_ref();
        Lineup {
            active,
            rollout: rollout.and_then(|rollout| Some(Rollout::new(model(&rollout.model)?, rollout.percent))),
            shadows,
            followers,
            loaded: self.entries.values().filter_map(|entry| entry.model.clone()).collect(),
        }
    }

    /// Where decisions are made, a challenger that makes other rows of transactions than the active model is none; whether there was one.
    pub fn begin_to_decide(&mut self) -> bool {
        self.decides = true;
        let before = self.state.rollout.take();
        let active = self.loaded(&self.state.active.name).ok();
        let goes_on = |named: &Named| active.is_some_and(|active| self.has_the_definition_of(named, active));
        let after = before.clone().filter(|rollout| goes_on(&rollout.model));
        self.state.rollout.clone_from(&after);
        before != after
    }

    fn is_loaded(&self, named: &Named) -> bool {
        self.loaded(&named.name).is_ok_and(|model| model.is(named))
    }

    fn takes_rows_of(&self, named: &Named, active: &Model) -> bool {
        self.loaded(&named.name).is_ok_and(|model| model.takes_the_rows_of(active))
    }

    fn has_the_definition_of(&self, named: &Named, active: &Model) -> bool {
        self.loaded(&named.name).is_ok_and(|model| model.has_the_definition_of(active))
    }

    /// How a model can be a shadow beside `active`. One that takes the rows of another definition takes the same numbers, which mean something
    /// else.
    fn beside(&self, model: &Model, active: &Model) -> Result<Beside, Problem> {
        let is_same = model.definition.is_none() || model.has_the_definition_of(active);
        if model.takes_the_rows_of(active) && (is_same || !self.decides) {
            return Ok(Beside::Rows);
        }
        if !self.decides {
            return Err(Problem::OtherRows);
        }
        if !model.finds_its_columns_in(active) {
            return Err(Problem::OtherColumns);
        }
        follower::begun(model).map(|_| Beside::Journal)
    }

    /// The loaded model `name`, if it may stand beside the active one.
    fn beside_the_active(&self, name: &str) -> Result<&Arc<Model>, Problem> {
        let model = self.loaded(name)?;
        if model.takes_the_rows_of(self.loaded(&self.state.active.name)?) { Ok(model) } else { Err(Problem::OtherRows) }
    }

    fn without_duty(&self, name: &str) -> Result<State, Problem> {
        if self.loaded(name)?.is(&self.state.active) {
            return Err(Problem::IsActive);
        }
        Ok(without_duty(&self.state, name))
    }
}

/// The state in which `name` is neither shadow nor challenger.
fn without_duty(state: &State, name: &str) -> State {
    let mut state = state.clone();
    state.shadows.retain(|shadow| shadow.name != name);
    state.rollout = state.rollout.filter(|rollout| rollout.model.name != name);
    state
}
