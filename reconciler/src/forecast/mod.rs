//! What is to be expected: how long hosts take, and when a running rollout will end.
//!
//! A forecast looks at one rollout when it is asked for, and is kept nowhere. It decides nothing.
//!
//! Not here: trying a release out before it is published (see the control plane's forecast, which lets
//! the real core run in virtual time).

mod durations;
mod eta;
mod rounds;

pub use durations::Durations;
pub use eta::{RolloutForecast, forecast};
