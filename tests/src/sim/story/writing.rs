//! Makes up a story from a seed: everything good, something bad, everything mended.
//!
//! Not here: playing it (see [`super`]).

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use wavegate_proto::artifact::policy::{Limit, Policy};
use wavegate_proto::artifact::window::{ClockTime, Weekday, Window};
use wavegate_proto::event::FailurePolicy;
use wavegate_proto::ids::{ClosureId, HostName, RolloutId, WaveIndex};

use super::super::behaviour::Health;
use super::super::operator::Order;
use super::super::oracle::rollout_id;
use super::{Chapter, Disaster, members};
use crate::release_kit::{ChannelSpec, closure, host_name, policy, stable};

/// The fewest hosts a channel has.
const FEWEST_HOSTS: usize = 6;

/// Writes a story: everything good, something bad, everything mended.
pub(super) fn write(rng: &mut Rng, hosts: usize) -> Vec<Chapter> {
    let channels = rng.usize(1..=(hosts / FEWEST_HOSTS).clamp(1, 3));
    let first = fleet(rng, hosts, channels);
    let mut second: Vec<ChannelSpec> = first.clone();
    let bad_one = rng.usize(0..channels);
    for (index, spec) in second.iter_mut().enumerate() {
        if index == bad_one || rng.bool() {
            retarget(spec, "r2", &format!("second-{index}"));
        }
    }
    let latecomers = rng.usize(0..=hosts / 10);
    let first: Vec<ChannelSpec> =
        first.into_iter().map(|s| without(s, hosts, latecomers)).collect();
    for (then, now) in first.iter().zip(&mut second) {
        if then.entries.len() != now.entries.len() {
            now.reference = "r2".to_owned();
        }
    }
    let bad = badness(rng, &second[bad_one]);
    let leavers = rng.usize(0..=hosts / 20);
    let mut third: Vec<ChannelSpec> = second
        .iter()
        .enumerate()
        .map(|(index, spec)| {
            let mut spec = spec.clone();
            retarget(&mut spec, "r3", &format!("third-{index}"));
            let gone = |spec: &ChannelSpec| spec.entries.len() > FEWEST_HOSTS;
            for _ in 0..leavers {
                if gone(&spec) {
                    leave(&mut spec, rng);
                }
            }
            spec
        })
        .collect();
    if rng.bool() {
        change_channel(rng, &mut third);
    }
    let away = rng.bool().then(|| good_host(rng, &second[bad_one], &bad)).flatten();
    let chapter = |channels| Chapter {
        channels,
        bad: BTreeMap::new(),
        away: None,
        disaster: None,
        cut_short: false,
        orders: Vec::new(),
    };
    let disasters = [None, Some(Disaster::Wiped), Some(Disaster::SetBack)];
    let disaster = *rng.choice(disasters.iter()).unwrap();
    let early = rng.bool().then_some(Disaster::Wiped);
    let (cut_short, late) = (away.is_none() && rng.u8(0..4) == 0, rng.u8(0..4) == 0);
    let mut chapters = vec![
        Chapter { disaster: early, ..chapter(first) },
        Chapter { bad, away, cut_short, disaster: disaster.filter(|_| !late), ..chapter(second) },
        Chapter { disaster: disaster.filter(|_| late), ..chapter(third) },
    ];
    let mut told = BTreeSet::new();
    for chapter in &mut chapters {
        chapter.orders = orders(rng, chapter, &told);
        told.extend(chapter.channels.iter().map(rollout_id));
    }
    chapters
}

/// What people want while a release goes out. Only a good host is left out, and only a channel that
/// no other waits for is aborted: else more than one end would be right.
fn orders(rng: &mut Rng, chapter: &Chapter, told: &BTreeSet<RolloutId>) -> Vec<Order> {
    let opened: Vec<&ChannelSpec> =
        chapter.channels.iter().filter(|spec| !told.contains(&rollout_id(spec))).collect();
    let rollouts: Vec<RolloutId> = opened.iter().map(|spec| rollout_id(spec)).collect();
    let hosts: Vec<HostName> = members(chapter).into_iter().cloned().collect();
    let mut orders = Order::random(rng, &rollouts, &hosts);
    let Some(spec) = rng.choice(&opened) else { return orders };
    let (rollout_id, from_secs) = (rollout_id(spec), rng.u64(0..120));
    let last = !chapter.channels.iter().any(|other| other.after.contains(&spec.channel));
    match rng.u8(0..8) {
        0 if last => orders.push(Order::Abort { rollout_id, from_secs }),
        1 | 2 => {
            let host = good_host(rng, spec, &chapter.bad);
            if let Some(host) = host.filter(|host| chapter.away.as_ref() != Some(host)) {
                orders.push(Order::Skip { rollout_id, host, from_secs });
            }
        }
        _ => {}
    }
    orders
}

