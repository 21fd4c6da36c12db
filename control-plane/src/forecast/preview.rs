//! What publishing a release would do: several runs of the live core with the release adopted, put together.
//!
//! The first run says what happens and who is left behind, all of them together when.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{BudgetId, ChannelName, HostName, RolloutId, WaveIndex};
use wavegate_proto::record::HostState;
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::forecast::Expected;
use wavegate_proto::wire::operator::Reason;
use wavegate_proto::wire::plan::{
    LeftBehind, MAX_LEFT_BEHIND, PlanDocument, PlannedBudget, PlannedHold, PlannedRollout,
    PlannedWave,
};
use wavegate_reconciler::fleet::Fleet;
use wavegate_reconciler::fleet::rollout::Rollout;
use wavegate_reconciler::forecast::Durations;
use wavegate_reconciler::plan::explain;

use super::assumptions::Assumptions;
use super::record::{Course, Record};
use super::run::Run;
use crate::core::Core;

/// The most runs, and so the most the ends are spread over.
const MAX_RUNS: usize = 20;

/// So many hosts are run in all: large fleets get fewer runs, which differ less.
const HOSTS_IN_ALL: usize = 100_000;

/// How much one run may take: seconds.
const EFFORT: u64 = 20_000_000;

/// Tries a release out on a core that is nobody's any more.
#[must_use]
pub fn preview(live: &Core, release: &Arc<Verified<Release>>, now: Now) -> PlanDocument {
    let before = live.fleet();
    let mut first = Run::adopt(live.fork(), release, now, Assumptions::fair(0));
    let opened: Vec<RolloutId> = first
        .current()
        .map(|rollout| rollout.id.clone())
        .filter(|id| !before.rollouts.contains_key(id))
        .collect();
    let adopted: Vec<PlannedRollout> =
        opened.iter().filter_map(|id| planned(before, first.core.fleet(), id)).collect();
    first.settle();
    let held: Vec<_> = opened.iter().map(|id| held(first.core.fleet(), id, now)).collect();
    let mut records = Vec::new();
    let mut left_behind = Vec::new();
    if !opened.is_empty() {
        first.finish(EFFORT);
        left_behind = left_behind_of(first.core.fleet(), &opened, first.now);
    }
    let budgets = budgets(first.core.fleet(), &opened, &first.record);
    records.push(first.record);
    for seed in 1..runs(&adopted) {
        let seed = u64::try_from(seed).unwrap_or(u64::MAX);
        let mut run = Run::adopt(live.fork(), release, now, Assumptions::fair(seed));
        run.finish(EFFORT);
        records.push(run.record);
    }
    let mut rollouts = adopted;
    for (rollout, held) in rollouts.iter_mut().zip(held) {
        rollout.held = held;
        expect(rollout, &records);
    }
    let left_behind_count = u64::try_from(left_behind.len()).unwrap_or(u64::MAX);
    left_behind.truncate(MAX_LEFT_BEHIND);
    let ends = last_end(&rollouts);
    PlanDocument {
        fleet: release.fleet.fleet.clone(),
        serial: release.fleet.serial,
        planned_at: now.wall,
        unchanged: unchanged(release, &opened),
        warnings: warnings(before, release, &rollouts),
        rollouts,
        budgets,
        left_behind: left_behind_count,
        left_behind_hosts: left_behind,
        ends,
        runs: u32::try_from(records.len()).unwrap_or(u32::MAX),
    }
}

fn runs(rollouts: &[PlannedRollout]) -> usize {
    let hosts: u64 =
        rollouts.iter().flat_map(|rollout| &rollout.waves).map(|wave| wave.hosts).sum();
    match usize::try_from(hosts) {
        Ok(0) => 1,
        Ok(hosts) => (HOSTS_IN_ALL / hosts).clamp(2, MAX_RUNS),
        Err(_) => 2,
    }
}

fn unchanged(release: &Release, opened: &[RolloutId]) -> Vec<ChannelName> {
    let is_opened = |channel: &ChannelName| opened.iter().any(|id| id.channel == *channel);
    release.rollouts.keys().filter(|channel| !is_opened(channel)).cloned().collect()
}

