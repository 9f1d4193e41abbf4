//! Is the world still the one the model learnt?
//!
//! Read in this order: [`windows`] cut time; a [`tally`] counts how rows and scores are spread in one, and [`drift`] compares it with the
//! model's reference, by what [`chance`] alone would do.
//!
//! Everything here is a deterministic function of its arguments: no clock, no files, no network.

pub mod chance;
pub mod drift;
pub mod tally;
pub mod windows;

pub use drift::{Drift, Sensitivity, drift, ended};
pub use tally::Tally;
pub use windows::{Merge, Windows};
