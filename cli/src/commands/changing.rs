//! What all changing commands share: the connection, `--reason`, `--json`.
//!
//! Not here: what is changed.

use std::io::Write;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::reading::{ReadArgs, block_on, unexpected};
use crate::exit::Failure;

/// The arguments of every changing command.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    read: ReadArgs,
    /// Why, for those who read the log: 1 to 500 characters
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl ChangeArgs {
    /// Asks for a change, `fields` beside the reason, and prints the new document: as it is with
    /// `--json`, else in the words of `show`.
    ///
    /// # Errors
    /// When it is refused, or there is no answer.
    pub fn print_changed<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        fields: Value,
        out: &mut dyn Write,
        show: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        let mut body = fields;
        body["reason"] = json!(self.reason);
        print_changed(&self.read, method, path, &body, out, show)
    }
}

/// Asks for a change with `body`, and prints the new document: as it is with `--json`, else in the words of
/// `show`.
///
/// # Errors
/// When it is refused, or there is no answer.
pub fn print_changed<T: serde::de::DeserializeOwned>(
    read: &ReadArgs,
    method: Method,
    path: &str,
    body: &Value,
    out: &mut dyn Write,
    show: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    let client = read.client()?;
    let bytes = block_on(async { Ok(client.change(method, path, body).await?) })?;
    if read.json {
        out.write_all(&bytes)?;
        return Ok(writeln!(out)?);
    }
    let document: T = serde_json::from_slice(&bytes).map_err(unexpected)?;
    Ok(write!(out, "{}", show(&document))?)
}
