//! `wavegate rollout`.
//!
//! Not here: its words (see [`crate::show::rollouts`]).

use std::io::Write;

use clap::{ArgGroup, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use wavegate_proto::ids::{ChannelName, HostName, RolloutId};

use super::changing::ChangeArgs;
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
    /// Dispatch nothing more until it is resumed; hosts in flight finish
    Pause {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let a paused or halted rollout go on; failed hosts wait to be retried or skipped
    Resume {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// Lift the quarantines of its closures as well
        #[arg(long)]
        clear_quarantine: bool,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Dispatch nothing more, for good; hosts in flight finish, and only a newer release goes on
    Abort {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let a wave that needs a person's approval begin
    Approve {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// The wave, counted from 0
        #[arg(long)]
        wave: u32,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Try a host again, or every failed one; it is dispatched when its gates open
    #[command(group = ArgGroup::new("which").required(true).args(["host", "failed"]))]
    Retry {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// The host
        host: Option<HostName>,
        /// Every failed host
        #[arg(long)]
        failed: bool,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Leave a host out: waves and budgets do without it
    Skip {
        /// The rollout, as CHANNEL@REF
        id: RolloutId,
        /// The host
        host: HostName,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
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
            events::print(&[("rollout_id", Some(id.to_string()))], read, follow, out)
        }
        RolloutCommand::Hosts { id, read } => {
            read.print_list(&format!("/v1/rollouts/{id}/hosts"), &[], out, |items| {
                show::rollouts::hosts(items, now())
            })
        }
        RolloutCommand::Pause { id, change } => verb(id, "pause", json!({}), change, out),
        RolloutCommand::Resume { id, clear_quarantine, change } => {
            verb(id, "resume", json!({ "clear_quarantine": clear_quarantine }), change, out)
        }
        RolloutCommand::Abort { id, change } => verb(id, "abort", json!({}), change, out),
        RolloutCommand::Approve { id, wave, change } => {
            verb(id, &format!("waves/{wave}/approve"), json!({}), change, out)
        }
        RolloutCommand::Retry { id, host: None, failed: _, change } => {
            verb(id, "retry", json!({}), change, out)
        }
        RolloutCommand::Retry { id, host: Some(host), failed: _, change } => {
            host_verb(id, host, "retry", change, out)
        }
        RolloutCommand::Skip { id, host, change } => host_verb(id, host, "skip", change, out),
    }
}

/// Prints the rollout as it stands then, with what it waits for.
fn verb(
    id: &RolloutId,
    verb: &str,
    fields: Value,
    change: &ChangeArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    change.print_changed(Method::POST, &format!("/v1/rollouts/{id}/{verb}"), fields, out, |r| {
        format!("{}\n{}", show::rollouts::after_verb(r), show::rollouts::one(r, now()))
    })
}

fn host_verb(
    id: &RolloutId,
    host: &HostName,
    verb: &str,
    change: &ChangeArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let path = format!("/v1/rollouts/{id}/hosts/{host}/{verb}");
    change.print_changed(Method::POST, &path, json!({}), out, |host| {
        show::hosts::after_verb(host, now())
    })
}
