//! Here is a transaction: what do we do?
//!
//! Read in this order: a [`policy`] says in JSON what is done with whom, by [`lists`], rules, thresholds or [`costs`]; bound to a definition
//! it answers for one transaction ([`rules`]). A [`Model`] scores the row of features, or its challenger in a [`rollout`]. The [`Engine`] holds all of that with the state of the
//! features, and is the fold: [`Engine::decide`], [`Engine::label`] and [`Engine::apply`], in the order of the journal, give the same
//! decisions bit for bit wherever they are folded again, as from a [`snapshot`]. [`reasons()`] says why; [`backtest`] says what another
//! policy would have cost.
//!
//! Nothing here looks at a clock: the arrival of a transaction is the time.

pub mod backtest;
mod control;
pub mod costs;
pub mod engine;
pub mod lists;
mod moment;
pub mod policy;
pub mod reasons;
pub mod rollout;
pub mod rules;
pub mod score;
pub mod snapshot;

pub use engine::{ApplyError, Engine, Event, Recorded, Refusal};
pub use lists::{ListChange, Lists};
pub use policy::{Policy, PolicyError};
pub use reasons::reasons;
pub use rollout::Rollout;
pub use score::{Model, ModelError};
