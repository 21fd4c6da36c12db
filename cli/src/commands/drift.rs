//! `wavegate drift`.
//!
//! Not here: its words (see [`crate::show::resources`]).

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::operator::HostDocument;
use wavegate_proto::wire::resource::Drift;

use super::reading::{ReadArgs, block_on, unexpected};
use crate::client::ApiClient;
use crate::exit::{ExitReason, Failure};
use crate::show;
use crate::show::resources::ResourceItem;

/// Arguments of `wavegate drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Only these hosts
    hosts: Vec<HostName>,
    /// Also what is as it should be, on every host
    #[arg(long)]
    all: bool,
    /// The connection and the output
    #[command(flatten)]
    read: ReadArgs,
}

/// Ends with exit code 1 when anything has drifted.
pub(crate) fn run(args: &DriftArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let client = args.read.client()?;
    let found = block_on(find(args, &client))?;
    let has_drifted = found.values().flatten().any(|(_, item)| item.has_drifted());
    if args.read.json {
        let host = |(host, items): (&HostName, &Vec<(Value, ResourceItem)>)| {
            let resources: Vec<&Value> = items.iter().map(|(document, _)| document).collect();
            json!({ "host": host, "resources": resources })
        };
        let hosts: Vec<Value> = found.iter().map(host).collect();
        writeln!(out, "{}", Value::Array(hosts))?;
    } else {
        let rows = found.iter().flat_map(|(host, items)| items.iter().map(move |(_, i)| (host, i)));
        write!(out, "{}", show::resources::drift(rows))?;
    }
    Ok(if has_drifted { ExitReason::Refused.exit_code() } else { ExitCode::SUCCESS })
}

type Found = BTreeMap<HostName, Vec<(Value, ResourceItem)>>;

/// Only hosts that say that something has drifted are asked what, unless everything is wanted.
async fn find(args: &DriftArgs, client: &ApiClient) -> Result<Found, Failure> {
    let mut names = args.hosts.clone();
    if names.is_empty() {
        let hosts = client.get_all("/v1/hosts", &[]).await?;
        for host in hosts {
            let host: HostDocument = serde_json::from_value(host).map_err(unexpected)?;
            if args.all || host.resources.drifted > 0 {
                names.push(host.host);
            }
        }
    }
    let mut found = Found::new();
    for name in names {
        let items = client.get_all(&format!("/v1/hosts/{name}/resources"), &[]).await?;
        let mut kept = Vec::new();
        for document in items {
            let item: ResourceItem =
                serde_json::from_value(document.clone()).map_err(unexpected)?;
            if item.has_drifted() || (args.all && item.drift == Some(Drift::Ok)) {
                kept.push((document, item));
            }
        }
        found.insert(name, kept);
    }
    Ok(found)
}
