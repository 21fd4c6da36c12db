//! Heartbeats: they show liveness and start replays. A host with nothing new touches no disk.

use std::collections::BTreeMap;

use serde_json::json;
use wavegate_proto::event::{Event, FailurePolicy};
use wavegate_proto::ids::{ClosureId, HostName, LogSeq, RolloutId, Seq, Serial};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::agent::{Heartbeat, HeartbeatAnswer, JournalHead, MAX_REJECTED};
use wavegate_reconciler::fleet::host::Replay;
use wavegate_reconciler::fleet::placement::{Placement, SkipReason};
use wavegate_reconciler::fleet::rollout::Rollout;
use wavegate_state_machine::host::{FoldContext, HeadVerdict, Lease, Origin, fold};

use super::input::Place;
use super::log::Fact;
use super::payload::{HostDiverged, HostRecovered, logged};
use super::{Answer, Core, Token};

/// A gap of more than so many heartbeats is silence: what the host is to do after it takes its time anew.
const TALKS_AFTER_HEARTBEATS: u64 = 3;

/// A heartbeat is on its way for so many seconds at the most.
const LATE_SECS: u64 = 120;

/// In so many heartbeats in a row a host must say that it runs something else than it converged on.
const HEARTBEATS_TO_DIVERGE: u32 = 2;

impl Core {
    pub(super) fn heartbeat(
        &mut self,
        now: Now,
        host: &HostName,
        heartbeat: &Heartbeat,
        cert_expires_at: Option<Timestamp>,
        reply: Token,
    ) {
        if let Err(problem) = self.expect_member(host) {
            self.reply(reply, Answer::Problem(problem));
            return;
        }
        let next_secs = self.next_heartbeat_secs(host);
        if self.is_overtaken(host, heartbeat) {
            let answer = self.heartbeat_answer(now, next_secs);
            self.reply(reply, Answer::Heartbeat(Box::new(answer)));
            return;
        }
        self.check_checkpoint(now, host, heartbeat.checkpoint.as_ref());
        self.note_liveness(now, host, heartbeat, cert_expires_at, next_secs);
        self.hear_boot(now, host, heartbeat);
        self.compare_clocks(now, host, heartbeat);
        if self.is_cloned(host) {
            let answer = self.heartbeat_answer(now, next_secs);
            self.reply(reply, Answer::Heartbeat(Box::new(answer)));
            return;
        }
        self.compare_serial(now, host, heartbeat.serial);
        if let Some(kept) = &heartbeat.marks {
            self.restore_marks(now, host, kept);
        }
        for rejected in heartbeat.rejected.iter().take(MAX_REJECTED) {
            self.rejected(now, host, rejected);
        }
        let (replay, new_journal) = self.compare_journals(now, host, &heartbeat.rollouts);
        self.conclude_without_journal(now, host, heartbeat);
        self.compare_with_target(now, host, heartbeat.current_closure.as_ref());
        self.reported(now, host);
        let answer = HeartbeatAnswer {
            replay,
            new_journal,
            cleared: self.cleared(host, &heartbeat.rejected),
            marks: self.newer_marks(host, heartbeat.marks_version),
            bootstrap: self.bootstrap(host, heartbeat),
            satisfied: self.satisfied(&heartbeat.awaiting),
            checkpoint: self.show_checkpoint(now, host),
            ..self.heartbeat_answer(now, next_secs)
        };
        self.reply(reply, Answer::Heartbeat(Box::new(answer)));
    }

    /// An answer that asks for nothing.
    fn heartbeat_answer(&self, now: Now, next_heartbeat_secs: u64) -> HeartbeatAnswer {
        HeartbeatAnswer {
            cp_epoch: self.cp_epoch,
            now: now.wall,
            next_heartbeat_secs,
            replay: BTreeMap::new(),
            new_journal: Vec::new(),
            cleared: Vec::new(),
            marks: None,
            bootstrap: Vec::new(),
            satisfied: Vec::new(),
            checkpoint: None,
            trust_version: self.trust_version,
        }
    }

