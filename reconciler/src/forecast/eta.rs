//! When a running rollout will end: wave by wave, from how long hosts take and from what keeps them apart.
//!
//! A wave takes as long as its slowest host. Where budgets, edges or a ramp let hosts go one after the other,
//! each of them but the last takes the mean. The soak is added as signed. What nobody can know is not guessed:
//! a wave that waits for a host which may never come has no end, nor has any after it. An approval is taken as
//! given when its wave is reached.

use wavegate_proto::ids::WaveIndex;
use wavegate_proto::record::HostState;
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::forecast::{Eta, Expected};

use super::durations::Durations;
use super::rounds::Waiting;
use crate::fleet::Fleet;
use crate::fleet::channel::Channel;
use crate::fleet::host::Host;
use crate::fleet::placement::{HostClass, Placement};
use crate::fleet::rollout::Rollout;
use crate::gates::silent_secs;

const P50: f64 = 0.5;
const P90: f64 = 0.9;

/// What is expected of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutForecast {
    /// Its end; `None`: it has ended, is not going on, or waits for what may never come.
    pub eta: Option<Eta>,
    /// The end of each of its waves; `None` where it is done already, or cannot be known.
    pub waves: Vec<Option<Expected>>,
}

/// Seconds from now, as p50 and p90.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Spread {
    p50: f64,
    p90: f64,
}

impl Spread {
    fn each(of: impl Fn(f64) -> f64) -> Self {
        Self { p50: of(P50), p90: of(P90) }
    }

    fn plus(self, other: Self) -> Self {
        Self { p50: self.p50 + other.p50, p90: self.p90 + other.p90 }
    }

    fn max(self, other: Self) -> Self {
        Self { p50: self.p50.max(other.p50), p90: self.p90.max(other.p90) }
    }

    fn at(self, now: Now) -> Expected {
        // As a cast a float that is too large becomes the largest number.
        let at = |secs: f64| -> Timestamp {
            now.wall.truncated_to_secs().plus_secs(secs.max(0.0).ceil() as u64)
        };
        Expected { p50: at(self.p50), p90: at(self.p90) }
    }
}

/// What is to be expected of a rollout at `now`. Costs a look at every host of it.
#[must_use]
pub fn forecast(fleet: &Fleet, rollout: &Rollout, now: Now) -> RolloutForecast {
    let unknown = || RolloutForecast { eta: None, waves: vec![None; rollout.waves().len()] };
    if !goes_on(rollout) || rollout.all_done() {
        return unknown();
    }
    let Some(start) = start(fleet, rollout, now) else { return unknown() };
    let durations = Durations::of(fleet, rollout);
    let ends = wave_ends(fleet, rollout, &durations, start, now);
    let eta = end(rollout, &ends).map(|end| {
        let Expected { p50, p90 } = end.at(now);
        Eta { p50, p90, basis: durations.basis() }
    });
    let waves = ends.into_iter().map(|end| Some(end?.at(now))).collect();
    RolloutForecast { eta, waves }
}

fn goes_on(rollout: &Rollout) -> bool {
    rollout.is_open() && rollout.mark.is_none() && rollout.halt.is_none() && !rollout.frozen
}

/// When the channels that go before are done. They are looked at in an order in which each comes after
/// those before it: the set of what goes before grows along every edge.
fn start(fleet: &Fleet, rollout: &Rollout, now: Now) -> Option<Spread> {
    let channel = fleet.channels.get(&rollout.id.channel);
    let mut before: Vec<_> = channel
        .into_iter()
        .flat_map(|channel| &channel.after)
        .filter_map(|name| Some((name, fleet.channels.get(name)?)))
        .collect();
    before.sort_by_key(|(name, channel)| (channel.after.len(), *name));
    let mut ends = std::collections::BTreeMap::new();
    let latest = |ends: &std::collections::BTreeMap<_, Spread>, channel: &Channel| {
        let ended = channel.after.iter().filter_map(|name| ends.get(name).copied());
        ended.fold(Spread::default(), Spread::max)
    };
    for (name, channel) in before {
        let start = latest(&ends, channel);
        let current = fleet.rollouts.get(&channel.rollout_id)?;
        let end = if current.all_done() {
            Spread::default()
        } else {
            let durations = goes_on(current).then(|| Durations::of(fleet, current))?;
            end(current, &wave_ends(fleet, current, &durations, start, now))?
        };
        ends.insert(name.clone(), end);
    }
    Some(channel.map_or_else(Spread::default, |channel| latest(&ends, channel)))
}

