//! What must never happen, judged by what really happened on hosts and what was committed, and what must
//! hold once nothing moves any more.

use std::collections::BTreeMap;

use wavegate_control_plane::core::Write;
use wavegate_proto::ids::{ClosureId, RolloutId, Seq};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::plan::waiting_for;
use wavegate_state_machine::agent::Answer;

use crate::setup::{BEFORE, HOSTS, Setup, WAVES};
use crate::state::{At, Host, State};
use crate::step::Step;
use wavegate_tests::release_kit::closure;

/// A rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// More hosts of the budget switch at once than it allows.
    Budget,
    /// A host of the second wave activates before the first wave is done.
    Wave,
    /// A host activates what nobody signed for it.
    Unsigned,
    /// A dispatch is open in a rollout that has failed or was superseded.
    DispatchInHalted,
    /// A dispatch is open although an operator said no.
    DispatchAgainstMark,
    /// A host converges although its probe has not passed since it was activated.
    ConvergedUnproven,
    /// An event that was answered is not in the database.
    AcknowledgedLost,
    /// A quarantine is gone.
    QuarantineLost,
    /// At rest, a rollout neither ended nor names what it waits for.
    StuckInSilence,
    /// At rest, the two sides have different records.
    Unequal,
}

impl Violation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Budget => "the budget is kept by the hosts that really switch",
            Self::Wave => "nobody of the second wave activates before the first is done",
            Self::Unsigned => "no host runs a closure not signed for it",
            Self::DispatchInHalted => "nothing is dispatched in a rollout that does not go on",
            Self::DispatchAgainstMark => "nothing is dispatched against an operator's mark",
            Self::ConvergedUnproven => "nobody converges without a probe that passed",
            Self::AcknowledgedLost => "an acknowledged event is never lost",
            Self::QuarantineLost => "a quarantine is kept",
            Self::StuckInSilence => "a rollout ends or names what it waits for",
            Self::Unequal => "at rest both sides have the same record",
        }
    }
}

impl Step<'_> {
    fn broken(&mut self, violation: Violation) {
        self.state.ghosts.violation.get_or_insert(violation);
    }

    pub(crate) fn judge_closure(&mut self, _at: At, id: &ClosureId) {
        if !Setup::is_signed(id) && *id != closure(BEFORE) {
            self.broken(Violation::Unsigned);
        }
    }

    /// A host begins to activate. The first wave is done when its host has converged, waits for a
    /// reboot, which holds nobody, or was left out by a person; no failure is tolerated in a wave of one; a host that is broken under an older rollout gets its fix without waiting (G19).
    pub(crate) fn judge_activation(&mut self, at: At, rollout_id: &RolloutId, id: &ClosureId) {
        if !Setup::is_signed(id) {
            self.broken(Violation::Unsigned);
        }
        let skipped = |host: &Host| {
            self.state.ghosts.skipped.contains(&(rollout_id.clone(), host.name.clone()))
        };
        let first_wave_done = self.state.hosts[..WAVES[0]]
            .iter()
            .all(|host| host.truth.done.contains(rollout_id) || skipped(host));
        let is_fix = self.state.hosts[at].agent.iter().flat_map(|agent| agent.records()).any(|r| {
            r.rollout_id != *rollout_id
                && (r.state == HostState::Failed || r.degraded_since.is_some())
        });
        if at >= WAVES[0] && !first_wave_done && !is_fix {
            self.broken(Violation::Wave);
        }
    }

    pub(crate) fn judge_converged(&mut self, at: At) {
        if !self.state.hosts[at].truth.passed {
            self.broken(Violation::ConvergedUnproven);
        }
    }

    pub(crate) fn note_commit(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Quarantine(row) => {
                    let key = (row.document.channel.clone(), row.document.closure.clone());
                    self.state.ghosts.quarantined.insert(key);
                }
                Write::Rollout(row) => _ = self.rollouts.insert(row.state),
                Write::Log(row) if row.kind == "host_skipped" => {
                    self.state.ghosts.left_out.extend(row.host.clone());
                    if row.actor.starts_with("operator/") {
                        let place = row.rollout_id.clone().zip(row.host.clone());
                        self.state.ghosts.skipped.extend(place);
                    }
                }
                Write::Log(row) if row.kind == "host_retried" => {
                    let place = row.rollout_id.clone().zip(row.host.clone());
                    self.state.ghosts.skipped.retain(|skipped| Some(skipped) != place.as_ref());
                }
                _ => {}
            }
        }
    }

    /// What holds in every state.
    pub(crate) fn judge(&mut self) {
        let left_out = &self.state.ghosts.left_out;
        let pair = self.state.hosts[WAVES[0]..].iter();
        let switching = pair.filter(|host| host.work.is_some() && !left_out.contains(&host.name));
        if switching.count() > 1 {
            self.broken(Violation::Budget);
        }
        let Some(process) = &self.state.control.process else { return };
        let fleet = process.core.fleet();
        let halted = fleet.rollouts.values().any(|rollout| {
            let over = match rollout.state {
                RolloutState::Failed
                | RolloutState::Reverted
                | RolloutState::Superseded
                | RolloutState::Pruned => true,
                RolloutState::Opening
                | RolloutState::Active
                | RolloutState::Converging
                | RolloutState::Terminal => rollout.halt.is_some(),
            };
            over && rollout.placements.values().any(|p| p.lease.is_some())
        });
        let against_mark = fleet.rollouts.values().any(|rollout| {
            rollout.placements.iter().any(|(host, placement)| {
                let held = fleet.hosts.get(host).is_some_and(|host| host.hold.is_some());
                let skipped = placement.skip == Some(SkipReason::Operator);
                placement.lease.is_some() && (rollout.mark.is_some() || held || skipped)
            })
        });
        let forgot = self.state.ghosts.forgot;
        let lost = !forgot && self.state.acknowledged_is_lost();
        let unquarantined = !forgot && self.state.quarantine_is_lost();
        for (is_broken, violation) in [
            (halted, Violation::DispatchInHalted),
            (against_mark, Violation::DispatchAgainstMark),
            (lost, Violation::AcknowledgedLost),
            (unquarantined, Violation::QuarantineLost),
        ] {
            if is_broken {
                self.broken(violation);
            }
        }
    }
}