    /// Whether a later heartbeat of the same boot has arrived before it. What it says was so once: a journal
    /// that it does not name may have been opened since, and nothing follows from it (E5). One that is much
    /// older is no late message but a machine that was set back.
    fn is_overtaken(&self, name: &HostName, heartbeat: &Heartbeat) -> bool {
        let live = self.fleet.hosts.get(name).map(|host| &host.liveness);
        live.is_some_and(|live| {
            let behind_secs = live.uptime_secs.saturating_sub(heartbeat.uptime_secs);
            live.boot_id == Some(heartbeat.boot_id) && (1..=LATE_SECS).contains(&behind_secs)
        })
    }

    /// Whether events have come so shortly before that the heartbeat may have been sent before them: then a
    /// journal that it does not name, or names shorter than it is known, may have been opened or have grown since.
    /// What came before this process is not known: it may have come until then.
    fn may_be_overtaken_by_events(&self, now: Now, name: &HostName) -> bool {
        self.fleet.hosts.get(name).is_some_and(|host| {
            let last_event = host.liveness.last_event.unwrap_or(host.known_since);
            now.mono.secs_since(last_event) <= LATE_SECS
        })
    }

    fn note_liveness(
        &mut self,
        now: Now,
        name: &HostName,
        heartbeat: &Heartbeat,
        cert_expires_at: Option<Timestamp>,
        next_secs: u64,
    ) {
        let ordinary_secs = self.config.heartbeat_secs;
        let Some(host) = self.fleet.hosts.get_mut(name) else { return };
        let live = &mut host.liveness;
        let silent_secs =
            live.last_heartbeat.map_or(u64::MAX, |before| now.mono.secs_since(before));
        let told_secs = live.told_heartbeat_secs.replace(next_secs).unwrap_or(ordinary_secs);
        if silent_secs > told_secs.saturating_mul(TALKS_AFTER_HEARTBEATS) {
            live.talking_since = now.mono;
        }
        live.last_heartbeat = Some(now.mono);
        live.last_seen_at = Some(now.wall);
        if live.agent_version.as_deref() != Some(heartbeat.agent_version.as_str()) {
            live.agent_version = Some(heartbeat.agent_version.chars().take(64).collect());
        }
        live.boot_id = Some(heartbeat.boot_id);
        live.uptime_secs = heartbeat.uptime_secs;
        live.cert_expires_at = cert_expires_at;
        let drifted = heartbeat.resources.drifted > 0;
        let counts_differently = live.current_closure.as_ref() != Some(&heartbeat.current_closure)
            || (live.resources.drifted > 0) != drifted;
        live.resources = heartbeat.resources;
        live.current_closure = Some(heartbeat.current_closure.clone());
        host.replays.retain(|rollout_id, _| heartbeat.rollouts.contains_key(rollout_id));
        if counts_differently || self.fleet.is_set_aside_for_silence(name) {
            self.fleet.refresh(name);
        }
        self.unflushed.insert(name.clone());
        self.take_in_again(now, name);
    }

    /// G10: a bare number from a host holds nothing. It raises an alarm, once for each host.
    fn compare_serial(&mut self, now: Now, name: &HostName, seen: Serial) {
        let Some(adopted) = self.fleet.release.as_ref().map(|release| release.serial) else {
            return;
        };
        if seen > adopted && self.serials_ahead.insert(name.clone()) {
            let payload = json!({ "serial": seen, "adopted": adopted });
            self.note(Fact::own(now, "serial_ahead", payload).on(name));
        }
    }

    /// A host whose certificate was revoked speaks again: with another.
    fn take_in_again(&mut self, now: Now, name: &HostName) {
        let revoked = |(rollout, placement): (&Rollout, &Placement)| {
            (placement.skip == Some(SkipReason::Revoked)).then(|| rollout.id.clone())
        };
        let rollouts: Vec<RolloutId> = self.fleet.records(name).filter_map(revoked).collect();
        for rollout_id in rollouts {
            self.set_skip(now, &(rollout_id, name.clone()), None);
        }
    }

