//! A control plane with its hosts in one thread and in virtual time: the real core, the real store, hosts
//! that do as they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use uuid::Uuid;
use wavegate_control_plane::core::{
    Answer, Core, CoreConfig, EchoKey, Input, Output, Query, Token, Write,
};
use wavegate_control_plane::store::{DATABASE_FILE, Store};
use wavegate_proto::artifact::policy::Policy;
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{CpEpoch, HostName, RolloutId};
use wavegate_proto::record::HostState;
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::agent::{Dispatch, EventsRequest, RolloutProof};

use super::host::Host;
use crate::release_kit::{ChannelSpec, Kit, closure, policy, stable};

/// 2026-11-22T09:00:00Z.
const BEGIN: i64 = 1_795_338_000_000;

/// So many inputs are handled, planned and committed together when the fleet speaks at once.
const BATCH: usize = 500;

/// A control plane and its hosts.
pub(super) struct Fleet {
    dir: TempDir,
    kit: Kit,
    release: Option<Arc<Verified<Release>>>,
    pub(super) core: Core,
    store: Store,
    /// Milliseconds since the beginning, and since the last start.
    clock: (u64, u64),
    pub(super) hosts: BTreeMap<HostName, Host>,
    writes: Vec<Write>,
    answers: BTreeMap<Token, Answer>,
    /// Polls that wait, and whose they are.
    polls: BTreeMap<Token, HostName>,
    next: u64,
    /// What core and store took, without what the hosts did.
    pub(super) spent: Duration,
}

/// Waves of `sizes` on each of `channels` channels, and for how long each soaks, in seconds.
pub(super) struct Shape<'a> {
    pub(super) channels: usize,
    pub(super) sizes: &'a [usize],
    pub(super) soak_secs: u64,
}

impl Shape<'_> {
    /// Every host of it on its channel, to run `content`.
    pub(super) fn channels(&self, reference: &str, content: &str) -> Vec<ChannelSpec> {
        let soaks = vec![self.soak_secs; self.sizes.len()];
        let rules = Policy { offline_after_secs: 86_400, ..policy(&soaks) };
        let spec = |number: usize| {
            let mut spec = stable(reference, &closure(content), self.sizes, rules.clone());
            spec.channel = format!("channel-{number}").parse().unwrap();
            for entry in &mut spec.entries {
                entry.host = format!("c{number}-{}", entry.host).parse().unwrap();
            }
            spec.entries.sort_by(|a, b| a.host.cmp(&b.host));
            spec
        };
        (0..self.channels).map(spec).collect()
    }
}

