//! `wavegate simulate`.
//!
//! Not here: the simulation (see `wavegate_control_plane::forecast`), its words (see
//! [`crate::show::simulate`]).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use wavegate_control_plane::forecast::simulate::simulate;
use wavegate_control_plane::forecast::{Assumptions, Ending};
use wavegate_proto::time::Timestamp;

use super::percentage::share;
use super::reading::now;
use crate::exit::{ExitReason, Failure};
use crate::release::rehearse;
use crate::show;

/// Arguments of `wavegate simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The release; it need not be signed yet
    dir: PathBuf,
    /// How many of a hundred activations fail, such as 5%
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share)]
    fail: f64,
    /// How many of a hundred hosts are silent throughout, such as 10%
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share)]
    offline: f64,
    /// The same seed gives the same timeline
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When it is published, RFC 3339 in UTC; by default now
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// How often agents send heartbeats, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    heartbeat_secs: u64,
    /// Print timeline and end as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SimulateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let start = args.start.unwrap_or_else(now);
    let release = rehearse::read(&args.dir, start)?;
    let assumptions = Assumptions { seed: args.seed, fail: args.fail, offline: args.offline };
    let simulation = simulate(&release, start, args.heartbeat_secs, assumptions);
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&simulation)?)?;
    } else {
        write!(out, "{}", show::simulate::simulation(&simulation, assumptions))?;
    }
    let message = match simulation.ending {
        Ending::Terminal => return Ok(()),
        Ending::Halted => "a rollout halts",
        Ending::Waiting => "a rollout does not end by itself",
        Ending::BrokenOff => {
            "the simulation was broken off: it takes longer than a year of its own time, or more steps than it looks at"
        }
    };
    Err(Failure::new(ExitReason::Refused, message))
}
