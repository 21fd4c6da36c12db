//! What is posted to the control plane next, and what its answers mean.
//!
//! One request is under way at a time. A journal that is stuck waits by itself and never holds another
//! rollout's events (D4).

use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{JournalId, RolloutId, Seq};
use wavegate_proto::time::{Mono, Now};
use wavegate_proto::wire::agent::{EventsRequest, MAX_EVENTS_BYTES, MAX_EVENTS_PER_REQUEST};

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;
use super::input::{Activated, Answer, OfferOutcome, PostOutcome, Verdict};
use super::track::{PendingAck, Track, as_sent_again, is_permission};

/// The longest a journal waits after a request without a usable answer, in seconds.
const MAX_BACK_OFF_SECS: u64 = 60;

/// How long a journal waits for the control plane to ask for a replay or to take a header, in seconds.
const PATIENCE_SECS: u64 = 60;

/// Bytes of a request beside its events.
const ENVELOPE_BYTES: usize = 4 * 1024;

/// What the outbox knows of one journal.
#[derive(Debug, Clone, Default)]
pub(super) struct Sending {
    /// Nothing is sent before.
    not_before: Option<Mono>,
    failures: u32,
    /// The next entry to send again, if a replay was asked for.
    pub(super) replay: Option<Seq>,
    /// When a replay was last granted (G2).
    pub(super) last_replay: Option<Mono>,
    /// Up to where everything had an answer when the last heartbeat was made.
    pub(super) answered_at_heartbeat: Seq,
    /// When a new journal was last granted (G2).
    pub(super) last_new_journal: Option<Mono>,
    /// The control plane has pruned the rollout: nothing is sent any more.
    pub(super) muted: bool,
    /// The number of the last request that was about it, for taking turns.
    turn: u64,
}

/// A request under way.
#[derive(Debug, Clone)]
pub(super) struct Posting {
    rollout_id: RolloutId,
    journal_id: JournalId,
    replay: bool,
    first: Seq,
    last: Seq,
}

impl Posting {
    /// Whether an answer is about what was sent. One that is not must not be repeated at once, and permits
    /// nothing.
    fn is_answered_by(&self, outcome: &PostOutcome) -> bool {
        match outcome {
            PostOutcome::Accepted { last_seq } => *last_seq >= self.first,
            PostOutcome::Refused { seq, last_seq, .. } => {
                *last_seq >= self.first && (self.first..=self.last).contains(seq)
            }
            PostOutcome::Gap { .. }
            | PostOutcome::JournalReplaced
            | PostOutcome::JournalDiverged
            | PostOutcome::UnknownRollout
            | PostOutcome::Pruned
            | PostOutcome::Unavailable => true,
        }
    }
}

impl Sending {
    fn is_held(&self, now: Mono) -> bool {
        self.muted || self.not_before.is_some_and(|at| now < at)
    }

    fn hold(&mut self, until: Mono) {
        self.not_before = Some(until);
    }

    pub(super) fn release(&mut self) {
        self.not_before = None;
        self.failures = 0;
    }

    /// A replay that was under way is over; one that was granted meanwhile is still to come.
    fn end_replay(&mut self, was_under_way: bool) {
        if was_under_way {
            self.replay = None;
        }
    }

    fn back_off(&mut self, now: Mono) {
        let secs = 1_u64.checked_shl(self.failures).unwrap_or(MAX_BACK_OFF_SECS);
        self.failures = self.failures.saturating_add(1);
        self.hold(now.plus_secs(secs.min(MAX_BACK_OFF_SECS)));
    }
}

impl Track {
    fn has_to_send(&self) -> bool {
        self.sending.replay.is_some() || self.answered < self.last_seq()
    }

    /// Whether a word about a dispatch is on its way. One that cannot be sent now holds nothing.
    pub(super) fn owes_answer(&self, now: Mono) -> bool {
        if self.sending.is_held(now) {
            return false;
        }
        self.unanswered().any(|entry| {
            let waits = matches!(entry.event, Event::DispatchAck { .. }) && self.is_busy(now);
            waits || matches!(entry.event, Event::Carried { .. } | Event::DispatchReject { .. })
        })
    }

