//! The documents of the read API, made from the live model.

use std::collections::BTreeMap;

use serde::Serialize;
use wavegate_proto::ids::{HostName, RolloutId};
use wavegate_proto::time::Now;
use wavegate_proto::wire::forecast::Expected;
use wavegate_proto::wire::operator::{
    ChannelDocument, FailureCounts, HostCounts, HostDocument, Mode, Page, Parked, RolloutDocument,
    Seen, Status, StatusLog, StatusRollout, WaveDocument,
};
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_reconciler::fleet::host::Host;
use wavegate_reconciler::fleet::placement::HostClass;
use wavegate_reconciler::fleet::rollout::Rollout;
use wavegate_reconciler::forecast::forecast;
use wavegate_reconciler::gates::is_online;
use wavegate_reconciler::plan::{explain, waiting_for};

use super::output::refuse;
use super::query::{Figures, HostFilter, PageRequest, Query};
use super::{Answer, Core, HostBlobs, Token};

/// Silence after which a host without a rollout counts as offline, in heartbeats.
const OFFLINE_AFTER_HEARTBEATS: u64 = 3;

impl Core {
    pub(super) fn query(&mut self, now: Now, query: &Query, reply: Token) {
        let answer = match self.answer(now, query) {
            Ok(answer) => answer,
            Err(problem) => Answer::Problem(problem),
        };
        self.reply(reply, answer);
    }

    fn answer(&self, now: Now, query: &Query) -> Result<Answer, Box<Problem>> {
        let document = match query {
            Query::Status => return Ok(Answer::Status(Box::new(self.status(now)))),
            Query::Hosts { filter, page } => json(&self.hosts(now, filter, page)),
            Query::Host(name) => json(&self.host(now, name)?),
            Query::Explain(name) => {
                json(&explain(&self.fleet, name, now).ok_or_else(|| unknown_host(name))?)
            }
            Query::Channels(page) => json(&self.channels(page)),
            Query::Rollouts { state, channel, page } => {
                let wanted = |rollout: &&Rollout| {
                    state.is_none_or(|state| rollout.state == state)
                        && channel.as_ref().is_none_or(|channel| rollout.id.channel == *channel)
                };
                let rollouts = self.fleet.rollouts.values().filter(wanted);
                let document = |rollout: &Rollout| self.rollout_document(now, rollout);
                json(&paged(rollouts, page, |r| r.id.to_string(), document))
            }
            Query::Rollout(id) => json(&self.rollout_document(now, self.rollout(id)?)),
            Query::RolloutHosts { rollout_id, page } => {
                let placements = self.rollout(rollout_id)?.placements.values();
                json(&paged(placements, page, |p| p.record.host.to_string(), |p| p.record.clone()))
            }
            Query::Quarantines(page) => {
                let quarantines = self.fleet.quarantines.values().map(|q| &q.document);
                let key = |q: &&_| quarantine_key(q);
                json(&paged(quarantines, page, key, Clone::clone))
            }
            Query::Proof { host, rollout_id } => return self.proof(host, rollout_id),
            Query::HostBlobs(host) => return Ok(Answer::HostBlobs(self.host_blobs(host))),
            Query::Figures => return Ok(Answer::Figures(Box::new(self.figures(now)))),
        };
        Ok(Answer::Document(document))
    }

    pub(super) fn rollout(&self, id: &RolloutId) -> Result<&Rollout, Box<Problem>> {
        self.expect_not_pruned(id)?;
        let unknown = || refuse(ProblemCode::UnknownRollout, format!("no rollout {id}"));
        self.fleet.rollouts.get(id).ok_or_else(unknown)
    }

    fn mode(&self, now: Now) -> Mode {
        if self.fleet.recovering.holds(now.mono) { Mode::Recovering } else { Mode::Normal }
    }

    fn online(&self, host: &Host, now: Now) -> bool {
        let member = host.member.as_ref();
        let rollout = member.and_then(|member| self.fleet.current_rollout(&member.channel));
        let offline_after_secs = match rollout {
            Some(rollout) => rollout.policy().offline_after_secs,
            None => self.config.heartbeat_secs.saturating_mul(OFFLINE_AFTER_HEARTBEATS),
        };
        is_online(host, offline_after_secs, now.mono)
    }

    fn members_online(&self, now: Now) -> (u64, u64) {
        let members = self.fleet.hosts.values().filter(|host| host.member.is_some());
        members.fold((0, 0), |(total, online), host| {
            (total + 1, online + u64::from(self.online(host, now)))
        })
    }

    fn status(&self, now: Now) -> Status {
        let (total, online) = self.members_online(now);
        let mut rollouts: Vec<&Rollout> = self.fleet.rollouts.values().collect();
        rollouts.sort_by_key(|rollout| (rollout.order, &rollout.id));
        Status {
            fleet: self.config.fleet.clone(),
            trust_version: self.trust_version,
            alarms: self.alarms(),
            expiries: self.expiries(now),
            serial: self.fleet.release.as_ref().map(|release| release.serial).unwrap_or_default(),
            cp_epoch: self.cp_epoch,
            version: self.config.version.clone(),
            mode: self.mode(now),
            hosts: HostCounts { total, online, offline: total - online, by_state: self.by_state() },
            rollouts: rollouts
                .into_iter()
                .map(|rollout| StatusRollout {
                    rollout_id: rollout.id.clone(),
                    state: rollout.state,
                    current_wave: rollout.current_wave,
                    waves_total: u32::try_from(rollout.waves().len()).unwrap_or(u32::MAX),
                    eta: forecast(&self.fleet, rollout, now).eta,
                })
                .collect(),
            log: StatusLog { last_seq: self.last_seq },
        }
    }

