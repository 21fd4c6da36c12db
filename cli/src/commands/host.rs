//! `wavegate host`.
//!
//! Not here: its words (see [`crate::show::hosts`]).

use std::io::Write;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use wavegate_proto::ids::HostName;
use wavegate_proto::time::Timestamp;

use super::changing::ChangeArgs;
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
    /// What a host has last said of each of its resources
    Resources {
        /// The host
        name: HostName,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Dispatch nothing to a host; what it is in the middle of it finishes
    Hold {
        /// The host
        name: HostName,
        /// Until when, RFC 3339 in UTC; without it until released
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a hold back
    Release {
        /// The host
        name: HostName,
        /// The reason, the connection and the output
        #[command(flatten)]
        change: ChangeArgs,
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
        HostCommand::Resources { name, read } => {
            read.print_list(&format!("/v1/hosts/{name}/resources"), &[], out, |items| {
                show::resources::list(items, now())
            })
        }
        HostCommand::Hold { name, until, change } => {
            let fields = json!({ "until": until });
            hold(Method::PUT, name, fields, change, out)
        }
        HostCommand::Release { name, change } => hold(Method::DELETE, name, json!({}), change, out),
    }
}

fn hold(
    method: Method,
    name: &HostName,
    fields: Value,
    change: &ChangeArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    change.print_changed(method, &format!("/v1/hosts/{name}/hold"), fields, out, |host| {
        show::hosts::after_verb(host, now())
    })
}