/// The end of a rollout whose waves end so; `None` when one that is not done has no end, or a host waits
/// for a reboot.
fn end(rollout: &Rollout, ends: &[Option<Spread>]) -> Option<Spread> {
    let mut last = Spread::default();
    for (index, end) in (0_u32..).map(WaveIndex).zip(ends) {
        if !rollout.is_wave_over(index) {
            last = last.max((*end)?);
        }
    }
    (rollout.waves().iter().all(|wave| wave.count(HostClass::Deferred) == 0)).then_some(last)
}

/// The end of each wave. Those up to the current one go on side by side; each later one begins when the
/// one before has ended.
fn wave_ends(
    fleet: &Fleet,
    rollout: &Rollout,
    durations: &Durations,
    start: Spread,
    now: Now,
) -> Vec<Option<Spread>> {
    let mut waves: Vec<Work<'_>> = rollout.waves().iter().map(|_| Work::default()).collect();
    for (name, placement) in &rollout.placements {
        let (Some(host), Ok(wave)) =
            (fleet.hosts.get(name), usize::try_from(placement.entry.wave.0))
        else {
            continue;
        };
        if let Some(work) = waves.get_mut(wave) {
            work.add(fleet, rollout, host, (name, placement), now);
        }
    }
    let mut begins = Some(start);
    let ends = waves.iter().zip((0_u32..).map(WaveIndex)).map(|(work, index)| {
        let from = if index <= rollout.current_wave { Some(start) } else { begins };
        let soak_secs = float(rollout.soak_secs(index));
        let done = rollout.is_wave_done(index);
        let end = if done && work.is_empty() {
            None
        } else {
            from.and_then(|from| work.end(fleet, rollout, durations, soak_secs, from))
        };
        begins = if done { from } else { end };
        end
    });
    ends.collect()
}

/// What is still to be done in a wave.
#[derive(Debug, Default)]
struct Work<'a> {
    waiting: Waiting<'a>,
    /// Hosts that activate, and the least that one of them has behind it, in seconds.
    activating: Option<(u64, u64)>,
    /// The longest soak that is still ahead of a host that is through with its activation, in seconds.
    soaking: Option<u64>,
    /// When the last silent host is left out, in seconds from now.
    silent_until: Option<u64>,
    /// Somebody has to do something about a host.
    stuck: bool,
}

impl<'a> Work<'a> {
    fn is_empty(&self) -> bool {
        let Self { waiting, activating, soaking, silent_until, stuck } = self;
        waiting.len() == 0
            && activating.is_none()
            && soaking.is_none()
            && silent_until.is_none()
            && !stuck
    }

    fn add(
        &mut self,
        fleet: &Fleet,
        rollout: &Rollout,
        host: &Host,
        (name, placement): (&'a wavegate_proto::ids::HostName, &'a Placement),
        now: Now,
    ) {
        match placement.class() {
            HostClass::Waiting | HostClass::Unknown | HostClass::InfraRetrying => {
                self.wait(fleet, rollout, host, (name, placement), now);
            }
            HostClass::Leased => self.activate(0),
            HostClass::InFlight => self.go_on(rollout, placement, now),
            HostClass::Deferred
            | HostClass::Converged
            | HostClass::SkippedOffline
            | HostClass::Skipped
            | HostClass::FailedArtifact
            | HostClass::RevertedArtifact
            | HostClass::InfraExhausted => {}
        }
    }

