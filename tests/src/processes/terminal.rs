//! A terminal: a shell that keeps its folder, its variables and its background jobs from one command to
//! the next. Whatever was started in it is gone when it is dropped.
//!
//! Not here: what is typed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// What the shell says between two commands.
const PROMPT: &str = "the-shell-is-ready";

/// A terminal.
pub struct Terminal {
    shell: Child,
    keyboard: ChildStdin,
    screen: Receiver<String>,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its exit code.
    pub code: i32,
    /// What appeared on the screen meanwhile, stdout and stderr in the order in which they came.
    pub printed: String,
}

impl Terminal {
    /// Opens one in `folder`.
    ///
    /// # Panics
    /// When there is no shell.
    #[must_use]
    pub fn open(folder: &Path, environment: &BTreeMap<String, String>) -> Self {
        let mut shell = Command::new("sh")
            .current_dir(folder)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Of its own, so that all of it can be ended.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut keyboard = shell.stdin.take().unwrap();
        let output = BufReader::new(shell.stdout.take().unwrap());
        keyboard.write_all(b"exec 2>&1\n").unwrap();
        let (lines, screen) = channel();
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { shell, keyboard, screen }
    }

    /// Types a command and waits until it has ended.
    ///
    /// # Panics
    /// When it takes longer than `patience`, or the shell ends.
    pub fn run(&mut self, command: &str, patience: Duration) -> Done {
        let deadline = Instant::now() + patience;
        // The line end before the prompt ends a line that the command has left open.
        let typed = format!("{{ {command}\n}} < /dev/null\nprintf '\\n{PROMPT} %d\\n' $?\n");
        self.keyboard.write_all(typed.as_bytes()).unwrap();
        let mut printed = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.screen.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("`{command}` does not end: {printed}"),
                Err(RecvTimeoutError::Disconnected) => panic!("`{command}` ended the shell"),
            };
            if let Some(code) = line.strip_prefix(PROMPT) {
                return Done { code: code.trim().parse().unwrap(), printed };
            }
            printed.push_str(&line);
            printed.push('\n');
        }
    }

    /// Waits until `enough` of what appears, also from jobs in the background; returns all of it.
    pub fn read_until(&self, enough: impl Fn(&str) -> bool, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let mut printed = String::new();
        while !enough(&printed) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.screen.recv_timeout(left) else { break };
            printed.push_str(&line);
            printed.push('\n');
        }
        printed
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let group = i32::try_from(self.shell.id()).ok().and_then(Pid::from_raw);
        // The shell may have ended, with all its jobs.
        let _ended = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ended = self.shell.wait();
    }
}
