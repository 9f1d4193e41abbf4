//! What are we talking about? Transactions: which columns one has, what a value can be, and when it happened.

pub mod card_data;
pub mod columns;
pub mod schema;
pub mod time;
pub mod value;
pub mod zone;

pub use card_data::CardDataError;
pub use columns::Column;
pub use schema::{AdmissionError, Field, Schema};
pub use value::{Type, Value};
pub use zone::Zone;
