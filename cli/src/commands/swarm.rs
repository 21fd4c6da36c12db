//! `wavegate swarm`.
//!
//! Not here: the swarm (see [`crate::swarm`]).

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wavegate_proto::ids::HostName;

use super::percentage::share;
use crate::exit::{ExitReason, Failure};
use crate::keys::ca::CertificateAuthority;
use crate::keys::{file, trust};
use crate::release::unsigned;
use crate::swarm::{self, Behaviour, Length, Swarm};

/// Arguments of `wavegate swarm`.
#[derive(Debug, Args)]
pub struct SwarmArgs {
    /// How many agents; they take the first names of the release
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    agents: u32,
    /// Leave out so many names first, for a swarm of several processes
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u32,
    /// Address of the control plane: https://…
    #[arg(long, env = "WAVEGATE_URL", value_name = "URL")]
    url: String,
    /// The release that names the hosts
    #[arg(long, value_name = "DIR")]
    release: PathBuf,
    /// The folder of the fleet's authority, with its key: every agent gets a certificate of its own
    #[arg(long, value_name = "DIR")]
    ca_dir: PathBuf,
    /// The fleet's trust file
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    secs: u64,
    /// End sooner, once nothing has been under way on any host for five seconds
    #[arg(long)]
    until_settled: bool,
    /// How many of a hundred activations are unhealthy
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share)]
    fail: f64,
    /// How many of a hundred agents never speak
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share)]
    offline: f64,
    /// How many of a hundred requests are lost
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share)]
    loss: f64,
    /// How much longer each request takes, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    latency_ms: u64,
    /// The longest an activation takes, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    activation_ms: u64,
    /// Kill each agent and start it again, on average after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    restart_every_secs: Option<u64>,
    /// Cut every connection at once after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    storm: Option<u64>,
    /// The same seed, the same fate of every host
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SwarmArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let time = Duration::from_secs(args.secs);
    let swarm = Swarm {
        url: args.url.clone(),
        roots_pem: file::read_text(&args.ca_dir.join("ca.pem"))?,
        authority: CertificateAuthority::read(&args.ca_dir)?,
        trust: trust::read(&args.trust)?,
        hosts: hosts(args)?,
        behaviour: Behaviour {
            seed: args.seed,
            fail: args.fail,
            offline: args.offline,
            loss: args.loss,
            latency: Duration::from_millis(args.latency_ms),
            activation: Duration::from_millis(args.activation_ms),
            restart_every: args.restart_every_secs.map(Duration::from_secs),
            storm_after: args.storm.map(Duration::from_secs),
        },
        length: if args.until_settled { Length::Settled(time) } else { Length::Time(time) },
    };
    let report = swarm::run(swarm)?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    if report.is_sound() {
        return Ok(());
    }
    Err(Failure::new(ExitReason::Refused, "a host is not where its own record says"))
}

/// The names of the swarm's hosts.
fn hosts(args: &SwarmArgs) -> Result<Vec<HostName>, Failure> {
    let fleet = unsigned::read_fleet(&args.release)?;
    let (skip, agents) = (args.skip as usize, args.agents as usize);
    let known = fleet.hosts.len();
    let hosts: Vec<HostName> = fleet.hosts.into_keys().skip(skip).take(agents).collect();
    if hosts.len() == agents {
        return Ok(hosts);
    }
    let message =
        format!("{agents} agents after the first {skip}, and the release has {known} hosts");
    Err(Failure::usage(message)
        .with_hint("list more hosts in fleet.toml, or in the file of hosts_from"))
}