impl Fleet {
    /// A new control plane that has adopted a first release; nobody has spoken yet.
    pub(super) fn new(channels: &[ChannelSpec]) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a temporary folder")?;
        let (store, core) = open(dir.path(), at((0, 0)))?;
        let mut fleet = Self {
            dir,
            kit: Kit::default(),
            release: None,
            core,
            store,
            clock: (0, 0),
            hosts: BTreeMap::new(),
            writes: Vec::new(),
            answers: BTreeMap::new(),
            polls: BTreeMap::new(),
            next: 0,
            spent: Duration::ZERO,
        };
        let entries = channels.iter().flat_map(|spec| &spec.entries);
        for (number, entry) in entries.enumerate() {
            let host = Host::new(number as u128 + 1);
            fleet.hosts.insert(entry.host.clone(), host);
        }
        fleet.publish(1, channels)?;
        Ok(fleet)
    }

    pub(super) fn now(&self) -> Now {
        at(self.clock)
    }

    pub(super) fn database(&self) -> PathBuf {
        self.dir.path().join(DATABASE_FILE)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.clock = (self.clock.0 + millis, self.clock.1 + millis);
    }

    /// Verifies and adopts a release.
    pub(super) fn publish(&mut self, serial: u64, channels: &[ChannelSpec]) -> Result<()> {
        let release = self.kit.release(serial, self.now().wall.truncated_to_secs(), channels);
        self.release = Some(release);
        self.adopt()
    }

    fn adopt(&mut self) -> Result<()> {
        let release = self.release.clone().context("a release")?;
        let answer = self.ask(|reply| Input::AdoptRelease { release, reply })?;
        ensure!(matches!(answer, Answer::Adopted(_)), "adopting a release: {answer:?}");
        Ok(())
    }

    fn token(&mut self) -> Token {
        self.next += 1;
        Token(self.next)
    }

    /// Lets the core take one input; what it writes waits for [`Self::commit`].
    fn handle(&mut self, input: impl FnOnce(Token) -> Input) -> Token {
        let (token, now) = (self.token(), self.now());
        let begun = Instant::now();
        let outputs = self.core.handle(now, input(token));
        self.spent += begun.elapsed();
        self.take(outputs);
        token
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Write(write) => self.writes.push(*write),
                Output::Reply { to, answer } => {
                    self.answers.insert(to, answer);
                }
                Output::CompareLog { .. } => {}
            }
        }
    }

    /// Plans; says how long that took.
    pub(super) fn plan(&mut self) -> Duration {
        let now = self.now();
        let begun = Instant::now();
        let outputs = self.core.plan(now);
        let took = begun.elapsed();
        self.spent += took;
        self.take(outputs);
        took
    }

    /// Plans, and commits what has come up.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.plan();
        let writes = std::mem::take(&mut self.writes);
        let begun = Instant::now();
        self.store.commit(writes)?;
        self.spent += begun.elapsed();
        Ok(())
    }

    fn ask(&mut self, input: impl FnOnce(Token) -> Input) -> Result<Answer> {
        let token = self.handle(input);
        self.commit()?;
        self.answers.remove(&token).context("an answer")
    }

    /// What a query is answered with.
    pub(super) fn read(&mut self, query: Query) -> Result<serde_json::Value> {
        let answer = self.ask(|reply| Input::Query { query, reply })?;
        let Answer::Document(document) = answer else { bail!("a query: {answer:?}") };
        Ok(document)
    }

    /// A heartbeat, to be answered.
    pub(super) fn heartbeat(&mut self, name: &HostName) -> Token {
        let heartbeat = Box::new(self.hosts[name].heartbeat(self.now().wall));
        let host = name.clone();
        self.handle(|reply| Input::Heartbeat { host, heartbeat, cert_expires_at: None, reply })
    }

    /// One heartbeat of every host, and everything that the answers ask for.
    pub(super) fn everybody_reports(&mut self) -> Result<()> {
        let names: Vec<HostName> = self.hosts.keys().cloned().collect();
        for batch in names.chunks(BATCH) {
            let asked: Vec<_> = batch.iter().map(|name| (name, self.heartbeat(name))).collect();
            self.commit()?;
            for (name, token) in asked {
                match self.answers.remove(&token) {
                    Some(Answer::Heartbeat(answer)) => {
                        for (rollout, from) in answer.replay {
                            let request = self.hosts[name].replay(&rollout, from);
                            self.replay(name, request)?;
                        }
                    }
                    other => bail!("a heartbeat of {name}: {other:?}"),
                }
            }
            self.commit()?;
        }
        Ok(())
    }

    fn replay(&mut self, name: &HostName, request: EventsRequest) -> Result<()> {
        let rollout = request.rollout_id.clone();
        if !self.core.fleet().rollouts.contains_key(&rollout)
            || self.core.fleet().placement(&rollout, name).is_none()
        {
            let proof = self.hosts[name].journals[&rollout].proof.clone();
            let begun = Instant::now();
            let plan = verify_rollout_proof(&proof, name, &self.kit.context(self.now().wall));
            self.spent += begun.elapsed();
            let plan = Box::new(plan.map_err(|violation| anyhow::anyhow!("{violation}"))?);
            let (host, proof) = (name.clone(), Box::new(proof));
            let token = self.handle(|reply| Input::OfferRollout { host, plan, proof, reply });
            let answer = self.answers.remove(&token);
            ensure!(matches!(answer, Some(Answer::Offered)), "an offer: {answer:?}");
        }
        let (host, request) = (name.clone(), Box::new(request));
        let token = self.handle(|reply| Input::Events { host, request, reply });
        let answer = self.answers.remove(&token);
        ensure!(matches!(answer, Some(Answer::Events(_))), "a replay of {name}: {answer:?}");
        Ok(())
    }

    /// Every host waits for its dispatch, if it does not yet.
    pub(super) fn everybody_polls(&mut self) -> Result<()> {
        let waiting: BTreeSet<HostName> = self.polls.values().cloned().collect();
        let names: Vec<HostName> =
            self.hosts.keys().filter(|name| !waiting.contains(*name)).cloned().collect();
        for batch in names.chunks(BATCH) {
            for name in batch {
                let host = name.clone();
                let token = self.handle(|reply| Input::Poll { host, reply });
                self.polls.insert(token, name.clone());
            }
            self.commit()?;
        }
        Ok(())
    }

    /// The dispatches that have been given out and not been taken; other answers that nobody fetched go.
    pub(super) fn dispatches(&mut self) -> Vec<(HostName, Dispatch)> {
        let mut found = Vec::new();
        for (token, answer) in std::mem::take(&mut self.answers) {
            if let Answer::Dispatch(dispatch) = answer {
                let host = self.polls.remove(&token);
                found.extend(host.zip(dispatch.map(|dispatch| *dispatch)));
            }
        }
        found
    }

    /// Everybody who has a dispatch activates what it names, and soaks.
    pub(super) fn activate(&mut self) -> Result<Vec<(HostName, RolloutId)>> {
        let given = self.dispatches();
        let mut soaking = Vec::new();
        for batch in given.chunks(BATCH) {
            for (name, dispatch) in batch {
                let proof = self.proof(name, &dispatch.rollout_id)?;
                let at = self.now().wall;
                let host = self.hosts.get_mut(name).unwrap();
                let request = host.activate(dispatch, proof, at);
                self.post(name, request)?;
                soaking.push((name.clone(), dispatch.rollout_id.clone()));
            }
            self.commit()?;
        }
        Ok(soaking)
    }

    /// These have soaked, and converge.
    pub(super) fn converge(&mut self, soaked: &[(HostName, RolloutId)], secs: u64) -> Result<()> {
        for batch in soaked.chunks(BATCH) {
            for (name, rollout) in batch {
                let at = self.now().wall;
                let request = self.hosts.get_mut(name).unwrap().converge(rollout, secs, at);
                self.post(name, request)?;
            }
            self.commit()?;
        }
        Ok(())
    }

    /// Posts events, which must be accepted.
    pub(super) fn post(&mut self, name: &HostName, request: EventsRequest) -> Result<()> {
        let (host, request) = (name.clone(), Box::new(request));
        let token = self.handle(|reply| Input::Events { host, request, reply });
        match self.answers.remove(&token) {
            Some(Answer::Events(_)) => Ok(()),
            other => bail!("events of {name}: {other:?}"),
        }
    }

    fn proof(&mut self, name: &HostName, rollout_id: &RolloutId) -> Result<RolloutProof> {
        let query = Query::Proof { host: name.clone(), rollout_id: rollout_id.clone() };
        let token = self.handle(|reply| Input::Query { query, reply });
        match self.answers.remove(&token) {
            Some(Answer::Proof(proof)) => Ok(*proof),
            other => bail!("the proof of {name}: {other:?}"),
        }
    }

    /// Lets the adopted release go out to the end.
    pub(super) fn go_out(&mut self, soak_secs: u64) -> Result<()> {
        loop {
            self.everybody_polls()?;
            let soaking = self.activate()?;
            if soaking.is_empty() {
                break;
            }
            self.pass(Duration::from_secs(soak_secs));
            self.converge(&soaking, soak_secs)?;
        }
        for name in self.hosts.keys() {
            let newest =
                self.core.fleet().newest(name).map(|(_, placement)| placement.record.state);
            ensure!(newest == Some(HostState::Converged), "{name} is {newest:?}");
        }
        Ok(())
    }

    /// The process is gone, and its database with it; the release folder is left.
    pub(super) fn wipe(&mut self) -> Result<()> {
        let dir = tempfile::tempdir().context("make a temporary folder")?;
        self.clock.1 = 0;
        let begun = Instant::now();
        (self.store, self.core) = open(dir.path(), self.now())?;
        self.spent += begun.elapsed();
        self.dir = dir;
        self.answers.clear();
        self.polls.clear();
        self.adopt()
    }
}

fn at((wall, mono): (u64, u64)) -> Now {
    let wall = Timestamp::from_unix_millis(BEGIN).plus(Duration::from_millis(wall));
    Now { wall, mono: Mono::from_millis(mono) }
}

fn open(dir: &Path, now: Now) -> Result<(Store, Core)> {
    let (mut store, stored) = Store::open(&dir.join(DATABASE_FILE), now.wall)?;
    let (core, outputs) = Core::restore(config(), stored, now).map_err(anyhow::Error::msg)?;
    let writes = outputs.into_iter().filter_map(|output| match output {
        Output::Write(write) => Some(*write),
        Output::Reply { .. } | Output::CompareLog { .. } => None,
    });
    store.commit(writes.collect())?;
    Ok((store, core))
}

/// As `wavegate-cp serve` has it by default.
pub(super) fn config() -> CoreConfig {
    CoreConfig {
        fleet: "demo".parse().unwrap(),
        heartbeat_secs: 30,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        retain_secs: 90 * 86_400,
        next_epoch: CpEpoch(Uuid::new_v4()),
        echo_key: EchoKey([7; 32]),
    }
}
