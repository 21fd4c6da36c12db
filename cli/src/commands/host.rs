//! `wavegate host`.
//!
//! Not here: its words (see [`crate::show::hosts`]).

use std::io::Write;

use clap::Subcommand;
use wavegate_proto::ids::HostName;

use super::reading::{ReadArgs, now};
use crate::exit::Failure;
use crate::show;

/// The verbs of `wavegate host`.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// What is known of a host
    Show {
        /// The host
        name: HostName,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
    },
    /// What the planner would do with a host now, and every reason to wait
    Explain {
        /// The host
        name: HostName,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
    },
}

pub(crate) fn run(command: &HostCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        HostCommand::Show { name, read } => {
            read.print_document(&format!("/v1/hosts/{name}"), out, |host| {
                show::hosts::one(host, now())
            })
        }
        HostCommand::Explain { name, read } => {
            read.print_document(&format!("/v1/hosts/{name}/explain"), out, |explanation| {
                show::explain::explanation(explanation, now())
            })
        }
    }
}