/// Moves a host of the last wave of one channel to the last wave of another.
fn change_channel(rng: &mut Rng, specs: &mut [ChannelSpec]) {
    let (from, to) = (rng.usize(0..specs.len()), rng.usize(0..specs.len()));
    if from == to || specs[from].entries.len() <= FEWEST_HOSTS {
        return;
    }
    let candidates = specs[from].entries.iter().filter(|e| e.budgets.is_empty());
    let Some(mut entry) = candidates.max_by_key(|e| e.wave).cloned() else { return };
    let left = specs[from].entries.len();
    remove(&mut specs[from], &entry.host);
    if specs[from].entries.len() == left {
        return;
    }
    let spec = &mut specs[to];
    let Some(neighbour) = spec.entries.iter().max_by_key(|e| e.wave) else { return };
    entry.after.clear();
    (entry.closure, entry.wave) = (neighbour.closure.clone(), neighbour.wave);
    spec.entries.push(entry);
    spec.entries.sort_by(|a, b| a.host.cmp(&b.host));
}

/// A fleet on so many channels, with random policies, edges and budgets.
fn fleet(rng: &mut Rng, hosts: usize, channels: usize) -> Vec<ChannelSpec> {
    let mut specs: Vec<ChannelSpec> = Vec::new();
    for index in 0..channels {
        let numbers: Vec<usize> = (1..=hosts).filter(|n| n % channels == index).collect();
        let waves = wave_sizes(rng, numbers.len());
        let policy = random_policy(rng, waves.len());
        let rolls_back = policy.on_health_failure == FailurePolicy::RollbackAndHalt;
        let mut spec = stable("r1", &closure(&format!("first-{index}")), &waves, policy);
        for (entry, number) in spec.entries.iter_mut().zip(&numbers) {
            entry.host = host_name(*number);
        }
        spec.entries.sort_by(|a, b| a.host.cmp(&b.host));
        spec.channel = format!("channel-{index}").parse().unwrap();
        if let Some(before) = specs.last()
            && rng.bool()
        {
            spec.after.push(before.channel.clone());
        }
        // A host that stays as it failed keeps its slot, and would hold the others for ever.
        if rolls_back && rng.bool() {
            let nth = rng.usize(2..6);
            let members = u32::try_from(spec.entries.len() / nth).unwrap();
            let limit = rng.u32(1..=(members / 3).max(1));
            spec = spec.budget(&format!("budget-{index}"), limit, nth);
        }
        for _ in 0..rng.usize(0..3) {
            host_edge(rng, &mut spec);
        }
        specs.push(spec);
    }
    specs
}

/// One to four waves, each at least as large as the one before.
fn wave_sizes(rng: &mut Rng, hosts: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut left = hosts;
    for _ in 0..rng.usize(0..4) {
        let size = rng.usize(1..=(left / 4).max(1));
        if size < left {
            sizes.push(size);
            left -= size;
        }
    }
    sizes.push(left);
    sizes.sort_unstable();
    sizes
}

fn random_policy(rng: &mut Rng, waves: usize) -> Policy {
    let soaks: Vec<u64> = (0..waves).map(|_| rng.u64(10..90)).collect();
    let mut policy = policy(&soaks);
    policy.max_failures =
        if rng.bool() { Limit::Count(rng.u32(0..3)) } else { Limit::Percent(rng.u32(0..30)) };
    policy.max_infra_failures = Limit::Percent(rng.u32(10..60));
    policy.failure_threshold_secs = rng.u64(5..60);
    policy.dispatch_timeout_secs = rng.u64(60..300);
    policy.activation_timeout_secs = rng.u64(30..120);
    policy.offline_after_secs = rng.u64(100..180);
    policy.skip_offline_after_secs = rng.bool().then(|| rng.u64(180..400));
    policy.infra_retries = rng.u32(20..40);
    if rng.u8(0..4) == 0 {
        policy.on_health_failure = FailurePolicy::Halt;
    }
    for wave in &mut policy.waves {
        wave.requires_approval = rng.u8(0..8) == 0;
    }
    if rng.u8(0..6) == 0 {
        policy.windows = hourly_windows(rng);
    }
    policy
}

