//! `wavegate status`.
//!
//! Not here: its words (see [`crate::show::status`]).

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use clap::Args;
use wavegate_proto::wire::operator::Status;

use super::reading::{ReadArgs, block_on, now, unexpected};
use crate::exit::Failure;
use crate::show;

const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Cursor to the top left, everything below it cleared.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Arguments of `wavegate status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The connection and the output
    #[command(flatten)]
    read: ReadArgs,
    /// Show it again every two seconds
    #[arg(long)]
    watch: bool,
}

pub(crate) fn run(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if !args.watch {
        return args
            .read
            .print_document("/v1/status", out, |status| show::status::status(status, now()));
    }
    let client = args.read.client()?;
    let redraw = std::io::stdout().is_terminal() && !args.read.json;
    block_on(async {
        loop {
            let bytes = client.get_bytes("/v1/status", &[]).await?;
            if args.read.json {
                out.write_all(&bytes)?;
                writeln!(out)?;
            } else {
                let status: Status = serde_json::from_slice(&bytes).map_err(unexpected)?;
                let start = if redraw { REDRAW } else { "" };
                write!(out, "{start}{}", show::status::status(&status, now()))?;
            }
            out.flush()?;
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    })
}
