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
use crate::client::{ApiClient, Query};
use crate::exit::Failure;
use crate::show;

/// How long to wait before the first attempt to take up a stream that ended; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest wait between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

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
    print(&query, &args.read, &args.follow, out)
}

/// Prints the rows that `query` asks for, one a line.
pub(super) fn print(
    query: &Query<'_>,
    read: &ReadArgs,
    follow: &Follow,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let client = read.client()?;
    let after = follow.after_seq;
    block_on(async {
        if follow.follow {
            self::follow(&client, query, after, read.json, out).await
        } else {
            list(&client, query, after, &mut Printer { json: read.json, out }).await
        }
    })
}

/// What is there now.
async fn list(
    client: &ApiClient,
    query: &Query<'_>,
    after: u64,
    print: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut cursor = None;
    loop {
        let paging = [
            ("after_seq", Some(after.to_string())),
            ("limit", Some(MAX_PAGE_LIMIT.to_string())),
            ("cursor", cursor),
        ];
        let page: Page<Value> = client.get("/v1/events", &[query, &paging].concat()).await?;
        page.items.into_iter().try_for_each(|item| print.row(item).map(|_| ()))?;
        print.out.flush()?;
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// What is there now, and what comes. Once it has been reached, a control plane that goes away is waited
/// for: the stream goes on after the last row that came.
pub(crate) async fn follow(
    client: &ApiClient,
    query: &Query<'_>,
    mut after: u64,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut print = Printer { json, out };
    let (mut reached, mut pause) = (false, FIRST_PAUSE);
    loop {
        let ended = match client.stream(after, query).await {
            Ok(mut stream) => {
                (reached, pause) = (true, FIRST_PAUSE);
                loop {
                    match stream.next().await {
                        Ok(Some(row)) => {
                            let row = serde_json::from_str(&row).map_err(unexpected)?;
                            after = print.row(row)?.unwrap_or(after);
                            print.out.flush()?;
                        }
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                }
            }
            Err(error) => Some(error),
        };
        if let Some(error) = ended
            && !(reached && error.may_pass())
        {
            return Err(error.into());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Where rows go, and how.
struct Printer<'a> {
    json: bool,
    out: &'a mut dyn Write,
}

impl Printer<'_> {
    /// Prints one row; returns its position in the log.
    fn row(&mut self, row: Value) -> Result<Option<u64>, Failure> {
        let seq = row.get("seq").and_then(Value::as_u64);
        if self.json {
            writeln!(self.out, "{row}")?;
        } else {
            let item: EventItem = serde_json::from_value(row).map_err(unexpected)?;
            writeln!(self.out, "{}", show::events::line(&item))?;
        }
        Ok(seq)
    }
}
