//! Random stories: a fleet on several channels, releases that are good, bad on some hosts, and mended, hosts
//! that join, leave and are away, and a disaster for the control plane. Each chapter must end as the
//! [`Oracle`] foretells.
//!
//! Not here: what goes wrong on the way (see [`super::world`]); how stories are made up (see [`writing`]).

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, RolloutId};

use super::behaviour::Health;
use super::disk::Disk;
use super::operator::Order;
use super::oracle::Oracle;
use super::tally::{Rare, Tally};
use super::trace::Trace;
use super::world::{Faults, World};
use crate::release_kit::ChannelSpec;

mod writing;

use writing::write;

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
    /// What people want meanwhile.
    pub orders: Vec<Order>,
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

    pub fn is_aborted(&self, id: &RolloutId) -> bool {
        let aborts =
            |order: &Order| matches!(order, Order::Abort { rollout_id, .. } if rollout_id == id);
        self.orders.iter().any(aborts)
    }

    pub fn is_skipped(&self, host: &HostName) -> bool {
        let skips =
            |order: &Order| matches!(order, Order::Skip { host: skipped, .. } if skipped == host);
        self.orders.iter().any(skips)
    }
}

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
    if told.is_some_and(|told| changes_channel(told, chapter)) {
        world.tally.reach(Rare::ChangedChannel);
    }
    world.publish(serial, &chapter.channels);
    world.order(&chapter.orders);
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

/// A control plane that has just died is given the time to come back.
fn await_control_plane(world: &mut World) {
    while world.core().is_none() {
        world.advance(30);
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
        if waited >= CHAPTER_SECS {
            await_control_plane(world);
            world.advance(60);
            panic!("{:#?}\n{}", oracle.objections(world), world.picture());
        }
        world.advance(30);
        waited += 30;
    }
    world.advance(240);
    await_control_plane(world);
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

fn changes_channel(told: &Chapter, chapter: &Chapter) -> bool {
    let on = |chapter: &Chapter| -> BTreeMap<HostName, ChannelName> {
        let hosts = chapter.channels.iter().flat_map(|spec| {
            spec.entries.iter().map(|entry| (entry.host.clone(), spec.channel.clone()))
        });
        hosts.collect()
    };
    let (then, now) = (on(told), on(chapter));
    now.iter().any(|(host, channel)| then.get(host).is_some_and(|before| before != channel))
}
