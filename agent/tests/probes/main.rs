//! Probes against real sockets and real processes, and their scheduler in paused time.
//!
//! Not here: what a result counts for.
// Literals of `json!` read best as they are.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod evidence;
mod exec;
mod http;
mod scheduler;

use std::time::Duration;

use serde_json::Value;
use wavegate_agent::probes::{CheckResult, CheckRunner as _, LocalChecks, RootExec};
use wavegate_proto::event::ProbeOutcome;

fn checks(root_exec: RootExec) -> LocalChecks {
    // The second test of the process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    LocalChecks::new("/the/root".into(), root_exec).unwrap()
}

async fn ask_within(check: Value, timeout: Duration) -> CheckResult {
    let check = serde_json::from_value(check).unwrap();
    checks(RootExec::Refused).run(&check, timeout).await
}

async fn ask(check: Value) -> CheckResult {
    ask_within(check, Duration::from_secs(20)).await
}

fn passes(result: &CheckResult) -> bool {
    result.outcome == ProbeOutcome::Pass
}

fn reason(result: &CheckResult) -> &str {
    result.reason.as_deref().unwrap_or_default()
}