impl State {
    /// Whether the database lacks an event that a host was told is committed.
    fn acknowledged_is_lost(&self) -> bool {
        let rows = &self.control.disk.host_rollouts;
        (0..HOSTS).any(|at| {
            let host = &self.hosts[at];
            host.disk.journals.iter().any(|journal| {
                let answered = journal.entries.iter().filter(|e| e.answer != Answer::Unanswered);
                let answered = answered.map(|e| e.entry.seq).max().unwrap_or(Seq(0));
                let row = rows.get(&(journal.rollout_id.clone(), host.name.clone()));
                let known = row.filter(|row| row.journal.journal_id() == Some(journal.journal_id));
                answered > known.map_or(Seq(0), |row| row.journal.last_seq())
            })
        })
    }

    fn quarantine_is_lost(&self) -> bool {
        let stored = self.control.disk.rows();
        let kept: Vec<_> = stored
            .quarantines
            .iter()
            .map(|row| (row.document.channel.clone(), row.document.closure.clone()))
            .collect();
        self.ghosts.quarantined.iter().any(|key| !kept.contains(key))
    }

    /// What is wrong with a state in which nothing moves any more, however long it takes.
    pub(crate) fn wrong_at_rest(&self) -> Option<Violation> {
        let process = self.control.process.as_ref()?;
        let fleet = process.core.fleet();
        let ended = |state| {
            matches!(
                state,
                RolloutState::Terminal
                    | RolloutState::Failed
                    | RolloutState::Reverted
                    | RolloutState::Superseded
            )
        };
        if fleet.rollouts.values().any(|r| !ended(r.state) && waiting_for(r).is_empty()) {
            return Some(Violation::StuckInSilence);
        }
        if self.acknowledged_is_lost() {
            return Some(Violation::AcknowledgedLost);
        }
        if self.quarantine_is_lost() {
            return Some(Violation::QuarantineLost);
        }
        let theirs: BTreeMap<_, _> = self
            .hosts
            .iter()
            .filter_map(|host| host.agent.as_ref())
            .flat_map(|agent| agent.records())
            .map(|record| ((&record.rollout_id, &record.host), record))
            .collect();
        let unequal =
            fleet.rollouts.values().flat_map(|r| r.placements.values()).any(|placement| {
                let ours = &placement.record;
                let theirs = theirs.get(&(&ours.rollout_id, &ours.host));
                // What the control plane does to its own record alone: it leaves a host out, and tries one
                // again that has failed.
                let own_fact = match ours.state {
                    HostState::Skipped => true,
                    HostState::Pending => theirs.is_none_or(|theirs| {
                        // A degraded one may be tried again, too.
                        let states = [
                            HostState::Pending,
                            HostState::Failed,
                            HostState::Reverted,
                            HostState::Converged,
                        ];
                        states.contains(&theirs.state)
                    }),
                    _ => false,
                };
                !own_fact && theirs.is_none_or(|theirs| comparable(ours) != comparable(theirs))
            });
        unequal.then_some(Violation::Unequal)
    }
}

/// A record without what only the control plane keeps.
fn comparable(record: &HostRecord) -> HostRecord {
    HostRecord { dispatched_at: None, synthetic: false, ..record.clone() }
}
