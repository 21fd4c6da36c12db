//! What operators want done. Each verb is idempotent: what stands already adds nothing to the log. Each
//! row names who and why.
//!
//! Not here: what restricting marks become after a wiped database (see [`super::marks`]).

mod host;
mod quarantine;
mod rollout;

use serde::Serialize;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, PersonName, RolloutId, WaveIndex};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::operator::{MarkBy, QuarantineDocument, RolloutMark, RolloutState};
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_reconciler::fleet::rollout::Rollout;

use super::documents::json;
use super::log::{Actor, Fact};
use super::output::refuse;
use super::payload::logged;
use super::rows::Write;
use super::{Answer, Core, Token};

/// What an operator wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Dispatch nothing more in a rollout until it is resumed; hosts in flight finish.
    Pause(RolloutId),
    /// Let a paused or halted rollout go on.
    Resume {
        /// Which.
        rollout_id: RolloutId,
        /// Lift the quarantines of its closures as well.
        clear_quarantine: bool,
    },
    /// Dispatch nothing more in a rollout, for good; hosts in flight finish.
    Abort(RolloutId),
    /// Let a wave begin.
    Approve {
        /// Of which rollout.
        rollout_id: RolloutId,
        /// Which.
        wave: WaveIndex,
    },
    /// Try a host again.
    Retry {
        /// In which rollout.
        rollout_id: RolloutId,
        /// Which.
        host: HostName,
    },
    /// Try every failed host of a rollout again.
    RetryFailed(RolloutId),
    /// Leave a host out of a rollout.
    Skip {
        /// Of which rollout.
        rollout_id: RolloutId,
        /// Which.
        host: HostName,
    },
    /// Dispatch nothing to a host; what it is in the middle of it finishes.
    Hold {
        /// Which.
        host: HostName,
        /// Until when; `None`: until released.
        until: Option<Timestamp>,
    },
    /// Take a hold back.
    Release(HostName),
    /// Let a closure be dispatched on a channel again.
    ClearQuarantine {
        /// On which channel.
        channel: ChannelName,
        /// Which closure.
        closure: ClosureId,
    },
}

/// A verb's circumstances.
pub(super) struct Order {
    now: Now,
    by: PersonName,
    reason: String,
}

impl Order {
    fn mark(&self) -> MarkBy {
        let actor = Actor::Operator(self.by.clone()).to_string();
        MarkBy { actor, reason: self.reason.clone(), at: self.now.wall }
    }

    /// A row of this order. The reason is added to its payload.
    fn fact<'a, T: Serialize>(&self, kind: &'static str, payload: &T) -> Fact<'a> {
        let mut fields = logged(payload);
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("reason".to_owned(), self.reason.clone().into());
        }
        Fact::own(self.now, kind, fields).by(Actor::Operator(self.by.clone()))
    }
}

/// What a verb is answered with, once the plan that follows it is made: the document as it stands then.
#[derive(Debug, Clone)]
pub(super) enum Changed {
    Rollout(RolloutId),
    Host(HostName),
    Quarantine(Box<QuarantineDocument>),
}

type Done = Result<Changed, Box<Problem>>;

impl Core {
    pub(super) fn verb(
        &mut self,
        now: Now,
        verb: Verb,
        by: PersonName,
        reason: String,
        reply: Token,
    ) {
        let order = Order { now, by, reason };
        let done = match verb {
            Verb::Pause(rollout_id) => self.pause(&order, &rollout_id),
            Verb::Resume { rollout_id, clear_quarantine } => {
                self.resume(&order, &rollout_id, clear_quarantine)
            }
            Verb::Abort(rollout_id) => self.abort(&order, &rollout_id),
            Verb::Approve { rollout_id, wave } => self.approve(&order, &rollout_id, wave),
            Verb::Retry { rollout_id, host } => self.retry_host(&order, &(rollout_id, host)),
            Verb::RetryFailed(rollout_id) => self.retry_failed(&order, &rollout_id),
            Verb::Skip { rollout_id, host } => self.skip_host(&order, &(rollout_id, host)),
            Verb::Hold { host, until } => self.hold_host(&order, &host, until),
            Verb::Release(host) => self.release_host(&order, &host),
            Verb::ClearQuarantine { channel, closure } => {
                self.clear_quarantine(&order, &channel, &closure)
            }
        };
        match done {
            Ok(changed) => self.verbs_done.push((reply, changed)),
            Err(problem) => self.reply(reply, Answer::Problem(problem)),
        }
    }

    /// Answers the verbs of a batch, now that everything that follows from them has been decided.
    pub(super) fn answer_verbs(&mut self, now: Now) {
        for (reply, changed) in std::mem::take(&mut self.verbs_done) {
            let document = match changed {
                Changed::Rollout(id) => {
                    self.rollout(&id).map(|rollout| json(&self.rollout_document(now, rollout)))
                }
                Changed::Host(name) => self.host(now, &name).map(|host| json(&host)),
                Changed::Quarantine(document) => Ok(json(&*document)),
            };
            let answer = match document {
                Ok(document) => Answer::Document(document),
                Err(problem) => Answer::Problem(problem),
            };
            self.reply(reply, answer);
        }
    }

    /// The next version of the operators' marks: something that restricts has changed. It is the time in Unix
    /// milliseconds, or one more than the last version where that is not less: so what is said after a database
    /// was lost is newer than what hosts keep from before.
    pub(super) fn next_marks_version(&mut self, now: Now) -> u64 {
        let time = u64::try_from(now.wall.unix_millis()).unwrap_or(0);
        self.marks_version = time.max(self.marks_version.saturating_add(1));
        self.write(Write::MarksVersion(self.marks_version));
        self.marks_version
    }

    /// A rollout in which hosts may still be dispatched, now or once it is resumed.
    fn expect_unfinished(&self, id: &RolloutId) -> Result<&Rollout, Box<Problem>> {
        let rollout = self.expect_not_superseded(id)?;
        // A terminal rollout that a late host has halted, or that was paused before it became terminal, can be
        // resumed for those that come after.
        let holds_late_hosts = rollout.halt.is_some() || rollout.mark.is_some();
        if rollout.state == RolloutState::Terminal && !holds_late_hosts {
            return Err(refuse(ProblemCode::RolloutFinished, format!("{id} is terminal")));
        }
        if rollout.mark.as_ref().is_some_and(|mark| mark.mark == RolloutMark::Aborted) {
            let detail = format!("{id} has been aborted: only a newer release goes on");
            return Err(refuse(ProblemCode::RolloutFinished, detail));
        }
        Ok(rollout)
    }

    fn expect_not_superseded(&self, id: &RolloutId) -> Result<&Rollout, Box<Problem>> {
        let rollout = self.rollout(id)?;
        match rollout.state {
            RolloutState::Superseded | RolloutState::Pruned => {
                let by = match &rollout.superseded_by {
                    Some(newer) => format!(" by {newer}"),
                    None => String::new(),
                };
                let detail = format!("{id} is {}{by}", rollout.state);
                Err(refuse(ProblemCode::RolloutFinished, detail))
            }
            RolloutState::Opening
            | RolloutState::Active
            | RolloutState::Converging
            | RolloutState::Terminal
            | RolloutState::Failed
            | RolloutState::Reverted => Ok(rollout),
        }
    }
}
