//! From a started unit to what it has left: waiting for its exit, ending one that hangs.
//!
//! Not here: the unit itself (see `unit`), whether to switch at all (see `super`).

use std::time::Duration;

use tokio::time::Instant;
use wavegate_proto::event::FailureClass;

use super::super::backend::Failure;
use super::Concluded;
use super::programs::Programs;
use super::record::{SwitchRecord, UnderWay};
use super::system::{StorePath, System};
use super::unit::{Exit, SwitchUnit, UnitState, Verb};
use crate::resources::engine::Direction;
use crate::resources::error::{Doing as _, ResourceError};
use crate::resources::host::Host;

/// How often the unit is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long a unit that was killed may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(30);

/// `switch-to-configuration` ends with this when the system can only be booted.
const NEEDS_REBOOT: i32 = 100;

/// What a switch works with.
pub(super) struct Switching<'a> {
    pub(super) system: &'a System,
    pub(super) programs: &'a Programs,
    pub(super) record: &'a SwitchRecord,
    pub(super) host: &'a Host,
}

/// A unit that an agent before this one started, and that has ended now.
pub(super) struct Earlier {
    pub(super) verb: Verb,
    pub(super) ended: EndedUnit,
}

/// How a unit ended.
pub(super) struct EndedUnit {
    exit: Exit,
    name: String,
    last_words: String,
}

fn failed(class: FailureClass, reason: &str, detail: String) -> Failure {
    Failure { class, reason: reason.to_owned(), detail, exit_code: None }
}

impl Switching<'_> {
    /// Waits for the unit that was under way when an agent ended. `None`: there is none, or it was not
    /// what is wanted now.
    pub(super) async fn await_earlier(
        &self,
        target: &StorePath,
        direction: Direction,
        deadline: Instant,
    ) -> Result<Option<Earlier>, Failure> {
        let act = ResourceError::io("read", "switching.json");
        let Some(left) = self.record.of_this_boot().doing(act)? else {
            self.close()?;
            return Ok(None);
        };
        let UnderWay { verb, to, unit, .. } = left;
        let unit = SwitchUnit::named(self.programs, unit);
        if self.until_known(&unit, deadline).await? == UnitState::Gone {
            self.close()?;
            return Ok(None);
        }
        tracing::info!(unit = unit.name(), "a switch is under way: waiting for its end");
        let is_wanted = to == *target && (direction == Direction::Forward || verb == Verb::Switch);
        let ended = self.until_ended(&unit, deadline).await;
        match ended {
            Ok(ended) if is_wanted => Ok(Some(Earlier { verb, ended })),
            Ok(_) => Ok(None),
            Err(failure) if is_wanted || failure.class == FailureClass::Host => Err(failure),
            Err(_killed) => Ok(None),
        }
    }

    /// Starts the unit and waits for its exit.
    pub(super) async fn run(
        &self,
        verb: Verb,
        target: &StorePath,
        deadline: Instant,
    ) -> Result<EndedUnit, Failure> {
        let unit = SwitchUnit::new(self.programs, verb, target);
        let act = ResourceError::io("write", "switching.json");
        let from = self.system.current().doing(act)?;
        self.host.intend_change()?;
        self.record.open(unit.name(), verb, from, target.clone()).doing(act)?;
        let started = unit.start(&self.system.switch_program(target), verb).await?;
        // What counts is whether the unit is there, not what the program that made it says.
        if !started.is_success() && self.until_known(&unit, deadline).await? == UnitState::Gone {
            self.close()?;
            let detail = format!("{} was not started: {}", unit.name(), started.tail());
            return Err(failed(FailureClass::Host, "switch-not-started", detail));
        }
        self.host.note_change();
        self.until_ended(&unit, deadline).await
    }

    /// Judges what the unit has left.
    pub(super) fn conclude(
        &self,
        verb: Verb,
        target: &StorePath,
        ended: EndedUnit,
    ) -> Result<Concluded, Failure> {
        let EndedUnit { exit, name, last_words } = ended;
        let act = ResourceError::io("read", "what runs now");
        match (exit, verb) {
            (Exit::Code(0), Verb::Boot) => Ok(Concluded::Staged),
            (Exit::Code(0), Verb::Switch) => {
                let runs = self.system.current().doing(act)?;
                if runs == *target {
                    return Ok(Concluded::Switched);
                }
                let detail = format!("the switch ended well, and {runs} runs");
                let half = failed(FailureClass::Artifact, "switch-incomplete", detail);
                Err(Failure { exit_code: Some(0), ..half })
            }
            (Exit::Code(NEEDS_REBOOT), Verb::Switch) => Ok(Concluded::NeedsReboot),
            (Exit::Code(code), Verb::Switch | Verb::Boot) => {
                let ended = failed(FailureClass::Artifact, "switch-failed", last_words);
                Err(Failure { exit_code: Some(code), ..ended })
            }
            (Exit::Killed(how), Verb::Switch | Verb::Boot) => {
                let detail = format!("{name} ended by {how}; {last_words}");
                Err(failed(FailureClass::Host, "switch-killed", detail))
            }
        }
    }

    /// How the unit is, as soon as systemd says so.
    async fn until_known(
        &self,
        unit: &SwitchUnit<'_>,
        deadline: Instant,
    ) -> Result<UnitState, Failure> {
        loop {
            if let Some(state) = unit.look().await? {
                return Ok(state);
            }
            if Instant::now() >= deadline {
                let detail = format!("systemd does not say how {} is", unit.name());
                return Err(failed(FailureClass::Host, "systemd-unreachable", detail));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for the exit of the unit, whatever the links of the system say meanwhile. The record goes
    /// when the exit is known.
    async fn until_ended(
        &self,
        unit: &SwitchUnit<'_>,
        deadline: Instant,
    ) -> Result<EndedUnit, Failure> {
        loop {
            match self.until_known(unit, deadline).await? {
                UnitState::Ended(exit) => {
                    let last_words = match exit {
                        Exit::Code(0) => String::new(),
                        Exit::Code(_) | Exit::Killed(_) => unit.last_words().await,
                    };
                    unit.forget().await?;
                    self.close()?;
                    return Ok(EndedUnit { exit, name: unit.name().to_owned(), last_words });
                }
                UnitState::Gone => {
                    self.close()?;
                    let detail = format!("{} was taken away before its end was seen", unit.name());
                    return Err(failed(FailureClass::Host, "switch-lost", detail));
                }
                UnitState::AtWork if Instant::now() >= deadline => {
                    return Err(self.end_hanging(unit).await?);
                }
                UnitState::AtWork => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Nothing else may begin while it is still at work.
    async fn end_hanging(&self, unit: &SwitchUnit<'_>) -> Result<Failure, Failure> {
        tracing::error!(unit = unit.name(), "the switch takes too long: it is ended");
        let words = unit.last_words().await;
        let killed_by = Instant::now() + KILL_TIME;
        while Instant::now() < killed_by {
            unit.kill().await?;
            match self.until_known(unit, killed_by).await? {
                UnitState::AtWork => tokio::time::sleep(LOOK_EVERY).await,
                UnitState::Ended(_) | UnitState::Gone => {
                    unit.forget().await?;
                    self.close()?;
                    return Ok(failed(FailureClass::Artifact, "switch-timeout", words));
                }
            }
        }
        let detail = format!("{} could not be ended", unit.name());
        Err(failed(FailureClass::Host, "switch-runs-on", detail))
    }

    fn close(&self) -> Result<(), Failure> {
        Ok(self.record.close().doing(ResourceError::io("remove", "switching.json"))?)
    }
}
