//! One rollout on this host: its journal and the record folded from it.
//!
//! Not here: deciding anything, sending anything.

use wavegate_proto::artifact::proof::HostPlan;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::canonical::chain_journal;
use wavegate_proto::event::{Event, FailurePolicy, JournalEntry};
use wavegate_proto::ids::{JournalId, Seq, Sha256Hash};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::{JournalHead, RolloutProof};

use super::input::{Answer, ProbeSchedule, StoredEntry};
use super::outbox::Sending;
use crate::host::{FoldContext, Lease, Origin, Refusal, fold, refused_form};

/// One rollout on this host.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// Rises with each rollout that is opened here.
    pub(super) order: u64,
    pub(super) journal_id: JournalId,
    /// `None`: no plan could be verified; the journal only holds rejections and nothing ever starts.
    pub(super) plan: Option<Verified<HostPlan>>,
    pub(super) proof: Option<RolloutProof>,
    pub(super) probes: Vec<ProbeSchedule>,
    pub(super) record: HostRecord,
    pub(super) entries: Vec<StoredEntry>,
    pub(super) head: Sha256Hash,
    /// Everything up to here has an answer.
    pub(super) answered: Seq,
    /// An acknowledgement that has no answer yet.
    pub(super) ack: Option<PendingAck>,
    /// Whether the record's prior closure was read from this system by this process or its journal.
    pub(super) own_prior: bool,
    pub(super) sending: Sending,
}

/// An acknowledgement that has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PendingAck {
    pub(super) seq: Seq,
    /// Nothing starts from here on; `None`: the process that read the dispatch is gone (G4).
    pub(super) deadline: Option<Mono>,
}

impl Track {
    pub(super) fn new(
        order: u64,
        journal_id: JournalId,
        record: HostRecord,
        plan: Option<Verified<HostPlan>>,
        proof: Option<RolloutProof>,
    ) -> Self {
        let mut track = Self {
            order,
            journal_id,
            plan,
            proof,
            probes: Vec::new(),
            record,
            entries: Vec::new(),
            head: Sha256Hash::default(),
            answered: Seq(0),
            ack: None,
            own_prior: false,
            sending: Sending::default(),
        };
        track.record.journal_id = Some(journal_id);
        track
    }

    pub(super) fn last_seq(&self) -> Seq {
        self.entries.last().map_or(Seq(0), |stored| stored.entry.seq)
    }

    pub(super) fn context(&self, lease: Lease, origin: Origin) -> FoldContext {
        let Some(plan) = &self.plan else {
            return FoldContext {
                soak_secs: u64::MAX,
                failure_threshold_secs: u64::MAX,
                on_health_failure: FailurePolicy::Halt,
                lease,
                origin,
            };
        };
        let policy = &plan.header.policy;
        let wave = usize::try_from(plan.entry.wave.0).ok().and_then(|w| policy.waves.get(w));
        FoldContext {
            soak_secs: wave.map_or(u64::MAX, |wave| wave.soak_secs),
            failure_threshold_secs: policy.failure_threshold_secs,
            on_health_failure: policy.on_health_failure,
            lease,
            origin,
        }
    }

    /// Folds `stored` and adds it to the journal; a refused one is not added.
    pub(super) fn append(&mut self, stored: StoredEntry, lease: Lease) -> Result<(), Refusal> {
        let opens = matches!(stored.entry.event, Event::JournalOpened { .. });
        let origin = if opens { Origin::Replay } else { Origin::Live };
        let ctx = self.context(lease, origin);
        fold(&mut self.record, &ctx, stored.entry.at, &stored.entry.event)?;
        self.push(stored);
        Ok(())
    }

    fn push(&mut self, stored: StoredEntry) {
        self.head = chain_journal(&self.head, &as_sent_again(&stored));
        if stored.answer != Answer::Unanswered && stored.entry.seq == self.answered.next() {
            self.answered = stored.entry.seq;
        }
        self.record.last_seq = stored.entry.seq;
        self.entries.push(stored);
    }

    /// Adds stored entries to an empty journal and folds them.
    pub(super) fn load(&mut self, entries: Vec<StoredEntry>) {
        for stored in entries {
            self.absorb(stored);
        }
        self.own_prior = self.has_own_ack();
    }

    /// Adds an entry that was journaled before. One that does not fold is kept and changes nothing, but
    /// for our own snapshot: what we wrote down is how it was.
    pub(super) fn absorb(&mut self, stored: StoredEntry) {
        let ctx = self.context(Lease::None, Origin::Replay);
        let (at, event) = (stored.entry.at, &stored.entry.event);
        if happened(&stored)
            && fold(&mut self.record, &ctx, at, event).is_err()
            && self.record.state == HostState::Pending
            && let Event::JournalOpened { snapshot } = event
        {
            let journal_id = Some(self.journal_id);
            self.record = HostRecord { journal_id, ..(**snapshot).clone() };
        }
        self.push(stored);
    }

    /// The record as far as the control plane has answered, or as the journal began.
    fn answered_record(&self) -> HostRecord {
        let mut answered = self.clone();
        answered.entries.retain(|stored| {
            let opens = matches!(stored.entry.event, Event::JournalOpened { .. });
            stored.entry.seq <= self.answered || opens
        });
        answered.refold();
        answered.record
    }

    /// The record for a new journal to begin with: as it stands. What was not answered follows, and may
    /// be refused as known already; the journal tells the record all the same. Only what nobody has permitted
    /// yet is left out.
    pub(super) fn record_to_begin_with(&self) -> HostRecord {
        let unanswered = self.entries.iter().filter(|stored| stored.entry.seq > self.answered);
        if unanswered.into_iter().any(|stored| is_permission(&stored.entry.event)) {
            self.answered_record()
        } else {
            self.record.clone()
        }
    }

