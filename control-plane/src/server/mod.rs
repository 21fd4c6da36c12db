//! HTTPS for agents and operators, and a plain listener for reads.
//!
//! [`table`] lists every route with who may use it; `routes/` holds them, one file an area; [`identity`]
//! reads the caller from the certificate; `listener` and `connection` accept; [`limiter`], [`downloads`] and [`disk`] say
//! when it is too much; `error` is where problems become responses.
//!
//! Not here: decisions (see [`crate::core`]).

mod arguments;
mod body;
mod connection;
pub mod context;
pub mod disk;
pub mod downloads;
mod error;
mod expiries;
mod gate;
pub mod identity;
pub mod limiter;
pub mod listener;
pub mod live_tls;
pub mod openapi;
mod readiness;
pub mod revocation;
mod router;
mod routes;
pub mod scopes;
pub mod streams;
pub mod table;
mod tails;
mod throttle;
pub mod tls;

pub use context::{Context, Shared};
pub use live_tls::LiveTls;
pub use readiness::Readiness;
pub use revocation::Revocations;
pub use scopes::Scopes;
pub use streams::Streams;
