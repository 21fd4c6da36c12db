//! A release tried out before it is published: the real core runs in virtual time, against hosts that are
//! modelled. What it decides, and in which order, is what the control plane would decide.
//!
//! [`run`] drives the core from one moment at which something happens to the next, so a night in which all wait
//! for a window costs nothing. [`host`] says what a modelled host does, [`record`] keeps what happened,
//! [`simulate`] tells it, and [`preview`] makes several runs of it into a plan.
//!
//! Not here: a clock, I/O, signatures; how long hosts take (see `wavegate_reconciler::forecast`).

pub mod assumptions;
pub mod preview;
pub mod simulate;
pub mod timeline;

mod host;
mod record;
mod run;

pub use assumptions::Assumptions;
pub use run::Ending;
