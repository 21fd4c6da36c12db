//! `wavegate hosts`.
//!
//! Not here: its words (see [`crate::show::hosts`]).

use std::io::Write;

use clap::Args;
use wavegate_proto::ids::ChannelName;

use super::reading::{ReadArgs, now};
use crate::exit::Failure;
use crate::show;

/// Arguments of `wavegate hosts`.
#[derive(Debug, Args)]
pub struct HostsArgs {
    /// The connection and the output
    #[command(flatten)]
    read: ReadArgs,
    /// Only those of a channel
    #[arg(long)]
    channel: Option<ChannelName>,
    /// Only those with a tag
    #[arg(long)]
    tag: Option<String>,
    /// Only those in a state, such as `soaking`
    #[arg(long)]
    state: Option<String>,
    /// Only those that are online
    #[arg(long)]
    online: bool,
}

pub(crate) fn run(args: &HostsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let query = [
        ("channel", args.channel.as_ref().map(ToString::to_string)),
        ("tag", args.tag.clone()),
        ("state", args.state.clone()),
        ("online", args.online.then(|| "true".to_owned())),
    ];
    args.read.print_list("/v1/hosts", &query, out, |hosts| show::hosts::list(hosts, now()))
}
