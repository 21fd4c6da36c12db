//! The budget gate: who uses a slot, over all rollouts.

use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::gates::{Gate, Hold};

use crate::scene::Scene;
use crate::spec::{Spec, id, name};

const USED_UP: Option<&str> = Some("budget-used-up");

pub(crate) fn counts_in(budget: &str) -> impl FnOnce(&mut HostEntry) {
    move |entry| entry.budgets.push(budget.parse().unwrap())
}

fn members(limit: u32, hosts: &[&str]) -> Scene {
    let mut scene = Scene::with(Spec::waves(1).budget("db", limit));
    for host in hosts {
        scene.place_with("stable@r1", host, 0, counts_in("db"));
    }
    scene
}

#[test]
fn budget_holds_at_its_limit_and_not_one_below() {
    let hosts = ["a", "b", "c", "d"];
    for limit in 0..=4_u32 {
        for users in 0..=3_u32 {
            let mut scene = members(limit, &hosts);
            for host in hosts.iter().take(usize::try_from(users).unwrap()) {
                scene.state("stable@r1", host, HostState::Soaking);
            }
            let expected = (users >= limit).then_some("budget-used-up");
            let code = scene.code("stable@r1", "d", Gate::Budget);
            assert_eq!(code, expected, "{users} of {limit} slots are used");
        }
    }
}

#[test]
fn g19_who_uses_a_slot() {
    for (state, uses) in [
        (HostState::Pending, false),
        (HostState::Activating, true),
        (HostState::Deferred, true),
        (HostState::Soaking, true),
        (HostState::Converged, false),
        (HostState::Failed, true),
        (HostState::Reverted, false),
        (HostState::Skipped, false),
    ] {
        let mut scene = members(1, &["a", "b"]);
        scene.state("stable@r1", "a", state);
        let expected = uses.then_some("budget-used-up");
        assert_eq!(scene.code("stable@r1", "b", Gate::Budget), expected, "{state}");
        for skip in [SkipReason::Offline, SkipReason::Removed] {
            scene.edit("stable@r1", "a", |placement| placement.skip = Some(skip));
            assert_eq!(scene.code("stable@r1", "b", Gate::Budget), None, "{state}, {skip:?}: G7");
        }
    }
}

#[test]
fn g19_g25_who_else_uses_a_slot() {
    let mut scene = members(1, &["a", "b"]);
    scene.lease("stable@r1", "a");
    assert_eq!(scene.code("stable@r1", "b", Gate::Budget), USED_UP, "dispatched");
    let mut scene = members(1, &["a", "b"]);
    scene.degraded("stable@r1", "a");
    assert_eq!(scene.code("stable@r1", "b", Gate::Budget), USED_UP, "degraded");
    let mut scene = members(1, &["a", "b"]);
    scene.fleet.recovering.unreported.insert(name("a"));
    scene.fleet.refresh(&name("a"));
    assert_eq!(scene.code("stable@r1", "b", Gate::Budget), USED_UP, "G25: nobody knows");
    assert_eq!(scene.code("stable@r1", "a", Gate::Budget), None, "a host never blocks itself");
}

#[test]
fn g6_a_failed_host_that_was_not_changed_uses_no_slot() {
    for (changed, expected) in [(true, USED_UP), (false, None)] {
        let mut scene = members(1, &["a", "b"]);
        scene.failed("stable@r1", "a", FailureClass::Host, Rollback::None);
        scene.edit("stable@r1", "a", |placement| {
            placement.record.failure.as_mut().unwrap().changed = changed;
        });
        assert_eq!(scene.code("stable@r1", "b", Gate::Budget), expected, "changed: {changed}");
    }
}

#[test]
fn the_smallest_limit_counts_over_all_rollouts_of_the_same_budget() {
    let mut scene = members(3, &["a", "b"]);
    scene.open("edge@r1", Spec::waves(1).order(2).budget("db", 1));
    scene.place_with("edge@r1", "e", 0, counts_in("db"));
    scene.state("stable@r1", "a", HostState::Soaking);
    for (rollout, host) in [("stable@r1", "b"), ("edge@r1", "e")] {
        let hold = scene.hold(rollout, host, Gate::Budget);
        let (budget, users) = ("db".parse().unwrap(), vec![name("a")]);
        assert_eq!(hold, Some(Hold::BudgetUsedUp { budget, max_in_flight: 1, users }), "{host}");
    }
    scene.fleet.retire_budgets(&id("edge@r1"));
    assert_eq!(scene.code("stable@r1", "b", Gate::Budget), None, "its rollout is superseded");
}

#[test]
fn e12_waiting_hosts_use_no_slot_and_other_budgets_do_not_matter() {
    let mut scene = members(1, &["a", "b"]);
    scene.fleet.budgets.entry("web".parse().unwrap()).or_default();
    scene.place_with("stable@r1", "w", 0, counts_in("web"));
    scene.state("stable@r1", "w", HostState::Soaking);
    assert_eq!(scene.code("stable@r1", "a", Gate::Budget), None);
    assert_eq!(scene.code("stable@r1", "b", Gate::Budget), None);
    scene.place_with("stable@r1", "both", 0, |entry| {
        entry.budgets = vec!["web".parse().unwrap(), "db".parse().unwrap()];
    });
    scene.state("stable@r1", "a", HostState::Soaking);
    assert_eq!(scene.code("stable@r1", "both", Gate::Budget), USED_UP, "any of its budgets");
}

/// G19: two broken members do not wait for each other, and their fixes go one after the other.
#[test]
fn g19_e19_broken_members_do_not_block_each_other_and_block_everybody_else() {
    let mut scene = members(1, &["a", "b", "c"]);
    for host in ["a", "b"] {
        scene.failed("stable@r1", host, FailureClass::Artifact, Rollback::Failed);
    }
    scene.converged("stable@r1", "c");
    scene.rollout("stable@r1").state = wavegate_proto::wire::operator::RolloutState::Superseded;
    scene.open("stable@r2", Spec::waves(1).order(2).budget("db", 1));
    for host in ["a", "b", "c"] {
        scene.place_with("stable@r2", host, 0, counts_in("db"));
    }
    assert_eq!(scene.code("stable@r2", "a", Gate::Budget), None);
    assert_eq!(scene.code("stable@r2", "b", Gate::Budget), None);
    assert_eq!(scene.code("stable@r2", "c", Gate::Budget), USED_UP);
    assert_eq!(scene.dispatched(), ["stable@r2 a"], "E12: one at a time all the same");
    scene.lease("stable@r2", "a");
    assert_eq!(scene.code("stable@r2", "b", Gate::Budget), USED_UP, "a is being worked on");
    scene.converged("stable@r2", "a");
    assert_eq!(scene.dispatched(), ["stable@r2 b"]);
}
