//! `wavegate release recall`.
//!
//! Not here: building the release (see [`crate::release::recall`]).

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use wavegate_proto::ids::{BlobId, ChannelName, Ref, Serial};
use wavegate_proto::time::Timestamp;

use super::write_new;
use crate::commands::reading::now;
use crate::exit::{ExitReason, Failure};
use crate::release::recall::{RecallError, RecallOptions, older, recall};
use crate::release::unsigned;
use crate::release::verify::{VerifyError, checked_blob};
use crate::show;

/// Arguments of `wavegate release recall`.
#[derive(Debug, Args)]
pub struct RecallArgs {
    /// The release that is out now
    #[arg(long, value_name = "DIR")]
    previous: PathBuf,
    /// The channel that goes back
    #[arg(long)]
    channel: ChannelName,
    /// The older release with what it goes back to; by default the newest signed one beside
    /// --previous in which the channel ran something else
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// The new folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The channel's new ref; by default made from the serial
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<Ref>,
    /// The serial; by default one above that of --previous
    #[arg(long)]
    serial: Option<u64>,
    /// The time of signing, RFC 3339 in UTC; by default now
    #[arg(long, value_name = "TIME")]
    signed_at: Option<Timestamp>,
    /// Say for each host where what it runs comes from
    #[arg(short, long)]
    verbose: bool,
    /// Print what was built as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RecallArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let current = unsigned::read(&args.previous)?;
    let to = match &args.to {
        Some(to) => to.clone(),
        None => older::find(&args.previous, &current.fleet, &args.channel)?.ok_or_else(|| {
            let message = format!(
                "no older signed release beside {} has something else on channel {}",
                args.previous.display(),
                args.channel
            );
            Failure::new(ExitReason::Refused, message).with_hint("name it with --to DIR")
        })?,
    };
    let older = unsigned::read(&to)?;
    let options = RecallOptions {
        channel: args.channel.clone(),
        reference: args.reference.clone(),
        serial: args.serial.map(Serial),
        signed_at: args.signed_at.unwrap_or_else(now),
    };
    let built = recall(&current, &older, &options, &|blob| from_either(&args.previous, &to, blob))?;
    write_new(&built, &args.out)?;
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&built.report)?)?);
    }
    let serial = older.fleet.serial;
    writeln!(out, "channel {} goes back to release {serial} in {}", args.channel, to.display())?;
    write!(out, "{}", show::release::built(&built.report, args.verbose))?;
    Ok(writeln!(
        out,
        "a closure that failed on the channel stays quarantined: see `wavegate quarantine list`"
    )?)
}

fn from_either(current: &Path, older: &Path, blob: BlobId) -> Result<Vec<u8>, VerifyError> {
    match checked_blob(current, blob) {
        Err(VerifyError::MissingBlob(_)) => checked_blob(older, blob),
        read => read,
    }
}

impl From<RecallError> for Failure {
    fn from(error: RecallError) -> Self {
        let hint = match &error {
            RecallError::RefReturns { .. } => Some("choose another with --ref REF"),
            RecallError::SerialNotAbove { .. } => Some("leave --serial out to take the next one"),
            RecallError::NothingChanges { .. } | RecallError::NotOlder { .. } => {
                Some("name a release from before the change with --to DIR")
            }
            RecallError::Dependency { .. } => {
                Some("put the files back by hand and use `release build`")
            }
            RecallError::OtherFleet { .. }
            | RecallError::NoChannel { .. }
            | RecallError::Ref(_)
            | RecallError::Blob(_)
            | RecallError::Closure { .. }
            | RecallError::Rule(_) => None,
        };
        let hint = hint.map(str::to_owned);
        Self { reason: ExitReason::Refused, message: error.to_string(), hint }
    }
}