    /// Every state, also those nobody is in.
    fn by_state(&self) -> BTreeMap<String, u64> {
        let states = wavegate_proto::record::HostState::ALL.iter().map(|state| state.as_str());
        let count = |state| self.fleet.hosts_by_state.get(state).copied().unwrap_or(0);
        states.chain(["none"]).map(|state| (state.to_owned(), count(state))).collect()
    }

    fn hosts(&self, now: Now, filter: &HostFilter, page: &PageRequest) -> Page<HostDocument> {
        let wanted = |(name, host): &(&HostName, &Host)| self.matches(now, name, host, filter);
        let hosts = self.fleet.hosts.iter().filter(wanted);
        let document = |(name, host): (&HostName, &Host)| self.host_document(now, name, host);
        paged(hosts, page, |(name, _)| name.to_string(), document)
    }

    fn matches(&self, now: Now, name: &HostName, host: &Host, filter: &HostFilter) -> bool {
        let member = host.member.as_ref();
        let state = || self.fleet.newest(name).map(|(_, p)| p.record.state);
        member.is_some() == filter.member.unwrap_or(true)
            && filter.channel.as_ref().is_none_or(|c| member.is_some_and(|m| m.channel == *c))
            && filter.tag.as_ref().is_none_or(|t| member.is_some_and(|m| m.tags.contains(t)))
            && filter.state.is_none_or(|wanted| state() == Some(wanted))
            && filter.online.is_none_or(|wanted| self.online(host, now) == wanted)
    }

    pub(super) fn host(&self, now: Now, name: &HostName) -> Result<HostDocument, Box<Problem>> {
        Ok(self.host_document(now, name, self.expect_host(name)?))
    }

    /// The host, whether the adopted release names it or not.
    pub(super) fn expect_host(&self, name: &HostName) -> Result<&Host, Box<Problem>> {
        self.fleet.hosts.get(name).ok_or_else(|| unknown_host(name))
    }

    fn host_document(&self, now: Now, name: &HostName, host: &Host) -> HostDocument {
        let (live, member) = (&host.liveness, host.member.as_ref());
        let online = self.online(host, now);
        let newest = self.fleet.newest(name);
        let record = newest.map(|(_, placement)| &placement.record);
        HostDocument {
            host: name.clone(),
            channel: member.map(|m| m.channel.clone()),
            tags: member.map(|m| m.tags.clone()).unwrap_or_default(),
            member: member.is_some(),
            seen: match (live.last_seen_at, online) {
                (None, _) => Seen::Never,
                (Some(_), true) => Seen::Online,
                (Some(_), false) => Seen::Offline,
            },
            online,
            last_seen_at: live.last_seen_at,
            agent_version: live.agent_version.clone(),
            current_closure: live.current_closure.clone().flatten(),
            target_closure: member.map(|m| m.target_closure.clone()),
            rollout_id: record.map(|r| r.rollout_id.clone()),
            wave: record.map(|r| r.wave),
            state: record.map(|r| r.state),
            state_since: record.map(|r| r.state_since),
            probes: record.map(|r| r.probes.clone()).unwrap_or_default(),
            resources: live.resources,
            hold: host.hold.as_deref().cloned().filter(|hold| hold.stands_at(now.wall)),
            cert_expires_at: live.cert_expires_at,
            clock_skew_secs: live.clock_skew_secs,
            parked: live.boots.cloned().map(|cloned| Parked {
                code: ProblemCode::ClonedIdentity.to_string(),
                since: cloned.since,
                boots: cloned.boots.to_vec(),
            }),
            provider: host.provider.as_deref().cloned(),
        }
    }

    fn channels(&self, page: &PageRequest) -> Page<ChannelDocument> {
        let serial = self.fleet.release.as_ref().map(|release| release.serial).unwrap_or_default();
        let document = |(name, channel): (&_, &wavegate_reconciler::fleet::channel::Channel)| {
            let state = self.fleet.rollouts.get(&channel.rollout_id).map(|rollout| rollout.state);
            ChannelDocument {
                channel: wavegate_proto::ids::ChannelName::clone(name),
                reference: channel.rollout_id.reference.clone(),
                serial,
                signed_at: channel.signed_at,
                fresh_until: channel.fresh_until(),
                rollout_id: Some(channel.rollout_id.clone()),
                state,
                hosts: channel.hosts,
                after: channel.after.iter().cloned().collect(),
            }
        };
        paged(self.fleet.channels.iter(), page, |(name, _)| name.to_string(), document)
    }

