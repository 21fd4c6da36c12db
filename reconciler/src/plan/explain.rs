//! The same gates, asked for people: why a host waits, and whom a wave waits for.

use wavegate_proto::ids::HostName;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::operator::{
    ExplainDecision, Explanation, Reason, ReasonKind, WaitingFor,
};

use crate::fleet::Fleet;
use crate::fleet::host::Host;
use crate::fleet::placement::{HostClass, Placement, SkipReason};
use crate::fleet::rollout::Rollout;
use crate::gates::reason::beside_provider;
use crate::gates::{Candidate, Gate, Hold, Lane, Planned, holds, is_online};
use crate::window;

/// How many hosts a rollout names as waited for.
const WAITING_FOR_LIMIT: usize = 20;

/// Why a host is where it is, and every gate that holds it. `None`: no such host.
#[must_use]
pub fn explain(fleet: &Fleet, name: &HostName, now: Now) -> Option<Explanation> {
    let host = fleet.hosts.get(name)?;
    let Some((rollout, placement)) = fleet.newest(name) else {
        return Some(Explanation {
            host: name.clone(),
            decision: ExplainDecision::Wait,
            reasons: vec![nothing_published()],
        });
    };
    let planned = Planned::default();
    let window = window::at(&rollout.policy().windows, now.wall);
    let candidate = Candidate { fleet, planned: &planned, rollout, name, host, placement, window };
    let waits = matches!(placement.record.state, HostState::Pending | HostState::Skipped)
        && placement.lease.is_none();
    let reasons: Vec<Reason> = if waits {
        let held = holds(&candidate, Lane::of(&candidate), now);
        held.map(|(gate, hold)| {
            hold.reason(gate, held_since(rollout, placement, &hold), fleet, now)
        })
        .collect()
    } else {
        standing(rollout, host, placement, now)
    };
    let decision = decision(placement, reasons.is_empty());
    Some(Explanation { host: name.clone(), decision, reasons })
}

fn held_since(rollout: &Rollout, placement: &Placement, hold: &Hold) -> Option<Timestamp> {
    let notes = [placement.held.as_deref(), rollout.held.get(&placement.entry.wave)];
    let mut notes = notes.into_iter().flatten();
    notes.find(|held| held.hold.code() == hold.code()).map(|held| held.since)
}

fn decision(placement: &Placement, open: bool) -> ExplainDecision {
    match placement.record.state {
        HostState::Pending if placement.lease.is_some() => ExplainDecision::InFlight,
        HostState::Pending if open => ExplainDecision::Dispatch,
        HostState::Pending => ExplainDecision::Wait,
        HostState::Activating | HostState::Deferred | HostState::Soaking => {
            ExplainDecision::InFlight
        }
        HostState::Converged => ExplainDecision::Done,
        HostState::Skipped if open => ExplainDecision::Dispatch,
        HostState::Skipped => ExplainDecision::Wait,
        HostState::Failed | HostState::Reverted => ExplainDecision::Failed,
    }
}

fn nothing_published() -> Reason {
    Reason {
        gate: Gate::Rollout.as_str().to_owned(),
        code: "nothing-published".to_owned(),
        detail: "no release names this host yet".to_owned(),
        since: None,
        earliest_at: None,
        clears_when: "a release that names the host is published".to_owned(),
        kind: ReasonKind::NeedsPerson,
    }
}