    pub(super) fn take_unanswered(&mut self) -> Vec<StoredEntry> {
        let answered = self.answered;
        let is_unanswered = |stored: &mut StoredEntry| stored.entry.seq > answered;
        let mut unanswered: Vec<_> = self.entries.extract_if(.., is_unanswered).collect();
        // The new journal begins with a snapshot of its own.
        unanswered.retain(|stored| !matches!(stored.entry.event, Event::JournalOpened { .. }));
        unanswered
    }

    /// Begins an empty journal; what follows is to be absorbed again.
    pub(super) fn begin_journal(&mut self, journal_id: JournalId) {
        self.journal_id = journal_id;
        self.entries.clear();
        self.head = Sha256Hash::default();
        self.answered = Seq(0);
        self.record = self.fresh_record();
    }

    fn fresh_record(&self) -> HostRecord {
        let opened_at =
            self.entries.first().map_or(self.record.state_since, |stored| stored.entry.at);
        let (id, host) = (self.record.rollout_id.clone(), self.record.host.clone());
        let target = self.record.target_closure.clone();
        HostRecord {
            journal_id: Some(self.journal_id),
            ..HostRecord::pending(id, host, self.record.wave, target, opened_at)
        }
    }

    /// Whether the journal holds the acknowledgement of the record's attempt.
    fn has_own_ack(&self) -> bool {
        self.entries.iter().filter(|stored| happened(stored)).any(|stored| {
            matches!(&stored.entry.event, Event::DispatchAck { attempt, .. }
                if *attempt == self.record.attempt)
        })
    }

    /// Sets the answer of entries up to `to` to accepted, then that of `refused`.
    pub(super) fn mark(&mut self, to: Seq, refused: Option<(Seq, Answer)>) {
        for stored in &mut self.entries {
            let seq = stored.entry.seq;
            if seq <= to && stored.answer == Answer::Unanswered {
                stored.answer = Answer::Accepted;
            }
            if let Some((refused_seq, answer)) = refused
                && refused_seq == seq
            {
                stored.answer = answer;
            }
        }
        self.answered = self.answered.max(to.min(self.last_seq()));
        if refused.is_some() {
            self.head = self.entries.iter().fold(Sha256Hash::default(), |head, stored| {
                chain_journal(&head, &as_sent_again(stored))
            });
        }
    }

    /// Folds the journal again from a record in which nothing has happened: after a permission was
    /// refused, what it permitted has not happened.
    pub(super) fn refold(&mut self) {
        let own_prior = self.own_prior;
        self.record = self.fresh_record();
        let entries = std::mem::take(&mut self.entries);
        self.head = Sha256Hash::default();
        self.answered = Seq(0);
        self.load(entries);
        self.own_prior |= own_prior;
    }

    pub(super) fn journal_head(&self) -> JournalHead {
        JournalHead {
            journal_id: self.journal_id,
            first_seq: Seq(1),
            last_seq: self.last_seq(),
            head: self.head,
        }
    }

    /// Nothing of it is going on.
    pub(super) fn is_settled(&self) -> bool {
        match self.record.state {
            HostState::Activating | HostState::Deferred | HostState::Soaking => false,
            HostState::Failed => !self.record.is_rolling_back(),
            HostState::Pending
            | HostState::Converged
            | HostState::Reverted
            | HostState::Skipped => true,
        }
    }

    /// Whether the closure is being switched to or from now.
    pub(super) fn is_changing_the_host(&self) -> bool {
        match self.record.state {
            HostState::Activating => self.ack.is_none(),
            HostState::Failed => self.record.is_rolling_back(),
            HostState::Pending
            | HostState::Deferred
            | HostState::Soaking
            | HostState::Converged
            | HostState::Reverted
            | HostState::Skipped => false,
        }
    }

    /// Whether the record says converged only because the host asked to carry.
    pub(super) fn has_unanswered_carry(&self) -> bool {
        let carries = |s: &StoredEntry| matches!(s.entry.event, Event::Carried { .. });
        self.entries.iter().any(|s| s.answer == Answer::Unanswered && carries(s))
    }

    /// Whether the host is busy with it, so that no other dispatch is wanted. An acknowledgement that
    /// came too late starts nothing and keeps nobody waiting.
    pub(super) fn is_busy(&self, now: Mono) -> bool {
        match self.record.state {
            HostState::Activating => match self.ack {
                Some(ack) => ack.deadline.is_some_and(|deadline| now < deadline),
                None => true,
            },
            HostState::Soaking => true,
            HostState::Failed => self.record.is_rolling_back(),
            HostState::Pending
            | HostState::Deferred
            | HostState::Converged
            | HostState::Reverted
            | HostState::Skipped => false,
        }
    }
}

/// G29: a refused event stands in its refused form.
pub(super) fn as_sent_again(stored: &StoredEntry) -> JournalEntry {
    match stored.answer {
        Answer::Unanswered | Answer::Accepted => stored.entry.clone(),
        Answer::Refused | Answer::RefusedInReplay => refused_form(&stored.entry),
    }
}

/// A refused permission was never given. Any other fact happened on this host whatever the control plane
/// says to it.
pub(super) fn happened(stored: &StoredEntry) -> bool {
    stored.answer != Answer::Refused || !is_permission(&stored.entry.event)
}

pub(super) fn is_permission(event: &Event) -> bool {
    matches!(event, Event::DispatchAck { .. } | Event::Carried { .. })
}
