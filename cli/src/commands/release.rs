//! `wavegate release`.
//!
//! Not here: building, signing, verifying and publishing (see [`crate::release`]).

mod diff;
mod recall;
mod windows;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use wavegate_proto::ids::{ChannelName, Ref, RolloutId, Serial};
use wavegate_proto::time::Timestamp;

use super::reading::{ReadArgs, block_on, now};
use crate::bundle_toml::SecretsPolicy;
use crate::exit::{ExitReason, Failure};
use crate::fleet_toml::FleetFile;
use crate::keys::{release_key, trust};
use crate::release::dir::DirError;
use crate::release::previous::PreviousRelease;
use crate::release::publish::{self, PublishError};
use crate::release::verify::VerifyError;
use crate::release::{self, BuildOptions, BuiltRelease};
use crate::show;

/// The verbs of `wavegate release`.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Build a release from fleet.toml
    Build(BuildArgs),
    /// Sign every document of a release
    Sign {
        /// The release
        dir: PathBuf,
        /// The release key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Check a release as a control plane would
    Verify {
        /// The release
        dir: PathBuf,
        /// The trust file
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what is different between two releases; exit code 1 when there is anything
    Diff(diff::DiffArgs),
    /// Build a release that puts a channel back on what it ran before, under a new ref
    Recall(recall::RecallArgs),
    /// Print when the next maintenance windows of a host open
    Windows(windows::WindowsArgs),
    /// Give a release to the control plane
    Publish {
        /// The release
        dir: PathBuf,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
    },
}

/// Arguments of `wavegate release build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The fleet file
    #[arg(default_value = "fleet.toml")]
    fleet_toml: PathBuf,
    /// The new folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The release before: channels that did not change keep their ref
    #[arg(long, value_name = "DIR")]
    previous: Option<PathBuf>,
    /// Name a channel's ref, as CHANNEL=REF; may be repeated
    #[arg(long = "ref", value_name = "CHANNEL=REF", value_parser = channel_ref)]
    refs: Vec<RolloutId>,
    /// The serial; by default one above the previous, or 1
    #[arg(long)]
    serial: Option<u64>,
    /// The time of signing, RFC 3339 in UTC; by default now
    #[arg(long, value_name = "TIME")]
    signed_at: Option<Timestamp>,
    /// Take content that looks like a private key
    #[arg(long)]
    allow_secrets: bool,
    /// Say for each host where what it runs and its checks come from
    #[arg(short, long)]
    verbose: bool,
    /// Print what was built as JSON
    #[arg(long)]
    json: bool,
}

/// `CHANNEL=REF`, which together are a rollout's id.
fn channel_ref(text: &str) -> Result<RolloutId, String> {
    let (channel, reference) = text.split_once('=').ok_or("write it as CHANNEL=REF")?;
    Ok(RolloutId {
        channel: channel.parse::<ChannelName>().map_err(|error| error.to_string())?,
        reference: reference.parse::<Ref>().map_err(|error| error.to_string())?,
    })
}

pub(crate) fn run(command: &ReleaseCommand, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let done = match command {
        ReleaseCommand::Diff(args) => return diff::run(args, out),
        ReleaseCommand::Recall(args) => recall::run(args, out),
        ReleaseCommand::Windows(args) => windows::run(args, out),
        ReleaseCommand::Build(args) => build(args, out),
        ReleaseCommand::Sign { dir, key } => sign(dir, key, out),
        ReleaseCommand::Verify { dir, trust, json } => verify(dir, trust, *json, out),
        ReleaseCommand::Publish { dir, read } => publish(dir, read, out),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn sign(dir: &Path, key: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let key = release_key::read(key)?;
    let documents = release::sign_dir(dir, &key)?;
    Ok(writeln!(out, "signed {documents} documents with key {}", key.key_id())?)
}

fn verify(dir: &Path, trust: &Path, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let trust = trust::read(trust)?;
    let report = release::verify_dir(dir, &trust, now()).map_err(refused)?;
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&report)?)?);
    }
    Ok(write!(out, "{}", show::release::verified(&report))?)
}

fn publish(dir: &Path, read: &ReadArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let client = read.client()?;
    let (versions, published) = block_on(async {
        let versions = super::trust::publish_beside(dir, &client).await?;
        Ok((versions, publish::publish(dir, &client).await?))
    })?;
    if read.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&published.answer)?)?);
    }
    for version in versions {
        writeln!(out, "published trust version {version}")?;
    }
    Ok(write!(out, "{}", show::release::published(&published))?)
}

fn build(args: &BuildArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let secrets = if args.allow_secrets { SecretsPolicy::Allow } else { SecretsPolicy::Refuse };
    let previous = args.previous.as_deref().map(PreviousRelease::read).transpose()?;
    let file = FleetFile::load(&args.fleet_toml, secrets)?;
    let options = BuildOptions {
        signed_at: args.signed_at.unwrap_or_else(now),
        serial: args.serial.map(Serial),
        refs: args.refs.iter().map(|id| (id.channel.clone(), id.reference.clone())).collect(),
        previous,
    };
    let built = release::build(&file, &options)?;
    write_new(&built, &args.out)?;
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&built.report)?)?);
    }
    Ok(write!(out, "{}", show::release::built(&built.report, args.verbose))?)
}

/// Writes a release that was built into a new folder.
fn write_new(built: &BuiltRelease, out: &Path) -> Result<(), Failure> {
    release::write_dir(built, out).map_err(|error| match error {
        DirError::NotEmpty(_) => {
            Failure::from(error).with_hint("a release never changes; choose another folder")
        }
        DirError::Io { .. } | DirError::Malformed { .. } => error.into(),
    })
}

fn refused(error: VerifyError) -> Failure {
    match &error {
        VerifyError::Rule { signers, .. } => {
            let detail = show::release::signers(signers);
            Failure::new(ExitReason::Refused, format!("{error}\n{}", detail.trim_end()))
        }
        VerifyError::Dir(_)
        | VerifyError::MissingBlob(_)
        | VerifyError::TamperedBlob(_)
        | VerifyError::Closure { .. } => error.into(),
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Client(error) => error.into(),
            PublishError::Dir(error) => error.into(),
            PublishError::NotHere(_) | PublishError::NoEnd => Self::new(ExitReason::Refused, error),
        }
    }
}
