//! What can happen next.

use wavegate_proto::event::ProbeOutcome;
use wavegate_tests::sim::Work;

use crate::setup::{HOSTS, Setup};
use crate::state::{At, Host, Poll, State};

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// A dispatch reaches its host, which fetches the plan.
    Deliver(At),
    /// A host sends events.
    Post(At, Fate),
    /// A host sends the heartbeat it owes.
    Report(At, Fate),
    /// A switch or a rollback ends.
    Finish(At, Outcome),
    /// A probe runs, with another result than before.
    Probe(At),
    /// Nobody can do anything now: a tick passes.
    Wait,
    /// A host starts anew, with what was staged.
    Reboot(At),
    /// An agent starts again.
    StartAgent(At),
    /// The control plane starts again.
    StartControl,
    /// A fault.
    Fault(Fault),
}

/// What goes wrong. Each takes from the bounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// The dispatch is lost on its way.
    LoseDispatch(At),
    /// A tick passes although somebody could do something.
    Delay,
    /// A copy of a request arrives; nobody reads the answer.
    Arrive(usize),
    /// The agent dies.
    CrashAgent(At),
    /// The agent dies in the middle of what follows: after so many effects.
    Cut(Box<Action>, At, usize),
    /// The control plane dies, and with it what `Loss` says.
    CrashControl(Loss),
    /// Somebody copies the database.
    Backup,
    /// A newer release is published.
    Publish,
    /// What a host runs begins to fail its probe.
    Sicken(At),
    /// An operator wants something, which is no fault, but nothing that follows by itself either.
    Verb(Wish),
}

/// What an operator wants, of the newest rollout where it is about one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wish {
    Pause,
    Resume,
    Abort,
    Skip(At),
    Retry(At),
    Hold(At),
    Release(At),
}

/// What becomes of a request and its answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    Arrives,
    RequestLost,
    AnswerLost,
    /// It arrives, and a copy of it may arrive again.
    Repeated,
    /// The host gives it up, and it may arrive after that.
    GivenUp,
    /// It is committed, and the control plane dies before it answers.
    DiesBeforeAnswer,
}

/// How a switch ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    Done,
    /// It fails for reasons other than the closure; nothing was changed.
    Infra,
    /// It fails for the closure's own fault, half-way.
    Broken,
    /// It is staged, and ends with the next reboot.
    Deferred,
}

/// What is lost with the control plane's process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loss {
    Nothing,
    Database,
    /// An older copy is put in its place.
    SinceBackup,
}

/// An agent performs at most so many effects in one step.
const MOST_EFFECTS: usize = 7;

/// Every kind of action, as [`Action::kind`] names it.
pub(crate) const KINDS: [&str; 40] = [
    "Deliver()",
    "Fault(Arrive())",
    "Fault(Backup)",
    "Fault(CrashAgent())",
    "Fault(CrashControl(Database))",
    "Fault(CrashControl(Nothing))",
    "Fault(CrashControl(SinceBackup))",
    "Fault(Cut)",
    "Fault(Delay)",
    "Fault(LoseDispatch())",
    "Fault(Publish)",
    "Fault(Sicken())",
    "Fault(Verb(Abort))",
    "Fault(Verb(Hold()))",
    "Fault(Verb(Pause))",
    "Fault(Verb(Release()))",
    "Fault(Verb(Resume))",
    "Fault(Verb(Retry()))",
    "Fault(Verb(Skip()))",
    "Finish(, Broken)",
    "Finish(, Deferred)",
    "Finish(, Done)",
    "Finish(, Infra)",
    "Post(, AnswerLost)",
    "Post(, Arrives)",
    "Post(, DiesBeforeAnswer)",
    "Post(, GivenUp)",
    "Post(, Repeated)",
    "Post(, RequestLost)",
    "Probe()",
    "Reboot()",
    "Report(, AnswerLost)",
    "Report(, Arrives)",
    "Report(, DiesBeforeAnswer)",
    "Report(, GivenUp)",
    "Report(, Repeated)",
    "Report(, RequestLost)",
    "StartAgent()",
    "StartControl",
    "Wait",
];

impl Action {
    /// Its name, without whom it happens to.
    pub(crate) fn kind(&self) -> String {
        let text = match self {
            Self::Fault(Fault::Cut(..)) => "Fault(Cut)".to_owned(),
            other => format!("{other:?}"),
        };
        text.chars().filter(|c| !c.is_ascii_digit()).collect()
    }

    pub(crate) fn is_fault(&self) -> bool {
        match self {
            Self::Fault(_) => true,
            Self::Post(_, fate) | Self::Report(_, fate) => *fate != Fate::Arrives,
            Self::Finish(_, outcome) => *outcome != Outcome::Done,
            Self::Deliver(_)
            | Self::Probe(_)
            | Self::Wait
            | Self::Reboot(_)
            | Self::StartAgent(_)
            | Self::StartControl => false,
        }
    }

    /// The hosts whose agents perform effects in it.
    fn performers(&self) -> std::ops::Range<At> {
        match self {
            Self::Deliver(at)
            | Self::Post(at, _)
            | Self::Report(at, _)
            | Self::Finish(at, _)
            | Self::Probe(at)
            | Self::StartAgent(at) => *at..*at + 1,
            Self::Wait => 0..HOSTS,
            Self::Reboot(_) | Self::StartControl | Self::Fault(_) => 0..0,
        }
    }
}

