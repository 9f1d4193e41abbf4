//! Seeded cardholders, terminals and fraudsters: the demo's data, the load, and the world of the tests.
//!
//! [`Cards`] makes raw card transactions day by day, with no more memory than its population needs. The same settings
//! and seed give the same bits on every platform, and a longer stream begins with the shorter one.

mod cards;
#[cfg(test)]
mod checksum;
mod draws;
mod settings;
mod terminals;

pub use cards::{CardTransaction, Cards, CardsSettings, FraudScenario};
pub use settings::SettingsError;