    fn wait(
        &mut self,
        fleet: &Fleet,
        rollout: &Rollout,
        host: &Host,
        (name, placement): (&'a wavegate_proto::ids::HostName, &'a Placement),
        now: Now,
    ) {
        let policy = rollout.policy();
        let silent_secs = silent_secs(fleet, host, now.mono);
        let closure = (rollout.id.channel.clone(), placement.entry.closure.clone());
        if fleet.quarantines.contains_key(&closure) {
            self.stuck = true;
        } else if host.liveness.last_heartbeat.is_some() && silent_secs <= policy.offline_after_secs
        {
            self.waiting.add(name, placement);
        } else if let Some(skip_secs) = policy.skip_offline_after_secs {
            let left = skip_secs.max(policy.offline_after_secs).saturating_sub(silent_secs);
            self.silent_until = self.silent_until.max(Some(left));
        } else {
            self.stuck = true;
        }
    }

    fn go_on(&mut self, rollout: &Rollout, placement: &Placement, now: Now) {
        let record = &placement.record;
        let since = |at: Option<Timestamp>| {
            at.map_or(0, |at| u64::try_from(now.wall.secs_since(at)).unwrap_or(0))
        };
        if record.state == HostState::Soaking {
            let soak_secs = rollout.soak_secs(placement.entry.wave);
            let left = soak_secs.saturating_sub(since(record.activation_completed_at));
            self.soaking = self.soaking.max(Some(left));
        } else {
            self.activate(since(record.dispatched_at.or(record.dispatch_acked_at)));
        }
    }

    fn activate(&mut self, elapsed_secs: u64) {
        let (count, least) = self.activating.unwrap_or((0, elapsed_secs));
        self.activating = Some((count + 1, least.min(elapsed_secs)));
    }

    fn end(
        &self,
        fleet: &Fleet,
        rollout: &Rollout,
        durations: &Durations,
        soak_secs: f64,
        start: Spread,
    ) -> Option<Spread> {
        if self.stuck || self.is_empty() {
            return None;
        }
        let mut end = start.max(self.under_way(durations, soak_secs));
        if self.waiting.len() > 0 {
            end = end.max(start.plus(self.ahead(fleet, rollout, durations, soak_secs)));
        }
        let silent = self.silent_until.map_or(0.0, float);
        Some(end.max(Spread { p50: silent, p90: silent }))
    }

    /// What is left of hosts that have been dispatched.
    fn under_way(&self, durations: &Durations, soak_secs: f64) -> Spread {
        let soaking = self.soaking.map_or(0.0, float);
        let activating = self.activating.map_or_else(Spread::default, |(count, elapsed)| {
            Spread::each(|p| durations.slowest_secs(count, p) + soak_secs - float(elapsed))
        });
        activating.max(Spread { p50: soaking, p90: soaking })
    }

    /// What hosts that have not been dispatched will take.
    fn ahead(
        &self,
        fleet: &Fleet,
        rollout: &Rollout,
        durations: &Durations,
        soak_secs: f64,
    ) -> Spread {
        let (hosts, rounds) = (self.waiting.len(), self.waiting.rounds(fleet).max(1));
        let earlier_rounds = float(rounds - 1) * (durations.mean_secs() + soak_secs);
        let ramp_minutes = rollout
            .policy()
            .max_dispatch_per_minute
            .map_or(0, |most| hosts.saturating_sub(1) / u64::from(most.max(1)));
        let before_the_last = earlier_rounds.max(float(ramp_minutes) * 60.0);
        let at_once = hosts.div_ceil(rounds);
        Spread::each(|p| before_the_last + durations.slowest_secs(at_once, p) + soak_secs)
    }
}

/// Seconds of a rollout stay far below 2^52, where a float holds every integer.
#[allow(clippy::cast_precision_loss)]
fn float(secs: u64) -> f64 {
    secs as f64
}
