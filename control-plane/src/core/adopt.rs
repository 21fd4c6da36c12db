//! Adopting a release: whole or not at all. The same release again changes nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::artifact::fleet::{ChannelEdge, FleetDocument, Revocation};
use wavegate_proto::artifact::release::{Release, ReleaseRollout};
use wavegate_proto::artifact::revocations::moved_back;
use wavegate_proto::artifact::rules::{RuleCode, Violation};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{
    ChannelName, HostName, LogSeq, RolloutId, Serial, Sha256Hash, WaveIndex,
};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::Now;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_proto::wire::publish::PublishAnswer;
use wavegate_reconciler::fleet::channel::Channel;
use wavegate_reconciler::fleet::host::{Host, Membership};
use wavegate_reconciler::fleet::placement::{Placement, SkipReason};
use wavegate_reconciler::fleet::rollout::{Manifest, Rollout};
use wavegate_reconciler::fleet::{AdoptedRelease, NewerRelease};
use wavegate_state_machine::rollout::{RolloutEvent, step};

use super::log::{Actor, Fact};
use super::payload::{ReleaseAdopted, RolloutOpened, logged};
use super::rows::{ReleaseRow, Write};
use super::{Answer, Core, Token};

impl Core {
    pub(super) fn check_release(&mut self, release: &Release, reply: Token) {
        let answer = match self.acceptable(release) {
            Ok(()) => Answer::ReleaseAcceptable,
            Err(violation) => Answer::Problem(Box::new(refusal(&violation))),
        };
        self.reply(reply, answer);
    }

    pub(super) fn preview(&mut self, now: Now, release: &Release, reply: Token) {
        let answer = match self.acceptable(release) {
            Ok(()) => Answer::Fork { core: Box::new(self.fork()), now },
            Err(violation) => Answer::Problem(Box::new(refusal(&violation))),
        };
        self.reply(reply, answer);
    }

    /// The rules that need what was accepted before: the serial, and what each ref is bound to.
    fn acceptable(&self, release: &Release) -> Result<(), Violation> {
        let (serial, sha256) = (release.fleet.serial, release.fleet_sha256);
        if let Some(known) = self.adopted_before() {
            if serial < known.serial {
                let detail = format!("serial {serial} is older than the adopted {}", known.serial);
                return Err(Violation::new(RuleCode::SerialRegressed, detail));
            }
            if serial == known.serial && sha256 != known.fleet_sha256 {
                let detail =
                    format!("serial {serial} has been adopted with another fleet document");
                return Err(Violation::new(RuleCode::SerialConflict, detail));
            }
        }
        self.revocations_stand(&release.fleet.revoked)?;
        release.rollouts.values().try_for_each(|rollout| self.ref_is_free(rollout))
    }

    fn adopted_before(&self) -> Option<&ReleaseRow> {
        self.release_row.as_ref()
    }

    /// S4: what the adopted release revokes, a newer one revokes too, and not from an earlier time on.
    fn revocations_stand(&self, offered: &[Revocation]) -> Result<(), Violation> {
        let known = self.release.as_ref().map_or(&[][..], |release| &release.fleet.revoked);
        match moved_back(known, offered) {
            None => Ok(()),
            Some(moved) => Err(Violation::new(RuleCode::RevocationMovedBack, moved.to_string())),
        }
    }

    /// A ref is bound to its content for ever, and never returns once it is no longer current (G22).
    fn ref_is_free(&self, rollout: &ReleaseRollout) -> Result<(), Violation> {
        let id = rollout.header.rollout_id();
        let known = self.fleet.rollouts.get(&id);
        let Some(bound_to) =
            known.map(|known| &known.manifest.content_id).or_else(|| self.pruned.get(&id))
        else {
            return Ok(());
        };
        if *bound_to != rollout.content_id {
            let detail = format!("{id} is known with other content: choose another ref");
            return Err(Violation::new(RuleCode::RefConflict, detail));
        }
        if known.is_none_or(|known| known.state == RolloutState::Superseded) {
            let detail = format!("{id} has been superseded: going back needs a new ref");
            return Err(Violation::new(RuleCode::RefConflict, detail));
        }
        Ok(())
    }

    pub(super) fn adopt_release(
        &mut self,
        now: Now,
        release: &Arc<Verified<Release>>,
        reply: Token,
    ) {
        if let Err(violation) = self.acceptable(release) {
            self.reply(reply, Answer::Problem(Box::new(refusal(&violation))));
            return;
        }
        let known = self.release_row.as_ref().filter(|row| {
            row.serial == release.fleet.serial && row.fleet_sha256 == release.fleet_sha256
        });
        let answer = match known {
            Some(row) => PublishAnswer {
                serial: row.serial,
                rollouts_opened: row.opened.clone(),
                unchanged: row.unchanged.clone(),
            },
            None => self.judge_new(release),
        };
        if known.is_none() || self.has_other_files(release) {
            self.note_release(now, release, &answer);
        }
        self.install(now, release);
        self.reply(reply, Answer::Adopted(answer));
    }

