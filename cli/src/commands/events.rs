//! `wavegate events`: the log, from the beginning or on from a row, and followed as it grows.
//!
//! Not here: its words (see [`crate::show::events`]).

use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use wavegate_proto::ids::{HostName, RolloutId};
use wavegate_proto::wire::operator::{EventItem, MAX_PAGE_LIMIT, Page};

use super::reading::{ReadArgs, block_on, unexpected};
use crate::client::Query;
use crate::exit::Failure;
use crate::show;

/// How long to wait before asking a quiet log again.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `wavegate events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// The connection and the output
    #[command(flatten)]
    read: ReadArgs,
    /// Where to begin, and whether to go on
    #[command(flatten)]
    follow: Follow,
    /// Only rows about a rollout, as CHANNEL@REF
    #[arg(long)]
    rollout: Option<RolloutId>,
    /// Only rows about a host
    #[arg(long)]
    host: Option<HostName>,
    /// Only rows of a kind, such as `converged`
    #[arg(long)]
    kind: Option<String>,
}

/// Where to begin, and whether to go on.
#[derive(Debug, Args)]
pub struct Follow {
    /// Begin after this row
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    after_seq: u64,
    /// Go on as the log grows
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn run(args: &EventsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let query = [
        ("rollout_id", args.rollout.as_ref().map(ToString::to_string)),
        ("host", args.host.as_ref().map(ToString::to_string)),
        ("kind", args.kind.clone()),
    ];
    print("/v1/events", &query, &args.read, &args.follow, out)
}

/// Prints the rows at `path`, one a line.
pub(super) fn print(
    path: &str,
    query: &Query<'_>,
    read: &ReadArgs,
    follow: &Follow,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let client = read.client()?;
    block_on(async {
        let mut after = follow.after_seq;
        loop {
            let paging = [
                ("after_seq", Some(after.to_string())),
                ("limit", Some(MAX_PAGE_LIMIT.to_string())),
            ];
            let page: Page<Value> = client.get(path, &[query, &paging].concat()).await?;
            let last = page.items.last().and_then(|item| item.get("seq")?.as_u64());
            for item in page.items {
                if read.json {
                    writeln!(out, "{item}")?;
                } else {
                    let item: EventItem = serde_json::from_value(item).map_err(unexpected)?;
                    writeln!(out, "{}", show::events::line(&item))?;
                }
            }
            out.flush()?;
            after = last.unwrap_or(after).max(after);
            let more = page.next_cursor.is_some() && last.is_some();
            match (more, follow.follow) {
                (true, _) => {}
                (false, true) => tokio::time::sleep(FOLLOW_INTERVAL).await,
                (false, false) => return Ok(()),
            }
        }
    })
}
