//! The program under test, and its processes. They are killed when dropped, and when the test dies.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::until;

/// Asks the program to die with the thread that starts it.
const DIE_WITH_PARENT: &str = "WAVEGATE_DIE_WITH_PARENT";

/// What has to be there.
const PROGRAMS: [&str; 3] = ["wavegate", "wavegate-cp", "wavegate-agent"];

/// The folder of the programs: beside the tests, built in one go with them.
///
/// # Panics
/// When one of them was not built.
#[must_use]
pub fn folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/TEST, or target/release/bench
    let beside = test.parent().unwrap();
    let is_deps = beside.file_name().is_some_and(|name| name == "deps");
    let folder = if is_deps { beside.parent().unwrap() } else { beside }.to_owned();
    for program in PROGRAMS {
        let path = folder.join(program);
        assert!(
            path.is_file(),
            "{} is not there: run `cargo build --workspace --bins` before this test, or run it with \
             `cargo xtask test`",
            path.display()
        );
    }
    folder
}

/// One of the programs, to be started; it dies with the test where it can.
///
/// # Panics
/// As [`folder`].
#[must_use]
pub fn program(name: &str) -> Command {
    dies_with_us(Command::new(folder().join(name)))
}

/// The command of a program that dies with the test.
#[must_use]
pub fn dies_with_us(mut command: Command) -> Command {
    command.env(DIE_WITH_PARENT, "1");
    command
}

/// `wavegate`, to be started.
///
/// # Panics
/// As [`folder`].
#[must_use]
pub fn wavegate() -> Command {
    program("wavegate")
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
