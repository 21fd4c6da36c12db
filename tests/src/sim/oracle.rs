//! A second opinion: how a chapter of a story must end, told from the signed releases and from what is
//! wrong on which host. It shares no code with what it judges: no fold, no gates, no planner, no tallies.
//!
//! Where the outcome depends on who was faster, every possible one is named: in the wave that a release
//! fails in, a good host may have been done already or not have been touched.
//!
//! Not here: how long anything takes.

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::event::FailurePolicy;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, RolloutId};
use wavegate_proto::wire::operator::RolloutState;

use super::behaviour::Health;
use super::history::History;
use super::story::Chapter;
use super::world::World;
use crate::release_kit::ChannelSpec;

/// How a rollout must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Every host is done; some may have failed within what the policy tolerates.
    Done,
    /// Halted, and whoever failed is back.
    Reverted,
    /// Halted, and whoever failed stays as it is.
    Failed,
    /// A channel before it is not done: nothing changes.
    Held,
    /// The same, and nothing is to change on any host that is not left out: that may be done at once.
    HeldOrDone,
    /// Somebody has ended it, as far as it had come.
    Aborted,
}

impl End {
    fn is(self, state: RolloutState) -> bool {
        match self {
            Self::Done => state == RolloutState::Terminal,
            Self::Reverted => state == RolloutState::Reverted,
            Self::Failed => state == RolloutState::Failed,
            Self::Aborted => matches!(
                state,
                RolloutState::Failed | RolloutState::Reverted | RolloutState::Terminal
            ),
            Self::Held => matches!(
                state,
                RolloutState::Opening | RolloutState::Active | RolloutState::Converging
            ),
            Self::HeldOrDone => Self::Held.is(state) || Self::Done.is(state),
        }
    }
}

type Possible = BTreeSet<Option<ClosureId>>;

/// What must be so when the chapters told so far have ended.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    ends: BTreeMap<ChannelName, (RolloutId, End)>,
    /// What each host of the fleet may run.
    runs: BTreeMap<HostName, Possible>,
    quarantined: BTreeSet<(ChannelName, ClosureId)>,
    /// The hosts on which a quarantined closure failed.
    witnesses: BTreeMap<(ChannelName, ClosureId), Vec<HostName>>,
    /// Closures that may be quarantined or not: those that were cut short; and those that failed on a share
    /// of a wave that is tolerated, since a wiped control plane knows of an old wave only the hosts that
    /// have told it, and a share of these; and those whose witnesses have left the fleet, whom a wiped
    /// control plane does not hear.
    perhaps: BTreeSet<(ChannelName, ClosureId)>,
    /// Hosts that were left as they failed: their fix does not wait for waves.
    broken: BTreeSet<HostName>,
    /// Hosts that a rollout may have done without: left out by a person, or away for long. It may go on in
    /// later chapters, which say nothing of them any more.
    left_out: BTreeSet<(RolloutId, HostName)>,
    /// Failures that the policy tolerates, in the chapter told last.
    pub tolerated: usize,
}

impl Oracle {
    /// What follows from one more release. Channels come in an order in which each has those before it.
    pub fn tell(&mut self, chapter: &Chapter) {
        self.tolerated = 0;
        let members: BTreeSet<&HostName> =
            chapter.channels.iter().flat_map(|spec| &spec.entries).map(|e| &e.host).collect();
        self.runs.retain(|host, _| members.contains(host));
        for (key, witnesses) in &self.witnesses {
            if !witnesses.iter().all(|host| members.contains(host)) && self.quarantined.remove(key)
            {
                self.perhaps.insert(key.clone());
            }
        }
        let before = self.clone();
        for spec in &chapter.channels {
            let id = rollout_id(spec);
            let hosts = spec.entries.iter().map(|entry| &entry.host);
            let without = hosts
                .filter(|host| chapter.away.as_ref() == Some(host) || chapter.is_skipped(host));
            self.left_out.extend(without.map(|host| (id.clone(), host.clone())));
            if self.ends.get(&spec.channel).is_some_and(|(known, _)| *known == id) {
                continue;
            }
            let mut end = self.tell_channel(chapter, spec);
            if chapter.is_aborted(&id) {
                // One that was held has not come anywhere.
                if !matches!(end, End::Held | End::HeldOrDone) {
                    self.as_far_as_it_came(chapter, spec, &before);
                }
                end = End::Aborted;
            }
            self.ends.insert(spec.channel.clone(), (id, end));
        }
    }