/// What is known of a rollout once it is adopted, before anything is planned.
fn planned(before: &Fleet, fleet: &Fleet, id: &RolloutId) -> Option<PlannedRollout> {
    let rollout = fleet.rollouts.get(id)?;
    let after = fleet.channels.get(&id.channel)?.after.iter().cloned();
    let with_edges = rollout.placements.values().filter(|p| !p.entry.after.is_empty()).count();
    Some(PlannedRollout {
        rollout_id: id.clone(),
        supersedes: before.channels.get(&id.channel).map(|channel| channel.rollout_id.clone()),
        after: after.collect(),
        hosts_with_edges: count(with_edges),
        skip_offline_after_secs: rollout.policy().skip_offline_after_secs,
        waves: waves(fleet, rollout),
        first: Vec::new(),
        held: Vec::new(),
        starts_at: None,
        ends: None,
        basis: Durations::of(fleet, rollout).basis(),
    })
}

fn waves(fleet: &Fleet, rollout: &Rollout) -> Vec<PlannedWave> {
    let signed = rollout.policy().waves.iter().zip((0_u32..).map(WaveIndex));
    let mut waves: Vec<PlannedWave> = signed
        .map(|(wave, index)| PlannedWave {
            index,
            name: wave.name.clone(),
            hosts: 0,
            changing: 0,
            no_change: 0,
            soak_secs: wave.soak_secs,
            requires_approval: wave.requires_approval,
            starts: None,
            ends: None,
        })
        .collect();
    for (name, placement) in &rollout.placements {
        let position = usize::try_from(placement.entry.wave.0).unwrap_or(usize::MAX);
        let Some(wave) = waves.get_mut(position) else { continue };
        let running = fleet.hosts.get(name).and_then(|host| host.liveness.current_closure.as_ref());
        let runs_target = running == Some(&Some(placement.entry.closure.clone()));
        wave.hosts += 1;
        wave.changing += u64::from(!runs_target);
        wave.no_change += u64::from(fleet.is_no_change(name, &rollout.id));
    }
    waves
}

/// What holds hosts of a rollout now, by reason.
fn held(fleet: &Fleet, id: &RolloutId, now: Now) -> Vec<PlannedHold> {
    let Some(rollout) = fleet.rollouts.get(id) else { return Vec::new() };
    let mut by_code: BTreeMap<&'static str, PlannedHold> = BTreeMap::new();
    for host in rollout.all_candidates() {
        let placement = rollout.placements.get(host);
        let Some(held) = placement.and_then(|placement| rollout.noted_hold(placement)) else {
            continue;
        };
        if let Some(hold) = by_code.get_mut(held.hold.code()) {
            hold.hosts += 1;
        } else if let Some(reason) = reason_of(fleet, host, now) {
            let hold = PlannedHold { hosts: 1, example: host.clone(), reason };
            by_code.insert(held.hold.code(), hold);
        }
    }
    by_code.into_values().collect()
}

fn reason_of(fleet: &Fleet, host: &HostName, now: Now) -> Option<Reason> {
    explain(fleet, host, now)?.reasons.into_iter().next()
}

fn budgets(fleet: &Fleet, opened: &[RolloutId], record: &Record) -> Vec<PlannedBudget> {
    let mut members: BTreeMap<&BudgetId, u64> = BTreeMap::new();
    let rollouts = opened.iter().filter_map(|id| fleet.rollouts.get(id));
    for placement in rollouts.flat_map(|rollout| rollout.placements.values()) {
        for budget in &placement.entry.budgets {
            *members.entry(budget).or_default() += 1;
        }
    }
    let planned = members.into_iter().map(|(id, hosts)| PlannedBudget {
        id: id.clone(),
        max_in_flight: fleet.budgets.get(id).map_or(0, |budget| budget.max_in_flight()),
        hosts,
        held: record.held_by_budget.get(id).map_or(0, |hosts| count(hosts.len())),
    });
    planned.collect()
}

/// Hosts that have not converged although nothing more happens, and what stands in their way.
fn left_behind_of(fleet: &Fleet, opened: &[RolloutId], now: Now) -> Vec<LeftBehind> {
    let rollouts = opened.iter().filter_map(|id| fleet.rollouts.get(id));
    let hosts = rollouts.flat_map(|rollout| rollout.placements.iter().map(move |p| (rollout, p)));
    let left = hosts.filter(|(_, (_, placement))| placement.record.state != HostState::Converged);
    left.filter_map(|(rollout, (host, _))| {
        let reason = reason_of(fleet, host, now)?;
        Some(LeftBehind { host: host.clone(), rollout_id: rollout.id.clone(), reason })
    })
    .collect()
}

