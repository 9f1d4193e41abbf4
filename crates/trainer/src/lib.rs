//! Here is the past: give me a model.
//!
//! Read in this order: a [`table`] of columns becomes a labelled [`dataset`]; a [`split`] holds rows back; [`logistic`] and `boosted`
//! learn from the rest; [`evaluate`] judges the result, and [`report`] shows it. [`train`] tells it as one story; [`prequential`] tells it over and over, to see how
//! a learner does week after week; [`adopt`] takes in a model that was trained elsewhere;
//! [`mod@reference`] is what drift will be measured against.

pub mod adopt;
pub mod boosted;
pub mod calibrate;
pub mod dataset;
pub mod duplicates;
pub mod evaluate;
pub mod evaluation;
pub mod folds;
pub mod leaks;
pub mod logistic;
pub mod numpy_random;
pub mod prequential;
pub mod reference;
pub mod report;
pub mod rows;
pub mod split;
pub mod table;
pub mod train;

/// Told of every step of long work: what is being done, how much of it is done, and how much there is.
pub type Step<'a> = &'a (dyn Fn(&str, u64, u64) + Sync);
