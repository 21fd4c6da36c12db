//! Journals: opening one, beginning one anew, letting go of old ones.
//!
//! Not here: what is written into them, and when it is sent (see [`super::outbox`]).

use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::RolloutId;
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::wire::agent::Dispatch;

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;
use super::heartbeat::GRANT_SECS;
use super::input::{Answer, OfferedPlan, StoredEntry, Written};
use super::track::Track;

/// Above this many entries a journal that is at rest begins anew.
const MAX_JOURNAL_ENTRIES: usize = 10_000;

/// How many rollouts of a channel are kept: the current one and the two before it.
const KEPT_PER_CHANNEL: usize = 3;

/// However little of it was answered, no more rollouts than this are held.
const MAX_TRACKS: usize = 64;

/// The most journals without a verified plan; they only hold rejections.
const MAX_UNVERIFIED: usize = 8;

impl AgentCore {
    /// Opens the rollout's journal with its proof, or adds the proof to the one that is open.
    pub(super) fn open_verified(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        offered: OfferedPlan,
    ) {
        let OfferedPlan { plan, proof, probes } = offered;
        let record = HostRecord::pending(
            id.clone(),
            self.host.clone(),
            plan.entry.wave,
            plan.entry.closure.clone(),
            step.now.wall,
        );
        if let Some(track) = self.tracks.get_mut(id) {
            if track.plan.is_none() {
                let journal_id = Some(track.journal_id);
                track.record = HostRecord { journal_id, last_seq: track.last_seq(), ..record };
                track.plan = Some(plan);
                track.proof = Some(proof.clone());
                step.push(AgentEffect::AttachProof {
                    rollout_id: id.clone(),
                    journal_id: track.journal_id,
                    proof,
                });
            }
            return;
        }
        let journal_id = step.ids.next_id();
        let mut track =
            Track::new(self.next_order(), journal_id, record, Some(plan), Some(proof.clone()));
        track.probes = probes.unwrap_or_default();
        self.tracks.insert(id.clone(), track);
        let rollout_id = id.clone();
        step.push(AgentEffect::OpenJournal { rollout_id, journal_id, proof: Some(proof) });
        self.retire(step);
    }

    /// A rejection needs a journal even where nothing could be verified. Its record never moves.
    pub(super) fn open_unverified(&mut self, step: &mut Step<'_>, dispatch: &Dispatch) {
        let id = &dispatch.rollout_id;
        if self.tracks.contains_key(id) {
            return;
        }
        let unverified = || self.tracks.values().filter(|track| track.plan.is_none());
        if unverified().count() >= MAX_UNVERIFIED
            && let Some(oldest) = unverified().min_by_key(|track| track.order)
        {
            let oldest = oldest.record.rollout_id.clone();
            self.tracks.remove(&oldest);
            step.push(AgentEffect::DropJournal { rollout_id: oldest });
        }
        let record = HostRecord::pending(
            id.clone(),
            self.host.clone(),
            dispatch.wave,
            dispatch.target_closure.clone(),
            step.now.wall,
        );
        let journal_id = step.ids.next_id();
        let track = Track::new(self.next_order(), journal_id, record, None, None);
        self.tracks.insert(id.clone(), track);
        step.push(AgentEffect::OpenJournal { rollout_id: id.clone(), journal_id, proof: None });
    }

    pub(super) fn next_order(&mut self) -> u64 {
        self.opened += 1;
        self.opened
    }

    /// Opens a new journal that begins with the record; what the control plane has not answered follows.
    /// Granted at most once a minute (G2).
    pub(super) fn renew_journal(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get_mut(id) else { return };
        let now = step.now.mono;
        if track.sending.last_new_journal.is_some_and(|at| now < at.plus_secs(GRANT_SECS)) {
            return step.log(format!("{id}: a new journal asked for again within a minute"));
        }
        track.sending.last_new_journal = Some(now);
        self.open_anew(step, id);
    }

    fn open_anew(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let (boot_id, now) = (self.boot_id, step.now);
        let Some(track) = self.tracks.get_mut(id) else { return };
        let snapshot = track.record_to_begin_with();
        let unanswered = track.take_unanswered();
        let journal_id = step.ids.next_id();
        let (rollout_id, proof) = (id.clone(), track.proof.clone());
        step.push(AgentEffect::OpenJournal { rollout_id, journal_id, proof });
        track.begin_journal(journal_id);
        let opened = (snapshot.state != HostState::Pending).then(|| StoredEntry {
            entry: JournalEntry {
                seq: track.last_seq().next(),
                at: now.wall,
                event: Event::JournalOpened { snapshot: Box::new(snapshot) },
            },
            written: Written { boot_id, mono: now.mono },
            answer: Answer::Unanswered,
        });
        for mut stored in opened.into_iter().chain(unanswered) {
            let was = stored.entry.seq;
            stored.entry.seq = track.last_seq().next();
            if let Some(ack) = track.ack.as_mut().filter(|ack| ack.seq == was)
                && matches!(stored.entry.event, Event::DispatchAck { .. })
            {
                ack.seq = stored.entry.seq;
            }
            let (rollout_id, written) = (id.clone(), stored.written);
            let entry = stored.entry.clone();
            track.absorb(stored);
            step.push(AgentEffect::Append { rollout_id, journal_id, entry, written });
        }
        track.sending.replay = None;
        track.sending.release();
    }

    pub(super) fn compact(&mut self, step: &mut Step<'_>) {
        let is_long = |t: &&Track| {
            t.entries.len() > MAX_JOURNAL_ENTRIES
                && t.answered == t.last_seq()
                && t.sending.replay.is_none()
                && t.is_settled()
        };
        let long = self.tracks.values().find(is_long).map(|t| t.record.rollout_id.clone());
        if let Some(id) = long {
            self.open_anew(step, &id);
        }
    }

    /// Lets go of rollouts that are older than the one before the previous one of their channel, once they
    /// are settled and everything of them was answered.
    pub(super) fn retire(&mut self, step: &mut Step<'_>) {
        let mut by_age: Vec<&Track> = self.tracks.values().filter(|t| t.plan.is_some()).collect();
        by_age.sort_by_key(|track| std::cmp::Reverse(track.order));
        let newer_on_channel = |record: &HostRecord, newer: &[&Track]| {
            newer.iter().filter(|t| t.record.channel == record.channel).count()
        };
        let probed = self.session.as_ref().map(|session| &session.rollout_id);
        let mut retired = Vec::new();
        for (age, track) in by_age.iter().enumerate() {
            let is_old = newer_on_channel(&track.record, &by_age[..age]) >= KEPT_PER_CHANNEL;
            // With a rejection goes the signed entry that proves it (G12).
            let is_evidence = self.rejected.iter().any(|r| r.rollout_id == track.record.rollout_id);
            let is_done = track.is_settled() && Some(&track.record.rollout_id) != probed;
            let is_answered = track.answered == track.last_seq() || age >= MAX_TRACKS;
            if ((is_old && !is_evidence) || age >= MAX_TRACKS) && is_done && is_answered {
                retired.push(track.record.rollout_id.clone());
            }
        }
        for rollout_id in retired {
            self.tracks.remove(&rollout_id);
            step.push(AgentEffect::DropJournal { rollout_id });
        }
    }
}
