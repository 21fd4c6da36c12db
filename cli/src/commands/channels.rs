//! `wavegate channels`.
//!
//! Not here: its words (see [`crate::show::channels`]).

use std::io::Write;

use clap::Args;

use super::reading::{ReadArgs, now};
use crate::exit::Failure;
use crate::show;

/// Arguments of `wavegate channels`.
#[derive(Debug, Args)]
pub struct ChannelsArgs {
    /// The connection and the output
    #[command(flatten)]
    read: ReadArgs,
}

pub(crate) fn run(args: &ChannelsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    args.read.print_list("/v1/channels", &[], out, |channels| show::channels::list(channels, now()))
}
