//! The agent and the control plane fold the same events: they have the same record, also after the
//! control plane's database was wiped.

use wavegate_proto::event::{FailurePolicy, ProbeOutcome};
use wavegate_proto::ids::{Attempt, Seq};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::wire::agent::EventsRequest;
use wavegate_state_machine::agent::PostOutcome;
use wavegate_state_machine::host::{
    Admission, FoldContext, HeadVerdict, JournalBook, Lease, Origin, fold,
};

use crate::host::Host;
use crate::plans::{Release, SOAK_SECS, THRESHOLD_SECS, closure, release, start};

/// The control plane's side of one rollout.
struct Side {
    record: HostRecord,
    book: JournalBook,
    lease: Lease,
}

impl Side {
    fn new(release: &Release) -> Self {
        let plan = release.offered().plan;
        let record = HostRecord::pending(
            release.id(),
            plan.entry.host.clone(),
            plan.entry.wave,
            plan.entry.closure.clone(),
            start(),
        );
        Self { record, book: JournalBook::default(), lease: Lease::None }
    }

    fn dispatches(&mut self, attempt: u32) {
        let attempt = Attempt(attempt);
        self.lease = Lease::Open { attempt, no_change: false, issued_at: start() };
    }

    fn takes(&mut self, request: &EventsRequest) -> PostOutcome {
        let id = request.journal_id;
        for entry in &request.events {
            match self.book.admit(id, entry) {
                Admission::Fold | Admission::NewJournal => {}
                Admission::Known => continue,
                Admission::Gap { expected } => return PostOutcome::Gap { expected },
                Admission::KnownRefused { reason } => {
                    let (seq, last_seq) = (entry.seq, self.book.last_seq());
                    return PostOutcome::Refused { seq, reason, last_seq };
                }
                Admission::Replaced => return PostOutcome::JournalReplaced,
                Admission::Diverged => return PostOutcome::JournalDiverged,
            }
            let ctx = FoldContext {
                soak_secs: SOAK_SECS,
                failure_threshold_secs: THRESHOLD_SECS,
                on_health_failure: FailurePolicy::RollbackAndHalt,
                lease: self.lease,
                origin: if request.replay { Origin::Replay } else { Origin::Live },
            };
            if let Err(refusal) = fold(&mut self.record, &ctx, entry.at, &entry.event) {
                self.book.refused(id, entry, refusal.code());
                let (seq, last_seq) = (entry.seq, self.book.last_seq());
                let reason = refusal.code().to_owned();
                return PostOutcome::Refused { seq, reason, last_seq };
            }
            self.book.accepted(id, entry);
            self.lease = Lease::None;
        }
        PostOutcome::Accepted { last_seq: self.book.last_seq() }
    }

    /// The two talk until the host has nothing more to say.
    fn talks_to(&mut self, host: &mut Host) {
        while let Some(request) = host.post() {
            let outcome = self.takes(&request);
            host.answer(&request, outcome);
        }
    }

    fn agrees_with(&self, host: &mut Host, release: &Release) {
        let theirs = host.record(release);
        let ours = HostRecord {
            journal_id: self.book.journal_id(),
            last_seq: self.book.last_seq(),
            ..self.record.clone()
        };
        assert_eq!(ours, *theirs);
        let head = host.heartbeat().rollouts[&release.id()];
        assert_eq!(self.book.judge(&head), HeadVerdict::Level);
    }

    /// Database deleted: the heartbeat names a journal nobody knows, so it is asked for.
    fn wiped(host: &mut Host, release: &Release) -> Self {
        let mut side = Self::new(release);
        let head = host.heartbeat().rollouts[&release.id()];
        assert_eq!(side.book.judge(&head), HeadVerdict::NotSeen);
        host.advance(61);
        let id = release.id();
        host.heartbeat_answered(|answer| {
            answer.replay.insert(id, Seq(1));
        });
        side.talks_to(host);
        side
    }
}

#[test]
fn both_sides_and_a_wiped_side_have_the_same_record_at_every_step() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.current = Some(closure("before"));
    let mut side = Side::new(&r1);
    let step = |host: &mut Host, side: &mut Side, state| {
        side.talks_to(host);
        assert_eq!(host.state(&r1), state);
        side.agrees_with(host, &r1);
        *side = Side::wiped(host, &r1);
        side.agrees_with(host, &r1);
    };
    host.offer(&r1, 1);
    side.talks_to(&mut host);
    assert_eq!(host.state(&r1), HostState::Pending, "no dispatch was open: refused");
    side.dispatches(1);
    host.offer(&r1, 1);
    step(&mut host, &mut side, HostState::Activating);
    host.activated(&r1);
    step(&mut host, &mut side, HostState::Soaking);
    host.probe(&r1, "http", ProbeOutcome::Fail);
    host.advance(THRESHOLD_SECS);
    step(&mut host, &mut side, HostState::Failed);
    host.rolled_back(&r1, Some(closure("before")));
    step(&mut host, &mut side, HostState::Reverted);
}

/// A restored backup: the control plane has less of the journal and gets the rest, nothing twice.
#[test]
fn a_side_that_went_back_gets_what_it_lacks() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    let mut side = Side::new(&r1);
    side.dispatches(1);
    host.offer(&r1, 1);
    side.talks_to(&mut host);
    let mut backup =
        Side { record: side.record.clone(), book: side.book.clone(), lease: Lease::None };
    host.activated(&r1);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    host.advance(SOAK_SECS);
    side.talks_to(&mut host);
    assert_eq!(host.state(&r1), HostState::Converged);
    let head = host.heartbeat().rollouts[&r1.id()];
    let HeadVerdict::Behind { from } = backup.book.judge(&head) else { panic!("not behind") };
    let id = r1.id();
    host.heartbeat_answered(|answer| {
        answer.replay.insert(id, from);
    });
    backup.talks_to(&mut host);
    backup.agrees_with(&mut host, &r1);
}
