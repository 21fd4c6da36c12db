//! Events of agents: admitted by seq, folded, logged, answered after the commit.
//!
//! A refused event uses up its seq and is refused again when it is repeated (G3); what stands before
//! it in the request is committed.

use serde_json::Value;
use wavegate_proto::event::{Event, JournalEntry, MAX_LIST_ITEMS, MAX_TEXT_BYTES};
use wavegate_proto::ids::{Attempt, HostName, JournalId, LogSeq, RolloutId, Seq};
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::{EventsAnswer, EventsRequest};
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_reconciler::fleet::placement::Placement;
use wavegate_state_machine::host::{
    Admission, FoldContext, Lease, MAX_SNAPSHOT_ATTEMPT, Origin, fold,
};

use super::input::Place;
use super::log::{Actor, Fact};
use super::output::refuse;
use super::payload::{EventRefused, Reported, logged};
use super::{Answer, Core, Token};

/// How the events of a request ended.
enum Stop {
    Gap(Seq),
    Refused { seq: Seq, reason: String },
    Replaced,
    Diverged(Seq),
    TooManyJournals,
}

impl Core {
    pub(super) fn events(
        &mut self,
        now: Now,
        host: HostName,
        request: &EventsRequest,
        reply: Token,
    ) {
        let place = (request.rollout_id.clone(), host);
        let one_machine = self.expect_one_machine(&place.1);
        let answer = match one_machine.and_then(|()| self.expect_place(&place)) {
            Err(problem) => Answer::Problem(problem),
            Ok(()) => self.take_events(now, &place, request),
        };
        self.reply(reply, answer);
    }

    fn expect_place(&self, (rollout_id, host): &Place) -> Result<(), Box<Problem>> {
        self.expect_member(host)?;
        self.expect_not_pruned(rollout_id)?;
        if self.fleet.placement(rollout_id, host).is_none() {
            let detail = format!("no rollout {rollout_id} with {host} in it");
            return Err(refuse(ProblemCode::UnknownRollout, detail));
        }
        Ok(())
    }

    /// Whether a release is loaded and names the host.
    pub(super) fn expect_member(&self, host: &HostName) -> Result<(), Box<Problem>> {
        if self.fleet.release.is_none() {
            let detail = "publish a release, or wait for the release source";
            return Err(refuse(ProblemCode::NoRelease, detail));
        }
        match self.fleet.hosts.get(host).and_then(|h| h.member.as_ref()) {
            Some(_) => Ok(()),
            None => {
                let detail = format!("the adopted release does not name {host}");
                Err(refuse(ProblemCode::HostNotInFleet, detail))
            }
        }
    }

    fn take_events(&mut self, now: Now, place: &Place, request: &EventsRequest) -> Answer {
        let mut stop = None;
        for entry in &request.events {
            if let Some(reason) = self.take_event(now, place, request, entry) {
                stop = Some(reason);
                break;
            }
        }
        if let Some(host) = self.fleet.hosts.get_mut(&place.1) {
            host.liveness.last_event = Some(now.mono);
        }
        self.settle_replay(now, place);
        self.leave_out_again(now, place);
        self.advance(now, &place.0);
        let last_seq = self.last_seq_of(place);
        match stop {
            None => Answer::Events(EventsAnswer { last_seq }),
            Some(stop) => Answer::Problem(Box::new(stopped(stop, last_seq))),
        }
    }

    fn last_seq_of(&self, (rollout_id, host): &Place) -> Seq {
        self.fleet.placement(rollout_id, host).map_or(Seq(0), |p| p.journal.last_seq())
    }

    fn take_event(
        &mut self,
        now: Now,
        place: &Place,
        request: &EventsRequest,
        entry: &JournalEntry,
    ) -> Option<Stop> {
        let placement = self.fleet.placement(&place.0, &place.1)?;
        match placement.journal.admit(request.journal_id, entry) {
            Admission::Known => None,
            Admission::KnownRefused { reason } => Some(Stop::Refused { seq: entry.seq, reason }),
            Admission::Gap { expected } => Some(Stop::Gap(expected)),
            Admission::Replaced => Some(Stop::Replaced),
            Admission::Diverged => Some(Stop::Diverged(entry.seq)),
            Admission::NewJournal | Admission::Fold
                if request.replay && self.origin(place, request, entry.seq) == Origin::Live =>
            {
                Some(Stop::Gap(entry.seq))
            }
            Admission::NewJournal
                if placement.journal.journal_id().is_some()
                    && !self.new_journals.admit(now.mono, &place.1) =>
            {
                Some(Stop::TooManyJournals)
            }
            Admission::NewJournal => {
                self.note_new_journal(now, place, request.journal_id);
                self.fold_event(now, place, request, entry)
            }
            Admission::Fold => self.fold_event(now, place, request, entry),
        }
    }

    fn note_new_journal(&mut self, now: Now, (rollout_id, host): &Place, new: JournalId) {
        let placement = self.fleet.placement(rollout_id, host);
        let Some(old) = placement.and_then(|p| p.journal.journal_id()) else { return };
        let payload = serde_json::json!({ "old": old, "new": new });
        let actor = Actor::Host(host.clone());
        self.note(Fact::own(now, "journal_replaced", payload).about(rollout_id).on(host).by(actor));
    }

