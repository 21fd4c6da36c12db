//! `wavegate release windows`.
//!
//! Not here: when a window is open (`wavegate_reconciler::window`).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use wavegate_proto::ids::HostName;
use wavegate_proto::time::Timestamp;

use crate::commands::reading::now;
use crate::exit::{ExitReason, Failure};
use crate::release::{unsigned, windows};
use crate::{show, suggest};

/// Arguments of `wavegate release windows`.
#[derive(Debug, Args)]
pub struct WindowsArgs {
    /// The release
    dir: PathBuf,
    /// The host
    host: HostName,
    /// How many openings
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Openings that are not over then, RFC 3339 in UTC; by default now
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Print the openings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &WindowsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let release = unsigned::read(&args.dir)?;
    let from = args.from.unwrap_or_else(now);
    let found = windows::of_host(&release, &args.host, from, usize::from(args.count));
    let Some(found) = found else {
        let message = format!("host {} is not in release {}", args.host, release.fleet.serial);
        let known: Vec<&str> = release.fleet.hosts.keys().map(HostName::as_str).collect();
        let hint = suggest::hint(args.host.as_str(), &known);
        return Err(Failure { reason: ExitReason::Refused, message, hint });
    };
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&found)?)?);
    }
    Ok(write!(out, "{}", show::windows::of_host(&found))?)
}