/// Twenty to forty minutes of every hour.
fn hourly_windows(rng: &mut Rng) -> Vec<Window> {
    let (offset, minutes) = (rng.u16(0..60), rng.u16(20..40));
    let clock = |minute: u16| -> ClockTime {
        format!("{:02}:{:02}", minute / 60 % 24, minute % 60).parse().unwrap()
    };
    let window = |hour: u16| {
        let start = hour * 60 + offset;
        let (start, end) = (clock(start), clock(start + minutes));
        Window { tz: "UTC".parse().unwrap(), days: Weekday::ALL.to_vec(), start, end }
    };
    (0..24).map(window).collect()
}

/// Lets one host wait for another of an earlier wave, or of its own.
fn host_edge(rng: &mut Rng, spec: &mut ChannelSpec) {
    let (a, b) = (rng.usize(0..spec.entries.len()), rng.usize(0..spec.entries.len()));
    let order = |index: usize| (spec.entries[index].wave, spec.entries[index].host.clone());
    let (first, then) = if order(a) < order(b) { (a, b) } else { (b, a) };
    let before = spec.entries[first].host.clone();
    if first != then && !spec.entries[then].after.contains(&before) {
        spec.entries[then].after.push(before);
        spec.entries[then].after.sort();
    }
}

fn retarget(spec: &mut ChannelSpec, reference: &str, target: &str) {
    spec.reference = reference.to_owned();
    for entry in &mut spec.entries {
        entry.closure = closure(target);
    }
}

/// The channel before the last `latecomers` hosts of the fleet joined it; no wave is left without a host.
fn without(mut spec: ChannelSpec, hosts: usize, latecomers: usize) -> ChannelSpec {
    for number in hosts - latecomers + 1..=hosts {
        remove(&mut spec, &host_name(number));
    }
    spec
}

fn leave(spec: &mut ChannelSpec, rng: &mut Rng) {
    let host = spec.entries[rng.usize(0..spec.entries.len())].host.clone();
    remove(spec, &host);
}

/// Takes a host out of a channel, unless its wave or its budget would be left empty.
fn remove(spec: &mut ChannelSpec, host: &HostName) {
    let Some(entry) = spec.entries.iter().find(|entry| entry.host == *host).cloned() else {
        return;
    };
    let in_wave = |wave: WaveIndex| spec.entries.iter().filter(|e| e.wave == wave).count();
    let in_budget = spec.entries.iter().filter(|e| e.budgets == entry.budgets).count();
    if in_wave(entry.wave) == 1 || (!entry.budgets.is_empty() && in_budget == 1) {
        return;
    }
    spec.entries.retain(|entry| entry.host != *host);
    for entry in &mut spec.entries {
        entry.after.retain(|before| before != host);
    }
}

/// On which hosts the release is bad: on none, on few, on many, on all. Hosts that others wait for are
/// good, or these would wait for ever.
fn badness(rng: &mut Rng, spec: &ChannelSpec) -> BTreeMap<(HostName, ClosureId), Health> {
    let percent = [0, 5, 20, 60, 100][rng.usize(0..5)];
    let health = if rng.bool() { Health::Unhealthy } else { Health::Broken };
    let waited_for: BTreeSet<&HostName> = spec.entries.iter().flat_map(|e| &e.after).collect();
    let mut bad = BTreeMap::new();
    for entry in &spec.entries {
        if rng.u8(0..100) < percent && !waited_for.contains(&entry.host) {
            bad.insert((entry.host.clone(), entry.closure.clone()), health);
        }
    }
    bad
}

fn good_host(
    rng: &mut Rng,
    spec: &ChannelSpec,
    bad: &BTreeMap<(HostName, ClosureId), Health>,
) -> Option<HostName> {
    let is_bad = |host: &HostName| bad.keys().any(|(name, _)| name == host);
    let good: Vec<_> = spec.entries.iter().filter(|entry| !is_bad(&entry.host)).collect();
    rng.choice(good.iter()).map(|entry| entry.host.clone())
}
