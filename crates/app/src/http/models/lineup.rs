//! Who plays: what a request sees of the models, all of it from one moment.

use std::sync::Arc;

use super::follower::Follower;
use super::model::Model;
use super::rollout::Rollout;
use super::shadow::Shadow;

/// The models at one moment. A request takes one of these and asks no other, so that a swap mixes nothing.
#[derive(Debug)]
pub struct Lineup {
    /// The model that scores where nobody names one.
    pub active: Arc<Model>,
    /// The challenger that answers a share of the requests.
    pub rollout: Option<Rollout>,
    /// Those that score its rows beside it without answering.
    pub shadows: Vec<Arc<Shadow>>,
    /// Those that score what is decided by a definition of their own.
    pub followers: Vec<Arc<Follower>>,
    /// All that are loaded, the active one among them, by name.
    pub loaded: Vec<Arc<Model>>,
}

impl Lineup {
    /// The loaded model of this name, and of this version if one is asked for.
    pub fn find(&self, name: &str, version: Option<&str>) -> Option<&Arc<Model>> {
        self.loaded.iter().find(|model| model.name == name && version.is_none_or(|version| model.version == version))
    }

    /// The one of this label among those that answer where nobody names one: the active model, or the challenger.
    pub fn answering(&self, label: &str) -> Option<&Arc<Model>> {
        let challenger = self.rollout.iter().map(|rollout| &rollout.model);
        std::iter::once(&self.active).chain(challenger).find(|model| model.label == label)
    }

    /// The shadow that has a past of its own and is this model.
    pub fn follower(&self, model: &Arc<Model>) -> Option<&Arc<Follower>> {
        self.followers.iter().find(|follower| Arc::ptr_eq(&follower.shadow.model, model))
    }

    /// All shadows.
    pub fn all_shadows(&self) -> impl Iterator<Item = &Arc<Shadow>> {
        self.shadows.iter().chain(self.followers.iter().map(|follower| &follower.shadow))
    }

    /// Who answers a request of these rows that names no model: the active one, or the challenger when it is its turn. Both take the
    /// same rows.
    pub fn choose(&self, rows: &[f64]) -> &Arc<Model> {
        match &self.rollout {
            Some(rollout) if rollout.gets(rows) => &rollout.model,
            _ => &self.active,
        }
    }
}