    fn tell_channel(&mut self, chapter: &Chapter, spec: &ChannelSpec) -> End {
        for entry in &spec.entries {
            self.runs.entry(entry.host.clone()).or_insert_with(|| [None].into());
        }
        let ran_away = chapter.away.as_ref().and_then(|host| self.runs.get(host)).cloned();
        if !self.all_done_before(chapter, spec) {
            let has_nothing_to_do = spec.entries.iter().all(|e| {
                let runs = self.runs.get(&e.host);
                chapter.is_skipped(&e.host)
                    || runs.is_some_and(|runs| runs.contains(&Some(e.closure.clone())))
            });
            return if has_nothing_to_do { End::HeldOrDone } else { End::Held };
        }
        let stays = spec.policy.on_health_failure == FailurePolicy::Halt;
        for wave in 0..spec.policy.waves.len() {
            let hosts = || spec.entries.iter().filter(|e| e.wave.0 as usize == wave);
            let bad = |host: &HostName, closure: &ClosureId| chapter.health(host, closure);
            let (good, failing): (Vec<_>, Vec<_>) =
                hosts().partition(|e| bad(&e.host, &e.closure) == Health::Good);
            let halts = failing.len() > tolerated(spec.policy.max_failures, hosts().count());
            for entry in good {
                let left_out = chapter.is_skipped(&entry.host);
                self.may_run(&entry.host, &entry.closure, halts || left_out);
                if !halts && !left_out {
                    self.broken.remove(&entry.host);
                }
            }
            for entry in &failing {
                if stays {
                    self.broken.insert(entry.host.clone());
                    // What is half-way activated does not run; what is unhealthy does.
                    if bad(&entry.host, &entry.closure) == Health::Unhealthy {
                        self.may_run(&entry.host, &entry.closure, halts);
                    }
                }
            }
            if halts {
                // Who was left out for its silence in an earlier wave comes back to a halted rollout.
                if let (Some(host), Some(ran)) = (&chapter.away, &ran_away) {
                    self.runs.get_mut(host).unwrap().extend(ran.iter().cloned());
                }
                let key = (spec.channel.clone(), failing[0].closure.clone());
                let witnesses = failing.iter().map(|entry| entry.host.clone()).collect();
                self.witnesses.insert(key.clone(), witnesses);
                self.quarantined.insert(key);
                return if stays { End::Failed } else { End::Reverted };
            }
            self.tolerated += failing.len();
            if matches!(spec.policy.max_failures, Limit::Percent(_)) {
                let keys = failing.iter().map(|e| (spec.channel.clone(), e.closure.clone()));
                self.perhaps.extend(keys);
            }
        }
        End::Done
    }

    /// Whether every channel before this one is done, however far back.
    fn all_done_before(&self, chapter: &Chapter, spec: &ChannelSpec) -> bool {
        chapter.channels.iter().filter(|other| spec.after.contains(&other.channel)).all(|before| {
            matches!(self.ends.get(&before.channel), Some((_, End::Done)))
                && self.all_done_before(chapter, before)
        })
    }

    /// A host runs the closure; with `perhaps`, or what it ran before.
    fn may_run(&mut self, host: &HostName, closure: &ClosureId, perhaps: bool) {
        let runs = self.runs.get_mut(host).unwrap();
        if !perhaps {
            runs.clear();
        }
        runs.insert(Some(closure.clone()));
    }

