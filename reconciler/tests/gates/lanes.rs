//! In which order gates are asked, and which of them a fix and a host without change skip.

use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::Attempt;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::operator::{QuarantineDocument, QuarantineSource, RolloutState};
use wavegate_reconciler::fleet::Quarantine;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::gates::{Gate, Lane};
use wavegate_reconciler::plan::{Action, plan};

use crate::budgets::counts_in;
use crate::scene::{Change, Scene};
use crate::spec::{OFFLINE_AFTER_SECS, START, Spec, channel, closure, id, name, retry_at, wall};

/// `z` of `stable@r2` is held by every gate there is.
fn everything_holds() -> Scene {
    let mut scene = Scene::new();
    scene.open("stable@r1", Spec::waves(1));
    scene.place("stable@r1", "z", 0).state("stable@r1", "z", HostState::Soaking);
    scene.open("early@r1", Spec::waves(1).order(2));
    scene.place("early@r1", "e", 0);
    scene.open("stable@r2", Spec::waves(2).order(3).budget("db", 1));
    scene.place_with("stable@r2", "a", 0, counts_in("db")).degraded("stable@r2", "a");
    scene.place("stable@r2", "b", 0);
    scene.place_with("stable@r2", "z", 1, |entry| {
        entry.after = vec![name("b")];
        entry.budgets = vec!["db".parse().unwrap()];
    });
    scene.fleet.channels.get_mut(&channel("stable")).unwrap().after.insert(channel("early"));
    let document = QuarantineDocument {
        channel: channel("stable"),
        closure: closure("stable@r2"),
        since: wall(),
        host: name("a"),
        rollout_id: id("stable@r2"),
        attempt: Attempt(1),
        reason: "probe-failed".to_owned(),
        source: QuarantineSource::Rollback,
    };
    let quarantine = Quarantine { document, log_seq: wavegate_proto::ids::LogSeq(1) };
    scene.fleet.quarantines.insert((channel("stable"), closure("stable@r2")), quarantine);
    scene.edit("stable@r2", "z", |p| p.retry_at = Some(retry_at(START.plus_secs(86_400))));
    scene.rollout("stable@r2").state = RolloutState::Failed;
    scene.wait_millis((3600 + OFFLINE_AFTER_SECS) * 1000);
    scene.fleet.recovering.unreported.insert(name("z"));
    scene.fleet.refresh(&name("z"));
    scene
}

fn asked(lane: Lane) -> Vec<Gate> {
    let holds = everything_holds().all_holds("stable@r2", "z", lane);
    holds.into_iter().map(|(gate, _)| gate).collect()
}

/// The design's table, from top to bottom; with the back-off where the host's own state is asked.
#[test]
fn gates_are_asked_in_the_order_of_the_design() {
    let order = [
        Gate::Recovering,
        Gate::Rollout,
        Gate::Freshness,
        Gate::Quarantine,
        Gate::Offline,
        Gate::Busy,
        Gate::Retry,
        Gate::ChannelEdge,
        Gate::Wave,
        Gate::HostEdge,
        Gate::Budget,
        Gate::Probes,
    ];
    assert_eq!(asked(Lane::Ordinary), order);
    assert!(order.is_sorted(), "the names are declared in the same order");
}

#[test]
fn g19_a_fix_skips_wave_host_edge_and_probes_and_nothing_else() {
    let mut expected = asked(Lane::Ordinary);
    expected.retain(|gate| !matches!(gate, Gate::Wave | Gate::HostEdge | Gate::Probes));
    assert_eq!(asked(Lane::Fix), expected);
}

#[test]
fn no_change_asks_recovering_rollout_freshness_and_offline_alone() {
    let expected = [Gate::Recovering, Gate::Rollout, Gate::Freshness, Gate::Offline];
    assert_eq!(asked(Lane::NoChange), expected);
}

/// `a` as it stands under r1, and its place in the second wave of r2.
fn next(same_content: bool, change: impl FnOnce(&mut Scene)) -> Scene {
    let mut scene = Scene::with(Spec::waves(1));
    scene.place("stable@r1", "a", 0).converged("stable@r1", "a");
    change(&mut scene);
    scene.rollout("stable@r1").state = RolloutState::Superseded;
    scene.open("stable@r2", Spec::waves(2).order(2));
    scene.place("stable@r2", "first", 0);
    scene.place_with("stable@r2", "a", 1, |entry| {
        if same_content {
            entry.closure = closure("stable@r1");
        }
    });
    scene
}

