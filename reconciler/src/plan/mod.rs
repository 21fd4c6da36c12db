//! The plan: what to do now, and what everything else waits for.
//!
//! Planning looks at the whole fleet every time and takes no hint about what changed. It goes in a
//! fixed order: rollouts by opening, hosts by wave, then name.

mod explain;
mod silence;

use std::fmt;

use wavegate_proto::ids::{HostName, RolloutId, WaveIndex};
use wavegate_proto::time::{Now, Timestamp};

use crate::fleet::Fleet;
use crate::fleet::rollout::Rollout;
use crate::gates::{Candidate, Gate, Hold, Lane, Planned, first_hold};
use crate::window::{self, WindowState};

pub use explain::{explain, waiting_for};

/// What to do now, and what everything else waits for.
#[must_use]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do, in order.
    pub actions: Vec<Action>,
    /// What is held.
    pub report: Report,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Give a host its dispatch.
    Dispatch {
        /// In which rollout.
        rollout_id: RolloutId,
        /// Which host.
        host: HostName,
        /// Whether nothing is to change.
        no_change: bool,
    },
    /// Leave a host out that has been silent for too long.
    SkipOffline {
        /// Of which rollout.
        rollout_id: RolloutId,
        /// Which host.
        host: HostName,
    },
    /// Take a host in again that has returned.
    Unskip {
        /// Into which rollout.
        rollout_id: RolloutId,
        /// Which host.
        host: HostName,
    },
    /// Show a host as lost: in flight and silent for longer than that may take.
    MarkLost {
        /// In which rollout.
        rollout_id: RolloutId,
        /// Which host.
        host: HostName,
    },
    /// A host that was shown as lost has been heard again.
    MarkFound {
        /// In which rollout.
        rollout_id: RolloutId,
        /// Which host.
        host: HostName,
    },
}

/// What is held, and by which gate.
#[must_use]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which it was looked at.
    pub held: Vec<Held>,
}

impl Report {
    /// When the first of the reasons passes with time alone.
    #[must_use]
    pub fn earliest_at(&self, fleet: &Fleet, now: Now) -> Option<Timestamp> {
        let times = self.held.iter().filter_map(|held| held.hold.earliest_at(fleet, now));
        times.filter(|at| *at > now.wall).min()
    }
}

/// What is held, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// In which rollout.
    pub rollout_id: RolloutId,
    /// In which wave.
    pub wave: WaveIndex,
    /// Which host; `None`: every host of the wave that waits for it.
    pub host: Option<HostName>,
    /// By which gate.
    pub gate: Gate,
    /// Why.
    pub hold: Hold,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for held in &self.held {
            let (gate, detail) = (held.gate.as_str(), held.hold.detail());
            let host = held.host.as_ref().map_or("every host", HostName::as_str);
            writeln!(f, "{} wave {} {host}: {gate}: {detail}", held.rollout_id, held.wave)?;
        }
        Ok(())
    }
}

/// What to do at `now`.
pub fn plan(fleet: &Fleet, now: Now) -> Plan {
    let mut plan = Plan { actions: silence::actions(fleet, now), report: Report::default() };
    // What follows from silence changes what the gates say: nobody is dispatched in the same plan (G9).
    if fleet.recovering.holds(now.mono) || !plan.actions.is_empty() {
        return plan;
    }
    let mut planned = Planned::default();
    for rollout in by_opening(fleet).into_iter().filter(|rollout| rollout.is_open()) {
        // Asked once for all of its hosts: it is work with the calendar.
        let window = window::at(&rollout.policy().windows, now.wall);
        plan_rollout(fleet, (rollout, window), now, &mut planned, &mut plan);
    }
    plan
}

/// Goes through the candidates in order. Once something holds a whole wave, only those of it are still
/// looked at that do not wait for their wave.
fn plan_rollout(
    fleet: &Fleet,
    (rollout, window): (&Rollout, WindowState),
    now: Now,
    planned: &mut Planned,
    plan: &mut Plan,
) {
    for wave in rollout.waves_with_candidates() {
        let mut last = None;
        for name in rollout.candidates(wave) {
            if planned.still_held(fleet, rollout, name) {
                continue;
            }
            let Some(held) = consider(fleet, (rollout, window), name, now, planned, plan) else {
                continue;
            };
            let whole_wave = held.host.is_none();
            planned.note_hold(&held.hold);
            plan.report.held.push(held);
            if whole_wave {
                last = Some(name);
                break;
            }
        }
        let Some(last) = last else { continue };
        for name in rollout.express_candidates(wave).skip_while(|name| *name <= last) {
            let held = consider(fleet, (rollout, window), name, now, planned, plan);
            plan.report.held.extend(held);
        }
    }
}

/// Every rollout, in the order of opening (E21).
fn by_opening(fleet: &Fleet) -> Vec<&Rollout> {
    let mut rollouts: Vec<&Rollout> = fleet.rollouts.values().collect();
    rollouts.sort_by_key(|rollout| (rollout.order, &rollout.id));
    rollouts
}

/// Dispatches a host, or says what holds it, or its whole wave.
fn consider(
    fleet: &Fleet,
    (rollout, window): (&Rollout, WindowState),
    name: &HostName,
    now: Now,
    planned: &mut Planned,
    plan: &mut Plan,
) -> Option<Held> {
    let (host, placement) = (fleet.hosts.get(name)?, rollout.placements.get(name)?);
    let candidate = Candidate { fleet, planned, rollout, name, host, placement, window };
    let lane = Lane::of(&candidate);
    if let Some((gate, hold)) = first_hold(&candidate, lane, now) {
        let whole_wave = lane == Lane::Ordinary && hold.is_of_the_wave();
        return Some(Held {
            rollout_id: rollout.id.clone(),
            wave: placement.entry.wave,
            host: (!whole_wave).then(|| name.clone()),
            gate,
            hold,
        });
    }
    planned.dispatch(name, placement, lane);
    plan.actions.push(Action::Dispatch {
        rollout_id: rollout.id.clone(),
        host: name.clone(),
        no_change: lane == Lane::NoChange,
    });
    None
}
