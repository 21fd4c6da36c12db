//! The plan: its order, its determinism, and that one plan keeps within a budget.

use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_reconciler::plan::plan;

use crate::budgets::counts_in;
use crate::scene::Scene;
use crate::spec::Spec;

#[test]
fn e21_rollouts_go_by_opening_and_hosts_by_wave_then_name() {
    let mut scene = Scene::new();
    // By name the channels stand the other way round.
    scene.open("alpha@r9", Spec::waves(2).order(9));
    scene.open("omega@r1", Spec::waves(2).order(1));
    for (rollout, host, wave) in [
        ("alpha@r9", "c", 0),
        ("alpha@r9", "b", 1),
        ("omega@r1", "z", 0),
        ("omega@r1", "y", 0),
        ("omega@r1", "a", 1),
    ] {
        scene.place(rollout, host, wave);
        scene.rollout(rollout).current_wave = wavegate_proto::ids::WaveIndex(1);
    }
    let expected = ["omega@r1 y", "omega@r1 z", "omega@r1 a", "alpha@r9 c", "alpha@r9 b"];
    assert_eq!(scene.dispatched(), expected);
}

/// Hosts that do not wait for their wave keep the order of waves among themselves.
#[test]
fn e21_fixes_go_by_wave_then_name_too() {
    let mut scene = Scene::new();
    let hosts = [("w", 0), ("c", 1), ("b", 2), ("a", 3), ("z", 1)];
    scene.open("stable@r1", Spec::waves(1));
    for (host, _) in hosts {
        scene.place("stable@r1", host, 0);
        scene.failed("stable@r1", host, FailureClass::Artifact, Rollback::Failed);
    }
    scene.rollout("stable@r1").state = RolloutState::Superseded;
    scene.open("stable@r2", Spec::waves(4).order(2));
    for (host, wave) in hosts {
        scene.place("stable@r2", host, wave);
    }
    let expected = ["w", "c", "z", "b", "a"].map(|host| format!("stable@r2 {host}"));
    assert_eq!(scene.dispatched(), expected);
}

#[test]
fn e21_the_same_fleet_gives_the_same_plan_however_it_was_put_together() {
    let hosts: Vec<String> = (0..40).map(|index| format!("h{index:02}")).collect();
    let built = |order: &[String]| {
        let mut scene = Scene::new();
        for (channel, opening) in [("beta@r1", 1), ("alpha@r1", 2)] {
            scene.open(channel, Spec::waves(3).order(opening).budget("db", 3));
        }
        for host in order {
            let index: u32 = host[1..].parse().unwrap();
            let rollout = if index.is_multiple_of(2) { "beta@r1" } else { "alpha@r1" };
            scene.place_with(rollout, host, index % 3, counts_in("db"));
            if index.is_multiple_of(7) {
                scene.state(rollout, host, HostState::Converged);
            }
        }
        plan(&scene.fleet, scene.now)
    };
    let expected = built(&hosts);
    assert_eq!(expected.actions.len(), 3);
    let mut shuffled = hosts.clone();
    for seed in 0..20 {
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        assert_eq!(built(&shuffled), expected, "seed {seed}");
    }
}

#[test]
fn e12_one_plan_does_not_over_commit_a_budget() {
    for limit in 1..=4_u32 {
        let mut scene = Scene::new();
        scene.open("beta@r1", Spec::waves(1).order(1).budget("db", limit));
        scene.open("alpha@r1", Spec::waves(1).order(2).budget("db", limit));
        for (rollout, host) in [("beta@r1", "a"), ("beta@r1", "b"), ("alpha@r1", "c")] {
            scene.place_with(rollout, host, 0, counts_in("db"));
        }
        scene.place("alpha@r1", "free", 0);
        let db = scene.dispatched().iter().filter(|line| !line.ends_with("free")).count();
        assert_eq!(u32::try_from(db).unwrap(), limit.min(3), "limit {limit}");
        assert!(scene.dispatched().contains(&"alpha@r1 free".to_owned()));
    }
}

#[test]
fn a_host_that_is_held_is_reported_with_its_reason_and_nobody_else() {
    let mut scene = Scene::with(Spec::waves(2).budget("db", 1));
    for host in ["a", "b"] {
        scene.place_with("stable@r1", host, 0, counts_in("db"));
    }
    scene.place("stable@r1", "later", 1);
    let plan = plan(&scene.fleet, scene.now);
    assert_eq!(scene.dispatched(), ["stable@r1 a"]);
    let expected = "stable@r1 wave 0 b: budget: budget db allows 1 at once; in use by a\n";
    assert_eq!(plan.report.to_string(), expected);
}

/// Many may wait for a narrow budget: once it has held one, those it was noted to hold are not asked again.
#[test]
fn e12_a_budget_that_is_used_up_is_asked_once_a_plan() {
    let mut scene = Scene::with(Spec::waves(1).budget("db", 1));
    for host in ["a", "b", "c", "d"] {
        scene.place_with("stable@r1", host, 0, counts_in("db"));
    }
    scene.lease("stable@r1", "a");
    let held = |scene: &Scene| -> Vec<String> {
        let held = plan(&scene.fleet, scene.now).report.held;
        held.iter().filter_map(|held| held.host.as_ref().map(ToString::to_string)).collect()
    };
    assert_eq!(held(&scene), ["b", "c", "d"]);
    let noted = scene.hold("stable@r1", "c", wavegate_reconciler::gates::Gate::Budget).unwrap();
    let since = crate::spec::wall();
    for host in ["c", "d"] {
        let hold = noted.clone();
        scene.edit("stable@r1", host, |placement| {
            placement.held =
                Some(Box::new(wavegate_reconciler::fleet::placement::HeldSince { hold, since }));
        });
    }
    assert_eq!(held(&scene), ["b"], "nothing has changed for the others");
    scene.converged("stable@r1", "a");
    assert_eq!(scene.dispatched(), ["stable@r1 b"]);
}

#[test]
fn e11_whoever_has_a_dispatch_or_is_at_work_gets_no_second_one() {
    let mut scene = Scene::with(Spec::waves(1));
    for host in ["a", "b", "c"] {
        scene.place("stable@r1", host, 0);
    }
    scene.lease("stable@r1", "a").state("stable@r1", "b", HostState::Activating);
    assert_eq!(scene.dispatched(), ["stable@r1 c"]);
}
