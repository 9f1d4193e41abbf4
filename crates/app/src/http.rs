//! The HTTP side of `assay serve`: a model behind hyper, with limits on everything a client can make grow.
//!
//! Read in this order: [`server`] starts threads and ends them; each has a [`worker`] that accepts connections and watches
//! their time; a [`connection`] speaks HTTP; the [`router`] finds the endpoint, for
//! whom the [`guard`] lets in; [`predict`] is the one that scores, and
//! the [`doors`] beside it speak the protocols of other servers.

mod answer;
mod body;
mod connection;
mod cors;
pub mod decisions;
mod denial;
mod doors;
mod endpoints;
mod guard;
mod lifecycle;
mod limits;
mod listener;
mod metrics;
mod models;
mod openapi;
mod predict;
mod progress;
mod refusal;
mod router;
mod server;
mod shedding;
mod stream;
mod tls;
mod turns;
mod worker;

pub use cors::AllowedOrigins;
pub use doors::bodies;
pub use guard::Access;
pub use limits::{FINISH, Limits};
pub use listener::{InheritedError, inherited};
pub use metrics::registered;
pub use models::{ModelArguments, OpenError, open};
pub use server::{Data, ServerError, Settings, serve};
pub use tls::{PROTOCOL, TlsError, TlsFiles};