impl State {
    /// Everything that can happen next, faults last.
    pub(crate) fn actions(&self, setup: &Setup, actions: &mut Vec<Action>) {
        let from = actions.len();
        for at in 0..HOSTS {
            self.host_actions(at, actions);
        }
        if actions.len() == from {
            actions.push(Action::Wait);
        } else if self.left.delays > 0 {
            actions.push(Action::Fault(Fault::Delay));
        }
        let up = self.control.process.is_some();
        // However long it takes: time passes meanwhile.
        actions
            .extend((0..HOSTS).filter(|at| self.hosts[*at].staged.is_some()).map(Action::Reboot));
        actions.extend(
            (0..HOSTS).filter(|at| self.hosts[*at].agent.is_none()).map(Action::StartAgent),
        );
        if !up {
            actions.push(Action::StartControl);
        }
        let fair = actions[from..].to_vec();
        self.faults(setup, &fair, actions);
    }

    /// What the system does next on a host. It comes before time passes.
    fn host_actions(&self, at: At, actions: &mut Vec<Action>) {
        let host = &self.hosts[at];
        let up = self.control.process.is_some();
        if host.agent.is_none() {
            return;
        }
        if matches!(host.poll, Poll::Answered { .. }) {
            actions.push(Action::Deliver(at));
        }
        if up && host.has_events {
            actions.push(Action::Post(at, Fate::Arrives));
        }
        if up && host.owes_heartbeat {
            actions.push(Action::Report(at, Fate::Arrives));
        }
        if host.work.is_some() {
            actions.push(Action::Finish(at, Outcome::Done));
        }
        if let Some((_, told)) = &host.probing
            && *told != Some(host.outcome())
        {
            actions.push(Action::Probe(at));
        }
    }

    fn faults(&self, setup: &Setup, fair: &[Action], actions: &mut Vec<Action>) {
        let left = &self.left;
        for action in fair {
            match action {
                Action::Post(at, _) => {
                    actions.extend(self.fates().map(|fate| Action::Post(*at, fate)));
                }
                Action::Report(at, _) => {
                    actions.extend(self.fates().map(|fate| Action::Report(*at, fate)));
                }
                Action::Finish(at, _) => self.failures(*at, actions),
                Action::Deliver(at) if left.losses > 0 => {
                    actions.push(Action::Fault(Fault::LoseDispatch(*at)));
                }
                Action::Deliver(_)
                | Action::Probe(_)
                | Action::Wait
                | Action::Reboot(_)
                | Action::StartAgent(_)
                | Action::StartControl
                | Action::Fault(_) => {}
            }
            for at in action.performers().filter(|_| left.agent_crashes > 0) {
                let cut = |after| Action::Fault(Fault::Cut(Box::new(action.clone()), at, after));
                actions.extend((0..MOST_EFFECTS).map(cut));
            }
        }
        if left.agent_crashes > 0 {
            let up = (0..HOSTS).filter(|at| self.hosts[*at].agent.is_some());
            actions.extend(up.map(|at| Action::Fault(Fault::CrashAgent(at))));
        }
        let sicken = (0..HOSTS).filter(|at| left.sick > 0 && self.hosts[*at].can_sicken());
        actions.extend(sicken.map(|at| Action::Fault(Fault::Sicken(at))));
        self.control_faults(setup, actions);
    }

    fn control_faults(&self, setup: &Setup, actions: &mut Vec<Action>) {
        let left = &self.left;
        let up = self.control.process.is_some();
        let mut push = |fault| actions.push(Action::Fault(fault));
        if up {
            (0..self.late.len()).for_each(|index| push(Fault::Arrive(index)));
        }
        if up && left.control_crashes > 0 {
            push(Fault::CrashControl(Loss::Nothing));
        }
        if up && left.wipes > 0 {
            push(Fault::CrashControl(Loss::Database));
        }
        if up && left.restores > 0 {
            match &self.backup {
                None => push(Fault::Backup),
                Some(_) => push(Fault::CrashControl(Loss::SinceBackup)),
            }
        }
        if up && left.releases > 0 && self.released < setup.releases.len() {
            push(Fault::Publish);
        }
        if up && left.verbs > 0 {
            wishes().for_each(|wish| push(Fault::Verb(wish)));
        }
    }

    fn fates(&self) -> impl Iterator<Item = Fate> {
        let left = self.left;
        let losses =
            [Fate::RequestLost, Fate::AnswerLost].into_iter().filter(move |_| left.losses > 0);
        let late = [Fate::Repeated, Fate::GivenUp].into_iter().filter(move |_| left.late > 0);
        let dies = (left.control_crashes > 0).then_some(Fate::DiesBeforeAnswer);
        losses.chain(late).chain(dies)
    }

    fn failures(&self, at: At, actions: &mut Vec<Action>) {
        if matches!(self.hosts[at].work, Some(Work::Activating { .. })) {
            let infra = (self.left.infra > 0).then_some(Outcome::Infra);
            let broken = (self.left.broken > 0).then_some(Outcome::Broken);
            let deferred = (self.left.deferred > 0).then_some(Outcome::Deferred);
            let failures = infra.into_iter().chain(broken).chain(deferred);
            actions.extend(failures.map(|how| Action::Finish(at, how)));
        }
    }
}

/// Everything that an operator may want.
fn wishes() -> impl Iterator<Item = Wish> {
    let of_host = |at| [Wish::Skip(at), Wish::Retry(at), Wish::Hold(at), Wish::Release(at)];
    [Wish::Pause, Wish::Resume, Wish::Abort].into_iter().chain((0..HOSTS).flat_map(of_host))
}

impl Host {
    /// What its probe says now.
    pub(crate) fn outcome(&self) -> ProbeOutcome {
        if self.sick { ProbeOutcome::Fail } else { ProbeOutcome::Pass }
    }

    /// Its probe runs and passes.
    fn can_sicken(&self) -> bool {
        self.probing.is_some() && !self.sick
    }
}