/// What stands for a host that is not waiting: that it is left out, its failure, its silence, its
/// degraded probes.
fn standing(rollout: &Rollout, host: &Host, placement: &Placement, now: Now) -> Vec<Reason> {
    let record = &placement.record;
    let reason = |code: &str, kind, detail: String, clears_when: &str| Reason {
        gate: record.state.as_str().to_owned(),
        code: code.to_owned(),
        detail,
        since: Some(record.state_since),
        earliest_at: None,
        clears_when: clears_when.to_owned(),
        kind,
    };
    let mut reasons = Vec::new();
    if placement.skip == Some(SkipReason::Operator) {
        let hold = Hold::Skipped { by: placement.skip_by.as_deref().cloned() };
        reasons.push(Reason {
            since: hold.since(),
            ..reason(hold.code(), hold.kind(), hold.detail(), "the host goes on, or recovers")
        });
    }
    let failed = matches!(record.state, HostState::Failed | HostState::Reverted);
    if let Some(failure) = record.failure.as_ref().filter(|_| failed) {
        let (kind, rollback) = match failure.rollback {
            Rollback::None => (ReasonKind::NeedsPerson, "it stays as it is, as the policy says"),
            Rollback::Running => (ReasonKind::HeldBack, "it is rolling back"),
            Rollback::Done => (ReasonKind::NeedsPerson, "it has rolled back"),
            Rollback::Failed => (ReasonKind::NeedsPerson, "rolling back failed: it needs a person"),
        };
        let detail = format!("{}; {rollback}", failure.reason);
        let clears_when =
            "an operator retries or skips the host, or a newer release is published on the channel";
        reasons.push(reason("failed", kind, detail, clears_when));
    }
    if placement.lost {
        let online = is_online(host, rollout.policy().offline_after_secs, now.mono);
        let (detail, clears_when) = if online {
            let state = record.state;
            let detail = format!("the host has been {state} for longer than its policy explains");
            (detail, "the host gets on, or an operator retries or skips it")
        } else {
            let provider = host.provider.as_ref().map(|provider| provider.provider_state);
            let silence = "the host fell silent while it was being worked on";
            (
                beside_provider(silence, provider),
                "the host sends a heartbeat, or an operator skips it",
            )
        };
        reasons.push(reason("lost", ReasonKind::Stuck, detail, clears_when));
    }
    if let Some(since) = record.degraded_since {
        let detail = "its probes fail after it converged".to_owned();
        let clears_when = "its probes pass again, or an operator retries it";
        let reason = reason("degraded", ReasonKind::Stuck, detail, clears_when);
        reasons.push(Reason { since: Some(since), ..reason });
    }
    if placement.diverged {
        let detail = "it has converged and runs something else since".to_owned();
        let clears_when = "it runs its target again, or an operator retries it";
        reasons.push(reason("diverged", ReasonKind::Stuck, detail, clears_when));
    }
    reasons
}

/// The hosts that the current wave waits for, longest first.
#[must_use]
pub fn waiting_for(rollout: &Rollout) -> Vec<WaitingFor> {
    if !rollout.is_open() {
        return Vec::new();
    }
    let mut waiting: Vec<WaitingFor> = rollout
        .placements
        .iter()
        .filter(|(_, placement)| placement.entry.wave <= rollout.current_wave)
        .filter_map(|(host, placement)| waits(rollout, host, placement))
        .collect();
    waiting.sort_by(|a, b| (a.since, &a.host).cmp(&(b.since, &b.host)));
    waiting.truncate(WAITING_FOR_LIMIT);
    waiting
}

fn waits(rollout: &Rollout, host: &HostName, placement: &Placement) -> Option<WaitingFor> {
    let record = &placement.record;
    let in_state = |kind| Some((record.state.as_str(), record.state_since, kind));
    let held = || match rollout.noted_hold(placement) {
        Some(held) => Some((held.hold.code(), held.since, held.hold.kind())),
        None => in_state(ReasonKind::HeldBack),
    };
    let wave = rollout.wave(placement.entry.wave)?;
    let policy = rollout.policy();
    let undecided = wave.is_without_evidence() && !rollout.is_wave_done(placement.entry.wave);
    let (gate, since, kind) = match placement.class() {
        HostClass::Waiting | HostClass::Unknown => held(),
        HostClass::Leased => Some(("dispatched", record.state_since, ReasonKind::HeldBack)),
        HostClass::InFlight | HostClass::InfraRetrying | HostClass::Deferred => {
            in_state(ReasonKind::HeldBack)
        }
        // Done, unless there are more of them than the wave may have, or nobody else speaks for it.
        HostClass::InfraExhausted => {
            let too_many = wave.standing_infra_failures() > wave.max_infra_failures(policy);
            match (too_many || undecided, placement.lost) {
                (false, _) => None,
                (true, true) => Some(("lost", record.state_since, ReasonKind::Stuck)),
                (true, false) if record.state == HostState::Pending => held(),
                (true, false) => in_state(ReasonKind::NeedsPerson),
            }
        }
        HostClass::FailedArtifact | HostClass::RevertedArtifact => {
            let too_many = wave.artifact_failures() > wave.max_failures(policy);
            too_many.then(|| in_state(ReasonKind::NeedsPerson)).flatten()
        }
        HostClass::SkippedOffline => {
            undecided.then_some(("skipped-offline", record.state_since, ReasonKind::NeedsPerson))
        }
        HostClass::Converged | HostClass::Skipped => None,
    }?;
    Some(WaitingFor { host: host.clone(), gate: gate.to_owned(), since, kind })
}
