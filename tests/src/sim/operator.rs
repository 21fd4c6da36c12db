//! Operators in the simulator: they pause, abort, hold, skip and approve while everything else goes wrong.
//!
//! What is said once may be lost with the process that heard it. What somebody insists on is said again
//! until it stands.
//!
//! Not here: what must hold meanwhile (see [`super::standing`]), how it ends (see [`super::oracle`]).

use std::ops::Range;

use fastrand::Rng;
use wavegate_control_plane::core::{Core, Verb};
use wavegate_proto::ids::{HostName, RolloutId, WaveIndex};
use wavegate_proto::time::{Mono, Now};
use wavegate_proto::wire::operator::{RolloutMark, RolloutState};
use wavegate_reconciler::fleet::rollout::Rollout;

/// What somebody wants, in seconds since the release was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Nothing is to begin for a while; said once, and taken back until it is gone.
    Pause { rollout_id: RolloutId, secs: Range<u64> },
    /// Nothing is to begin any more; insisted on.
    Abort { rollout_id: RolloutId, from_secs: u64 },
    /// Nothing is to begin on a host for a while; said once.
    Hold { host: HostName, secs: Range<u64> },
    /// A host is to be left out; said once.
    Skip { rollout_id: RolloutId, host: HostName, from_secs: u64 },
}

/// A person with a list.
#[derive(Debug, Default)]
pub struct Operator {
    orders: Vec<(Order, Said)>,
    begun_secs: u64,
}

/// Whether an order has been given already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    NotYet,
    Already,
}

/// A person looks for waves to approve as often as this, in seconds.
const APPROVAL_SECS: u64 = 25;

/// The world lets a person look as often as this, in seconds.
pub(super) const LOOK_SECS: u64 = 5;

impl Operator {
    /// Another list, from now on. What somebody insists on stays: after a wiped database an abort comes back
    /// as a pause, and is given again.
    pub fn begin(&mut self, orders: &[Order], now: Now) {
        self.orders.retain(|(order, _)| matches!(order, Order::Abort { .. }));
        for (order, _) in &mut self.orders {
            if let Order::Abort { from_secs, .. } = order {
                *from_secs = 0;
            }
        }
        self.orders.extend(orders.iter().map(|order| (order.clone(), Said::NotYet)));
        self.begun_secs = seconds(now);
    }

    /// What is to be said now.
    pub fn verbs(&mut self, core: &Core, now: Now) -> Vec<Verb> {
        let mut verbs = Vec::new();
        if seconds(now) % APPROVAL_SECS < LOOK_SECS {
            verbs.extend(core.fleet().rollouts.values().filter_map(approval));
        }
        let secs = seconds(now) - self.begun_secs;
        for (order, said) in &mut self.orders {
            verbs.extend(order.verb(core, now, secs, said));
        }
        verbs
    }
}

impl Order {
    /// What some people want of a release, if anything: of one of `rollouts`, of one of `hosts`.
    pub fn random(rng: &mut Rng, rollouts: &[RolloutId], hosts: &[HostName]) -> Vec<Self> {
        let mut orders = Vec::new();
        if rng.u8(0..3) == 0
            && let Some(rollout_id) = rng.choice(rollouts).cloned()
        {
            let from = rng.u64(1..120);
            orders.push(Self::Pause { rollout_id, secs: from..from + rng.u64(30..600) });
        }
        if rng.u8(0..3) == 0
            && let Some(host) = rng.choice(hosts).cloned()
        {
            let from = rng.u64(0..60);
            orders.push(Self::Hold { host, secs: from..from + rng.u64(60..900) });
        }
        orders
    }

    fn verb(&self, core: &Core, now: Now, secs: u64, said: &mut Said) -> Option<Verb> {
        let mut once = |from: u64, verb: Verb| {
            let due = secs >= from && *said == Said::NotYet;
            due.then(|| {
                *said = Said::Already;
                verb
            })
        };
        match self {
            Self::Pause { rollout_id, secs: range } => {
                let rollout = core.fleet().rollouts.get(rollout_id)?;
                if secs < range.end {
                    return once(range.start, Verb::Pause(rollout_id.clone()));
                }
                // One that has become terminal meanwhile holds those that come late.
                let serves = is_open(rollout) || rollout.state == RolloutState::Terminal;
                let paused = is_marked(rollout, RolloutMark::Paused) && serves;
                let (rollout_id, clear_quarantine) = (rollout_id.clone(), false);
                paused.then_some(Verb::Resume { rollout_id, clear_quarantine })
            }
            Self::Abort { rollout_id, from_secs } => {
                let rollout = core.fleet().rollouts.get(rollout_id)?;
                let wanted = secs >= *from_secs && !is_marked(rollout, RolloutMark::Aborted);
                (wanted && is_open(rollout)).then(|| Verb::Abort(rollout_id.clone()))
            }
            Self::Hold { host, secs: range } => {
                let until = now.wall.plus_secs(range.end.saturating_sub(secs));
                once(range.start, Verb::Hold { host: host.clone(), until: Some(until) })
            }
            Self::Skip { rollout_id, host, from_secs } => {
                let (rollout_id, host) = (rollout_id.clone(), host.clone());
                once(*from_secs, Verb::Skip { rollout_id, host })
            }
        }
    }
}

/// The approval that a rollout waits for.
fn approval(rollout: &Rollout) -> Option<Verb> {
    let wave = rollout.current_wave;
    let asks = rollout.policy().waves.get(wave.0 as usize)?.requires_approval;
    let wanted = asks && is_open(rollout) && !rollout.approvals.contains_key(&wave);
    wanted.then(|| Verb::Approve { rollout_id: rollout.id.clone(), wave: WaveIndex(wave.0) })
}

fn seconds(now: Now) -> u64 {
    now.mono.millis_since(Mono::from_millis(0)) / 1000
}

fn is_marked(rollout: &Rollout, mark: RolloutMark) -> bool {
    rollout.mark.as_ref().is_some_and(|standing| standing.mark == mark)
}

fn is_open(rollout: &Rollout) -> bool {
    match rollout.state {
        RolloutState::Opening | RolloutState::Active | RolloutState::Converging => true,
        RolloutState::Terminal
        | RolloutState::Failed
        | RolloutState::Reverted
        | RolloutState::Superseded
        | RolloutState::Pruned => false,
    }
}
