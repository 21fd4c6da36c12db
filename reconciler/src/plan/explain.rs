//! The same gates, asked for people: why a host waits, and whom a wave waits for.

use wavegate_proto::ids::HostName;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::operator::{ExplainDecision, Explanation, Reason, WaitingFor};

use crate::fleet::Fleet;
use crate::fleet::placement::{HostClass, Placement};
use crate::fleet::rollout::Rollout;
use crate::gates::{Candidate, Gate, Lane, Planned, holds};

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
    let candidate = Candidate { fleet, planned: &planned, rollout, name, host, placement };
    let mut reasons = Vec::new();
    if matches!(placement.record.state, HostState::Pending | HostState::Skipped)
        && placement.lease.is_none()
    {
        let lane = Lane::of(&candidate);
        reasons.extend(
            holds(&candidate, lane, now)
                .map(|(gate, hold)| hold.reason(gate, held_since(placement, &hold), fleet, now)),
        );
    } else {
        reasons.extend(standing(placement));
    }
    let decision = decision(placement, reasons.is_empty());
    Some(Explanation { host: name.clone(), decision, reasons })
}

fn held_since(placement: &Placement, hold: &crate::gates::Hold) -> Option<Timestamp> {
    let held = placement.held.as_ref()?;
    (held.hold.code() == hold.code()).then_some(held.since)
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
    }
}

/// What stands for a host that is not waiting: its failure, its degraded probes, its silence.
fn standing(placement: &Placement) -> Option<Reason> {
    let record = &placement.record;
    let reason = |code: &str, detail: String, clears_when: &str| Reason {
        gate: record.state.as_str().to_owned(),
        code: code.to_owned(),
        detail,
        since: Some(record.state_since),
        earliest_at: None,
        clears_when: clears_when.to_owned(),
    };
    if let Some(failure) = &record.failure {
        let rollback = match failure.rollback {
            Rollback::None => "it stays as it is, as the policy says",
            Rollback::Running => "it is rolling back",
            Rollback::Done => "it has rolled back",
            Rollback::Failed => "rolling back failed: it needs a person",
        };
        let detail = format!("{}; {rollback}", failure.reason);
        return Some(reason("failed", detail, "a newer release is published on the channel"));
    }
    if placement.lost {
        let detail = "the host fell silent while it was being worked on".to_owned();
        return Some(reason("lost", detail, "the host sends a heartbeat"));
    }
    record.degraded_since.map(|since| Reason {
        since: Some(since),
        ..reason(
            "degraded",
            "its probes fail after it converged".to_owned(),
            "its probes pass again",
        )
    })
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
        .filter_map(|(host, placement)| {
            let (gate, since) = waits(rollout, placement)?;
            Some(WaitingFor { host: host.clone(), gate, since })
        })
        .collect();
    waiting.sort_by(|a, b| (a.since, &a.host).cmp(&(b.since, &b.host)));
    waiting.truncate(WAITING_FOR_LIMIT);
    waiting
}

fn waits(rollout: &Rollout, placement: &Placement) -> Option<(String, Timestamp)> {
    let in_state = || (placement.record.state.as_str().to_owned(), placement.record.state_since);
    let held = || match &placement.held {
        Some(held) => (held.hold.code().to_owned(), held.since),
        None => in_state(),
    };
    let wave = rollout.wave(placement.entry.wave)?;
    match placement.class() {
        HostClass::Waiting | HostClass::Unknown => Some(held()),
        HostClass::Leased => Some(("dispatched".to_owned(), placement.record.state_since)),
        HostClass::InFlight | HostClass::InfraRetrying | HostClass::Deferred => Some(in_state()),
        // Done, unless there are more of them than the wave may have, or nobody else speaks for it.
        HostClass::InfraExhausted => {
            let too_many =
                wave.standing_infra_failures() > wave.max_infra_failures(rollout.policy());
            too_many.then(held)
        }
        HostClass::SkippedOffline => (wave.count(HostClass::Converged) == 0).then(in_state),
        HostClass::Converged
        | HostClass::Skipped
        | HostClass::FailedArtifact
        | HostClass::RevertedArtifact => None,
    }
}