    fn unanswered(&self) -> impl Iterator<Item = &JournalEntry> {
        let answered = self.answered;
        self.entries.iter().map(|stored| &stored.entry).filter(move |entry| entry.seq > answered)
    }
}

impl AgentCore {
    /// The next request to send, or `None` while one is under way or there is nothing to send. Each one is
    /// to be followed by [`super::AgentInput::EventsAnswered`], whatever becomes of it.
    pub fn next_post(&mut self, now: Now) -> Option<EventsRequest> {
        if self.posting.is_some() {
            return None;
        }
        let ready = |track: &&mut Track| track.has_to_send() && !track.sending.is_held(now.mono);
        let urgency = |track: &&mut Track| (track.ack.is_none(), track.sending.turn);
        let track = self.tracks.values_mut().filter(ready).min_by_key(urgency)?;
        self.posts += 1;
        track.sending.turn = self.posts;
        let replay = track.sending.replay.is_some();
        let events = match track.sending.replay {
            Some(from) => batch(
                track
                    .entries
                    .iter()
                    .filter(|s| s.entry.seq >= from && s.entry.seq <= track.answered)
                    .map(as_sent_again),
            ),
            None => batch(track.unanswered().cloned()),
        };
        let (rollout_id, journal_id) = (track.record.rollout_id.clone(), track.journal_id);
        let first = events.first().map_or(Seq(0), |entry| entry.seq);
        let last = events.last().map_or(Seq(0), |entry| entry.seq);
        let posted = rollout_id.clone();
        self.posting = Some(Posting { rollout_id: posted, journal_id, replay, first, last });
        Some(EventsRequest { rollout_id, journal_id, replay, events })
    }

    pub(super) fn events_answered(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        journal_id: JournalId,
        outcome: &PostOutcome,
    ) {
        let is_it = |p: &mut Posting| p.rollout_id == *id && p.journal_id == journal_id;
        let Some(posting) = self.posting.take_if(is_it) else {
            return step.log(format!("{id}: an answer to nothing that is under way"));
        };
        let Some(track) = self.tracks.get_mut(id).filter(|track| track.journal_id == journal_id)
        else {
            return;
        };
        let (now, replay) = (step.now.mono, posting.replay);
        if !posting.is_answered_by(outcome) {
            track.sending.end_replay(replay);
            return track.sending.back_off(now);
        }
        match outcome {
            PostOutcome::Accepted { last_seq } => {
                self.accepted(step, id, *last_seq, (replay, None));
            }
            PostOutcome::Refused { seq, reason, last_seq } => {
                step.log(format!("{id}: event {seq} refused: {reason}"));
                self.accepted(step, id, *last_seq, (replay, Some(*seq)));
            }
            // A heartbeat has been answered meanwhile: what fills the gap goes next.
            PostOutcome::Gap { .. } if !replay && track.sending.replay.is_some() => {
                track.sending.release();
            }
            PostOutcome::Gap { expected } => {
                step.log(format!("{id}: the control plane lacks events from {expected}"));
                track.sending.hold(now.plus_secs(PATIENCE_SECS));
                track.sending.end_replay(replay);
                step.push(AgentEffect::HeartbeatNow);
            }
            PostOutcome::JournalReplaced | PostOutcome::JournalDiverged => {
                track.sending.hold(now.plus_secs(PATIENCE_SECS));
                self.renew_journal(step, id);
                step.push(AgentEffect::HeartbeatNow);
            }
            PostOutcome::UnknownRollout => self.offer(step, id),
            PostOutcome::Pruned => self.pruned(step, id),
            PostOutcome::Unavailable => track.sending.back_off(now),
        }
    }

    fn accepted(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        last_seq: Seq,
        (replay, refused): (bool, Option<Seq>),
    ) {
        let Some(track) = self.tracks.get_mut(id) else { return };
        let before = track.answered;
        let to = last_seq.min(track.last_seq());
        let refused = refused.filter(|seq| *seq <= to).map(|seq| {
            (seq, if seq <= before { Answer::RefusedInReplay } else { Answer::Refused })
        });
        track.sending.release();
        if replay {
            let next = last_seq.next();
            track.sending.replay = Some(next).filter(|next| *next <= before);
        }
        if to <= before && refused.is_none() {
            return;
        }
        track.mark(to, refused);
        let (rollout_id, journal_id) = (id.clone(), track.journal_id);
        step.push(AgentEffect::MarkAnswered { rollout_id, journal_id, to, refused });
        self.permissions_answered(step, id, (before, to), refused);
    }

