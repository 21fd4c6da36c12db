//! What follows from silence alone: hosts that are left out, taken in again, or shown as lost.

use wavegate_proto::time::Now;
use wavegate_state_machine::host::{Waiting, is_lost};

use super::{Action, by_opening};
use crate::fleet::Fleet;
use crate::fleet::placement::{Placement, SkipReason};
use crate::fleet::rollout::Rollout;
use crate::fleet::silence::lost_after;
use crate::gates::{is_online, silent_secs};

pub(super) fn actions(fleet: &Fleet, now: Now) -> Vec<Action> {
    let mut actions = Vec::new();
    if fleet.recovering.holds(now.mono) {
        return actions;
    }
    // Counted once a plan, and only when somebody is to be left out.
    let mut mass_silence = None;
    for rollout in by_opening(fleet) {
        // By name, not by how long each has been silent, which depends on when that was last looked at.
        let mut quiet: Vec<_> = rollout
            .quiet_hosts(now.mono)
            .filter_map(|name| Some((name, rollout.placements.get(name)?)))
            .collect();
        quiet.sort_by_key(|(name, placement)| (placement.entry.wave, *name));
        for (name, placement) in quiet {
            let (rollout_id, host) = (rollout.id.clone(), name.clone());
            match verdict(fleet, rollout, name, placement, now) {
                Some(Verdict::Skip)
                    if *mass_silence.get_or_insert_with(|| over_half_is_silent(fleet, now)) => {}
                Some(Verdict::Skip) => actions.push(Action::SkipOffline { rollout_id, host }),
                Some(Verdict::Unskip) => actions.push(Action::Unskip { rollout_id, host }),
                Some(Verdict::Found) => actions.push(Action::MarkFound { rollout_id, host }),
                Some(Verdict::Lost) => actions.push(Action::MarkLost { rollout_id, host }),
                None => {}
            }
        }
    }
    actions
}

enum Verdict {
    Skip,
    Unskip,
    Found,
    Lost,
}

fn verdict(
    fleet: &Fleet,
    rollout: &Rollout,
    name: &wavegate_proto::ids::HostName,
    placement: &Placement,
    now: Now,
) -> Option<Verdict> {
    let host = fleet.hosts.get(name)?;
    let policy = rollout.policy();
    let silent = silent_secs(fleet, host, now.mono);
    if placement.skip == Some(SkipReason::Offline) {
        return is_online(host, policy.offline_after_secs, now.mono).then_some(Verdict::Unskip);
    }
    let gate_opened = fleet.recovering.opened_at.unwrap_or(now.mono);
    let waiting = Waiting {
        silent_secs: silent,
        in_state_secs: now
            .mono
            .secs_since(placement.entered.max(gate_opened).max(host.liveness.talking_since)),
    };
    let lost = is_lost(&placement.record, waiting, lost_after(policy, placement.entry.wave));
    if placement.lost && !lost && is_online(host, policy.offline_after_secs, now.mono) {
        return Some(Verdict::Found);
    }
    let over = |limit: u64| silent > limit.max(policy.offline_after_secs);
    if placement.skip.is_none()
        && rollout.is_open()
        && policy.skip_offline_after_secs.is_some_and(over)
    {
        return Some(Verdict::Skip);
    }
    (lost && !placement.lost).then_some(Verdict::Lost)
}

/// G24: when over half the fleet is silent it is not the hosts.
fn over_half_is_silent(fleet: &Fleet, now: Now) -> bool {
    let (mut members, mut silent) = (0_u64, 0_u64);
    for host in fleet.hosts.values().filter(|host| host.member.is_some()) {
        members += 1;
        let offline_after_secs = host
            .member
            .as_ref()
            .and_then(|member| fleet.current_rollout(&member.channel))
            .map_or(u64::MAX, |rollout| rollout.policy().offline_after_secs);
        silent += u64::from(silent_secs(fleet, host, now.mono) > offline_after_secs);
    }
    silent.saturating_mul(2) > members
}
