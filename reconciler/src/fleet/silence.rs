//! When a host's silence is to be looked at: an ordered set, so that a plan does not ask the whole fleet.
//!
//! Each entry is a time before which silence has no consequence. A heartbeat only moves the true time
//! later, so it changes nothing here; an entry that comes due is given its true time then. What shortens
//! the time, a change of the record, brings the entry forward.
//!
//! Not here: the consequences (see [`crate::plan`]).

use wavegate_proto::artifact::policy::Policy;
use wavegate_proto::ids::{HostName, WaveIndex};
use wavegate_proto::record::HostState;
use wavegate_proto::time::Mono;
use wavegate_state_machine::host::LostAfter;

use super::Fleet;
use super::placement::{Placement, SkipReason};
use super::rollout::Rollout;
use crate::gates::is_online;

/// Silence has no consequence, ever, unless something changes.
const NEVER: Mono = Mono::from_millis(u64::MAX);

impl Fleet {
    /// Gives the entries that are due their true time. Call it before each plan; without it a plan
    /// comes out the same and costs more.
    pub fn settle_silence(&mut self, now: Mono) {
        let (hosts, gate_opened) = (&self.hosts, self.recovering.opened_at.unwrap_or(now));
        for rollout in self.rollouts.values_mut() {
            let due: Vec<HostName> = rollout.quiet_hosts(now).cloned().collect();
            for name in due {
                let (Some(host), Some(placement)) =
                    (hosts.get(&name), rollout.placements.get_mut(&name))
                else {
                    continue;
                };
                let policy = &rollout.manifest.header.policy;
                let heard = host.liveness.last_heartbeat.unwrap_or(host.known_since);
                let returned = is_online(host, policy.offline_after_secs, now);
                let until = if returned && is_set_aside(placement) {
                    now
                } else if placement.skip.is_some() {
                    NEVER
                } else {
                    consequence_at(placement, policy, heard.max(gate_opened))
                };
                let moves = moves(placement, Some(until));
                rollout.place_silence(&name, moves);
            }
        }
    }

    /// Whether a host is left out of a rollout or shown as lost for its silence: that ends when it
    /// speaks.
    #[must_use]
    pub fn is_set_aside_for_silence(&self, host: &HostName) -> bool {
        self.records(host).any(|(_, placement)| is_set_aside(placement))
    }
}

/// An entry of the set that moves: where it was, where it is now.
pub(super) type Moves = Option<(Option<Mono>, Option<Mono>)>;

/// Brings a host's entry forward to what its record says, `heard` being when it last spoke.
pub(super) fn silence_moves(placement: &mut Placement, policy: &Policy, heard: Mono) -> Moves {
    let due = placement.silence_matters().then(|| {
        let at = if is_set_aside(placement) {
            Mono::default()
        } else {
            consequence_at(placement, policy, heard)
        };
        placement.silence_due.map_or(at, |known| known.min(at))
    });
    moves(placement, due)
}

fn moves(placement: &mut Placement, due: Option<Mono>) -> Moves {
    let before = std::mem::replace(&mut placement.silence_due, due);
    (before != due).then_some((before, due))
}

impl Rollout {
    /// Puts a host's entry where it belongs now.
    pub(super) fn place_silence(&mut self, name: &HostName, moves: Moves) {
        let Some((before, due)) = moves else { return };
        if let Some(before) = before {
            self.quiet.remove(&(before, name.clone()));
        }
        if let Some(due) = due {
            self.quiet.insert((due, name.clone()));
        }
    }
}

fn is_set_aside(placement: &Placement) -> bool {
    placement.lost || placement.skip == Some(SkipReason::Offline)
}

/// When a host that is silent since `heard` is left out or lost, whichever comes first. Whether the
/// rollout is open is not asked: that changes without the host.
fn consequence_at(placement: &Placement, policy: &Policy, heard: Mono) -> Mono {
    let skip_after = policy.skip_offline_after_secs.map(|secs| secs.max(policy.offline_after_secs));
    let in_flight = matches!(placement.record.state, HostState::Activating | HostState::Soaking);
    let (silent, stuck) = if in_flight && !placement.lost {
        let after = lost_after(policy, placement.entry.wave);
        (Some(after.silent_secs()), after.stuck_secs(placement.record.state))
    } else {
        (None, None)
    };
    // Silence is counted in whole seconds, and has to exceed the limit.
    let first = [skip_after, silent].into_iter().flatten().min();
    let silent_at = first.map_or(NEVER, |secs| heard.plus_secs(secs.saturating_add(1)));
    let stuck_at = stuck.map_or(NEVER, |secs| placement.entered.plus_secs(secs.saturating_add(1)));
    silent_at.min(stuck_at)
}

/// After how long a host of `wave` that is in flight counts as lost.
#[must_use]
pub fn lost_after(policy: &Policy, wave: WaveIndex) -> LostAfter {
    let wave = usize::try_from(wave.0).ok().and_then(|index| policy.waves.get(index));
    LostAfter {
        activation_timeout_secs: policy.activation_timeout_secs,
        await_timeout_secs: policy.await_timeout_secs,
        offline_after_secs: policy.offline_after_secs,
        soak_secs: wave.map_or(0, |wave| wave.soak_secs),
        failure_threshold_secs: policy.failure_threshold_secs,
    }
}
