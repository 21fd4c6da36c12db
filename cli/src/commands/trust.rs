//! `wavegate trust`.
//!
//! Not here: what a version of the trust file must hold (see [`crate::keys::rotation`]).

mod rotate;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use wavegate_proto::trust::rotation::next_version;

use super::reading::{ReadArgs, block_on};
use crate::exit::{ExitReason, Failure};
use crate::keys::{release_key, rotation, trust};
use crate::release::publish;
use crate::show;

/// The verbs of `wavegate trust`.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Print whom a trust file believes, and who has signed it
    Show {
        /// The trust file
        #[arg(default_value = "trust.json")]
        file: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Check a trust file; with --previous, whether it follows that version
    Check {
        /// The trust file
        #[arg(default_value = "trust.json")]
        file: PathBuf,
        /// The version before
        #[arg(long, value_name = "FILE")]
        previous: Option<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the next version, with everything that changes in it
    Rotate(rotate::RotateArgs),
    /// Make the next version, with one more key
    AddKey(rotate::AddKeyArgs),
    /// Make the next version, without a key
    RemoveKey(rotate::RemoveKeyArgs),
    /// Make the next version, in which another number of keys must sign
    SetThreshold(rotate::SetThresholdArgs),
    /// Sign a version: holders of keys of the version before and of its own, one after the other
    Sign {
        /// The version
        file: PathBuf,
        /// The key
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
    },
    /// Give the next version to the control plane; hosts fetch it there
    Publish {
        /// The version
        file: PathBuf,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
    },
}

pub(crate) fn run(command: &TrustCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        TrustCommand::Show { file, json } => {
            let trust = trust::read(file)?;
            if *json {
                return Ok(writeln!(out, "{}", serde_json::to_string(&trust)?)?);
            }
            Ok(write!(out, "{}", show::keys::trust(&trust, &standing(file)?))?)
        }
        TrustCommand::Check { file, previous, json } => {
            check(file, previous.as_deref(), *json, out)
        }
        TrustCommand::Rotate(args) => args.run(out),
        TrustCommand::AddKey(args) => args.run(out),
        TrustCommand::RemoveKey(args) => args.run(out),
        TrustCommand::SetThreshold(args) => args.run(out),
        TrustCommand::Sign { file, key } => {
            for key in key {
                let key = release_key::read(key)?;
                rotation::sign(file, &key)?;
                writeln!(out, "signed {} with key {}", file.display(), key.key_id())?;
            }
            Ok(())
        }
        TrustCommand::Publish { file, read } => {
            let offered = rotation::read(file)?;
            let client = read.client()?;
            let answer = block_on(async { Ok(client.post_trust(&offered).await?) })?;
            if read.json {
                return Ok(writeln!(out, "{}", serde_json::to_string(&answer)?)?);
            }
            Ok(write!(out, "{}", show::keys::trust_published(&answer))?)
        }
    }
}

fn standing(file: &Path) -> Result<rotation::Standing, Failure> {
    let signed = rotation::read(file)?;
    Ok(rotation::standing(&signed, &signed.read()?)?)
}

fn check(
    file: &Path,
    previous: Option<&Path>,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let signed = rotation::read(file)?;
    let trust = signed.read()?;
    let own = rotation::standing(&signed, &trust)?;
    let Some(previous) = previous else {
        if as_json {
            let report = json!({ "version": trust.version, "fleet": trust.fleet, "own": own });
            return Ok(writeln!(out, "{report}")?);
        }
        let (keys, threshold) = (trust.release.keys.len(), trust.release.threshold);
        return Ok(writeln!(
            out,
            "ok: trust version {} of fleet {}: {threshold} of {keys} keys must sign",
            trust.version, trust.fleet
        )?);
    };
    let current = rotation::read(previous)?.read()?;
    let before = rotation::standing(&signed, &current)?;
    let followed = next_version(&current, &signed);
    if as_json {
        let code = followed.as_ref().err().map(|error| error.code().to_string());
        let report = json!({
            "version": trust.version, "fleet": trust.fleet, "follows": followed.is_ok(),
            "code": code, "before": before, "own": own,
        });
        writeln!(out, "{report}")?;
    } else {
        write!(out, "{}{}", show::keys::standing(&before), show::keys::standing(&own))?;
    }
    match followed {
        Ok(_) if as_json => Ok(()),
        Ok(next) => Ok(writeln!(
            out,
            "ok: trust version {} of fleet {} follows version {}",
            next.version, next.fleet, current.version
        )?),
        Err(error) => Err(Failure::new(ExitReason::Refused, format!("{}: {error}", error.code()))),
    }
}

/// Publishes the versions that a release folder brings along and the control plane does not have yet.
pub(super) async fn publish_beside(
    dir: &Path,
    client: &crate::client::ApiClient,
) -> Result<Vec<u64>, Failure> {
    let versions = publish::trust_versions(dir)?;
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let holds = client.trust_version().await?;
    let mut published = Vec::new();
    for (version, path) in versions.into_iter().filter(|(version, _)| Some(*version) > holds) {
        client.post_trust(&rotation::read(&path)?).await?;
        published.push(version);
    }
    Ok(published)
}
