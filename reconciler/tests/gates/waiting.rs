//! E20: a rollout names every host its wave waits for, and nobody else.

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::plan::waiting_for;

use crate::scene::Scene;
use crate::spec::{Spec, id, name, wall};

/// Who is waited for, and for what.
fn waited(scene: &Scene) -> Vec<(String, String)> {
    let waiting = waiting_for(&scene.fleet.rollouts[&id("stable@r1")]);
    waiting.into_iter().map(|one| (one.host.to_string(), one.gate)).collect()
}

fn pair() -> Scene {
    let mut scene = Scene::with(Spec::waves(2).policy(|p| p.max_failures = Limit::Count(1)));
    scene.place("stable@r1", "a", 0).place("stable@r1", "b", 0).converged("stable@r1", "b");
    scene.place("stable@r1", "later", 1);
    scene
}

#[test]
fn e20_every_state_that_is_not_done_is_waited_for() {
    for (state, expected) in [
        (HostState::Pending, Some("pending")),
        (HostState::Activating, Some("activating")),
        (HostState::Deferred, Some("deferred")),
        (HostState::Soaking, Some("soaking")),
        (HostState::Converged, None),
        (HostState::Skipped, None),
    ] {
        let mut scene = pair();
        scene.state("stable@r1", "a", state);
        let expected: Vec<_> =
            expected.map(|gate| ("a".to_owned(), gate.to_owned())).into_iter().collect();
        assert_eq!(waited(&scene), expected, "{state}");
    }
}

#[test]
fn e20_a_dispatch_a_retry_and_a_host_nobody_knows_are_waited_for() {
    let mut scene = pair();
    scene.lease("stable@r1", "a");
    assert_eq!(waited(&scene), [("a".to_owned(), "dispatched".to_owned())]);
    let mut scene = pair();
    scene.failed("stable@r1", "a", FailureClass::Network, Rollback::Done);
    assert_eq!(waited(&scene), [("a".to_owned(), "failed".to_owned())], "it is tried again");
    scene.edit("stable@r1", "a", |placement| placement.infra_failures = 4);
    assert_eq!(waited(&scene).len(), 1, "retries used up, and none is tolerated");
    let mut scene = pair();
    scene.fleet.recovering.unreported.insert(name("a"));
    scene.fleet.refresh(&name("a"));
    assert_eq!(waited(&scene).len(), 1, "G25: it is not done");
}

#[test]
fn e20_a_host_left_out_for_its_silence_is_waited_for_only_while_nobody_converged() {
    let mut scene = pair();
    scene.place("stable@r1", "c", 0).state("stable@r1", "c", HostState::Soaking);
    scene.edit("stable@r1", "a", |placement| placement.skip = Some(SkipReason::Offline));
    assert_eq!(waited(&scene), [("c".to_owned(), "soaking".to_owned())], "b speaks for it");
    let mut scene = pair();
    for host in ["a", "b"] {
        scene.state("stable@r1", host, HostState::Pending);
        scene.edit("stable@r1", host, |placement| placement.skip = Some(SkipReason::Offline));
    }
    let hosts: Vec<_> = waited(&scene).into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["a", "b"], "G24");
}

