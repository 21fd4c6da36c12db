//! What a heartbeat says, what its answer asks for, and when the core wants to be woken.
//!
//! Not here: snapshots in an answer (see [`super::bootstrap`]).

use wavegate_proto::event::MAX_LIST_ITEMS;
use wavegate_proto::ids::{CpEpoch, RolloutId, Seq};
use wavegate_proto::record::{HostState, ProbeStatus};
use wavegate_proto::time::{Mono, Now};
use wavegate_proto::wire::agent::{
    Checkpoint, Heartbeat, HeartbeatAnswer, MAX_MARKS_BYTES, Marks, ProbeCounts, Rejected,
};

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;
use super::input::HostFacts;
use super::track::Track;

/// Seconds between heartbeats until the control plane says otherwise.
pub(super) const DEFAULT_HEARTBEAT_SECS: u64 = 60;

/// What the control plane may set it to (G2).
const HEARTBEAT_SECS: std::ops::RangeInclusive<u64> = 1..=600;

/// Replays and new journals are granted at most once in this many seconds a rollout (G2).
pub(super) const GRANT_SECS: u64 = 60;

impl AgentCore {
    /// The heartbeat to send now. Every journal that is held is named.
    #[must_use]
    pub fn heartbeat(&mut self, now: Now, facts: HostFacts) -> Heartbeat {
        for track in self.tracks.values_mut() {
            track.sending.answered_at_heartbeat = track.answered;
        }
        let named = self.tracks.iter().filter(|(_, track)| !track.entries.is_empty());
        Heartbeat {
            agent_version: facts.agent_version,
            boot_id: self.boot_id,
            uptime_secs: facts.uptime_secs,
            at: now.wall,
            cp_epoch: self.meta.cp_epoch,
            checkpoint: self.meta.checkpoint,
            serial: self.meta.serial,
            trust_version: Some(facts.trust_version),
            current_closure: facts.current_closure,
            marks_version: self.meta.marks.as_ref().map_or(0, |marks| marks.version),
            marks: self.meta.marks.clone().map(Box::new),
            rollouts: named.map(|(id, track)| (id.clone(), track.journal_head())).collect(),
            rejected: self.rejected.clone(),
            probes: self.probe_counts(),
            resources: facts.resources,
            awaiting: facts.awaiting,
        }
    }

    /// Seconds until the next heartbeat, counted from the last one.
    #[must_use]
    pub fn next_heartbeat_secs(&self) -> u64 {
        self.heartbeat_secs
    }

    /// When time alone may give the core something to do: send it a tick then, and look again at
    /// [`Self::next_post`] and [`Self::wants_dispatch`].
    #[must_use]
    pub fn next_wakeup(&self, now: Mono) -> Option<Mono> {
        let leases = self.lease_ends().filter(|at| *at > now);
        self.verdict_due(now).into_iter().chain(self.sending_due(now)).chain(leases).min()
    }

    fn probe_counts(&self) -> ProbeCounts {
        let probed = self.session.as_ref().and_then(|s| self.tracks.get(&s.rollout_id));
        let mut counts = ProbeCounts::default();
        for probe in probed.iter().flat_map(|track| &track.record.probes) {
            match probe.status {
                ProbeStatus::Pass => counts.pass += 1,
                ProbeStatus::Fail => counts.fail += 1,
                ProbeStatus::Unknown => counts.unknown += 1,
            }
        }
        counts
    }

