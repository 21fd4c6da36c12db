//! `wavegate host`.
//!
//! Not here: its words (see [`crate::show::hosts`]).

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use wavegate_proto::ids::{HostName, ProviderId};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::provider::ProviderState;

use super::changing::{ChangeArgs, print_changed};
use super::reading::{ReadArgs, now};
use crate::exit::Failure;
use crate::fleet_toml::model::FleetToml;
use crate::fleet_toml::source::Source;
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
    /// Tell what the provider of a host's machine says; it changes nothing else
    Sync {
        /// The host
        name: HostName,
        /// What the provider says: running, off or unknown
        #[arg(long, value_name = "STATE")]
        provider_state: ProviderState,
        /// The machine's name with its provider; without it the one that is known
        #[arg(long, value_name = "ID", conflicts_with = "fleet")]
        provider_id: Option<ProviderId>,
        /// Take the machine's name from this fleet file
        #[arg(long, value_name = "FILE")]
        fleet: Option<PathBuf>,
        /// The connection and the output
        #[command(flatten)]
        read: ReadArgs,
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
        HostCommand::Sync { name, provider_state, provider_id, fleet, read } => {
            let provider_id = match fleet {
                Some(fleet) => Some(provider_id_in(fleet, name)?),
                None => provider_id.clone(),
            };
            let told = json!({ "provider_id": provider_id, "provider_state": provider_state });
            let path = format!("/v1/hosts/{name}/provider");
            print_changed(read, Method::PUT, &path, &told, out, |host| {
                show::hosts::after_sync(host, now())
            })
        }
        HostCommand::Hold { name, until, change } => {
            let fields = json!({ "until": until });
            hold(Method::PUT, name, fields, change, out)
        }
        HostCommand::Release { name, change } => hold(Method::DELETE, name, json!({}), change, out),
    }
}

/// The machine that a fleet file names for a host.
fn provider_id_in(fleet: &Path, host: &HostName) -> Result<ProviderId, Failure> {
    let source = Source::read(fleet)?;
    let keys: FleetToml = source.parse()?;
    let at = |message| Failure::from(source.error_at(&["hosts", host.as_str()], message));
    let Some(section) = keys.hosts.get(host) else {
        return Err(at(format!("there is no host {host}")));
    };
    section.provider_id.clone().ok_or_else(|| at(format!("host {host} has no provider_id")))
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