/// E20, O2: what a host that is used up or failed waits for, and what kind of wait it is.
#[test]
fn e20_o2_hosts_that_a_person_must_look_at() {
    use wavegate_proto::wire::operator::ReasonKind;
    let kinds = |scene: &Scene| -> Vec<(String, ReasonKind)> {
        let waiting = waiting_for(&scene.fleet.rollouts[&id("stable@r1")]);
        waiting.into_iter().map(|one| (one.gate, one.kind)).collect()
    };
    let one = |gate: &str, kind| vec![(gate.to_owned(), kind)];
    let used_up = |state: HostState| {
        let mut scene = pair();
        scene.failed("stable@r1", "a", FailureClass::Host, Rollback::Done);
        scene.state("stable@r1", "a", state);
        scene.edit("stable@r1", "a", |placement| placement.infra_failures = 4);
        scene
    };
    assert_eq!(kinds(&used_up(HostState::Failed)), one("failed", ReasonKind::NeedsPerson));
    assert_eq!(kinds(&used_up(HostState::Reverted)), one("reverted", ReasonKind::NeedsPerson));
    let mut pending = used_up(HostState::Pending);
    assert_eq!(kinds(&pending), one("pending", ReasonKind::HeldBack));
    pending.edit("stable@r1", "a", |placement| {
        let hold = wavegate_reconciler::gates::Hold::RetriesUsedUp;
        let since = wall().plus_secs(3);
        placement.held =
            Some(Box::new(wavegate_reconciler::fleet::placement::HeldSince { hold, since }));
    });
    assert_eq!(kinds(&pending), one("retries-used-up", ReasonKind::NeedsPerson));
    let mut lost = pair();
    lost.state("stable@r1", "a", HostState::Soaking);
    lost.edit("stable@r1", "a", |placement| placement.lost = true);
    assert_eq!(kinds(&lost), one("lost", ReasonKind::Stuck));
    let mut failed = pair();
    failed.failed("stable@r1", "a", FailureClass::Artifact, Rollback::Done);
    assert_eq!(kinds(&failed), [], "one is tolerated");
    failed.failed("stable@r1", "b", FailureClass::Artifact, Rollback::Done);
    assert_eq!(kinds(&failed).len(), 2, "two are not");
    // As many as are tolerated are done, and wait for nobody.
    let limits = Spec::waves(1).policy(|p| p.max_infra_failures = Limit::Count(1));
    let mut tolerated = Scene::with(limits);
    tolerated.place("stable@r1", "a", 0).place("stable@r1", "b", 0).converged("stable@r1", "b");
    tolerated.failed("stable@r1", "a", FailureClass::Host, Rollback::Done);
    tolerated.edit("stable@r1", "a", |placement| placement.infra_failures = 4);
    assert_eq!(kinds(&tolerated), []);
}

#[test]
fn e20_a_wave_that_is_not_done_always_names_somebody() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut scene = Scene::with(Spec::waves(1));
        for index in 0..rng.usize(1..6) {
            let host = format!("h{index}");
            scene.place("stable@r1", &host, 0);
            match rng.u32(0..8) {
                0 => _ = scene.lease("stable@r1", &host),
                1 => _ = scene.state("stable@r1", &host, HostState::Soaking),
                2 => _ = scene.edit("stable@r1", &host, |p| p.skip = Some(SkipReason::Offline)),
                3 => _ = scene.edit("stable@r1", &host, |p| p.skip = Some(SkipReason::Removed)),
                4 => {
                    scene.failed("stable@r1", &host, FailureClass::Host, Rollback::Done);
                    scene.edit("stable@r1", &host, |p| p.infra_failures = rng.u32(0..6));
                }
                5 => _ = scene.edit("stable@r1", &host, |p| p.lost = true),
                _ => _ = scene.converged("stable@r1", &host),
            }
        }
        let rollout = &scene.fleet.rollouts[&id("stable@r1")];
        let named = !waiting_for(rollout).is_empty();
        let done = rollout.is_wave_over(wavegate_proto::ids::WaveIndex(0));
        assert_eq!(named, !done, "seed {seed}: {:?}", waited(&scene));
    }
}

#[test]
fn the_longest_comes_first_and_a_later_wave_and_a_finished_rollout_wait_for_nobody() {
    let mut scene = Scene::with(Spec::waves(2));
    for (host, secs) in [("a", 30), ("b", 10), ("c", 10), ("d", 20)] {
        scene.place("stable@r1", host, 0);
        scene.edit("stable@r1", host, |p| p.record.state_since = wall().plus_secs(secs));
    }
    scene.place("stable@r1", "later", 1);
    let hosts: Vec<_> = waited(&scene).into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["b", "c", "d", "a"]);
    for index in 0..30 {
        scene.place("stable@r1", &format!("h{index}"), 0);
    }
    assert_eq!(waited(&scene).len(), 20, "the first twenty are named");
    scene.rollout("stable@r1").state = RolloutState::Superseded;
    assert!(waited(&scene).is_empty());
}