    /// What was asked for has been granted or refused.
    fn permissions_answered(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        (before, to): (Seq, Seq),
        refused: Option<(Seq, Answer)>,
    ) {
        let Some(track) = self.tracks.get_mut(id) else { return };
        let ack = track.ack.take_if(|ack| ack.seq <= to);
        let newly = |seq: Seq| seq > before && seq <= to;
        let was_refused = |seq: Seq| refused.is_some_and(|(refused_seq, _)| refused_seq == seq);
        let carried = track.entries.iter().any(|stored| {
            let seq = stored.entry.seq;
            matches!(stored.entry.event, Event::Carried { .. }) && newly(seq) && !was_refused(seq)
        });
        let unfold = track.entries.iter().any(|stored| {
            let seq = stored.entry.seq;
            is_permission(&stored.entry.event) && newly(seq) && was_refused(seq)
        });
        if unfold {
            track.refold();
        }
        match ack {
            Some(ack) if !was_refused(ack.seq) => self.ack_accepted(step, id, ack),
            Some(PendingAck { .. }) | None => {}
        }
        if carried {
            self.carried_accepted(step, id);
        }
    }

    fn carried_accepted(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(plan) = self.tracks.get(id).and_then(|track| track.plan.as_ref()) else { return };
        let (closure, checks) = (plan.entry.closure.clone(), plan.entry.checks);
        let (rollout_id, verdict) = (id.clone(), Verdict::Converged);
        self.remember(step, Activated { closure, checks, rollout_id, verdict });
        self.begin_probing(step, id, step.now.mono);
    }

    fn offer(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get_mut(id) else { return };
        let Some(proof) = track.proof.clone() else {
            // Only rejections are in it, of a rollout nobody knows.
            self.tracks.remove(id);
            step.push(AgentEffect::DropJournal { rollout_id: id.clone() });
            return;
        };
        track.sending.hold(step.now.mono.plus_secs(PATIENCE_SECS));
        step.push(AgentEffect::OfferRollout { rollout_id: id.clone(), proof });
    }

    pub(super) fn rollout_offered(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        taken: OfferOutcome,
    ) {
        let Some(track) = self.tracks.get_mut(id) else { return };
        match taken {
            OfferOutcome::Taken => {
                track.sending.release();
                // What was answered before is gone on the other side: let it ask.
                step.push(AgentEffect::HeartbeatNow);
            }
            OfferOutcome::NotTaken => track.sending.hold(step.now.mono.plus_secs(PATIENCE_SECS)),
        }
    }

    fn pruned(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get_mut(id) else { return };
        track.sending.muted = true;
        let probing = self.session.as_ref().is_some_and(|session| session.rollout_id == *id);
        if track.is_settled() && !probing {
            self.tracks.remove(id);
            step.push(AgentEffect::DropJournal { rollout_id: id.clone() });
        }
    }

    /// When a journal that waits may be sent again.
    pub(super) fn sending_due(&self, now: Mono) -> impl Iterator<Item = Mono> {
        self.tracks
            .values()
            .filter(|track| track.has_to_send() && !track.sending.muted)
            .filter_map(move |track| track.sending.not_before.filter(|at| *at > now))
    }
}

/// As many of `entries` as one request may carry; at least one.
fn batch(entries: impl Iterator<Item = JournalEntry>) -> Vec<JournalEntry> {
    let mut room = MAX_EVENTS_BYTES - ENVELOPE_BYTES;
    let mut events = Vec::new();
    for entry in entries.take(MAX_EVENTS_PER_REQUEST) {
        let bytes = serde_json::to_vec(&entry).map_or(room, |bytes| bytes.len());
        if bytes > room && !events.is_empty() {
            break;
        }
        room = room.saturating_sub(bytes);
        events.push(entry);
    }
    events
}
