//! Seeded cardholders, terminals and fraudsters: the demo's data, the load, and the world of the tests.
//!
//! Two worlds, each a stream that needs no more memory than its population: [`Cards`] makes raw card transactions, day
//! by day, and [`Creditcard`] makes rows of a ready feature table. Both keep one promise: the same settings and seed
//! give the same bits on every platform, and a longer stream begins with the shorter one.

mod cards;
#[cfg(test)]
mod checksum;
mod creditcard;
mod draws;
mod settings;
mod terminals;

pub use cards::{CardTransaction, Cards, CardsSettings, FraudScenario};
pub use creditcard::{COMPONENTS, Creditcard, CreditcardRow, CreditcardSettings};
pub use settings::SettingsError;
