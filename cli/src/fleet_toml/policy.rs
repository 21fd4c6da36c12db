//! Rollout policies as people write them, with their defaults.
//!
//! Not here: which host is in which wave (see [`crate::release`]).

use serde::Deserialize;
use wavegate_proto::artifact::policy::{Limit, Policy, Wave};
use wavegate_proto::event::FailurePolicy;
use wavegate_proto::ids::WaveName;

use super::scalar::{After, LimitText, Seconds};
use super::selector::Selector;
use super::window::WindowKeys;

/// `[rollout_policies.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutPolicy {
    /// What a host does when its health fails.
    #[serde(default = "rollback_and_halt")]
    pub on_health_failure: FailurePolicy,
    /// For how long an enforce probe must fail without a pass.
    #[serde(default = "secs::<60>")]
    pub failure_threshold: Seconds,
    /// How long an activation may take.
    #[serde(default = "secs::<900>")]
    pub activation_timeout: Seconds,
    /// How long a dispatch may stay unacknowledged.
    #[serde(default = "secs::<300>")]
    pub dispatch_timeout: Seconds,
    /// How long a host may wait for resources of other hosts.
    #[serde(default = "secs::<3600>")]
    pub await_timeout: Seconds,
    /// Artifact failures a wave tolerates.
    #[serde(default = "no_hosts")]
    pub max_failures: LimitText,
    /// Other failures a wave tolerates before the rollout freezes.
    #[serde(default = "fifth_of_hosts")]
    pub max_infra_failures: LimitText,
    /// How often a host that failed for other reasons is tried again.
    #[serde(default = "three")]
    pub infra_retries: u32,
    /// Silence after which a host counts as offline.
    #[serde(default = "secs::<180>")]
    pub offline_after: Seconds,
    /// Silence after which a host is skipped.
    #[serde(default = "one_day")]
    pub skip_offline_after: After,
    /// The most dispatches a minute.
    #[serde(default)]
    pub max_dispatch_per_minute: Option<u32>,
    /// When dispatches are allowed; empty: always.
    #[serde(default)]
    pub windows: Vec<WindowKeys>,
    /// The waves, in order.
    pub waves: Vec<WaveKeys>,
}

/// One wave of a policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveKeys {
    /// Its name.
    pub name: WaveName,
    /// Its hosts, less those of earlier waves.
    pub hosts: Selector,
    /// How long each of its hosts is watched.
    pub soak: Seconds,
    /// Whether a person must approve it.
    #[serde(default)]
    pub requires_approval: bool,
}

fn rollback_and_halt() -> FailurePolicy {
    FailurePolicy::RollbackAndHalt
}

fn secs<const N: u64>() -> Seconds {
    Seconds(N)
}

fn no_hosts() -> LimitText {
    LimitText(Limit::Count(0))
}

fn fifth_of_hosts() -> LimitText {
    LimitText(Limit::Percent(20))
}

fn three() -> u32 {
    3
}

fn one_day() -> After {
    After::Seconds(Seconds(86_400))
}

impl RolloutPolicy {
    /// The policy as it is signed, with its defaults written out.
    #[must_use]
    pub fn to_signed(&self) -> Policy {
        let wave = |wave: &WaveKeys| Wave {
            name: wave.name.clone(),
            soak_secs: wave.soak.0,
            requires_approval: wave.requires_approval,
        };
        Policy {
            waves: self.waves.iter().map(wave).collect(),
            on_health_failure: self.on_health_failure,
            failure_threshold_secs: self.failure_threshold.0,
            activation_timeout_secs: self.activation_timeout.0,
            dispatch_timeout_secs: self.dispatch_timeout.0,
            await_timeout_secs: self.await_timeout.0,
            max_failures: self.max_failures.0,
            max_infra_failures: self.max_infra_failures.0,
            infra_retries: self.infra_retries,
            offline_after_secs: self.offline_after.0,
            skip_offline_after_secs: self.skip_offline_after.secs(),
            max_dispatch_per_minute: self.max_dispatch_per_minute,
            windows: self.windows.iter().map(|keys| keys.0.clone()).collect(),
        }
    }
}
