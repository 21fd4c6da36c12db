//! The program under test, and its processes. They are killed when dropped, and when the test dies.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::until;

/// Asks the program to die with the thread that starts it.
const DIE_WITH_PARENT: &str = "WAVEGATE_DIE_WITH_PARENT";

/// The program, beside the folder of the test's own executable.
///
/// # Panics
/// When it has not been built.
pub fn wavegate() -> Command {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().filter(|folder| folder.ends_with("deps"));
    let program: PathBuf = deps.and_then(|deps| deps.parent()).unwrap().join("wavegate");
    assert!(
        program.is_file(),
        "{} is not there: run `cargo build --workspace --bins` before this test, or run it with \
         `cargo xtask test`",
        program.display()
    );
    let mut command = Command::new(program);
    command.env(DIE_WITH_PARENT, "1");
    command
}

/// A running process.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`; `name` is for messages.
    pub fn start(name: impl Into<String>, command: &mut Command) -> Self {
        let name = name.into();
        let child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self { child, name }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it writes to its stdout, when that is a pipe.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// `kill -9`, and gone.
    pub fn kill_9(mut self) {
        assert!(self.ended().is_none(), "{} ended before it was killed", self.name);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn end(&mut self, patience: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        until(&what, patience, || self.ended().ok_or_else(|| "it runs".to_owned()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
