//! `wavegate release diff`.
//!
//! Not here: comparing (see [`crate::release::diff`]).

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::exit::{ExitReason, Failure};
use crate::release::diff::ReleaseDiff;
use crate::release::unsigned;
use crate::show;

/// Arguments of `wavegate release diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// One release
    old: PathBuf,
    /// Another
    new: PathBuf,
    /// Name every host, however many there are
    #[arg(short, long)]
    verbose: bool,
    /// Print the differences as JSON
    #[arg(long)]
    json: bool,
}

/// Ends with exit code 1 when there are differences.
pub(super) fn run(args: &DiffArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let diff = ReleaseDiff::between(&unsigned::read(&args.old)?, &unsigned::read(&args.new)?);
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&diff)?)?;
    } else {
        write!(out, "{}", show::diff::releases(&diff, args.verbose))?;
    }
    Ok(if diff.is_empty() { ExitCode::SUCCESS } else { ExitReason::Refused.exit_code() })
}
