//! Everything that can happen to the control plane.

use std::sync::Arc;

use wavegate_proto::artifact::proof::HostPlan;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::rules::Violation;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{HostName, PersonName, RolloutId};
use wavegate_proto::log_chain::RemovedRun;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::{EventsRequest, Heartbeat, RolloutProof};
use wavegate_proto::wire::provider::ProviderSync;

use super::enroll::{Enrolling, Renewing};
use super::query::Query;
use super::rows::LogEnd;
use super::trust::TrustHolds;
use super::verbs::Verb;

/// Names a request until it is answered; given out by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Everything that can happen. Each request is answered once, by an
/// [`Output::Reply`](super::Output::Reply) with its token.
#[derive(Debug)]
pub enum Input {
    /// An agent sent a heartbeat.
    Heartbeat {
        /// Who, by certificate.
        host: HostName,
        /// What it said.
        heartbeat: Box<Heartbeat>,
        /// When its certificate expires.
        cert_expires_at: Option<Timestamp>,
        /// To be answered.
        reply: Token,
    },
    /// An agent asks for its dispatch and waits for it.
    Poll {
        /// Who, by certificate.
        host: HostName,
        /// To be answered.
        reply: Token,
    },
    /// An agent has stopped waiting; nothing is answered any more.
    PollEnded {
        /// Who.
        host: HostName,
        /// The request that ended.
        reply: Token,
    },
    /// An agent sent events.
    Events {
        /// Who, by certificate.
        host: HostName,
        /// What happened.
        request: Box<EventsRequest>,
        /// To be answered.
        reply: Token,
    },
    /// The log is committed up to here.
    Committed(LogEnd),
    /// A row that a host was shown is another now.
    LogWentBack {
        /// Which host was shown it.
        host: HostName,
    },
    /// An agent offers a header that the control plane has lost.
    OfferRollout {
        /// Who, by certificate.
        host: HostName,
        /// The verified header and entry.
        plan: Box<Verified<HostPlan>>,
        /// The proof it came with.
        proof: Box<RolloutProof>,
        /// To be answered.
        reply: Token,
    },
    /// A host wants its first certificate.
    Enroll {
        /// Who, and by which token.
        enrolling: Box<Enrolling>,
        /// To be answered.
        reply: Token,
    },
    /// A host wants its next certificate.
    Renew {
        /// Who, and how it is known.
        renewing: Box<Renewing>,
        /// To be answered.
        reply: Token,
    },
    /// Could this release be adopted? Changes nothing.
    CheckRelease {
        /// The release.
        release: Arc<Verified<Release>>,
        /// To be answered.
        reply: Token,
    },
    /// What would this release do? Answered with a core to try it out on; changes nothing.
    Preview {
        /// The release.
        release: Arc<Verified<Release>>,
        /// To be answered.
        reply: Token,
    },
    /// Adopt this release. The release folder holds it already.
    AdoptRelease {
        /// The release.
        release: Arc<Verified<Release>>,
        /// To be answered.
        reply: Token,
    },
    /// This version of the trust file holds.
    TrustHolds {
        /// Which.
        holds: Box<TrustHolds>,
        /// To be answered.
        reply: Token,
    },
    /// A release was refused; it is noted once.
    ReleaseRefused {
        /// Where it came from.
        source: String,
        /// What was wrong with it.
        violation: Violation,
    },
    /// An operator wants something done.
    Verb {
        /// What.
        verb: Verb,
        /// Who, by certificate.
        by: PersonName,
        /// Why.
        reason: String,
        /// To be answered.
        reply: Token,
    },
    /// An operator tells what the provider of a host says.
    SyncProvider {
        /// Of which host.
        host: HostName,
        /// What.
        sync: ProviderSync,
        /// Who, by certificate.
        by: PersonName,
        /// To be answered.
        reply: Token,
    },
    /// These rows of the log are of pruned rollouts, and nothing else needs them.
    Compact {
        /// The rows, rising.
        runs: Vec<RemovedRun>,
        /// To be answered.
        reply: Token,
    },
    /// Somebody reads.
    Query {
        /// What.
        query: Query,
        /// To be answered.
        reply: Token,
    },
    /// For how many percent of the time since it was said last there was no room for more: it was being decided,
    /// or the disk was waited for.
    Load {
        /// 0 to 100.
        busy_percent: u32,
    },
    /// Time has passed: a deadline of [`Core::next_wakeup`](super::Core::next_wakeup), or the safety tick.
    Tick,
}

/// A rollout and a host, as the key of a placement.
pub(super) type Place = (RolloutId, HostName);
