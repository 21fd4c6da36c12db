//! `wavegate log`: whether the log still is what it was.
//!
//! Not here: the walk itself (see `wavegate_proto::log_chain`), reading the log (see [`super::events`]).

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use wavegate_control_plane::store::check::{LogReport, check_log};
use wavegate_proto::log_chain::{COMPACTED, Compacted, LogFinding, LogWalk};
use wavegate_proto::wire::operator::{EventItem, MAX_PAGE_LIMIT, Page};

use super::reading::{ReadArgs, block_on, unexpected};
use crate::client::ApiClient;
use crate::exit::{ExitReason, Failure};

/// The verbs of `wavegate log`.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Recompute the chain of the log and name the first row that does not fit
    Verify(VerifyArgs),
}

/// Arguments of `wavegate log verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The connection and the output
    #[command(flatten)]
    read: ReadArgs,
    /// A database of a control plane, read without changing it, instead of asking one
    #[arg(long, value_name = "DB")]
    from_file: Option<PathBuf>,
}

pub(crate) fn run(command: &LogCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        LogCommand::Verify(args) => verify(args, out),
    }
}

fn verify(args: &VerifyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let report = match &args.from_file {
        Some(path) => in_file(path)?,
        None => {
            let client = args.read.client()?;
            block_on(at_control_plane(&client))?
        }
    };
    let (walk, finding) = (report.walk, report.finding);
    if args.read.json {
        let document = json!({
            "ok": finding.is_none(), "rows": walk.rows(), "last_seq": walk.last(),
            "chain": walk.chain(), "finding": finding,
        });
        writeln!(out, "{document}")?;
    } else if finding.is_none() {
        let (rows, last, chain) = (walk.rows(), walk.last(), walk.chain());
        writeln!(out, "ok: {rows} rows up to {last}, chain {chain}")?;
    }
    match finding {
        None => Ok(()),
        Some(finding) => {
            Err(Failure::new(ExitReason::Refused, format!("verify the log: {finding}"))
                .with_hint("rows before it are as they were written; compare with an older copy"))
        }
    }
}

fn in_file(path: &Path) -> Result<LogReport, Failure> {
    if !path.is_file() {
        let message = format!("read {}: there is no such file", path.display());
        return Err(Failure::new(ExitReason::Usage, message)
            .with_hint("the database is wavegate.db in the state folder"));
    }
    let failed =
        |error| Failure::new(ExitReason::Refused, format!("read {}: {error}", path.display()));
    check_log(path).map_err(failed)
}

async fn at_control_plane(client: &ApiClient) -> Result<LogReport, Failure> {
    let mut walk = LogWalk::default();
    announce(client, &mut walk).await?;
    let mut cursor = None;
    loop {
        let paging = [("limit", Some(MAX_PAGE_LIMIT.to_string())), ("cursor", cursor)];
        let page: Page<EventItem> = client.get("/v1/events", &paging).await?;
        for row in &page.items {
            let mut taken = walk.take(row);
            if matches!(taken, Err(LogFinding::Missing(_))) {
                // Perhaps it was compacted since the walk began.
                announce(client, &mut walk).await?;
                taken = walk.take(row);
            }
            if let Err(finding) = taken {
                return Ok(LogReport { walk, finding: Some(finding.to_string()) });
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            let finding = walk.finish().err().map(|finding| finding.to_string());
            return Ok(LogReport { walk, finding });
        }
    }
}

/// Announces to the walk what the log says was removed.
async fn announce(client: &ApiClient, walk: &mut LogWalk) -> Result<(), Failure> {
    let kind = [("kind", Some(COMPACTED.to_owned()))];
    for row in client.get_all("/v1/events", &kind).await? {
        let row: EventItem = serde_json::from_value(row).map_err(unexpected)?;
        if let Ok(compacted) = serde_json::from_value::<Compacted>(row.payload) {
            walk.announce(compacted.runs);
        }
    }
    Ok(())
}
