//! `wavegate quarantine`.
//!
//! Not here: its words (see [`crate::show::quarantines`]).

use std::io::Write;

use clap::Subcommand;

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
}

pub(crate) fn run(command: &QuarantineCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List { read } => read
            .print_list("/v1/quarantines", &[], out, |items| show::quarantines::list(items, now())),
    }
}