    /// Whether the release that is known has been given other signatures since.
    fn has_other_files(&self, release: &Release) -> bool {
        release.rollouts.values().any(|rollout| {
            let known = self.fleet.rollouts.get(&rollout.header.rollout_id());
            known.is_some_and(|known| *known.manifest != manifest_of(rollout))
        })
    }

    /// What the release will open.
    fn judge_new(&self, release: &Release) -> PublishAnswer {
        let (mut opened, mut unchanged) = (Vec::new(), Vec::new());
        for (channel, rollout) in &release.rollouts {
            let id = rollout.header.rollout_id();
            if self.fleet.rollouts.contains_key(&id) {
                unchanged.push(channel.clone());
            } else {
                opened.push(id);
            }
        }
        PublishAnswer { serial: release.fleet.serial, rollouts_opened: opened, unchanged }
    }

    fn note_release(&mut self, now: Now, release: &Release, answer: &PublishAnswer) {
        let digest = |(path, bytes): (String, Cow<'_, [u8]>)| (path, Sha256Hash::of(&bytes));
        let adopted = ReleaseAdopted {
            serial: answer.serial,
            fleet_sha256: release.fleet_sha256,
            signed_at: release.fleet.signed_at,
            files: release.named_files().map(digest).collect(),
            opened: answer.rollouts_opened.clone(),
            unchanged: answer.unchanged.clone(),
        };
        let fact = Fact::own(now, "release_adopted", logged(&adopted));
        let log_seq = self.note(fact.by(Actor::Release(answer.serial)));
        self.save_release(now, adopted, log_seq);
    }

    pub(super) fn save_release(&mut self, now: Now, adopted: ReleaseAdopted, log_seq: LogSeq) {
        let row = ReleaseRow {
            serial: adopted.serial,
            fleet_sha256: adopted.fleet_sha256,
            signed_at: adopted.signed_at,
            adopted_at: now.wall,
            opened: adopted.opened,
            unchanged: adopted.unchanged,
            log_seq,
        };
        self.release_row = Some(row.clone());
        self.write(Write::Release(row));
    }

    /// Makes the live model what the release says. Doing it again changes nothing.
    fn install(&mut self, now: Now, release: &Arc<Verified<Release>>) {
        let before = self.release.replace(Arc::clone(release));
        self.fleet.release = Some(AdoptedRelease {
            serial: release.fleet.serial,
            fleet_sha256: release.fleet_sha256,
            signed_at: release.fleet.signed_at,
        });
        let caught_up = |newer: &NewerRelease| newer.serial <= release.fleet.serial;
        if self.fleet.newer_release.as_ref().is_some_and(caught_up) {
            self.fleet.newer_release = None;
        }
        self.install_hosts(now, release);
        self.leave_out_revoked(now, before.as_deref(), release);
        let current: BTreeSet<RolloutId> =
            release.rollouts.values().map(|r| r.header.rollout_id()).collect();
        // By the rollouts, not by what was current: a start may find a release that is newer than its log.
        let over: Vec<RolloutId> = self
            .fleet
            .rollouts
            .values()
            .filter(|rollout| !current.contains(&rollout.id))
            .map(|rollout| rollout.id.clone())
            .collect();
        for old in over {
            let by = release.rollouts.get(&old.channel).map(|r| r.header.rollout_id());
            self.supersede(now, &old, by.as_ref());
        }
        self.fleet.channels = channels(release);
        for rollout in release.rollouts.values() {
            self.open_rollout(now, release.fleet.serial, rollout);
        }
        self.begin_recovering(now);
        let members: Vec<HostName> = self.fleet.hosts.keys().cloned().collect();
        for host in members {
            self.fleet.refresh(&host);
        }
        self.touched.extend(current);
    }

    fn install_hosts(&mut self, now: Now, release: &Release) {
        let removed: Vec<HostName> = self
            .fleet
            .hosts
            .iter()
            .filter(|(name, host)| {
                host.member.is_some() && !release.fleet.hosts.contains_key(*name)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in removed {
            self.remove_host(now, &name);
        }
        for (name, fleet_host) in &release.fleet.hosts {
            let entry = release.rollouts.get(&fleet_host.channel).and_then(|r| r.entry(name));
            let host = self.fleet.host_entry(name, now.mono);
            host.member = Some(Membership {
                channel: fleet_host.channel.clone(),
                tags: fleet_host.tags.clone(),
                target_closure: fleet_host.closure.clone(),
                checks: entry.and_then(|e| e.checks),
            });
        }
    }

    /// G21: a host that has left the fleet is left out of what it was in.
    fn remove_host(&mut self, now: Now, name: &HostName) {
        if let Some(host) = self.fleet.hosts.get_mut(name) {
            host.member = None;
        }
        self.fleet.recovering.unreported.remove(name);
        if let Some(waiting) = self.polls.remove(name) {
            self.reply(waiting, Answer::Dispatch(None));
        }
        self.leave_out(now, name, SkipReason::Removed);
    }

    /// G21: so is one whose certificate the release revokes anew, until it speaks with another.
    fn leave_out_revoked(
        &mut self,
        now: Now,
        before: Option<&Verified<Release>>,
        release: &Release,
    ) {
        let known = before.map_or(&[][..], |before| &before.fleet.revoked);
        for revoked in release.fleet.revoked.iter().filter(|revoked| !known.contains(revoked)) {
            let host = revoked.subject.strip_prefix("host/").and_then(|name| name.parse().ok());
            if let Some(host) = host {
                self.leave_out(now, &host, SkipReason::Revoked);
            }
        }
    }

    fn leave_out(&mut self, now: Now, name: &HostName, why: SkipReason) {
        let open: Vec<RolloutId> = self
            .fleet
            .records(name)
            .filter(|(rollout, p)| {
                rollout.is_open() && p.record.state != HostState::Converged && p.skip != Some(why)
            })
            .map(|(rollout, _)| rollout.id.clone())
            .collect();
        for rollout_id in open {
            let place = (rollout_id, name.clone());
            self.set_skip(now, &place, Some(why));
        }
    }

    /// Another ref takes the channel: what was current there ends, its open dispatches withdrawn in
    /// the same transaction (E11). Hosts in the middle of it finish or roll back.
    fn supersede(&mut self, now: Now, old: &RolloutId, by: Option<&RolloutId>) {
        let Some(rollout) = self.fleet.rollouts.get_mut(old) else { return };
        let from = rollout.state;
        let Ok(to) = step(from, RolloutEvent::Superseded) else { return };
        rollout.state = to;
        rollout.superseded_by = by.cloned();
        rollout.finished_at = Some(now.wall);
        self.withdraw_leases(now, old);
        self.drop_untouched(old);
        self.fleet.retire_budgets(old);
        self.settle_cursor(old);
        self.note_moved(now, old, from, RolloutEvent::Superseded.as_str());
    }

    /// Takes out of a superseded rollout whom nothing was started for.
    pub(super) fn drop_untouched(&mut self, rollout_id: &RolloutId) {
        for host in self.fleet.drop_untouched(rollout_id) {
            self.write(Write::HostRolloutDropped { rollout_id: rollout_id.clone(), host });
        }
    }

    /// Opens the rollout of one channel, or refreshes the one that is open (signed anew, same content).
    fn open_rollout(&mut self, now: Now, serial: Serial, signed: &ReleaseRollout) {
        let manifest = manifest_of(signed);
        let id = manifest.header.rollout_id();
        if self.fleet.rollouts.contains_key(&id) {
            self.refresh_manifest(&id, manifest);
            return;
        }
        let (content_id, hosts) = (signed.content_id, signed.hosts.len());
        let payload = logged(&RolloutOpened { serial, content_id, hosts });
        let fact = Fact::own(now, "rollout_opened", payload).about(&id).by(Actor::Release(serial));
        let log_seq = self.note(fact);
        self.add_rollout(now, serial, manifest, &signed.hosts, log_seq);
        self.note_wave(now, &id, WaveIndex(0));
    }

    /// The header of a rollout that goes on, signed anew by the release that was adopted last.
    pub(super) fn refresh_manifest(&mut self, id: &RolloutId, manifest: Manifest) {
        let Some(rollout) = self.fleet.rollouts.get_mut(id) else { return };
        if *rollout.manifest == manifest {
            return;
        }
        rollout.manifest = Arc::new(manifest);
        if let Some(log_seq) = self.release_row.as_ref().map(|row| row.log_seq) {
            self.save_rollout(id, log_seq);
        }
    }

    /// Opens a rollout with all its hosts pending.
    pub(super) fn add_rollout(
        &mut self,
        now: Now,
        serial: Serial,
        manifest: Manifest,
        hosts: &[HostEntry],
        log_seq: LogSeq,
    ) {
        let rollout = Rollout::open(Arc::new(manifest), serial.0, now.wall);
        let id = rollout.id.clone();
        self.fleet.add_rollout(rollout);
        self.save_rollout(&id, log_seq);
        // All places, then all rows: what lives and what is soon written lie apart in memory, and what is written
        // can be given back.
        for entry in hosts {
            self.enter_host(now, &id, entry.clone());
        }
        for entry in hosts {
            self.save_placement(&id, &entry.host, log_seq);
        }
    }

    /// Gives a host its place in a rollout: pending.
    pub(super) fn place_host(
        &mut self,
        now: Now,
        id: &RolloutId,
        entry: HostEntry,
        log_seq: LogSeq,
    ) {
        let host = entry.host.clone();
        self.enter_host(now, id, entry);
        self.save_placement(id, &host, log_seq);
    }

    fn enter_host(&mut self, now: Now, id: &RolloutId, entry: HostEntry) {
        let host = entry.host.clone();
        let (wave, closure) = (entry.wave, entry.closure.clone());
        let record = HostRecord::pending(id.clone(), host.clone(), wave, closure, now.wall);
        self.fleet.add_placement(id, &host, Placement::new(entry, record));
    }

    /// After the first release of this process is loaded: whom to wait for, and for how long.
    fn begin_recovering(&mut self, now: Now) {
        if self.fleet.recovering.deadline.is_some() {
            return;
        }
        let new_database = self.fleet.recovering.new_database;
        let unfinished = |name: &HostName| {
            self.fleet.records(name).enumerate().any(|(age, (_, placement))| {
                let settled =
                    matches!(placement.record.state, HostState::Converged | HostState::Skipped);
                placement.is_in_flight() || (age == 0 && !settled)
            })
        };
        let members = self.fleet.hosts.iter().filter(|(_, host)| host.member.is_some());
        let unreported = members
            .filter(|(name, host)| {
                host.liveness.last_heartbeat.is_none() && (new_database || unfinished(name))
            })
            .map(|(name, _)| name.clone())
            .collect();
        let wait_millis = self.config.heartbeat_secs.saturating_mul(1500);
        self.fleet.recovering.unreported = unreported;
        self.fleet.recovering.deadline = Some(now.mono.plus_millis(wait_millis));
    }

    /// Nobody is dispatched who has not been heard since the start, as with a new database.
    pub(super) fn expect_everybody(&mut self) {
        let unheard = |host: &Host| host.member.is_some() && host.liveness.last_heartbeat.is_none();
        let hosts = self.fleet.hosts.iter().filter(|(_, host)| unheard(host));
        let hosts: Vec<HostName> = hosts.map(|(name, _)| name.clone()).collect();
        self.fleet.recovering.unreported.extend(hosts.iter().cloned());
        for host in &hosts {
            self.fleet.refresh(host);
        }
    }
}

fn refusal(violation: &Violation) -> Problem {
    Problem::new(ProblemCode::Rule(violation.code), violation.detail.clone())
}

/// What a rollout keeps of its signed header.
pub(super) fn manifest_of(signed: &ReleaseRollout) -> Manifest {
    Manifest {
        header: signed.header.clone(),
        header_bytes: signed.header_bytes.clone(),
        signatures: signed.signatures.clone(),
        content_id: signed.content_id,
    }
}

fn channels(release: &Release) -> BTreeMap<ChannelName, Channel> {
    let before = transitive(&release.fleet);
    release
        .rollouts
        .iter()
        .map(|(name, rollout)| {
            let channel = Channel {
                rollout_id: rollout.header.rollout_id(),
                signed_at: rollout.header.signed_at,
                freshness_window_secs: rollout.header.freshness_window_secs,
                hosts: rollout.header.host_count,
                after: before.get(name).cloned().unwrap_or_default(),
            };
            (name.clone(), channel)
        })
        .collect()
}

/// For each channel, every channel before it, however far back (G20).
fn transitive(fleet: &FleetDocument) -> BTreeMap<ChannelName, BTreeSet<ChannelName>> {
    let mut before: BTreeMap<ChannelName, BTreeSet<ChannelName>> = BTreeMap::new();
    let mut grew = true;
    while grew {
        grew = false;
        for ChannelEdge { before: first, after, .. } in &fleet.channel_edges {
            let mut all = before.get(first).cloned().unwrap_or_default();
            all.insert(first.clone());
            let known = before.entry(after.clone()).or_default();
            let count = known.len();
            known.extend(all);
            grew |= known.len() > count;
        }
    }
    before
}
