//! What all reading commands share: the connection, `--json`, and printing one document or a list.
//!
//! Not here: what is read.

use std::future::Future;
use std::io::Write;
use std::time::SystemTime;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wavegate_proto::time::Timestamp;

use crate::client::{ApiClient, ClientError, ConnectionArgs, Query};
use crate::exit::{ExitReason, Failure};

/// The arguments of every reading command.
#[derive(Debug, Clone, Args)]
pub struct ReadArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the API's document unchanged
    #[arg(long)]
    pub json: bool,
}

/// Runs `work` to its end on this thread.
///
/// # Errors
/// Those of `work`.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The time now.
#[must_use]
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

impl ReadArgs {
    /// A client for the connection they name.
    ///
    /// # Errors
    /// When it is not configured.
    pub fn client(&self) -> Result<ApiClient, ClientError> {
        ApiClient::new(&self.connection.resolve_here()?)
    }

    /// Prints the document at `path`: as it is with `--json`, else in the words of `show`.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub fn print_document<T: DeserializeOwned>(
        &self,
        path: &str,
        out: &mut dyn Write,
        show: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        let client = self.client()?;
        let bytes = block_on(async { Ok(client.get_bytes(path, &[]).await?) })?;
        if self.json {
            out.write_all(&bytes)?;
            return Ok(writeln!(out)?);
        }
        let document: T = serde_json::from_slice(&bytes).map_err(unexpected)?;
        Ok(write!(out, "{}", show(&document))?)
    }

    /// Prints the list at `path`: one array of all pages with `--json`, else in the words of `show`.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub fn print_list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
        out: &mut dyn Write,
        show: impl Fn(&[T]) -> String,
    ) -> Result<(), Failure> {
        let client = self.client()?;
        let items = block_on(async { Ok(client.get_all(path, query).await?) })?;
        if self.json {
            return Ok(writeln!(out, "{}", Value::Array(items))?);
        }
        let items: Vec<T> = serde_json::from_value(Value::Array(items)).map_err(unexpected)?;
        Ok(write!(out, "{}", show(&items))?)
    }
}

/// An answer of a shape this build does not know.
#[must_use]
#[allow(clippy::needless_pass_by_value)]
pub fn unexpected(error: serde_json::Error) -> Failure {
    Failure::new(ExitReason::Refused, format!("unexpected answer of the control plane: {error}"))
        .with_hint("--json prints it as it is; the control plane may be of another version")
}
