//! Decisions: what is asked, what is decided, what is written down, and what follows from it.
//!
//! A [`transaction`] is read into values; the [`owner`] lets the engine decide about it and writes down what was decided, before anybody
//! is told; a [`record`] is what stands in the journal, and the [`fold`] makes of the journal what decides.

mod ahead;
pub mod data_folder;
pub mod desk;
mod figures;
pub mod fold;
pub mod following;
pub mod governing;
pub mod laggards;
#[cfg(feature = "training")]
pub mod lessons;
mod lookout;
pub mod monitoring;
pub mod opening;
pub mod owner;
#[cfg(feature = "training")]
pub mod past;
mod readings;
pub mod record;
pub mod replay;
mod retention;
mod reviews;
pub mod scorer;
pub mod snapshots;
pub mod transaction;

#[cfg(test)]
mod tests;
