//! What are we talking about? Transactions: which columns one has, what a value can be, when it happened, and what was
//! decided about it.

pub mod columns;
pub mod decision;
pub mod schema;
pub mod time;
pub mod value;
pub mod zone;

pub use columns::Column;
pub use decision::Outcome;
pub use schema::{AdmissionError, Field, Schema};
pub use value::{Type, Value};
pub use zone::Zone;
