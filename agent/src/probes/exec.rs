//! `kind = "exec"`: passes when a program ends with the expected exit code.
//!
//! No shell, an empty environment but for `PATH`, `WAVEGATE_ROOT` and what is declared, working
//! folder `/`, no input, its own process group. However the check ends, the whole group is killed;
//! output beyond 64 KiB is read and thrown away, so nobody blocks on a full pipe.
//! Not here: programs that leave their process group on purpose, which only a cgroup would catch.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::{CheckResult, MAX_OUTPUT_BYTES, RootExec, timed_out};
use crate::resources::accounts::{Accounts, User};

/// Where programs are looked for.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long output may still come after the group was killed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// As whom a program runs.
pub(super) enum Identity {
    /// As the agent itself, which is not root and cannot choose.
    Own,
    /// As this user, without further groups.
    Other(User),
}

/// A program to run.
pub(super) struct Program<'a> {
    pub(super) argv: &'a [String],
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) root: &'a Path,
    /// As whom, or why not at all.
    pub(super) identity: Result<Identity, String>,
}

/// As whom a program declared for `user` runs.
pub(super) fn identity(
    accounts: &Accounts,
    user: &str,
    root_exec: RootExec,
) -> Result<Identity, String> {
    if !geteuid().is_root() {
        return Ok(Identity::Own);
    }
    let found = accounts.user(user).map_err(|error| error.to_string())?;
    if found.uid == 0 && root_exec == RootExec::Refused {
        return Err("exec checks may not run as root on this host".to_owned());
    }
    Ok(Identity::Other(found))
}

/// Kills a process group when it goes out of scope.
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(group) = self.0 {
            // No such group: all have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the program and compares its exit code.
pub(super) async fn ask(program: Program<'_>, expect_exit: i32, timeout: Duration) -> CheckResult {
    let name = program.argv.first().cloned().unwrap_or_default();
    let mut command = match command(program) {
        Ok(command) => command,
        Err(reason) => return CheckResult::fail(reason),
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return CheckResult::fail(format!("start {name:?}: {error}")),
    };
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let group = Group(id.and_then(Pid::from_raw));
    let mut stdout = spawn_reader(child.stdout.take());
    let mut stderr = spawn_reader(child.stderr.take());
    let ended = tokio::time::timeout(timeout, child.wait()).await;
    group.kill();
    let result = match ended {
        Ok(Ok(status)) => {
            let mut tail = last_words(&mut stderr).await;
            if tail.is_empty() {
                tail = last_words(&mut stdout).await;
            }
            judge(status, expect_exit, &tail)
        }
        Ok(Err(error)) => CheckResult::fail(format!("wait for {name:?}: {error}")),
        Err(_) => {
            // Killed just now: this reaps it.
            let _ = child.wait().await;
            timed_out(timeout)
        }
    };
    stdout.abort();
    stderr.abort();
    result
}

fn command(program: Program<'_>) -> Result<Command, String> {
    let (name, arguments) = program.argv.split_first().ok_or("argv is empty")?;
    let identity = program.identity?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("WAVEGATE_ROOT", program.root)
        .envs(program.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Identity::Other(user) = identity {
        // Setting the user as root also drops the supplementary groups.
        command.uid(user.uid).gid(user.gid);
    }
    Ok(command)
}

type Reader = tokio::task::JoinHandle<Vec<u8>>;

fn spawn_reader(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Reader {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        let Some(mut pipe) = pipe else { return kept };
        let mut buffer = vec![0; 8 * 1024];
        while let Ok(read) = pipe.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            let room = MAX_OUTPUT_BYTES - kept.len();
            kept.extend_from_slice(&buffer[..read.min(room)]);
        }
        kept
    })
}

/// The last line that was written, cut to a readable length.
async fn last_words(reader: &mut Reader) -> String {
    let Ok(Ok(output)) = tokio::time::timeout(LAST_WORDS, reader).await else {
        return String::new();
    };
    let text = String::from_utf8_lossy(&output);
    text.trim().lines().next_back().unwrap_or_default().chars().take(200).collect()
}

fn judge(status: ExitStatus, expect_exit: i32, tail: &str) -> CheckResult {
    if status.code() == Some(expect_exit) {
        return CheckResult::pass();
    }
    let what = match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    };
    let colon = if tail.is_empty() { "" } else { ": " };
    CheckResult::fail(format!("{what}{colon}{tail}"))
}
