//! Is the world still the one the model learnt?
//!
//! Read in this order: [`windows`] cut time; a [`tally`] counts how rows and scores are spread in one, and [`mod@drift`] compares it with the
//! model's reference, by what [`chance`] alone would do. [`flow`] says what is decided and when labels arrive, [`mod@quality`] how good it was
//! once they are mature ([`matured`] from sums by day), and the [`governor`] stops a policy that runs away. A [`report`] shows all of it.
//!
//! Everything here is a deterministic function of its arguments: no clock, no files, no network.

pub mod chance;
pub mod drift;
pub mod flow;
pub mod governor;
pub mod matured;
pub mod quality;
pub mod report;
pub mod tally;
pub mod windows;

pub use drift::{Drift, Sensitivity, drift, ended};
pub use flow::{Flow, Labels};
pub use governor::Governor;
pub use matured::Matured;
pub use quality::{Judged, Judgement, Quality, quality};
pub use report::Report;
pub use tally::Tally;
pub use windows::{Merge, Windows};
