//! The command line of the benchmarks.
//!
//! Not here: what the targets are (see `docs/performance.md`).

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use wavegate_control_plane::config::Limits;

/// What the control plane bears: the real server over mTLS beside a reference measured in the same run, and
/// its core and store alone.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
pub struct Options {
    /// What to measure; everything but `growth` when none is named.
    #[arg(ignore_case = true)]
    targets: Vec<Target>,
    /// A small fleet and a few seconds: shows that the benchmark works, not how fast anything is.
    #[arg(long)]
    pub quick: bool,
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
    /// How many cores it keeps to, with what it starts; the targets are for two. 0: all.
    #[arg(long, default_value_t = 2)]
    pub cores: usize,
    /// The agent that P9 looks at; the one beside this program by default.
    #[arg(long)]
    pub agent: Option<PathBuf>,
    /// With `growth`: where its picture goes, as SVG.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Adds each line to this file as JSON, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Serves instead of measuring: the benchmark starts itself so.
    #[arg(long, hide = true, requires = "dir")]
    pub serve: Option<Role>,
    /// The folder that the scene was made in.
    #[arg(long, hide = true)]
    pub dir: Option<PathBuf>,
    /// Does what is counted instead of measuring: the benchmark starts itself so, under callgrind.
    #[arg(long, hide = true)]
    pub count: Option<Counted>,
    /// How many bytes the reference answers to a heartbeat.
    #[arg(long, hide = true, default_value_t = 0)]
    pub answer_bytes: usize,
    /// How many bytes a second the control plane lets go out.
    #[arg(long, hide = true, default_value_t = Limits::default().download_bytes_per_second)]
    pub download_bytes_per_second: u32,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Heartbeats a second.
    P1,
    /// Agent events made durable a second.
    P2,
    /// Instructions of a heartbeat and of an event as the fleet grows.
    P3,
    /// Planning with nothing to do, and for the first time.
    P4,
    /// Everything back after a wiped database.
    P5,
    /// A start with a long log.
    P6,
    /// Memory.
    P7,
    /// Everybody at once after an outage, and after the database was lost.
    P8,
    /// An agent that has nothing to do.
    P9,
    /// From the last host of a wave to the dispatches of the next.
    P10,
    /// What a connection costs, with a whole handshake and resumed.
    Handshakes,
    /// How long heartbeats and events take while content goes out to everybody.
    Downloads,
    /// What everything costs at a thousand hosts and up to a million.
    Growth,
}

impl Target {
    const BY_DEFAULT: [Self; 12] = [
        Self::P1,
        Self::P2,
        Self::P7,
        Self::Handshakes,
        Self::Downloads,
        Self::P3,
        Self::P4,
        Self::P5,
        Self::P6,
        Self::P8,
        Self::P9,
        Self::P10,
    ];

    /// Whether it needs the servers over mTLS that some of them share.
    #[must_use]
    pub fn needs_servers(self) -> bool {
        match self {
            Self::P1 | Self::P2 | Self::P7 | Self::Handshakes => true,
            Self::Downloads
            | Self::P3
            | Self::P4
            | Self::P5
            | Self::P6
            | Self::P8
            | Self::P9
            | Self::P10
            | Self::Growth => false,
        }
    }
}

/// Whose instructions are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Counted {
    /// Heartbeats of hosts that have nothing new.
    Heartbeats,
    /// Results of probes.
    Events,
}

impl Counted {
    /// As the command line names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeats => "heartbeats",
            Self::Events => "events",
        }
    }
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
    /// Further hosts, which only wait.
    pub waiting: usize,
    /// Bytes of what those are to have; with 0 nothing is to be fetched.
    pub asset_bytes: usize,
    /// Rounds of each side.
    pub rounds: usize,
    /// How long a round takes.
    pub round: Duration,
}

impl Options {
    /// What to measure, in the order in which it is measured.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        if self.targets.is_empty() { Target::BY_DEFAULT.to_vec() } else { self.targets.clone() }
    }

    /// The fleets that `growth` looks at.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        match (self.hosts, self.quick) {
            (Some(hosts), _) => vec![hosts],
            (None, true) => vec![200, 1_000],
            (None, false) => vec![1_000, 10_000, 100_000, 1_000_000],
        }
    }

    /// How many agents of a swarm, unless it is said.
    #[must_use]
    pub fn swarm(&self, hosts: usize) -> usize {
        self.hosts.unwrap_or(if self.quick { 40 } else { hosts })
    }

    /// How much, by the flags over the defaults.
    #[must_use]
    pub fn size(&self) -> Size {
        let (hosts, connections, rounds, seconds) =
            if self.quick { (200, 8, 3, 0.3) } else { (100_000, 64, 9, 3.0) };
        let connections = self.connections.unwrap_or(connections).max(1);
        let waiting = if self.quick { 20 } else { 1_000 };
        Size {
            hosts: self.hosts.unwrap_or(hosts).max(connections + waiting),
            connections,
            waiting,
            asset_bytes: 0,
            rounds: self.rounds.unwrap_or(rounds).max(1),
            round: Duration::from_secs_f64(self.seconds.unwrap_or(seconds).max(0.05)),
        }
    }
}
