//! The sans-I/O core against the design: what it must never do, and what it must always say.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::result_large_err,
    missing_docs,
    reason = "test code"
)]

mod awaiting;
mod budgets;
mod checkpoints;
mod halting;
mod handshake;
mod harness;
mod identities;
mod journals;
mod lost;
mod marks;
mod operators;
mod planned;
mod provider;
mod recovery;
mod releases;
mod retention;
mod silence;
mod supersession;
mod waves;
mod windows;

use wavegate_proto::artifact::policy::Policy;
use wavegate_proto::ids::ChannelName;
use wavegate_tests::release_kit::{ChannelSpec, closure, policy, stable};

const SOAK_SECS: u64 = 60;

/// The policy of the tests, with so many waves.
fn rules(waves: usize) -> Policy {
    policy(&vec![SOAK_SECS; waves])
}

/// `stable@reference` with waves of these sizes: host-01, host-02, …
fn release(reference: &str, target: &str, sizes: &[usize]) -> ChannelSpec {
    stable(reference, &closure(target), sizes, rules(sizes.len()))
}

/// The same on a channel of its own, with hosts edge-01, edge-02, …
fn on_channel(channel: &str, mut spec: ChannelSpec) -> ChannelSpec {
    spec.channel = channel.parse().unwrap();
    for entry in &mut spec.entries {
        entry.host = entry.host.as_str().replace("host", channel).parse().unwrap();
    }
    spec
}

fn after(mut spec: ChannelSpec, before: &str) -> ChannelSpec {
    spec.after.push(before.parse::<ChannelName>().unwrap());
    spec
}

/// A release whose dispatches do not lapse while a test looks elsewhere.
fn patient(spec: ChannelSpec) -> ChannelSpec {
    with_policy(spec, |policy| policy.dispatch_timeout_secs = 7 * 24 * 3600)
}

fn with_policy(mut spec: ChannelSpec, change: impl FnOnce(&mut Policy)) -> ChannelSpec {
    change(&mut spec.policy);
    spec
}
