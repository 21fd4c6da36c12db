//! The control plane's decisions as a plain value: [`Core::handle`] takes everything that can happen
//! and returns everything the outside must do. No clock, no database, no runtime.
//!
//! Not here: committing and answering (see `service`), HTTP (see `server`), files (see `workers`).

mod adopt;
mod alarms;
mod checkpoint;
mod consequences;
mod dispatch;
mod documents;
mod enroll;
mod events;
mod expiries;
mod fork;
mod heartbeat;
mod input;
mod log;
mod marks;
mod new_journals;
mod offer;
mod output;
mod pace;
mod payload;
mod planning;
mod provider;
mod quarantine;
mod query;
pub mod rebuild;
mod restore;
mod retention;
mod rollouts;
mod rows;
mod satisfied;
mod trust;
mod verbs;

pub use enroll::{Enrolling, Renewing};
pub use input::{Input, Token};
pub use output::{Answer, HostBlobs, Output};
pub use payload::RenewedBy;
pub use query::{Figures, HostFilter, PageRequest, Query};
pub use restore::RestoreError;
pub use rows::{
    DispatchRow, EnrollmentRow, HostRolloutRow, HostSeenRow, KEPT_KINDS, LogEnd, LogRow,
    MarkContent, MarkRow, PlacementMarks, ProbeFailuresRow, ProviderRow, ProviderSyncedRow,
    PrunedRow, QuarantineRow, ReleaseRow, RemovedRow, RolloutRow, Stored, WaveRow, Write,
};
pub use trust::TrustHolds;
pub use verbs::Verb;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use serde_json::json;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::rules::Violation;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{
    ChannelName, ClosureId, CpEpoch, FleetName, HostName, JournalId, LogSeq, RolloutId, Sha256Hash,
};
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_reconciler::fleet::Fleet;

use checkpoint::LogHistory;
use enroll::Enrollments;
use input::Place;
use log::Fact;
use new_journals::NewJournals;
use pace::Pace;
use verbs::Changed;

/// How often it is written when hosts were last heard from, in seconds.
const FLUSH_SEEN_SECS: u64 = 60;

/// How many different refusals of releases are remembered as noted.
const MAX_REFUSALS_NOTED: usize = 1000;

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The fleet of the trust file.
    pub fleet: FleetName,
    /// How often agents send heartbeats, in seconds.
    pub heartbeat_secs: u64,
    /// The program's version.
    pub version: String,
    /// For how long a rollout that is over is kept, in seconds.
    pub retain_secs: u64,
    /// The epoch to go on with if the log turns out to have gone back.
    pub next_epoch: CpEpoch,
    /// The key of what hosts are given to show back; kept outside the database.
    pub echo_key: EchoKey,
}

/// The key of what hosts are given to show back.
#[derive(Clone, Copy)]
pub struct EchoKey(pub [u8; 32]);

impl fmt::Debug for EchoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EchoKey(…)")
    }
}

/// The control plane's decisions.
#[derive(Debug, Clone)]
pub struct Core {
    config: CoreConfig,
    fleet: Fleet,
    cp_epoch: CpEpoch,
    /// Since when: what was before, this database may not know.
    epoch_since: Timestamp,
    last_seq: LogSeq,
    history: LogHistory,
    release: Option<Arc<Verified<Release>>>,
    release_row: Option<ReleaseRow>,
    /// The version of the trust file that holds; `None`: nobody has said.
    trust_version: Option<u64>,
    /// The poll of each host that waits for its dispatch.
    polls: BTreeMap<HostName, Token>,
    /// Open dispatches, by when they lapse.
    leases: BTreeSet<(Mono, Place)>,
    /// Hosts that failed for reasons other than the closure, by when they are tried again.
    retries: BTreeSet<(Mono, Place)>,
    /// Hosts that report to have rejected a closure.
    rejections: BTreeMap<(ChannelName, ClosureId), BTreeSet<HostName>>,
    /// The version of the operators' marks; rises with each change.
    marks_version: u64,
    /// For each rollout, how new what hosts have brought back about its mark is.
    restored_marks: BTreeMap<RolloutId, u64>,
    /// When the first gate that holds somebody opens with time alone.
    gates_open_at: Option<Mono>,
    /// Hosts that have said to know of a newer release than is adopted.
    serials_ahead: BTreeSet<HostName>,
    /// New journals of late.
    new_journals: NewJournals,
    /// How often hosts are to send heartbeats.
    pace: Pace,
    /// Journals whose divergence has been noted.
    diverged: BTreeSet<JournalId>,
    /// Refusals of releases that have been noted.
    refusals: BTreeSet<String>,
    /// Who was let in by tokens that may still count.
    enrollments: Enrollments,
    /// When hosts renewed their certificates.
    renewed: BTreeMap<HostName, Mono>,
    /// Rollouts that retention has removed, and what their refs are bound to for ever.
    pruned: BTreeMap<RolloutId, Sha256Hash>,
    /// When it was last looked for rollouts to prune, and there was none.
    looked_for_pruning: Option<Mono>,
    /// Hosts heard from since that was last written.
    unflushed: HashSet<HostName>,
    flushed_at: Mono,
    /// Rollouts whose hosts count differently than when they were last moved on.
    touched: BTreeSet<RolloutId>,
    /// Verbs of this batch that are still to be answered.
    verbs_done: Vec<(Token, Changed)>,
    outputs: Vec<Output>,
}