    fn fold_event(
        &mut self,
        now: Now,
        place: &Place,
        request: &EventsRequest,
        entry: &JournalEntry,
    ) -> Option<Stop> {
        let origin = self.origin(place, request, entry.seq);
        let result = self.try_fold(now, place, origin, request.journal_id, entry);
        match result {
            Ok(()) => {
                let log_seq = self.note_event(now, place, request, entry, origin);
                self.settle_fold(now, place, entry, origin, log_seq);
                self.react_to(now, place, entry, origin);
                None
            }
            Err(reason) => {
                self.note_refusal(now, place, request.journal_id, entry, &reason);
                Some(Stop::Refused { seq: entry.seq, reason })
            }
        }
    }

    /// G5: a replay counts only for a journal this process asked for, up to what was announced. One that
    /// an earlier process asked for must not be refused event by event, which would use up its seqs for
    /// good: a gap makes the host send a heartbeat, and this process asks for itself.
    fn origin(&self, (rollout_id, host): &Place, request: &EventsRequest, seq: Seq) -> Origin {
        let asked = self.fleet.hosts.get(host).and_then(|h| h.replays.get(rollout_id));
        if request.replay
            && asked.is_some_and(|a| a.journal_id == request.journal_id && seq <= a.up_to)
        {
            Origin::Replay
        } else {
            Origin::Live
        }
    }

    /// Folds one event into the record, as it stands; refused, nothing has changed.
    pub(super) fn try_fold(
        &mut self,
        now: Now,
        (rollout_id, host): &Place,
        origin: Origin,
        journal_id: JournalId,
        entry: &JournalEntry,
    ) -> Result<(), String> {
        check_bounds(&entry.event)?;
        let rollout = self.fleet.rollouts.get(rollout_id).ok_or("unknown-rollout")?;
        let policy = rollout.policy();
        let mut context = FoldContext {
            soak_secs: 0,
            failure_threshold_secs: policy.failure_threshold_secs,
            on_health_failure: policy.on_health_failure,
            lease: Lease::None,
            origin,
        };
        let soaks: Vec<u64> = policy.waves.iter().map(|wave| wave.soak_secs).collect();
        let fold_here = |placement: &mut Placement| {
            let wave = usize::try_from(placement.entry.wave.0).unwrap_or(usize::MAX);
            context.soak_secs = soaks.get(wave).copied().unwrap_or(0);
            context.lease = lease_view(placement, now);
            let before = (placement.record.state, placement.record.attempt);
            fold(&mut placement.record, &context, entry.at, &entry.event)
                .map_err(|refusal| refusal.code().to_owned())?;
            if before != (placement.record.state, placement.record.attempt) {
                placement.entered = now.mono;
                placement.lost = false;
            }
            placement.resources.take(placement.record.state, &entry.event);
            placement.journal.accepted(journal_id, entry);
            note_position(placement);
            Ok(())
        };
        self.fleet.change(rollout_id, host, fold_here).unwrap_or(Ok(()))
    }

    fn note_event(
        &mut self,
        now: Now,
        (rollout_id, host): &Place,
        request: &EventsRequest,
        entry: &JournalEntry,
        origin: Origin,
    ) -> LogSeq {
        let reported = Reported {
            seq: entry.seq,
            journal_id: request.journal_id,
            received_at: now.wall,
            replay: origin == Origin::Replay,
        };
        let mut payload = logged(&entry.event);
        if let (Some(fields), Value::Object(beside)) = (payload.as_object_mut(), logged(&reported))
        {
            fields.remove("kind");
            fields.extend(beside);
        }
        let fact = Fact { at: entry.at, ..Fact::own(now, entry.event.kind(), payload) };
        self.note(fact.about(rollout_id).on(host).by(Actor::Host(host.clone())))
    }

    fn note_refusal(
        &mut self,
        now: Now,
        place: &Place,
        journal_id: JournalId,
        entry: &JournalEntry,
        reason: &str,
    ) {
        let (rollout_id, host) = place;
        // An attempt that a host knows of, perhaps from a database that was wiped, is not issued again.
        let attempt = if let Event::DispatchAck { attempt, .. } = entry.event
            && attempt <= MAX_SNAPSHOT_ATTEMPT
        {
            attempt
        } else {
            Attempt(0)
        };
        let head_if_accepted = self.fleet.change(rollout_id, host, |placement| {
            placement.journal.refused(journal_id, entry, reason);
            settle_refusal(placement, attempt);
            placement.journal.head_if_accepted()
        });
        let refused = EventRefused {
            seq: entry.seq,
            kind: entry.event.kind().to_owned(),
            reason: reason.to_owned(),
            journal_id,
            received_at: now.wall,
            attempt,
            head_if_accepted: head_if_accepted.flatten(),
        };
        let fact = Fact { at: entry.at, ..Fact::own(now, "event_refused", logged(&refused)) };
        let log_seq = self.note(fact.about(rollout_id).on(host).by(Actor::Host(host.clone())));
        self.save_placement(rollout_id, host, log_seq);
    }

