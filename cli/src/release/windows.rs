//! Maintenance windows of a release: the openings of a host, and windows that are short.
//!
//! Not here: when a window is open (`wavegate_reconciler::window`).

use serde::Serialize;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::window::Window;
use wavegate_proto::ids::{ChannelName, HostName, RolloutId};
use wavegate_proto::time::Timestamp;
use wavegate_reconciler::window::{Opening, local_time, openings};

use crate::fleet_toml::policy::RolloutPolicy;
use crate::fleet_toml::scalar::Seconds;

/// How far ahead short openings are looked for, in seconds: a year has every change of clocks.
const LOOK_AHEAD_SECS: u64 = 366 * 86_400;

/// When a host may be dispatched.
#[derive(Debug, Clone, Serialize)]
pub struct HostWindows {
    /// The host.
    pub host: HostName,
    /// The rollout whose policy says so.
    pub rollout_id: RolloutId,
    /// The windows of the policy; none: always.
    pub windows: Vec<Window>,
    /// The next openings, in order.
    pub openings: Vec<HostOpening>,
}

/// One opening, with what the clocks there show.
#[derive(Debug, Clone, Serialize)]
pub struct HostOpening {
    /// When it begins.
    pub opens_at: Timestamp,
    /// The first moment after it; `None`: it has no end.
    pub closes_at: Option<Timestamp>,
    /// `opens_at` on the clocks of the first window's zone, as `2026-11-21 22:00`.
    pub opens_local: Option<String>,
    /// `closes_at` likewise.
    pub closes_local: Option<String>,
}

/// The next `count` openings of a host that are not over at `from`; `None`: it is not in the release.
#[must_use]
pub fn of_host(
    release: &Release,
    host: &HostName,
    from: Timestamp,
    count: usize,
) -> Option<HostWindows> {
    let channel = &release.fleet.hosts.get(host)?.channel;
    let header = &release.rollouts.get(channel)?.header;
    let windows = &header.policy.windows;
    let local = |at| local_time(&windows.first()?.tz, at);
    let shown = |Opening { opens_at, closes_at }: Opening| HostOpening {
        opens_local: local(opens_at),
        closes_local: closes_at.and_then(local),
        opens_at,
        closes_at,
    };
    Some(HostWindows {
        host: host.clone(),
        rollout_id: header.rollout_id(),
        openings: openings(windows, from).take(count).map(shown).collect(),
        windows: windows.clone(),
    })
}

/// A warning when a window of a policy is shorter than what begins in it may take, as of `now`.
pub(super) fn warning(name: &str, policy: &RolloutPolicy, now: Timestamp) -> Option<String> {
    let windows = windows(policy);
    let end = now.plus_secs(LOOK_AHEAD_SECS);
    let lengths = openings(&windows, now).take_while(|opening| opening.opens_at < end);
    let lengths = lengths.filter_map(|opening| {
        let secs = opening.closes_at?.secs_since(opening.opens_at);
        Some((u64::try_from(secs).unwrap_or(0), opening.opens_at))
    });
    let (secs, opens_at) = lengths.min()?;
    let needed = policy.activation_timeout.0;
    (secs < needed).then(|| {
        format!(
            "rollout policy {name}: the maintenance window that opens at {opens_at} is {} min long, \
             shorter than activation_timeout ({needed} s): what begins in it may go on after it",
            secs / 60
        )
    })
}

/// A warning when a release that is signed at `now` is no longer fresh as the next window opens.
pub(super) fn stale_warning(
    channel: &ChannelName,
    policy: &RolloutPolicy,
    Seconds(freshness_secs): Seconds,
    now: Timestamp,
) -> Option<String> {
    let opens_at = openings(&windows(policy), now).next()?.opens_at;
    let fresh_until = now.plus_secs(freshness_secs);
    (opens_at > fresh_until).then(|| {
        format!(
            "channel {channel}: the next maintenance window opens at {opens_at}, but this release is \
             fresh until {fresh_until} only: sign one again before, or lengthen freshness_window"
        )
    })
}

fn windows(policy: &RolloutPolicy) -> Vec<Window> {
    policy.windows.iter().map(|keys| keys.0.clone()).collect()
}
