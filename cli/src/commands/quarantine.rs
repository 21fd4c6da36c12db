//! `wavegate quarantine`.
//!
//! Not here: its words (see [`crate::show::quarantines`]).

use std::io::Write;

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;
use wavegate_proto::ids::{ChannelName, ClosureId};

use super::changing::ChangeArgs;
use super::reading::{ReadArgs, now};
use crate::exit::Failure;
use crate::show;

/// The verbs of `wavegate quarantine`.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List closures that are not dispatched any more
    List {
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Let a closure be dispatched again; hosts that rejected it drop that. Nothing is resumed
    Clear {
        /// The channel
        channel: ChannelName,
        /// The closure
        closure: ClosureId,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
    },
}

pub(crate) fn run(command: &QuarantineCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List { read } => read
            .print_list("/v1/quarantines", &[], out, |items| show::quarantines::list(items, now())),
        QuarantineCommand::Clear { channel, closure, change } => {
            // A store path has slashes, which would be steps of the path.
            let closure = closure.to_string().replace('/', "%2F");
            let path = format!("/v1/quarantines/{channel}/{closure}");
            change.print_changed(Method::DELETE, &path, json!({}), out, show::quarantines::cleared)
        }
    }
}
