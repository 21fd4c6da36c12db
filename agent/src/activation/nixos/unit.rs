//! The unit a switch runs in, and how it ended.
//!
//! It is a service of systemd's own, outside the agent's: a switch restarts units, the agent's among them. It
//! remains after its exit, so that an agent that was away still learns the exit code; the agent takes it
//! away after that.
//! Not here: what follows from its end (see `switch`).

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::backend::Failure;
use super::programs::{Ended, Programs};
use super::system::StorePath;
use crate::clock;

/// How many lines of its journal go with a failure.
const JOURNAL_LINES: &str = "--lines=20";

/// What `switch-to-configuration` is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verb {
    /// Run it now, and boot it from now on.
    Switch,
    /// Boot it from now on.
    Boot,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Boot => "boot",
        }
    }
}

/// How a unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UnitState {
    /// systemd knows none of that name.
    Gone,
    /// Queued or at work.
    AtWork,
    /// Its program has ended.
    Ended(Exit),
}

/// How the program of a unit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// By itself.
    Code(i32),
    /// Somebody else ended it; in systemd's words.
    Killed(String),
}

/// One switch's unit.
pub(super) struct SwitchUnit<'a> {
    programs: &'a Programs,
    name: String,
}

impl<'a> SwitchUnit<'a> {
    /// A unit that does `verb` for `target`. Each has a name of its own: systemd may remember one that is
    /// over for longer than it takes to start the next, and then refuses its name.
    pub(super) fn new(programs: &'a Programs, verb: Verb, target: &StorePath) -> Self {
        let (verb, hash, now) = (verb.as_str(), target.hash(), clock::wall().unix_millis());
        Self { programs, name: format!("wavegate-{verb}-{hash}-{now}.service") }
    }

    /// The unit of this name.
    pub(super) fn named(programs: &'a Programs, name: String) -> Self {
        Self { programs, name }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it.
    pub(super) async fn start(&self, program: &Path, verb: Verb) -> Result<Ended, Failure> {
        let words = [
            format!("--unit={}", self.name),
            "--description=Wavegate switches the system".to_owned(),
            "--no-block".to_owned(),
            "--no-ask-password".to_owned(),
            "--quiet".to_owned(),
            "--remain-after-exit".to_owned(),
            "--".to_owned(),
            program.display().to_string(),
            verb.as_str().to_owned(),
        ];
        self.programs.run("systemd-run", &words).await
    }

    /// Looks at it. `None`: systemd gave no answer, as while it starts itself anew.
    pub(super) async fn look(&self) -> Result<Option<UnitState>, Failure> {
        const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState,Job,Result,\
                                  InvocationID,ExecMainCode,ExecMainStatus";
        let ended = self.systemctl(&["show", PROPERTIES]).await?;
        Ok(ended.is_success().then(|| read_state(ended.stdout())).flatten())
    }

    /// Ends it at once with everything it has started.
    pub(super) async fn kill(&self) -> Result<(), Failure> {
        self.systemctl(&["kill", "--signal=SIGKILL"]).await?;
        Ok(())
    }

    /// Lets systemd forget it, with its exit code.
    pub(super) async fn forget(&self) -> Result<(), Failure> {
        self.systemctl(&["stop"]).await?;
        // Only one that failed has to be told; of others systemd knows nothing any more.
        self.systemctl(&["reset-failed"]).await?;
        Ok(())
    }

    /// The end of what it wrote; nothing where there is no journal.
    pub(super) async fn last_words(&self) -> String {
        let words = [format!("--unit={}", self.name), JOURNAL_LINES.to_owned()];
        let format = ["--boot", "--output=cat", "--no-pager", "--quiet"].map(str::to_owned);
        let read = self.programs.run("journalctl", &[&words[..], &format].concat()).await;
        read.map(|ended| ended.stdout().trim().to_owned()).unwrap_or_default()
    }

    async fn systemctl(&self, words: &[&str]) -> Result<Ended, Failure> {
        let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        all.push(self.name.clone());
        self.programs.run("systemctl", &all).await
    }
}

/// What `systemctl show` has written; `None`: no answer.
fn read_state(text: &str) -> Option<UnitState> {
    let properties: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once('=')).collect();
    let of = |name: &str| properties.get(name).copied().unwrap_or_default();
    let (load, active, sub) = (of("LoadState"), of("ActiveState"), of("SubState"));
    if load.is_empty() || active.is_empty() {
        return None;
    }
    let is_queued = !matches!(of("Job"), "" | "0");
    Some(match active {
        "failed" => UnitState::Ended(exit(of("Result"), of("ExecMainCode"), of("ExecMainStatus"))),
        "active" if sub == "exited" => UnitState::Ended(Exit::Code(0)),
        "inactive" if !is_queued => UnitState::Gone,
        _ => UnitState::AtWork,
    })
}

/// `ExecMainCode` is that of `siginfo_t`; 1 stands for a program that ended by itself.
fn exit(result: &str, code: &str, status: &str) -> Exit {
    match (code, status.parse()) {
        ("1", Ok(status)) if status != 0 => Exit::Code(status),
        (_, Ok(_) | Err(_)) => Exit::Killed(result.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_unit_is_read_from_its_properties() {
        let cases = [
            ("not-found", "inactive", "dead", "", "success", "0", "0", Some(UnitState::Gone)),
            ("loaded", "inactive", "dead", "77", "success", "0", "0", Some(UnitState::AtWork)),
            ("loaded", "inactive", "dead", "", "success", "1", "0", Some(UnitState::Gone)),
            ("loaded", "activating", "start", "", "success", "0", "0", Some(UnitState::AtWork)),
            ("loaded", "active", "running", "", "success", "0", "0", Some(UnitState::AtWork)),
            ("loaded", "deactivating", "stop", "", "success", "0", "0", Some(UnitState::AtWork)),
            ("loaded", "active", "exited", "", "success", "1", "0", code(0)),
            ("loaded", "failed", "failed", "", "exit-code", "1", "4", code(4)),
            ("loaded", "failed", "failed", "", "signal", "2", "9", killed("signal")),
            ("loaded", "failed", "failed", "", "oom-kill", "2", "9", killed("oom-kill")),
            ("loaded", "failed", "failed", "", "resources", "0", "0", killed("resources")),
            ("", "", "", "", "", "", "", None),
        ];
        for (load, active, sub, job, result, code, status, wanted) in cases {
            let text = format!(
                "LoadState={load}\nActiveState={active}\nSubState={sub}\nJob={job}\nResult={result}\n\
                 ExecMainCode={code}\nExecMainStatus={status}\n"
            );
            assert_eq!(read_state(&text), wanted, "{text}");
        }
    }

    fn code(code: i32) -> Option<UnitState> {
        Some(UnitState::Ended(Exit::Code(code)))
    }

    fn killed(result: &str) -> Option<UnitState> {
        Some(UnitState::Ended(Exit::Killed(result.to_owned())))
    }
}
