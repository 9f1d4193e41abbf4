//! Here is a transaction: what does it look like next to its past?
//!
//! A [`Definition`] is read from SQL: which columns a transaction has, and what its features are. From it come a [`plan`] of expressions
//! over a row and aggregates over windows of time, and the `history` of each key, which answers them exactly, event by event.
//! [`Features`] is the fold of a stream, one transaction at a time; [`fold()`] is the same fold of many at once, key by key on all cores.

pub mod definition;
mod exact_sum;
pub mod expression;
pub mod fold;
mod history;
mod lookup;
pub mod observe;
mod pasts;
pub mod plan;
pub mod snapshot;
mod texts;

pub use definition::{Definition, DefinitionError};
pub use fold::fold;
pub use observe::Features;
