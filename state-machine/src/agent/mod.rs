//! The agent decides: what the host's shell must do next, given what happened. Sans-I/O: a plain value
//! takes inputs and gives effects.
//!
//! The shell performs the effects in order. Effects that write are durable before the next one is
//! performed, so that a journal entry stands before what it announces becomes visible. After each
//! [`AgentCore::handle`] the shell looks at [`AgentCore::next_post`], [`AgentCore::wants_dispatch`] and
//! [`AgentCore::next_wakeup`].
//!
//! What never happens here: an activation without a verified plan and an acknowledgement accepted in time;
//! a verdict of health that no probe of this process has given; a rollback to a closure that only the
//! control plane named.
//!
//! Not here: fetching, verifying, activating, probing, storing (the shell), and which fact is allowed when
//! (see [`crate::host`]).

mod activation;
mod bootstrap;
mod core;
mod dispatch;
mod effect;
mod heartbeat;
mod input;
mod journals;
mod memory;
mod one_way;
mod outbox;
mod probes;
mod renewal;
mod restore;
mod track;

pub use core::AgentCore;
pub use effect::AgentEffect;
pub use input::{
    Activated, ActivationOutcome, AgentInput, Answer, HostFacts, JournalIds, Meta, OfferOutcome,
    OfferedPlan, PostOutcome, ProbeSchedule, Rejection, Restored, RollbackOutcome, StoredEntry,
    StoredJournal, Verdict, Written,
};
pub use memory::{MemoryDisk, MemoryJournal};
pub use one_way::OneWay;
pub use renewal::{CertificateLife, Jitter, RenewalStep, renewal_step};
