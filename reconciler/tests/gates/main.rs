//! The gates and the planner against the design: a table a gate, with the values at its edge and one
//! beyond, over fleets built by hand.
//!
//! Not here: how the control plane's core moves a fleet (see the scenarios of `wavegate-tests`).
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

mod budgets;
mod calendar;
mod counting;
mod edges;
mod eta;
mod explaining;
mod hosts;
mod lanes;
mod operators;
mod percentages;
mod planning;
mod probes;
mod rollouts;
mod scene;
mod settling;
mod silence;
mod spec;
mod waiting;
mod windows;
mod words;
