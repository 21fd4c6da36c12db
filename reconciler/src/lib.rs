//! What should happen next: the fleet as the planner sees it, the gates that can hold a dispatch,
//! the plan, and the explanation of both.
//!
//! Not here: what may happen to a record (see `wavegate-state-machine`), carrying a plan out (see the
//! control plane), clocks, I/O.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod fleet;
pub mod forecast;
pub mod gates;
pub mod plan;
pub mod window;
