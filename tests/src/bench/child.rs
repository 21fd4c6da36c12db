//! A server in a process of its own: started, measured, stopped.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::memory;
use super::options::Role;

/// A server process. Dropped, it is killed.
pub(super) struct Server {
    process: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts this program as `role` with further arguments, and waits until it listens.
    pub(super) fn start(role: Role, dir: &Path, arguments: &[String]) -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut process = Command::new(program)
            .args(["--serve", role.as_str(), "--dir"])
            .arg(dir)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start the server {}", role.as_str()))?;
        let stdout = process.stdout.take().context("its stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening ").map(str::parse);
        match address {
            Some(Ok(address)) => Ok(Self { process, address }),
            Some(Err(_)) | None => {
                let _already_gone = process.kill();
                bail!("the server {} said {line:?}", role.as_str())
            }
        }
    }

    /// The time its threads have spent on a core; `None` where the kernel does not say.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        cpu_time(self.process.id())
    }

    /// What it holds in memory.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        memory::resident_bytes(&self.process.id().to_string())
    }

    /// Lets it stop in order.
    pub(super) fn stop(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { bail!("a server ended with {status}") }
    }
}

/// The time a process has spent on a core, its threads that have ended too, in steps of a hundredth of a second;
/// `None` where the kernel does not say.
pub(super) fn cpu_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program stands in parentheses, and may have any character in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<_, _>>().ok()?;
    Some(Duration::from_millis(10) * ticks)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped already, most of the time.
        let _already_gone = self.process.kill();
        let _already_waited = self.process.wait();
    }
}