#[test]
fn e19_a_broken_host_gets_the_fix_whatever_wave_it_is_in() {
    let failed = |rollback| {
        move |s: &mut Scene| {
            s.failed("stable@r1", "a", FailureClass::Artifact, rollback);
        }
    };
    for (rollback, lane) in [
        (Rollback::None, Lane::Fix),
        (Rollback::Failed, Lane::Fix),
        (Rollback::Running, Lane::Ordinary),
    ] {
        let scene = next(false, failed(rollback));
        assert_eq!(scene.lane("stable@r2", "a"), lane, "rollback {rollback:?}");
        let waits = lane == Lane::Ordinary;
        assert_eq!(scene.dispatched().len(), if waits { 1 } else { 2 }, "rollback {rollback:?}");
    }
    let scene = next(false, |s| _ = s.degraded("stable@r1", "a"));
    assert_eq!(scene.lane("stable@r2", "a"), Lane::Fix, "degraded");
    let scene = next(false, |s| _ = s.state("stable@r1", "a", HostState::Reverted));
    assert_eq!(scene.lane("stable@r2", "a"), Lane::Ordinary, "it has gone back and uses no slot");
}

#[test]
fn a_converged_and_healthy_host_of_the_same_closure_is_dispatched_at_once_without_change() {
    let scene = next(true, |_| ());
    assert_eq!(scene.lane("stable@r2", "a"), Lane::NoChange);
    let carried = plan(&scene.fleet, scene.now).actions.into_iter().any(|action| {
        let (rollout_id, host) = (id("stable@r2"), name("a"));
        action == Action::Dispatch { rollout_id, host, no_change: true }
    });
    assert!(carried, "from its own wave, before the first is done");
}

#[test]
fn g23_whoever_is_not_exactly_as_the_target_says_is_never_carried() {
    let ordinary: [(&str, Change); 5] = [
        ("it says it runs another", |s| {
            let other = Some(Some(closure("other")));
            s.fleet.hosts.get_mut(&name("a")).unwrap().liveness.current_closure = other;
        }),
        ("it has not said", |s| {
            s.fleet.hosts.get_mut(&name("a")).unwrap().liveness.current_closure = None;
        }),
        ("it drifted", |s| {
            s.fleet.hosts.get_mut(&name("a")).unwrap().liveness.resources.drifted = 1;
        }),
        ("it still soaks", |s| _ = s.state("stable@r1", "a", HostState::Soaking)),
        ("it was never started", |s| _ = s.state("stable@r1", "a", HostState::Pending)),
    ];
    for (case, change) in ordinary {
        assert_eq!(next(true, change).lane("stable@r2", "a"), Lane::Ordinary, "{case}");
    }
    let degraded = next(true, |s| _ = s.degraded("stable@r1", "a"));
    assert_eq!(degraded.lane("stable@r2", "a"), Lane::Fix, "it is degraded");
    assert_eq!(next(false, |_| ()).lane("stable@r2", "a"), Lane::Ordinary, "another closure");
    let mut other_checks = next(true, |_| ());
    other_checks.edit("stable@r2", "a", |placement| {
        placement.entry.checks = Some(format!("sha256:{}", "0".repeat(64)).parse().unwrap());
    });
    assert_eq!(other_checks.lane("stable@r2", "a"), Lane::Ordinary, "other checks");
}

/// A broken host does not wait for its wave, but one that a person left out is not looked at at all.
#[test]
fn g7_a_broken_host_that_was_left_out_is_no_candidate_of_a_fix() {
    let mut scene =
        next(false, |s| _ = s.failed("stable@r1", "a", FailureClass::Artifact, Rollback::Failed));
    assert_eq!(scene.dispatched(), ["stable@r2 first", "stable@r2 a"]);
    scene.edit("stable@r2", "a", |placement| placement.skip = Some(SkipReason::Operator));
    let plan = plan(&scene.fleet, scene.now);
    assert_eq!((plan.actions.len(), plan.report.held.len()), (1, 0));
}
