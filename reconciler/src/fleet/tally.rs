//! How many hosts of a wave count as what.

use std::collections::BTreeMap;

use wavegate_proto::artifact::policy::{Limit, Policy};
use wavegate_proto::record::HostState;

use super::placement::{Counted, HostClass};

/// How many hosts of a wave count as what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaveTally {
    /// Hosts of the wave in the signed plan.
    pub hosts: u64,
    /// Hosts by the state of their record.
    pub by_state: BTreeMap<HostState, u64>,
    /// Hosts that are degraded or whose enforce probes fail now.
    pub unhealthy: u64,
    /// Hosts that failed for the closure's own fault and have not been heard since the start (G25).
    unheard_failures: u64,
    /// Failures of the closure's own fault that do not count towards a halt any more (G18).
    forgiven_failures: u64,
    /// Hosts that have reported anything in the rollout.
    touched: u64,
    by_class: [u64; HostClass::COUNT],
}

impl WaveTally {
    /// How many hosts count as `class`.
    #[must_use]
    pub fn count(&self, class: HostClass) -> u64 {
        self.by_class[class as usize]
    }

    pub(super) fn add(&mut self, counted: Counted) {
        self.by_class[counted.class as usize] += 1;
        *self.by_state.entry(counted.state).or_default() += 1;
        self.unhealthy += u64::from(counted.unhealthy);
        self.unheard_failures += u64::from(counted.unheard_failure);
        self.forgiven_failures += u64::from(counted.forgiven);
        self.touched += u64::from(counted.touched);
    }

    pub(super) fn remove(&mut self, counted: Counted) {
        self.by_class[counted.class as usize] -= 1;
        if let Some(count) = self.by_state.get_mut(&counted.state) {
            *count -= 1;
            if *count == 0 {
                self.by_state.remove(&counted.state);
            }
        }
        self.unhealthy -= u64::from(counted.unhealthy);
        self.unheard_failures -= u64::from(counted.unheard_failure);
        self.forgiven_failures -= u64::from(counted.forgiven);
        self.touched -= u64::from(counted.touched);
    }

    /// Hosts that failed for the closure's own fault.
    #[must_use]
    pub fn artifact_failures(&self) -> u64 {
        self.count(HostClass::FailedArtifact) + self.count(HostClass::RevertedArtifact)
    }

    /// Of these, those that count towards a halt: not those a resume has put up with (G18).
    #[must_use]
    pub fn halting_failures(&self) -> u64 {
        self.artifact_failures().saturating_sub(self.forgiven_failures)
    }

    /// Hosts that failed for other reasons and will not be tried again (G17).
    #[must_use]
    pub fn standing_infra_failures(&self) -> u64 {
        self.count(HostClass::InfraExhausted)
    }

    /// How many failures of the closure's own fault are tolerated.
    #[must_use]
    pub fn max_failures(&self, policy: &Policy) -> u64 {
        policy.max_failures.of(self.hosts)
    }

    /// How many other failures are tolerated; as a percentage at least one (G17).
    #[must_use]
    pub fn max_infra_failures(&self, policy: &Policy) -> u64 {
        let limit = policy.max_infra_failures.of(self.hosts);
        match policy.max_infra_failures {
            Limit::Percent(_) => limit.max(1),
            Limit::Count(_) => limit,
        }
    }

    /// How many hosts are done.
    #[must_use]
    pub fn done(&self, policy: &Policy) -> u64 {
        let within = |count: u64, limit: u64| if count <= limit { count } else { 0 };
        self.count(HostClass::Converged)
            + self.count(HostClass::Deferred)
            + self.count(HostClass::Skipped)
            + self.count(HostClass::SkippedOffline)
            + within(self.artifact_failures(), self.max_failures(policy))
                .saturating_sub(self.unheard_failures)
            + within(self.standing_infra_failures(), self.max_infra_failures(policy))
    }

    /// Whether every host is done. A wave that nobody converged in is not done by silence, nor by hosts
    /// that were lost or given up on: they may be down because of the very closure (G24).
    #[must_use]
    pub fn is_done(&self, policy: &Policy) -> bool {
        self.done(policy) == self.hosts && !self.is_without_evidence()
    }

    /// Whether nobody converged and somebody was left out for silence, lost or given up on: then a person
    /// has to decide.
    #[must_use]
    pub fn is_without_evidence(&self) -> bool {
        let unjudged = self.count(HostClass::SkippedOffline) + self.standing_infra_failures();
        unjudged > 0 && self.count(HostClass::Converged) == 0
    }

    /// Whether any host has reported anything.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.touched > 0
    }

    /// Whether anything has been started in it.
    #[must_use]
    pub fn has_started(&self) -> bool {
        let idle =
            [HostClass::Waiting, HostClass::Skipped, HostClass::SkippedOffline, HostClass::Unknown];
        idle.iter().map(|class| self.count(*class)).sum::<u64>() < self.by_class.iter().sum()
    }
}
