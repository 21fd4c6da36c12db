//! What heartbeats tell of a host. Nothing here moves a state machine.

use wavegate_proto::ids::{BootId, ClosureId};
use wavegate_proto::time::{Mono, Timestamp};
use wavegate_proto::wire::agent::ResourceCounts;

use super::boots::Boots;

/// What heartbeats tell of a host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Liveness {
    /// When the last heartbeat came, in this process.
    pub last_heartbeat: Option<Mono>,
    /// In how many seconds after it the next one was asked for.
    pub told_heartbeat_secs: Option<u64>,
    /// When its last event came, in this process.
    pub last_event: Option<Mono>,
    /// Since when heartbeats have come without a longer gap.
    pub talking_since: Mono,
    /// When the last heartbeat came, ever.
    pub last_seen_at: Option<Timestamp>,
    /// Its agent's version.
    pub agent_version: Option<String>,
    /// Its boot.
    pub boot_id: Option<BootId>,
    /// The boots of which it has been heard lately.
    pub boots: Boots,
    /// For how long its machine had been up when it sent the heartbeat that was sent last, in seconds.
    pub uptime_secs: u64,
    /// What it says it runs. Outer `None`: it has not said.
    pub current_closure: Option<Option<ClosureId>>,
    /// In how many heartbeats in a row it said that it runs something else than it converged on.
    pub off_target: u32,
    /// Its resources, by status.
    pub resources: ResourceCounts,
    /// Its clock minus ours, in seconds.
    pub clock_skew_secs: Option<i64>,
    /// When it was last noted that its clock is off, in this process.
    pub skew_noted: Option<Mono>,
    /// When it was last shown the end of the log, in this process.
    pub log_shown: Option<Mono>,
    /// When its certificate expires.
    pub cert_expires_at: Option<Timestamp>,
}
