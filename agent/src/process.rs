//! Running a program: no shell, an empty environment but for `PATH`, `WAVEGATE_ROOT` and what is given,
//! working folder `/`, no input, its own process group.
//!
//! However it ends, the whole group is killed. Of its outputs the last bytes are kept, the rest is read
//! and thrown away, so nobody blocks on a full pipe.
//! Not here: programs that leave their process group on purpose, which only a cgroup would catch.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::resources::accounts::User;

/// Where programs are looked for; the last is NixOS's only one.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\
                           :/run/current-system/sw/bin";

/// How long output may still come after the group was killed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A program to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program<'a> {
    /// The program and its arguments.
    pub(crate) argv: &'a [String],
    /// Its environment, beside `PATH` and `WAVEGATE_ROOT`.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// What a bundle's `/` stands for.
    pub(crate) root: &'a Path,
    /// Without further groups; the agent's own user when there is none.
    pub(crate) user: Option<User>,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// How many of the last bytes of each output are kept.
    pub(crate) keep_bytes: usize,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its status; `None` when its time was over and it was killed.
    pub(crate) status: Option<ExitStatus>,
    /// The end of its output.
    pub(crate) stdout: String,
    /// The end of its complaints.
    pub(crate) stderr: String,
}

impl Ended {
    /// The last line it wrote, complaints first, cut to a readable length.
    pub(crate) fn last_words(&self) -> String {
        let last = |text: &str| text.trim().lines().next_back().map(str::to_owned);
        let line = last(&self.stderr).or_else(|| last(&self.stdout)).unwrap_or_default();
        line.chars().take(200).collect()
    }
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

/// Runs the program to its end. Dropped before, it leaves nothing running.
///
/// # Errors
/// When it could not be started, and so has done nothing.
pub(crate) async fn run(program: Program<'_>) -> io::Result<Ended> {
    let mut child = command(program)?.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let group = Group(id.and_then(Pid::from_raw));
    let mut stdout = spawn_reader(child.stdout.take(), program.keep_bytes);
    let mut stderr = spawn_reader(child.stderr.take(), program.keep_bytes);
    let ended = tokio::time::timeout(program.timeout, child.wait()).await;
    group.kill();
    let status = match ended {
        Ok(status) => Some(status?),
        Err(_) => {
            // Killed just now: this reaps it.
            let _ = child.wait().await;
            None
        }
    };
    let (stdout, stderr) = (last_words(&mut stdout).await, last_words(&mut stderr).await);
    Ok(Ended { status, stdout, stderr })
}

fn command(program: Program<'_>) -> io::Result<Command> {
    let Some((name, arguments)) = program.argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "argv is empty"));
    };
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
    if let Some(user) = program.user {
        // Setting the user as root also drops the supplementary groups.
        command.uid(user.uid).gid(user.gid);
    }
    Ok(command)
}

type Reader = tokio::task::JoinHandle<Vec<u8>>;

fn spawn_reader(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, keep: usize) -> Reader {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        let Some(mut pipe) = pipe else { return kept };
        let mut buffer = vec![0; 8 * 1024];
        while let Ok(read) = pipe.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            kept.extend_from_slice(&buffer[..read]);
            let surplus = kept.len().saturating_sub(keep);
            kept.drain(..surplus);
        }
        kept
    })
}

/// What was read; nothing when somebody who left the group still holds the pipe.
async fn last_words(reader: &mut Reader) -> String {
    let read = tokio::time::timeout(LAST_WORDS, &mut *reader).await;
    reader.abort();
    match read {
        Ok(Ok(output)) => String::from_utf8_lossy(&output).into_owned(),
        Ok(Err(_)) | Err(_) => String::new(),
    }
}
