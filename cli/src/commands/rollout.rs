//! `wavegate rollout`.
//!
//! Not here: its words (see [`crate::show::rollouts`]).

use std::io::Write;

use clap::Subcommand;
use wavegate_proto::ids::{ChannelName, RolloutId};

use super::events::{self, Follow};
use super::reading::{ReadArgs, now};
use crate::exit::Failure;
use crate::show;

/// The verbs of `wavegate rollout`.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// List rollouts
    List {
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
        /// Only those of a channel
        #[arg(long)]
        channel: Option<ChannelName>,
        /// Only those in a state, such as `active`
        #[arg(long)]
        state: Option<String>,
    },
    /// One rollout: its waves and what it waits for
    Show {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
    },
    /// The log rows of a rollout
    Events {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
        /// Where to begin, and whether to go on
        #[command(flatten)]
        follow: Follow,
    },
    /// The hosts of a rollout
    Hosts {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
    },
}

pub(crate) fn run(command: &RolloutCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        RolloutCommand::List { read, channel, state } => {
            let query =
                [("channel", channel.as_ref().map(ToString::to_string)), ("state", state.clone())];
            read.print_list("/v1/rollouts", &query, out, |items| show::rollouts::list(items, now()))
        }
        RolloutCommand::Show { id, read } => {
            read.print_document(&format!("/v1/rollouts/{id}"), out, |rollout| {
                show::rollouts::one(rollout, now())
            })
        }
        RolloutCommand::Events { id, read, follow } => {
            events::print(&format!("/v1/rollouts/{id}/events"), &[], read, follow, out)
        }
        RolloutCommand::Hosts { id, read } => {
            read.print_list(&format!("/v1/rollouts/{id}/hosts"), &[], out, |items| {
                show::rollouts::hosts(items, now())
            })
        }
    }
}