    /// G26: a host that converged and says twice in a row that it runs something else has diverged,
    /// until it runs its target again.
    fn compare_with_target(&mut self, now: Now, name: &HostName, current: Option<&ClosureId>) {
        let Some((rollout, placement)) = self.fleet.newest_started(name) else { return };
        let converged = placement.record.state == HostState::Converged;
        let differs = converged && current != Some(&placement.entry.closure);
        let known = placement.diverged;
        if !differs
            && !known
            && self.fleet.hosts.get(name).is_none_or(|h| h.liveness.off_target == 0)
        {
            return;
        }
        let rollout_id = rollout.id.clone();
        let Some(host) = self.fleet.hosts.get_mut(name) else { return };
        host.liveness.off_target = if differs { host.liveness.off_target + 1 } else { 0 };
        let diverged = host.liveness.off_target >= HEARTBEATS_TO_DIVERGE || (known && differs);
        if diverged == known {
            return;
        }
        let payload = logged(&HostDiverged { diverged, current_closure: current.cloned() });
        let fact = Fact::own(now, "host_diverged", payload).about(&rollout_id).on(name);
        let log_seq = self.note(fact);
        self.mark_diverged(&(rollout_id, name.clone()), diverged, log_seq);
        self.touch_rollouts_of(name);
    }

    pub(super) fn mark_diverged(&mut self, place: &Place, diverged: bool, log_seq: LogSeq) {
        self.fleet.change(&place.0, &place.1, |placement| placement.diverged = diverged);
        self.save_placement(&place.0, &place.1, log_seq);
    }

    /// Which journals are to be sent again, and which are to be opened anew.
    fn compare_journals(
        &mut self,
        now: Now,
        host: &HostName,
        heads: &BTreeMap<RolloutId, JournalHead>,
    ) -> (BTreeMap<RolloutId, Seq>, Vec<RolloutId>) {
        let (mut replay, mut new_journal) = (BTreeMap::new(), Vec::new());
        let kept = heads.iter().filter(|(rollout_id, _)| !self.pruned.contains_key(*rollout_id));
        let kept: Vec<_> = kept.collect();
        for (rollout_id, head) in kept {
            let (verdict, known) = match self.fleet.placement(rollout_id, host) {
                Some(placement) => (placement.journal.judge(head), placement.journal.last_seq()),
                None => (HeadVerdict::NotSeen, Seq(0)),
            };
            let from = match verdict {
                HeadVerdict::Level => continue,
                HeadVerdict::Behind { from } => from,
                HeadVerdict::NotSeen => Seq(1),
                HeadVerdict::Diverged
                    if head.last_seq < known && self.may_be_overtaken_by_events(now, host) =>
                {
                    continue;
                }
                HeadVerdict::Diverged | HeadVerdict::Replaced => {
                    self.note_divergence(now, rollout_id, host, head);
                    new_journal.push(rollout_id.clone());
                    continue;
                }
            };
            if head.last_seq < from {
                continue;
            }
            replay.insert(rollout_id.clone(), from);
            if let Some(h) = self.fleet.hosts.get_mut(host) {
                let asked = Replay { journal_id: head.journal_id, up_to: head.last_seq };
                h.replays.insert(rollout_id.clone(), asked);
            }
        }
        (replay, new_journal)
    }

    /// Once for each journal: the agent repeats its heartbeat until it has opened another.
    fn note_divergence(
        &mut self,
        now: Now,
        rollout_id: &RolloutId,
        host: &HostName,
        head: &JournalHead,
    ) {
        if self.diverged.insert(head.journal_id) {
            let payload = json!({ "journal_id": head.journal_id, "last_seq": head.last_seq });
            self.note(Fact::own(now, "journal_diverged", payload).about(rollout_id).on(host));
        }
    }