    /// Whether everything that was asked for has been sent again.
    fn settle_replay(&mut self, now: Now, place: &Place) {
        let last_seq = self.last_seq_of(place);
        let (rollout_id, host) = place;
        if let Some(h) = self.fleet.hosts.get_mut(host)
            && h.replays.get(rollout_id).is_some_and(|asked| asked.up_to <= last_seq)
        {
            h.replays.remove(rollout_id);
            self.reported(now, host);
        }
    }

    /// A host with nothing left to send again no longer holds the recovering gate, and gets the lease it
    /// had before the start, if that still stands.
    pub(super) fn reported(&mut self, now: Now, host: &HostName) {
        let heard = self
            .fleet
            .hosts
            .get(host)
            .is_some_and(|h| h.liveness.last_heartbeat.is_some() && h.replays.is_empty());
        if heard && self.fleet.recovering.unreported.remove(host) {
            self.fleet.refresh(host);
            self.touch_rollouts_of(host);
            self.hand_over(now, host);
        }
    }

    /// Remembers to look at the rollouts of a host that counts differently now.
    pub(super) fn touch_rollouts_of(&mut self, host: &HostName) {
        let ids: Vec<RolloutId> = self.fleet.records(host).map(|(r, _)| r.id.clone()).collect();
        self.touched.extend(ids);
    }
}

/// G4: whether the lease may be acknowledged is judged when the acknowledgement is handled.
fn lease_view(placement: &Placement, now: Now) -> Lease {
    match &placement.lease {
        None => Lease::None,
        Some(lease) if now.mono < lease.expires => Lease::Open {
            attempt: lease.attempt,
            no_change: lease.no_change,
            issued_at: lease.issued_at,
        },
        Some(lease) => Lease::Lapsed { attempt: lease.attempt },
    }
}

/// What a refused event leaves beside the journal.
pub(super) fn settle_refusal(placement: &mut Placement, attempt: Attempt) {
    placement.issued = placement.issued.max(attempt);
    note_position(placement);
}

fn note_position(placement: &mut Placement) {
    placement.record.journal_id = placement.journal.journal_id();
    placement.record.last_seq = placement.journal.last_seq();
}

fn stopped(stop: Stop, last_seq: Seq) -> Problem {
    match stop {
        Stop::Gap(expected) => {
            let detail = format!("events from {expected} on are missing");
            let problem = Problem::new(ProblemCode::SeqGap, detail);
            Problem { expected_seq: Some(expected), ..problem }
        }
        Stop::Refused { seq, reason } => {
            let detail = format!("event {seq} is refused: {reason}");
            let problem = Problem::new(ProblemCode::EventRefused, detail);
            Problem { seq: Some(seq), reason: Some(reason), last_seq: Some(last_seq), ..problem }
        }
        Stop::Replaced => {
            Problem::new(ProblemCode::JournalReplaced, "another journal has taken this one's place")
        }
        Stop::TooManyJournals => {
            Problem::new(ProblemCode::RateLimited, "too many new journals of one host in an hour")
        }
        Stop::Diverged(seq) => {
            let detail = format!("event {seq} is known with other content");
            Problem::new(ProblemCode::JournalDiverged, detail)
        }
    }
}

/// Every text and list from outside has a bound.
fn check_bounds(event: &Event) -> Result<(), String> {
    let text = |t: &str| t.len() <= MAX_TEXT_BYTES;
    let maybe = |t: &Option<String>| t.as_deref().is_none_or(text);
    let within = match event {
        Event::DispatchReject { reason, detail } => text(reason) && maybe(detail),
        Event::ActivationFailed { reason, stderr_tail, .. } => text(reason) && maybe(stderr_tail),
        Event::ActivationDeferred { component } => text(component),
        Event::ProbeTopology { probes } | Event::Carried { probes, .. } => {
            probes.len() <= MAX_LIST_ITEMS
        }
        Event::ProbeResult { reason, sub_results, .. } => {
            maybe(reason) && sub_results.len() <= MAX_LIST_ITEMS
        }
        Event::Failed { failing_probes, .. } | Event::Degraded { failing_probes } => {
            failing_probes.len() <= MAX_LIST_ITEMS
        }
        Event::RollbackFailed { reason } => text(reason),
        Event::JournalOpened { snapshot } => snapshot.probes.len() <= MAX_LIST_ITEMS,
        Event::ResourceChanged { status, .. } => maybe(&status.error) && maybe(&status.blocker),
        Event::DriftDetected { detail, .. } => maybe(detail),
        Event::DriftCorrected { result, .. } => text(result),
        Event::DispatchAck { .. }
        | Event::ActivationStarted { .. }
        | Event::ActivationComplete { .. }
        | Event::RollbackComplete { .. }
        | Event::Converged { .. }
        | Event::Recovered {}
        | Event::Refused => true,
    };
    if within { Ok(()) } else { Err("too-large".to_owned()) }
}
