//! Getting a closure into the store, and refusing what nobody vouches for.
//!
//! Not here: the profile that then keeps it there.

use std::time::Duration;

use tokio::time::Instant;
use wavegate_proto::event::FailureClass;

use super::super::backend::Failure;
use super::programs::{Ended, Programs};
use super::system::StorePath;
use crate::client::Backoff;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What `nix store verify` adds to its exit code for a path that no trusted key has signed and that was
/// not built here.
const UNTRUSTED: i32 = 2;

/// What Nix says when it refuses a path for its signatures.
const NO_SIGNATURE: [&str; 3] = [
    "lacks a valid signature",
    "lacks a signature by a trusted key",
    "is not signed by any of the keys",
];

/// Fetches `target` with all it needs, tried again until `deadline` (A5), and checks that every path of it
/// is signed by a key that this host trusts, also those that were there before.
pub(super) async fn realise(
    programs: &Programs,
    target: &StorePath,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    loop {
        let failure = match realise_once(programs, target, deadline).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let wait = backoff.after_failure();
        let is_final = failure.class != FailureClass::Network;
        if is_final || Instant::now() + wait >= deadline {
            return Err(failure);
        }
        tracing::warn!(%target, detail = failure.detail, "realising is tried again");
        tokio::time::sleep(wait).await;
    }
}

async fn realise_once(
    programs: &Programs,
    target: &StorePath,
    deadline: Instant,
) -> Result<(), Failure> {
    let words = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned());
        words.chain([target.to_string()]).collect::<Vec<_>>()
    };
    let left = || deadline.saturating_duration_since(Instant::now());
    // Said again here, so that no configuration of the host takes it away.
    let realise = words(&["--option", "require-sigs", "true", "--realise"]);
    let ended = programs.run_within(left(), "nix-store", &realise).await?;
    if NO_SIGNATURE.iter().any(|text| ended.stderr().contains(text)) && !ended.is_success() {
        return Err(untrusted(target, &ended));
    }
    if !ended.is_success() {
        return Err(not_realised(target, &ended));
    }
    let command = ["--extra-experimental-features", "nix-command", "store", "verify"];
    let verify = words(&[&command[..], &["--recursive", "--no-contents"]].concat());
    let ended = programs.run_within(left(), "nix", &verify).await?;
    match ended.code() {
        Some(0) => Ok(()),
        Some(code) if code & UNTRUSTED != 0 => Err(untrusted(target, &ended)),
        Some(_) | None => Err(not_realised(target, &ended)),
    }
}

fn untrusted(target: &StorePath, ended: &Ended) -> Failure {
    Failure {
        class: FailureClass::Policy,
        reason: "untrusted-closure".to_owned(),
        detail: format!("no trusted key has signed all of {target}: {}", ended.tail()),
        exit_code: ended.code(),
    }
}

/// A cache that is down or wrong speaks against nobody's closure (E18).
fn not_realised(target: &StorePath, ended: &Ended) -> Failure {
    Failure {
        class: FailureClass::Network,
        reason: "realise-failed".to_owned(),
        detail: format!("{target} could not be realised: {}", ended.tail()),
        exit_code: ended.code(),
    }
}
