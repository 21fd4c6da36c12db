//! What a rollout of the tests is opened with: names, policy, budgets.
//!
//! Not here: the fleet it goes to (see [`crate::scene`]).

use wavegate_proto::artifact::policy::{Budget, Limit, Policy, Wave};
use wavegate_proto::event::FailurePolicy;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, RolloutId, Sha256Hash};
use wavegate_proto::time::{Mono, Timestamp};
use wavegate_reconciler::fleet::placement::RetryAt;

/// The tests begin a day after the start of the process.
pub(crate) const START: Mono = Mono::from_millis(86_400_000);
pub(crate) const OFFLINE_AFTER_SECS: u64 = 180;

pub(crate) fn retry_at(mono: Mono) -> RetryAt {
    RetryAt { wall: wall(), mono }
}

pub(crate) fn wall() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

pub(crate) fn name(host: &str) -> HostName {
    host.parse().unwrap()
}

pub(crate) fn id(rollout: &str) -> RolloutId {
    rollout.parse().unwrap()
}

pub(crate) fn channel(channel: &str) -> ChannelName {
    channel.parse().unwrap()
}

pub(crate) fn closure(content: &str) -> ClosureId {
    format!("sha256:{}", Sha256Hash::of(content.as_bytes())).parse().unwrap()
}

pub(crate) fn policy(waves: usize) -> Policy {
    let wave = |index| Wave {
        name: format!("wave-{index}").parse().unwrap(),
        soak_secs: 60,
        requires_approval: false,
    };
    Policy {
        waves: (0..waves).map(wave).collect(),
        on_health_failure: FailurePolicy::RollbackAndHalt,
        failure_threshold_secs: 60,
        activation_timeout_secs: 900,
        dispatch_timeout_secs: 300,
        await_timeout_secs: 3600,
        max_failures: Limit::Count(0),
        max_infra_failures: Limit::Count(0),
        infra_retries: 3,
        offline_after_secs: OFFLINE_AFTER_SECS,
        skip_offline_after_secs: None,
        max_dispatch_per_minute: None,
        windows: Vec::new(),
    }
}

/// A rollout to be opened.
pub(crate) struct Spec {
    pub(crate) policy: Policy,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) order: u64,
}

impl Spec {
    pub(crate) fn waves(waves: usize) -> Self {
        Self { policy: policy(waves), budgets: Vec::new(), order: 1 }
    }

    pub(crate) fn order(mut self, order: u64) -> Self {
        self.order = order;
        self
    }

    pub(crate) fn budget(mut self, budget: &str, max_in_flight: u32) -> Self {
        self.budgets.push(Budget { id: budget.parse().unwrap(), max_in_flight });
        self
    }

    pub(crate) fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }
}
