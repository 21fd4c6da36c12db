//! `wavegate init`.
//!
//! Not here: what it makes (see [`crate::init`]).

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use wavegate_proto::ids::FleetName;

use crate::exit::Failure;
use crate::init::{InitOptions, init};

/// Arguments of `wavegate init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// A new or empty folder
    dir: PathBuf,
    /// How many hosts
    #[arg(long, default_value_t = 3)]
    hosts: u32,
    /// The fleet's name
    #[arg(long, default_value = "demo")]
    fleet: FleetName,
    /// A name or address of the control plane beside this machine's; may be repeated
    #[arg(long = "server-name", value_name = "NAME|IP")]
    server_names: Vec<String>,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let report = init(&InitOptions {
        dir: args.dir.clone(),
        hosts: args.hosts,
        fleet: args.fleet.clone(),
        server_names: args.server_names.clone(),
        now: SystemTime::now(),
    })?;
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&report)?)?);
    }
    writeln!(
        out,
        "Made fleet {} with {} hosts in {}.\n",
        report.fleet,
        report.hosts.len(),
        report.dir.display()
    )?;
    Ok(write!(out, "{}", report.next)?)
}
