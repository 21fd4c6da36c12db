//! Journals that do not begin in pending: their first entry is a snapshot of the record.
//!
//! A snapshot fills a record in which nothing has happened yet. A record that has moved stands: the
//! entry then only opens the journal.
//!
//! Not here: whether a snapshot comes from the agent's own journal or from the control plane.

use wavegate_proto::event::MAX_LIST_ITEMS;
use wavegate_proto::ids::Attempt;
use wavegate_proto::record::{HostRecord, HostState, ProbeStatus};

use super::health::all_pass;
use super::refusal::Refusal;
use super::{FoldContext, Origin};

/// The highest attempt a snapshot may claim (G5).
pub const MAX_SNAPSHOT_ATTEMPT: Attempt = Attempt(1000);

pub(super) fn open(
    record: &mut HostRecord,
    ctx: &FoldContext,
    snapshot: &HostRecord,
) -> Result<(), Refusal> {
    is_ours(record, snapshot)?;
    is_acceptable(snapshot)?;
    let fresh = record.state == HostState::Pending && record.attempt == Attempt(0);
    let fills = match ctx.origin {
        Origin::Replay => fresh,
        Origin::Live => fresh && record.journal_id.is_none(),
        Origin::Synthetic => return Err(Refusal::ReplayOnly { kind: "journal_opened" }),
    };
    if fills {
        *record = HostRecord {
            journal_id: record.journal_id,
            last_seq: record.last_seq,
            dispatched_at: record.dispatched_at.or(snapshot.dispatched_at),
            ..snapshot.clone()
        };
    }
    Ok(())
}

fn is_ours(record: &HostRecord, snapshot: &HostRecord) -> Result<(), Refusal> {
    let field = if snapshot.host != record.host {
        "host"
    } else if snapshot.rollout_id != record.rollout_id || snapshot.channel != record.channel {
        "rollout"
    } else if snapshot.target_closure != record.target_closure {
        "target closure"
    } else if snapshot.wave != record.wave {
        "wave"
    } else {
        return Ok(());
    };
    Err(Refusal::ForeignSnapshot { field })
}

/// G5. A degraded host shows its failing probes; everything else that is converged must pass.
fn is_acceptable(snapshot: &HostRecord) -> Result<(), Refusal> {
    let bad = |problem| Err(Refusal::BadSnapshot { problem });
    if snapshot.attempt > MAX_SNAPSHOT_ATTEMPT {
        return bad("attempt out of range");
    }
    if snapshot.probes.len() > MAX_LIST_ITEMS {
        return bad("too many probes");
    }
    if snapshot.probes.windows(2).any(|pair| pair[0].name >= pair[1].name) {
        return bad("probes not in order");
    }
    if snapshot.degraded_since.is_some() && snapshot.state != HostState::Converged {
        return bad("degraded without having converged");
    }
    match snapshot.state {
        HostState::Skipped => bad("skipped"),
        HostState::Failed | HostState::Reverted if snapshot.failure.is_none() => {
            bad("failed without a failure")
        }
        HostState::Soaking if snapshot.activation_completed_at.is_none() => {
            bad("soaking without an activation")
        }
        HostState::Soaking | HostState::Converged
            if snapshot.current_closure.as_ref() != Some(&snapshot.target_closure) =>
        {
            bad("another closure than the target")
        }
        HostState::Converged if snapshot.degraded_since.is_some() => {
            let reported =
                |p: &wavegate_proto::record::ProbeRecord| p.status != ProbeStatus::Unknown;
            let enforced = || snapshot.probes.iter().filter(|p| p.is_enforced());
            if snapshot.topology_known && enforced().all(reported) {
                Ok(())
            } else {
                bad("degraded without results")
            }
        }
        HostState::Converged => all_pass(snapshot),
        HostState::Pending
        | HostState::Activating
        | HostState::Deferred
        | HostState::Soaking
        | HostState::Failed
        | HostState::Reverted => Ok(()),
    }
}
