//! What is the same on every path: the signed releases and each host's part of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavegate_proto::artifact::proof::{HostPlan, verify_rollout_proof};
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{ClosureId, HostName, RolloutId};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_state_machine::agent::OfferedPlan;
use wavegate_tests::release_kit::{ChannelSpec, Kit, closure, host_name, policy, stable};
use wavegate_tests::sim::probes;

use crate::bounds::SilentHosts;

/// 2026-11-21T09:00:00Z.
pub(crate) const BEGIN_UNIX_MILLIS: i64 = 1_795_251_600_000;

/// Time passes in steps of this; every duration of the policy is a multiple of it.
pub(crate) const TICK_SECS: u64 = 30;

/// Short, so that a control plane that has just started waits for at most one tick, and shows every
/// heartbeat its checkpoint.
pub(crate) const HEARTBEAT_SECS: u64 = 3;

/// One host goes first, two follow under a budget of one.
pub(crate) const WAVES: [usize; 2] = [1, 2];
pub(crate) const HOSTS: usize = 3;
pub(crate) const BUDGET: &str = "pair";

/// What runs on every host before the first release.
pub(crate) const BEFORE: &str = "before";

/// What each release names for every host.
const TARGETS: [&str; 2] = ["one", "two"];

#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) releases: Vec<Arc<Verified<Release>>>,
    plans: BTreeMap<(HostName, RolloutId), OfferedPlan>,
}

impl Setup {
    pub(crate) fn new(silent_hosts: SilentHosts) -> Self {
        let kit = Kit::default();
        let signed_at = Timestamp::from_unix_millis(BEGIN_UNIX_MILLIS);
        let mut releases = Vec::new();
        let mut plans = BTreeMap::new();
        for (index, target) in TARGETS.iter().enumerate() {
            let serial = index as u64 + 1;
            let release = kit.release(serial, signed_at, &[channel(serial, target, silent_hosts)]);
            let rollout = release.rollouts.values().next().unwrap();
            for number in 1..=HOSTS {
                let host = host_name(number);
                let proof = rollout.proof(&host).unwrap();
                let plan = verify_rollout_proof(&proof, &host, &kit.context(signed_at)).unwrap();
                let offered = OfferedPlan { plan, proof, probes: Some(probes()) };
                plans.insert((host, rollout.header.rollout_id()), offered);
            }
            releases.push(release);
        }
        Self { releases, plans }
    }

    /// A host's own part of a rollout, as it is fetched and verified.
    pub(crate) fn plan(&self, host: &HostName, rollout: &RolloutId) -> &OfferedPlan {
        &self.plans[&(host.clone(), rollout.clone())]
    }

    /// What a stored proof verifies to.
    pub(crate) fn plan_of(&self, host: &HostName, proof: &RolloutProof) -> &Verified<HostPlan> {
        let of_host = self.plans.iter().filter(|((name, _), _)| name == host);
        let mut same = of_host.filter(|(_, offered)| offered.proof == *proof);
        &same.next().unwrap().1.plan
    }

    /// Whether a plan names the closure for every host.
    pub(crate) fn is_signed(closure_id: &ClosureId) -> bool {
        TARGETS.iter().any(|target| closure(target) == *closure_id)
    }
}

fn channel(serial: u64, target: &str, silent_hosts: SilentHosts) -> ChannelSpec {
    let mut policy = policy(&[TICK_SECS, TICK_SECS]);
    policy.failure_threshold_secs = TICK_SECS;
    policy.activation_timeout_secs = TICK_SECS;
    policy.dispatch_timeout_secs = 2 * TICK_SECS;
    policy.offline_after_secs = 2 * TICK_SECS;
    policy.skip_offline_after_secs = match silent_hosts {
        SilentHosts::Wait => None,
        SilentHosts::Skip => Some(4 * TICK_SECS),
    };
    policy.infra_retries = 1;
    let mut spec =
        stable(&format!("r{serial}"), &closure(target), &WAVES, policy).budget(BUDGET, 1, 1);
    // The first host is under no budget.
    spec.entries[0].budgets.clear();
    spec
}
