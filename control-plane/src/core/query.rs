//! What can be read from the live model.

use std::collections::BTreeMap;

use wavegate_proto::ids::{ChannelName, HostName, LogSeq, RolloutId, Serial};
use wavegate_proto::record::HostState;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{Mode, RolloutState};

/// What can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// `/v1/status`: a [`Status`](wavegate_proto::wire::operator::Status).
    Status,
    /// `/v1/hosts`: a page of host documents, by name.
    Hosts {
        /// Which.
        filter: HostFilter,
        /// How much.
        page: PageRequest,
    },
    /// `/v1/hosts/{host}`.
    Host(HostName),
    /// `/v1/hosts/{host}/explain`.
    Explain(HostName),
    /// `/v1/channels`: a page of channel documents, by name.
    Channels(PageRequest),
    /// `/v1/rollouts`: a page of rollout documents, by id.
    Rollouts {
        /// Only in this state.
        state: Option<RolloutState>,
        /// Only on this channel.
        channel: Option<ChannelName>,
        /// How much.
        page: PageRequest,
    },
    /// `/v1/rollouts/{id}`.
    Rollout(RolloutId),
    /// `/v1/rollouts/{id}/hosts`: a page of host records, by host.
    RolloutHosts {
        /// Of which rollout.
        rollout_id: RolloutId,
        /// How much.
        page: PageRequest,
    },
    /// `/v1/quarantines`: a page, by channel and closure.
    Quarantines(PageRequest),
    /// `GET /v1/agent/rollouts/{id}`: a host's own part of a rollout.
    Proof {
        /// Who asks.
        host: HostName,
        /// For which rollout.
        rollout_id: RolloutId,
    },
    /// What a host may fetch.
    HostBlobs(HostName),
    /// `/readyz` and `/metrics`.
    Figures,
}

/// Which hosts to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFilter {
    /// On this channel.
    pub channel: Option<ChannelName>,
    /// With this tag.
    pub tag: Option<String>,
    /// Whose newest record is in this state.
    pub state: Option<HostState>,
    /// Heard from lately, or not.
    pub online: Option<bool>,
    /// In the fleet, or not; default: only members.
    pub member: Option<bool>,
}

/// How much of a list to return: after a key, at most so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The last key of the page before, as given in `next_cursor`.
    pub after: Option<String>,
    /// At most so many items, 1 to 1000.
    pub limit: usize,
}

/// Figures for `/readyz` and `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The adopted release.
    pub serial: Option<Serial>,
    /// Until when the channel that goes stale first is fresh.
    pub fresh_until: Option<Timestamp>,
    /// Whether dispatching waits after a start.
    pub mode: Mode,
    /// Member hosts by the state of their newest record.
    pub hosts_by_state: BTreeMap<String, u64>,
    /// Member hosts heard from lately.
    pub hosts_online: u64,
    /// Rollouts by state.
    pub rollouts_by_state: BTreeMap<RolloutState, u64>,
    /// When the first certificate of a member host expires, of those heard from since the start.
    pub host_certificate_expires: Option<Timestamp>,
    /// The end of the log.
    pub log_last_seq: LogSeq,
}
