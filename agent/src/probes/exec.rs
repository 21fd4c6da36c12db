//! `kind = "exec"`: passes when a program ends with the expected exit code.
//!
//! Not here: running it (see [`crate::process`]).

use std::time::Duration;

use rustix::process::geteuid;

use super::{CheckResult, RootExec, timed_out};
use crate::process::{self, Ended, Program};
use crate::resources::accounts::{Accounts, User};

/// As whom a program declared for `user` runs: as the agent itself, which is not root and cannot
/// choose, or as that user.
pub(super) fn identity(
    accounts: &Accounts,
    user: &str,
    root_exec: RootExec,
) -> Result<Option<User>, String> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let found = accounts.user(user).map_err(|error| error.to_string())?;
    if found.uid == 0 && root_exec == RootExec::Refused {
        return Err("exec checks may not run as root on this host".to_owned());
    }
    Ok(Some(found))
}

/// Runs the program and compares its exit code.
pub(super) async fn ask(program: Program<'_>, expect_exit: i32) -> CheckResult {
    match process::run(program).await {
        Ok(ended) => judge(&ended, expect_exit, program.timeout),
        Err(error) => {
            let name = program.argv.first().map_or("", String::as_str);
            CheckResult::fail(format!("start {name:?}: {error}"))
        }
    }
}

fn judge(ended: &Ended, expect_exit: i32, timeout: Duration) -> CheckResult {
    let Some(status) = ended.status else { return timed_out(timeout) };
    if status.code() == Some(expect_exit) {
        return CheckResult::pass();
    }
    let what = match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    };
    let tail = ended.last_words();
    let colon = if tail.is_empty() { "" } else { ": " };
    CheckResult::fail(format!("{what}{colon}{tail}"))
}