    pub(super) fn heartbeat_answered(&mut self, step: &mut Step<'_>, answer: HeartbeatAnswer) {
        self.heartbeat_secs =
            answer.next_heartbeat_secs.clamp(*HEARTBEAT_SECS.start(), *HEARTBEAT_SECS.end());
        self.see_epoch(step, answer.cp_epoch);
        self.keep_checkpoint(step, answer.checkpoint);
        self.take_marks(step, answer.marks);
        self.drop_rejections(step, &answer.cleared);
        for id in answer.new_journal.iter().take(MAX_LIST_ITEMS) {
            // The heartbeat may have been overtaken by what is under way; if not, that is refused.
            let under_way = |track: &Track| track.answered < track.last_seq();
            if self.tracks.get(id).is_some_and(under_way) {
                step.log(format!("{id}: a new journal is asked for while events are unanswered"));
            } else {
                self.renew_journal(step, id);
            }
        }
        for (id, from) in answer.replay.iter().take(MAX_LIST_ITEMS) {
            self.grant_replay(step, id, *from);
        }
        self.take_snapshots(step, answer.bootstrap);
        if !answer.satisfied.is_empty() {
            let mut satisfied = answer.satisfied;
            satisfied.truncate(MAX_LIST_ITEMS);
            step.push(AgentEffect::Satisfied(satisfied));
        }
    }

    /// A new epoch means a new database: it learns at once what this host holds.
    fn see_epoch(&mut self, step: &mut Step<'_>, epoch: CpEpoch) {
        let known = self.meta.cp_epoch.replace(epoch);
        if known == Some(epoch) {
            return;
        }
        step.push(AgentEffect::SaveMeta(self.meta.clone()));
        if known.is_some() {
            step.push(AgentEffect::HeartbeatNow);
        }
    }

    /// Kept as it came: only the control plane can read it.
    fn keep_checkpoint(&mut self, step: &mut Step<'_>, shown: Option<Checkpoint>) {
        if shown.is_some() && shown != self.meta.checkpoint {
            self.meta.checkpoint = shown;
            step.push(AgentEffect::SaveMeta(self.meta.clone()));
        }
    }

    /// Kept as they came, for the control plane only: nothing here is decided by them.
    fn take_marks(&mut self, step: &mut Step<'_>, marks: Option<Marks>) {
        let newer =
            |marks: &Marks| self.meta.marks.as_ref().is_none_or(|m| m.version < marks.version);
        let bounded = |marks: &Marks| {
            serde_json::to_vec(marks).is_ok_and(|json| json.len() <= MAX_MARKS_BYTES)
        };
        if let Some(marks) = marks.filter(newer).filter(bounded) {
            self.meta.marks = Some(marks);
            step.push(AgentEffect::SaveMeta(self.meta.clone()));
        }
    }

    fn drop_rejections(&mut self, step: &mut Step<'_>, cleared: &[Rejected]) {
        let is_cleared = |r: &Rejected| cleared.contains(r);
        let (dropped, kept) = self.rejected.drain(..).partition(is_cleared);
        self.rejected = kept;
        let dropped: Vec<Rejected> = dropped;
        step.effects.extend(dropped.into_iter().map(AgentEffect::Unreject));
    }

    /// Only what was answered before the heartbeat is sent again; the rest goes its ordinary way, or has gone it
    /// since. That must not use up the one replay a minute: a wiped database may need it.
    fn grant_replay(&mut self, step: &mut Step<'_>, id: &RolloutId, from: Seq) {
        let Some(track) = self.tracks.get_mut(id) else { return };
        let now = step.now.mono;
        let from = from.max(Seq(1));
        if from > track.answered.min(track.sending.answered_at_heartbeat) {
            track.sending.release();
            return;
        }
        if track.sending.last_replay.is_some_and(|at| now < at.plus_secs(GRANT_SECS)) {
            return step.log(format!("{id}: replay asked for again within a minute"));
        }
        track.sending.last_replay = Some(now);
        track.sending.replay = Some(from);
        track.sending.release();
    }
}

impl AgentCore {
    /// Whether the agent should ask for a dispatch: only when it is idle and owes no answer.
    #[must_use]
    pub fn wants_dispatch(&self, now: Mono) -> bool {
        let probed = self.session.as_ref().map(|session| &session.rollout_id);
        !self.tracks.values().any(|track| {
            // What is not probed any more does not get anywhere by waiting.
            let idle_soak = track.record.state == HostState::Soaking
                && probed != Some(&track.record.rollout_id);
            (track.is_busy(now) && !idle_soak) || track.owes_answer(now)
        })
    }
}