    /// The chapter was cut short by the next one: as far as it had come.
    pub fn cut_short(&mut self, chapter: &Chapter, before: &Self) {
        for spec in &chapter.channels {
            if before.ends.get(&spec.channel).map(|(id, _)| id) == Some(&rollout_id(spec)) {
                continue;
            }
            self.as_far_as_it_came(chapter, spec, before);
        }
    }

    /// Some hosts of a channel may have been reached and some not.
    fn as_far_as_it_came(&mut self, chapter: &Chapter, spec: &ChannelSpec, before: &Self) {
        for entry in &spec.entries {
            let ran = before.runs.get(&entry.host).cloned().unwrap_or([None].into());
            let runs = self.runs.get_mut(&entry.host).unwrap();
            runs.extend(ran);
            runs.insert(Some(entry.closure.clone()));
            let key = (spec.channel.clone(), entry.closure.clone());
            self.quarantined.remove(&key);
            self.perhaps.insert(key);
            if chapter.health(&entry.host, &entry.closure) != Health::Good {
                self.broken.insert(entry.host.clone());
            }
        }
    }

    /// What is not as it must be.
    pub fn objections(&self, world: &World) -> Vec<String> {
        let mut objections = Vec::new();
        for (id, end) in self.ends.values() {
            let state = world.rollout_state(&id.to_string());
            if !state.is_some_and(|state| end.is(state)) {
                objections.push(format!("{id}: expected {end:?}, found {state:?}"));
            }
        }
        if !objections.is_empty() {
            return objections;
        }
        let running = world.running();
        for (host, possible) in &self.runs {
            if !possible.contains(&running[host]) {
                objections.push(format!("{host} runs {:?}, not {possible:?}", running[host]));
            }
        }
        let Some(core) = world.core() else { return vec!["no control plane".to_owned()] };
        let found: BTreeSet<_> = core.fleet().quarantines.keys().cloned().collect();
        let missing = self.quarantined.difference(&found);
        objections.extend(missing.map(|key| format!("{key:?} is not quarantined")));
        let more = found
            .iter()
            .filter(|key| !self.quarantined.contains(*key) && !self.perhaps.contains(*key));
        objections.extend(more.map(|key| format!("{key:?} is quarantined")));
        objections
    }

    /// Whether hosts went in the order of their waves: before a host is activated, every good host of the
    /// waves before it has converged. Who was away may have been left out, and a fix waits for no wave.
    pub fn expect_order(&self, chapter: &Chapter, history: &History) {
        for spec in &chapter.channels {
            let id = rollout_id(spec);
            let waits =
                |host: &HostName| !self.broken.contains(host) && !history.diverged.contains(host);
            for entry in spec.entries.iter().filter(|e| waits(&e.host)) {
                let key = (id.clone(), entry.host.clone());
                let Some(activated) = history.activated.get(&key) else { continue };
                let before = spec.entries.iter().filter(|e| {
                    e.wave < entry.wave
                        && chapter.health(&e.host, &e.closure) == Health::Good
                        && chapter.away.as_ref() != Some(&e.host)
                        && !chapter.is_skipped(&e.host)
                        && !self.left_out.contains(&(id.clone(), e.host.clone()))
                });
                for earlier in before {
                    let converged = history.converged.get(&(id.clone(), earlier.host.clone()));
                    assert!(
                        converged.is_some_and(|at| at <= activated),
                        "{id}: {} begins at {activated} ms, {} converged at {converged:?}",
                        entry.host,
                        earlier.host
                    );
                }
            }
        }
    }
}

pub(super) fn rollout_id(spec: &ChannelSpec) -> RolloutId {
    format!("{}@{}", spec.channel, spec.reference).parse().unwrap()
}

/// How many of `hosts` may fail: a share is rounded down.
pub(super) fn tolerated(limit: Limit, hosts: usize) -> usize {
    match limit {
        Limit::Count(count) => count as usize,
        Limit::Percent(percent) => hosts * percent as usize / 100,
    }
}
