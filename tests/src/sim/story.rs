//! Random stories: a fleet on several channels, releases that are good, bad on some hosts, and mended, hosts
//! that join, leave and are away, and a disaster for the control plane. Each chapter must end as the
//! [`Oracle`] foretells.
//!
//! Not here: what goes wrong on the way (see [`super::world`]).

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use wavegate_proto::artifact::policy::{Limit, Policy};
use wavegate_proto::event::FailurePolicy;
use wavegate_proto::ids::{ClosureId, HostName, WaveIndex};

use super::behaviour::Health;
use super::disk::Disk;
use super::oracle::Oracle;
use super::tally::{Rare, Tally};
use super::trace::Trace;
use super::world::{Faults, World};
use crate::release_kit::{ChannelSpec, closure, host_name, policy, stable};

/// A release, and what is wrong with it and with the world.
#[derive(Debug, Clone)]
pub struct Chapter {
    pub channels: Vec<ChannelSpec>,
    /// Where closures are not good.
    pub bad: BTreeMap<(HostName, ClosureId), Health>,
    /// A good host that falls silent for half an hour once the release is out.
    pub away: Option<HostName>,
    pub disaster: Option<Disaster>,
    /// The next chapter begins before this one has ended.
    pub cut_short: bool,
}

/// What happens to the control plane's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disaster {
    Wiped,
    /// The copy from the end of the first chapter is put back.
    SetBack,
}

impl Chapter {
    pub fn health(&self, host: &HostName, closure: &ClosureId) -> Health {
        self.bad.get(&(host.clone(), closure.clone())).copied().unwrap_or(Health::Good)
    }
}

/// The fewest hosts a channel has.
const FEWEST_HOSTS: usize = 6;

/// Everything that can go wrong on the way.
const FAULTS: Faults = Faults {
    lost_percent: 5,
    repeated_percent: 5,
    late_percent: 1,
    wrong_clocks: true,
    crashes: true,
    infra_percent: 3,
};

/// A chapter must end within this many virtual seconds: six hours.
const CHAPTER_SECS: u64 = 6 * 3600;

/// Plays the story of a seed to its end.
///
/// # Panics
/// When an invariant breaks, or a chapter does not end as foretold.
pub fn play(seed: u64, hosts: usize, trace: Trace) -> Tally {
    let mut rng = Rng::with_seed(seed);
    let chapters = write(&mut rng, hosts);
    let mut world = World::new(seed, hosts, FAULTS);
    world.trace = trace;
    let mut oracle = Oracle::default();
    let mut backup = Disk::default();
    let mut told: Option<&Chapter> = None;
    for (serial, chapter) in (1..).zip(&chapters) {
        let before = oracle.clone();
        begin(&mut world, &mut rng, serial, chapter, told);
        if chapter.disaster.is_some() {
            await_moment(&mut world, &mut rng);
        }
        match chapter.disaster {
            Some(Disaster::Wiped) => world.wipe(),
            Some(Disaster::SetBack) => world.set_back(backup.clone()),
            None => {}
        }
        oracle.tell(chapter);
        if chapter.cut_short {
            world.advance(rng.u64(5..200));
            world.tally.reach(Rare::SupersededUnderWay);
            oracle.cut_short(chapter, &before);
        } else {
            expect_end(&mut world, &oracle, chapter, &before);
        }
        if serial == 1 {
            backup = world.disk.clone();
        }
        told = Some(chapter);
    }
    world.outcome()
}

/// Publishes a chapter's release.
fn begin(world: &mut World, rng: &mut Rng, serial: u64, chapter: &Chapter, told: Option<&Chapter>) {
    for ((host, id), health) in &chapter.bad {
        world.behaviour.set_on(host.clone(), id.clone(), *health);
    }
    if told.is_some_and(|told| !members(told).is_superset(&members(chapter))) {
        world.tally.reach(Rare::HostJoined);
    }
    world.publish(serial, &chapter.channels);
    if let Some(host) = &chapter.away {
        world.advance(rng.u64(1..60));
        world.goes_away(host, 1800);
    }
}

/// Lets time pass until the moment of a disaster: any, or while a host is going back.
fn await_moment(world: &mut World, rng: &mut Rng) {
    world.advance(rng.u64(10..400));
    if rng.bool() {
        for _ in 0..300 {
            if world.somebody_rolls_back() {
                return;
            }
            world.advance(1);
        }
    }
}

/// Lets the chapter come to its end, which lasts.
fn expect_end(world: &mut World, oracle: &Oracle, chapter: &Chapter, before: &Oracle) {
    let mut waited = 0;
    loop {
        let objections = oracle.objections(world);
        if objections.is_empty() && world.nobody_is_away() {
            break;
        }
        assert!(waited < CHAPTER_SECS, "{objections:#?}\n{}", world.picture());
        world.advance(30);
        waited += 30;
    }
    world.advance(240);
    // A control plane that has just died is given the time to come back.
    while world.core().is_none() {
        world.advance(30);
    }
    let objections = oracle.objections(world);
    assert!(objections.is_empty(), "it was over, and is not: {objections:#?}");
    before.expect_order(chapter, &world.history);
    if oracle.tolerated > 0 {
        world.tally.reach(Rare::FailureTolerated);
    }
    world.check_nothing_lost();
}

fn members(chapter: &Chapter) -> BTreeSet<&HostName> {
    chapter.channels.iter().flat_map(|spec| &spec.entries).map(|entry| &entry.host).collect()
}

/// Writes a story: everything good, something bad, everything mended.
fn write(rng: &mut Rng, hosts: usize) -> Vec<Chapter> {
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
    let third: Vec<ChannelSpec> = second
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
    let away = rng.bool().then(|| good_host(rng, &second[bad_one], &bad)).flatten();
    let chapter = |channels| Chapter {
        channels,
        bad: BTreeMap::new(),
        away: None,
        disaster: None,
        cut_short: false,
    };
    let disasters = [None, Some(Disaster::Wiped), Some(Disaster::SetBack)];
    let disaster = *rng.choice(disasters.iter()).unwrap();
    let early = rng.bool().then_some(Disaster::Wiped);
    let (cut_short, late) = (away.is_none() && rng.u8(0..4) == 0, rng.u8(0..4) == 0);
    vec![
        Chapter { disaster: early, ..chapter(first) },
        Chapter { bad, away, cut_short, disaster: disaster.filter(|_| !late), ..chapter(second) },
        Chapter { disaster: disaster.filter(|_| late), ..chapter(third) },
    ]
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
    policy
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