    /// What a heartbeat proves about a host that has no journal for its record (a new disk): a switch
    /// that has happened, a rollback that has happened. Never health, and never while the agent has
    /// the journal (E5).
    fn conclude_without_journal(&mut self, now: Now, host: &HostName, heartbeat: &Heartbeat) {
        let concluded: Vec<(RolloutId, Event, &'static str)> = self
            .fleet
            .records(host)
            .filter(|(rollout, _)| !heartbeat.rollouts.contains_key(&rollout.id))
            .filter_map(|(rollout, placement)| {
                let (event, case) = conclusion(rollout, placement, heartbeat)?;
                Some((rollout.id.clone(), event, case))
            })
            .collect();
        if concluded.is_empty() || self.may_be_overtaken_by_events(now, host) {
            return;
        }
        for (rollout_id, event, case) in concluded {
            self.fold_conclusion(now, &(rollout_id, host.clone()), &event, case);
        }
    }

    fn fold_conclusion(&mut self, now: Now, place: &Place, event: &Event, case: &'static str) {
        let (rollout_id, host) = place;
        if !self.try_conclude(now, place, event) {
            return;
        }
        let recovered = HostRecovered { case: case.to_owned(), entry: None };
        let recovered = Fact::own(now, "host_recovered", logged(&recovered));
        self.note(recovered.about(rollout_id).on(host));
        let mut payload = logged(event);
        if let Some(fields) = payload.as_object_mut() {
            fields.remove("kind");
        }
        let fact = Fact { synthetic: true, ..Fact::own(now, event.kind(), payload) };
        let log_seq = self.note(fact.about(rollout_id).on(host));
        self.save_placement(rollout_id, host, log_seq);
        self.queue_retry(place);
        self.advance(now, rollout_id);
    }

    /// Folds what was concluded into the record; refused, nothing has changed.
    pub(super) fn try_conclude(
        &mut self,
        now: Now,
        (rollout_id, host): &Place,
        event: &Event,
    ) -> bool {
        let Some(rollout) = self.fleet.rollouts.get(rollout_id) else { return false };
        let policy = rollout.policy();
        let context = FoldContext {
            soak_secs: 0,
            failure_threshold_secs: policy.failure_threshold_secs,
            on_health_failure: policy.on_health_failure,
            lease: Lease::None,
            origin: Origin::Synthetic,
        };
        let folded = self.fleet.change(rollout_id, host, |placement| {
            placement.entered = now.mono;
            fold(&mut placement.record, &context, now.wall, event).is_ok()
        });
        folded == Some(true)
    }

    /// An agent that names no rollouts gets those that are open for it, as they stand.
    fn bootstrap(&self, host: &HostName, heartbeat: &Heartbeat) -> Vec<HostRecord> {
        if !heartbeat.rollouts.is_empty() {
            return Vec::new();
        }
        let open = |(rollout, placement): (&Rollout, &Placement)| {
            let current = self.fleet.channels.get(&rollout.id.channel)?.rollout_id == rollout.id;
            let started =
                !matches!(placement.record.state, HostState::Pending | HostState::Skipped);
            (started && (current || placement.is_in_flight())).then(|| placement.record.clone())
        };
        let mut records: Vec<HostRecord> = self.fleet.records(host).filter_map(open).collect();
        records.sort_by(|a, b| a.rollout_id.cmp(&b.rollout_id));
        records
    }
}

fn conclusion(
    rollout: &Rollout,
    placement: &Placement,
    heartbeat: &Heartbeat,
) -> Option<(Event, &'static str)> {
    let record = &placement.record;
    match record.state {
        HostState::Activating | HostState::Deferred => {
            let switched = heartbeat.current_closure.as_ref() == Some(&record.target_closure);
            let closure = record.target_closure.clone();
            let event = Event::ActivationComplete { closure, exit_code: 0, changed: true };
            switched.then_some((event, "activation-complete"))
        }
        HostState::Failed => {
            let rolls_back = rollout.policy().on_health_failure == FailurePolicy::RollbackAndHalt;
            let back = heartbeat.current_closure == record.prior_closure;
            let closure = record.prior_closure.clone();
            let event = Event::RollbackComplete { closure, exit_code: 0 };
            (rolls_back && back).then_some((event, "rollback-complete"))
        }
        HostState::Pending
        | HostState::Soaking
        | HostState::Converged
        | HostState::Reverted
        | HostState::Skipped => None,
    }
}
