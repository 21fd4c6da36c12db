//! The command line of the benchmarks.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Throughput of the real server over mTLS, beside a reference measured in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
pub struct Options {
    /// What to measure; everything when none is named.
    #[arg(ignore_case = true)]
    targets: Vec<Target>,
    /// A small fleet and a few seconds: shows that the benchmark works, not how fast anything is.
    #[arg(long)]
    quick: bool,
    /// How many hosts the fleet has.
    #[arg(long)]
    hosts: Option<usize>,
    /// How many connections, each with its own host's certificate.
    #[arg(long)]
    connections: Option<usize>,
    /// How many rounds each side gets.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a round takes, in seconds.
    #[arg(long)]
    seconds: Option<f64>,
    /// Serves instead of measuring: the benchmark starts itself so.
    #[arg(long, hide = true, requires = "dir")]
    pub serve: Option<Role>,
    /// The folder that the scene was made in.
    #[arg(long, hide = true)]
    pub dir: Option<PathBuf>,
    /// How many bytes the reference answers to a heartbeat.
    #[arg(long, hide = true, default_value_t = 0)]
    pub answer_bytes: usize,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Heartbeats a second.
    P1,
    /// Agent events made durable a second.
    P2,
}

/// What a server process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The control plane.
    Ours,
    /// The bare handler that it is compared with.
    Reference,
}

impl Role {
    /// As the command line names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Reference => "reference",
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Hosts of the fleet.
    pub hosts: usize,
    /// Connections, and hosts that speak.
    pub connections: usize,
    /// Rounds of each side.
    pub rounds: usize,
    /// How long a round takes.
    pub round: Duration,
}

impl Options {
    /// What to measure, in the order in which it is measured.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let wanted = |target: &Target| self.targets.is_empty() || self.targets.contains(target);
        [Target::P1, Target::P2].into_iter().filter(wanted).collect()
    }

    /// How much, by the flags over the defaults.
    #[must_use]
    pub fn size(&self) -> Size {
        let (hosts, connections, rounds, seconds) =
            if self.quick { (200, 8, 3, 0.3) } else { (100_000, 64, 9, 3.0) };
        let connections = self.connections.unwrap_or(connections).max(1);
        Size {
            hosts: self.hosts.unwrap_or(hosts).max(connections + 1),
            connections,
            rounds: self.rounds.unwrap_or(rounds).max(1),
            round: Duration::from_secs_f64(self.seconds.unwrap_or(seconds).max(0.05)),
        }
    }
}
