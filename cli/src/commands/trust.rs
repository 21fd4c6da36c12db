//! `wavegate trust`.
//!
//! Not here: changing a trust file.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use crate::exit::Failure;
use crate::keys::trust;
use crate::show;

/// The verbs of `wavegate trust`.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Print whom a trust file believes
    Show {
        /// The trust file
        #[arg(default_value = "trust.json")]
        file: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Check a trust file
    Check {
        /// The trust file
        #[arg(default_value = "trust.json")]
        file: PathBuf,
    },
}

pub(crate) fn run(command: &TrustCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        TrustCommand::Show { file, json } => {
            let trust = trust::read(file)?;
            if *json {
                return Ok(writeln!(out, "{}", serde_json::to_string(&trust)?)?);
            }
            Ok(write!(out, "{}", show::keys::trust(&trust))?)
        }
        TrustCommand::Check { file } => {
            let trust = trust::read(file)?;
            let keys = trust.release.keys.len();
            let threshold = trust.release.threshold;
            Ok(writeln!(
                out,
                "ok: trust version {} of fleet {}: {threshold} of {keys} keys must sign",
                trust.version, trust.fleet
            )?)
        }
    }
}