impl Core {
    /// Takes one thing that has happened and returns what the outside must do.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Output> {
        match input {
            Input::Heartbeat { host, heartbeat, cert_expires_at, reply } => {
                self.heartbeat(now, &host, &heartbeat, cert_expires_at, reply);
            }
            Input::Poll { host, reply } => self.poll(now, host, reply),
            Input::PollEnded { host, reply } => self.poll_ended(&host, reply),
            Input::Events { host, request, reply } => self.events(now, host, &request, reply),
            Input::OfferRollout { host, plan, proof, reply } => {
                self.offer_rollout(now, &host, &plan, &proof, reply);
            }
            Input::Enroll { enrolling, reply } => self.enroll(now, &enrolling, reply),
            Input::Renew { renewing, reply } => self.renew(now, &renewing, reply),
            Input::CheckRelease { release, reply } => self.check_release(&release, reply),
            Input::Preview { release, reply } => self.preview(now, &release, reply),
            Input::AdoptRelease { release, reply } => self.adopt_release(now, &release, reply),
            Input::TrustHolds { holds, reply } => self.trust_holds(now, &holds, reply),
            Input::ReleaseRefused { source, violation } => {
                self.note_release_refused(now, &source, &violation);
            }
            Input::Committed(end) => self.committed(end),
            Input::LogWentBack { host } => self.renew_epoch(now, &host),
            Input::Verb { verb, by, reason, reply } => self.verb(now, verb, by, reason, reply),
            Input::SyncProvider { host, sync, by, reply } => {
                self.sync_provider(now, host, sync, by, reply);
            }
            Input::Query { query, reply } => self.query(now, &query, reply),
            Input::Compact { runs, reply } => self.compact(now, runs, reply),
            Input::Load { busy_percent } => self.pace.hear(busy_percent),
            Input::Tick => {
                self.flush_seen(now);
                self.prune_finished(now);
            }
        }
        std::mem::take(&mut self.outputs)
    }

    /// Decides what to do now that a batch has been handled: call it once after each batch.
    pub fn plan(&mut self, now: Now) -> Vec<Output> {
        self.replan(now);
        self.answer_verbs(now);
        std::mem::take(&mut self.outputs)
    }

    /// When [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Mono> {
        let recovering = &self.fleet.recovering;
        let gate = recovering.deadline.filter(|_| recovering.opened_at.is_none());
        let lease = self.leases.first().map(|(at, _)| *at);
        let retry = self.retries.first().map(|(at, _)| *at);
        [gate, lease, retry, self.gates_open_at].into_iter().flatten().min()
    }

    /// The live model, for checks and forecasts.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Notes a refused release once, however often the source is polled.
    fn note_release_refused(&mut self, now: Now, source: &str, violation: &Violation) {
        let key = format!("{source}: {violation}");
        if self.refusals.len() < MAX_REFUSALS_NOTED && self.refusals.insert(key) {
            let payload = json!({
                "source": source, "code": violation.code.as_str(), "detail": violation.detail,
            });
            self.note(Fact::own(now, "release_refused", payload));
        }
    }

    /// Writes now and then when hosts were last heard from.
    fn flush_seen(&mut self, now: Now) {
        if now.mono.secs_since(self.flushed_at) < FLUSH_SEEN_SECS || self.unflushed.is_empty() {
            return;
        }
        self.flushed_at = now.mono;
        let mut hosts: Vec<HostName> = std::mem::take(&mut self.unflushed).into_iter().collect();
        // The same rows in the same order in every run.
        hosts.sort_unstable();
        let rows = hosts.into_iter().filter_map(|host| {
            let live = &self.fleet.hosts.get(&host)?.liveness;
            Some(HostSeenRow {
                last_seen_at: live.last_seen_at?,
                agent_version: live.agent_version.clone(),
                current_closure: live.current_closure.clone().flatten(),
                host,
            })
        });
        let rows = rows.collect();
        self.write(Write::HostsSeen(rows));
    }
}