    fn proof(&self, host: &HostName, rollout_id: &RolloutId) -> Result<Answer, Box<Problem>> {
        self.expect_member(host)?;
        let unknown = || {
            let detail = format!("{rollout_id} is not current, or has no {host} in it");
            refuse(ProblemCode::UnknownRollout, detail)
        };
        let release = self.release.as_ref().ok_or_else(unknown)?;
        let rollout = release.rollouts.get(&rollout_id.channel).ok_or_else(unknown)?;
        if rollout.header.reference != rollout_id.reference {
            return Err(unknown());
        }
        rollout.proof(host).map(|proof| Answer::Proof(Box::new(proof))).ok_or_else(unknown)
    }

    fn host_blobs(&self, host: &HostName) -> HostBlobs {
        let entries = || self.fleet.records(host).map(|(_, placement)| &placement.entry);
        HostBlobs {
            closures: entries().map(|entry| entry.closure.clone()).collect(),
            checks: entries().filter_map(|entry| entry.checks).collect(),
        }
    }

    pub(super) fn rollout_document(&self, now: Now, rollout: &Rollout) -> RolloutDocument {
        let expected = forecast(&self.fleet, rollout, now);
        let sum = |classes: &[HostClass]| {
            let count =
                |class: &HostClass| rollout.waves().iter().map(|w| w.count(*class)).sum::<u64>();
            classes.iter().map(count).sum()
        };
        RolloutDocument {
            rollout_id: rollout.id.clone(),
            channel: rollout.id.channel.clone(),
            reference: rollout.id.reference.clone(),
            serial: rollout.serial(),
            state: rollout.state,
            mark: rollout.mark.as_ref().map(|mark| mark.mark),
            mark_by: rollout.mark.as_ref().map(|mark| mark.by.clone()),
            frozen: rollout.frozen,
            halt: rollout.halt.clone(),
            outcome: rollout.outcome(),
            opened_at: rollout.opened_at,
            finished_at: rollout.finished_at,
            superseded_by: rollout.superseded_by.clone(),
            current_wave: rollout.current_wave,
            waves: waves(rollout, &expected.waves),
            failures: FailureCounts {
                artifact: sum(&[HostClass::FailedArtifact, HostClass::RevertedArtifact]),
                infra: sum(&[HostClass::InfraExhausted, HostClass::InfraRetrying]),
            },
            waiting_for: waiting_for(rollout),
            eta: expected.eta,
        }
    }

    fn figures(&self, now: Now) -> Figures {
        let mut rollouts_by_state = BTreeMap::new();
        for rollout in self.fleet.rollouts.values() {
            *rollouts_by_state.entry(rollout.state).or_default() += 1;
        }
        Figures {
            serial: self.fleet.release.as_ref().map(|release| release.serial),
            fresh_until: self.fleet.channels.values().map(|c| c.fresh_until()).min(),
            trust_version: self.trust_version,
            host_certificate_expires: self.first_host_certificate().map(|(_, at)| at),
            alarms: self.alarms(),
            mode: self.mode(now),
            hosts_by_state: self.by_state(),
            hosts_online: self.members_online(now).1,
            rollouts_by_state,
            log_last_seq: self.last_seq,
        }
    }
}

fn waves(rollout: &Rollout, expected: &[Option<Expected>]) -> Vec<WaveDocument> {
    let signed = rollout.policy().waves.iter().zip(rollout.waves()).zip(expected).zip(0_u32..);
    signed
        .map(|(((wave, tally), eta), index)| WaveDocument {
            index: wavegate_proto::ids::WaveIndex(index),
            name: wave.name.clone(),
            soak_secs: wave.soak_secs,
            requires_approval: wave.requires_approval,
            approved_by: approved_by(rollout, index),
            hosts: tally.hosts,
            by_state: tally.by_state.clone(),
            eta: *eta,
        })
        .collect()
}

fn approved_by(rollout: &Rollout, wave: u32) -> Option<String> {
    let wave = wavegate_proto::ids::WaveIndex(wave);
    rollout.approvals.get(&wave).map(|by| by.actor.clone())
}

fn quarantine_key(document: &wavegate_proto::wire::operator::QuarantineDocument) -> String {
    format!("{} {}", document.channel, document.closure)
}

fn unknown_host(name: &HostName) -> Box<Problem> {
    refuse(ProblemCode::UnknownHost, format!("no host {name}"))
}

pub(super) fn json<T: Serialize>(document: &T) -> serde_json::Value {
    serde_json::to_value(document).unwrap_or_default()
}

/// One page of `items`, which come in the order of their keys; the cursor is the last key.
fn paged<T, D>(
    items: impl Iterator<Item = T>,
    page: &PageRequest,
    key: impl Fn(&T) -> String,
    document: impl Fn(T) -> D,
) -> Page<D> {
    let after = |item: &T| page.after.as_ref().is_none_or(|after| key(item) > *after);
    let mut items: Vec<T> = items.filter(after).take(page.limit.saturating_add(1)).collect();
    let more = items.len() > page.limit;
    items.truncate(page.limit);
    let next_cursor = if more { items.last().map(&key) } else { None };
    Page { items: items.into_iter().map(document).collect(), next_cursor }
}
