//! Asking whether the host is healthy: over HTTP, over TCP, by running a program, or by a signed report.
//!
//! A check that cannot be made is a failed check with a reason; there is no third outcome.
//! Not here: what a result counts for (the agent's decisions), gates of resources (`resources`).

mod evidence;
mod exec;
mod http;
pub mod scheduler;
mod tcp;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use wavegate_proto::artifact::bundle::Check;
use wavegate_proto::event::{ProbeOutcome, SubResult};

pub use scheduler::{ProbeReport, Scheduler};

use crate::process::Program;
use crate::resources::accounts::Accounts;

/// The most bytes of a body, or of a program's output, that are looked at.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// As expected or not.
    pub outcome: ProbeOutcome,
    /// Why not.
    pub reason: Option<String>,
    /// The results of single controls, for evidence.
    pub sub_results: Vec<SubResult>,
}

impl CheckResult {
    /// As expected.
    #[must_use]
    pub fn pass() -> Self {
        Self { outcome: ProbeOutcome::Pass, reason: None, sub_results: Vec::new() }
    }

    /// Not as expected.
    #[must_use]
    pub fn fail(reason: impl Into<String>) -> Self {
        Self { outcome: ProbeOutcome::Fail, reason: Some(reason.into()), sub_results: Vec::new() }
    }
}

/// A check under way.
pub type Checking<'a> = Pin<Box<dyn Future<Output = CheckResult> + Send + 'a>>;

/// Makes checks.
pub trait CheckRunner: fmt::Debug + Send + Sync {
    /// Makes one, in at most `timeout`. Dropped before its end, it leaves nothing running.
    fn run<'a>(&'a self, check: &'a Check, timeout: Duration) -> Checking<'a>;
}

/// Whether the host's own configuration lets exec checks run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootExec {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
}

/// Makes checks for real.
#[derive(Debug)]
pub struct LocalChecks {
    client: reqwest::Client,
    root: PathBuf,
    root_exec: RootExec,
    accounts: Accounts,
}

impl LocalChecks {
    /// Checks made from this host; programs find `root` in `WAVEGATE_ROOT`. A TLS provider must have
    /// been installed for the process before.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(root: PathBuf, root_exec: RootExec) -> Result<Self, reqwest::Error> {
        Ok(Self { client: http::client()?, root, root_exec, accounts: Accounts::default() })
    }
}

impl CheckRunner for LocalChecks {
    fn run<'a>(&'a self, check: &'a Check, timeout: Duration) -> Checking<'a> {
        Box::pin(async move {
            match check {
                Check::Http { url, method, expect_status, body_contains, headers } => {
                    let expected = http::Expected {
                        status: expect_status,
                        body_contains: body_contains.as_deref(),
                    };
                    let asked = http::ask(&self.client, (method, url), headers, &expected);
                    within(timeout, asked).await
                }
                Check::Tcp { address } => within(timeout, tcp::ask(address)).await,
                Check::Exec { argv, env, user, expect_exit } => {
                    let user = match exec::identity(&self.accounts, user, self.root_exec) {
                        Ok(user) => user,
                        Err(reason) => return CheckResult::fail(reason),
                    };
                    let (root, keep_bytes) = (self.root.as_path(), MAX_OUTPUT_BYTES);
                    let program = Program { argv, env, root, user, timeout, keep_bytes };
                    exec::ask(program, *expect_exit).await
                }
                Check::Evidence { path, public_key, max_age_secs, controls } => {
                    let wanted = evidence::Wanted {
                        path,
                        public_key,
                        max_age_secs: *max_age_secs,
                        controls,
                    };
                    within(timeout, evidence::ask(&self.root, wanted)).await
                }
            }
        })
    }
}

async fn within(timeout: Duration, asked: impl Future<Output = CheckResult>) -> CheckResult {
    match tokio::time::timeout(timeout, asked).await {
        Ok(result) => result,
        Err(_) => timed_out(timeout),
    }
}

fn timed_out(timeout: Duration) -> CheckResult {
    CheckResult::fail(format!("no answer within {} ms", timeout.as_millis()))
}
