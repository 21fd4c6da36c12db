//! The whole system in one process, in virtual time: the real core, the real agent cores, a network
//! that loses, repeats and reorders, machines that crash, a disk that is wiped or set back.
//!
//! Everything follows from the seed. Safety is checked after every step, by code that looks at what
//! happened and not at what the core believes.

mod agent;
mod behaviour;
mod control_plane;
mod disk;
pub mod history;
mod invariants;
mod network;
pub mod operator;
pub mod oracle;
mod standing;
pub mod story;
pub mod tally;
pub mod trace;
mod world;

pub use agent::{Ids, Work};
pub use behaviour::{Behaviour, Health, INFRA_FAILURE, probes};
pub use control_plane::{ControlPlane, Decided};
pub use disk::Disk;
pub use network::post_outcome;
pub use world::{Faults, World};
