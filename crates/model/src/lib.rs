//! Here is a row: what is its score?
//!
//! Read in this order: a row is made of [`feature`]s; a [`forest`] or a [`linear`] model turns it into a margin (log-odds);
//! [`calibration`] turns the margin into a probability, [`explain`] tells what each feature did to it; an [`artifact`] holds all of that in one
//! file, checked before use; [`foreign`] makes one of a model that another program trained; [`metrics`] says how good probabilities were
//! once the labels are known, and [`mod@reference`] how rows were spread when the model was made.
//!
//! Everything here is a deterministic function of its arguments: no clock, no randomness, no files, no platform maths.

pub mod artifact;
pub mod calibration;
pub mod explain;
pub mod feature;
pub mod foreign;
pub mod forest;
pub mod linear;
pub mod manifest;
pub mod metrics;
pub mod reference;

pub use artifact::{Artifact, ArtifactError};
pub use calibration::Calibration;
pub use feature::{Feature, FeatureKind};
pub use foreign::Foreign;
pub use forest::Forest;
pub use linear::Linear;
pub use manifest::Manifest;
pub use reference::Reference;
