//! A release going out to a fleet that has nothing yet, told as a timeline.

use std::sync::Arc;

use serde::Serialize;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{FleetName, RolloutId, Serial};
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::operator::{Halt, Outcome, RolloutState, WaitingFor};
use wavegate_reconciler::fleet::rollout::Rollout;
use wavegate_reconciler::plan::waiting_for;

use super::assumptions::Assumptions;
use super::run::{Ending, Run};
use super::timeline::Timeline;
use crate::core::Core;

/// How much one simulation may take: some minutes.
const EFFORT: u64 = 500_000_000;

/// How a release went out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Simulation {
    /// The fleet.
    pub fleet: FleetName,
    /// The release.
    pub serial: Serial,
    /// When it was published.
    pub started_at: Timestamp,
    /// When nothing more happened.
    pub ended_at: Timestamp,
    /// How it ended.
    pub ending: Ending,
    /// Where every rollout was then.
    pub rollouts: Vec<RolloutEnd>,
    /// What happened.
    pub timeline: Timeline,
}

/// Where a rollout was at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RolloutEnd {
    /// Which.
    pub rollout_id: RolloutId,
    /// Its state.
    pub state: RolloutState,
    /// With `terminal`: whether every host converged.
    pub outcome: Option<Outcome>,
    /// Why it halted.
    pub halt: Option<Halt>,
    /// Whether too many infrastructure failures stand.
    pub frozen: bool,
    /// How many hosts converged.
    pub converged: u64,
    /// How many hosts it has.
    pub hosts: u64,
    /// Whom it waits for, longest first; at most 20.
    pub waiting_for: Vec<WaitingFor>,
}

/// Publishes a release at `start` to a fleet that has nothing yet, and lets it go out.
#[must_use]
pub fn simulate(
    release: &Arc<Verified<Release>>,
    start: Timestamp,
    heartbeat_secs: u64,
    assumptions: Assumptions,
) -> Simulation {
    // Any reading will do; a day leaves room for what is counted back from it.
    let now = Now { wall: start, mono: Mono::from_millis(86_400_000) };
    let fleet = release.fleet.fleet.clone();
    let core = Core::rehearsal(fleet.clone(), heartbeat_secs, now);
    let mut run = Run::adopt(core, release, now, assumptions);
    let ending = run.finish(EFFORT);
    Simulation {
        fleet,
        serial: release.fleet.serial,
        started_at: start,
        ended_at: run.now.wall,
        ending,
        rollouts: run.current().map(end_of).collect(),
        timeline: run.record.told.timeline,
    }
}

fn end_of(rollout: &Rollout) -> RolloutEnd {
    use wavegate_reconciler::fleet::placement::HostClass;
    RolloutEnd {
        rollout_id: rollout.id.clone(),
        state: rollout.state,
        outcome: rollout.outcome(),
        halt: rollout.halt.clone(),
        frozen: rollout.frozen,
        converged: rollout.waves().iter().map(|wave| wave.count(HostClass::Converged)).sum(),
        hosts: rollout.waves().iter().map(|wave| wave.hosts).sum(),
        waiting_for: waiting_for(rollout),
    }
}