/// When a rollout and its waves begin and end, over all runs.
fn expect(rollout: &mut PlannedRollout, records: &[Record]) {
    let courses: Vec<&Course> =
        records.iter().filter_map(|record| record.rollouts.get(&rollout.rollout_id)).collect();
    let over = |at: &dyn Fn(&Course) -> Option<Timestamp>| {
        spread(courses.iter().map(|course| at(course)).collect())
    };
    rollout.first = courses.first().map(|course| course.first.clone()).unwrap_or_default();
    rollout.starts_at = courses.iter().filter_map(|course| course.starts_at).min();
    rollout.ends = over(&|course| course.ends_at);
    for wave in &mut rollout.waves {
        let (index, next) = (wave.index, wave.index.next());
        wave.starts = over(&|course| match index {
            WaveIndex(0) => course.starts_at,
            later => course.waves.get(&later).copied(),
        });
        wave.ends = over(&|course| course.waves.get(&next).copied().or(course.ends_at));
    }
}

/// What half and nine tenths of the runs stay below; `None` when so many do not get there.
fn spread(mut times: Vec<Option<Timestamp>>) -> Option<Expected> {
    // Runs that do not get there come last.
    times.sort_by_key(|at| (at.is_none(), *at));
    let below = |tenths: usize| {
        let position = times.len().checked_sub(1)? * tenths / 10;
        times.get(position).copied().flatten()
    };
    Some(Expected { p50: below(5)?, p90: below(9)? })
}

fn last_end(rollouts: &[PlannedRollout]) -> Option<Expected> {
    let ends: Option<Vec<Expected>> = rollouts.iter().map(|rollout| rollout.ends).collect();
    let ends = ends?;
    let p50 = ends.iter().map(|end| end.p50).max()?;
    Some(Expected { p50, p90: ends.iter().map(|end| end.p90).max()? })
}

fn warnings(before: &Fleet, release: &Release, rollouts: &[PlannedRollout]) -> Vec<String> {
    let mut warnings = Vec::new();
    if before.release.is_none() {
        let text = "no release has been adopted yet: every host is taken to come";
        warnings.push(text.to_owned());
    }
    let leaving = before
        .hosts
        .iter()
        .filter(|(name, host)| host.member.is_some() && !release.fleet.hosts.contains_key(*name));
    let leaving: Vec<&HostName> = leaving.map(|(name, _)| name).collect();
    if let Some(first) = leaving.first() {
        warnings.push(format!("{} hosts leave the fleet, {first} among them", leaving.len()));
    }
    for rollout in rollouts {
        let id = &rollout.rollout_id;
        let header = release.rollouts.get(&id.channel).map(|signed| &signed.header);
        let fresh_until = header.map(|h| h.signed_at.plus_secs(h.freshness_window_secs));
        if let (Some(fresh_until), Some(ends)) = (fresh_until, rollout.ends)
            && fresh_until < ends.p90
        {
            let text = format!("{id} is no longer fresh from {fresh_until}, before its end");
            warnings.push(format!("{text}: publish it signed anew in time"));
        }
        if rollout.ends.is_none() {
            warnings.push(format!("{id} does not end by itself"));
        }
        if let Some(ends) = rollout.ends {
            warnings.extend(expiring(before, id, ends.p90));
        }
    }
    warnings
}

/// Hosts of the channel whose certificate runs out before the rollout ends.
fn expiring(before: &Fleet, id: &RolloutId, ends: Timestamp) -> Option<String> {
    let runs_out = before.hosts.iter().filter(|(_, host)| {
        let on_channel = host.member.as_ref().is_some_and(|m| m.channel == id.channel);
        on_channel && host.liveness.cert_expires_at.is_some_and(|at| at < ends)
    });
    let names: Vec<&HostName> = runs_out.map(|(name, _)| name).collect();
    let first = names.first()?;
    Some(format!("{} certificates run out before {id} ends, {first}'s among them", names.len()))
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
