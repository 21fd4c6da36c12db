//! What a rollout counts of its hosts, and that it stays right whatever is changed, taken out or removed.
//!
//! Not here: what follows from it (the rollout machine).

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::{Attempt, WaveIndex};
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::operator::{MarkBy, Outcome, RolloutState};
use wavegate_reconciler::fleet::placement::{HostClass, Placement, RetryAt, SkipReason};
use wavegate_reconciler::window;
use wavegate_state_machine::rollout::RolloutTally;

use crate::budgets::counts_in;
use crate::scene::{Change, Scene};
use crate::spec::{Spec, id, name, wall};

const R1: &str = "stable@r1";

fn tally(scene: &Scene) -> RolloutTally {
    scene.fleet.rollouts[&id(R1)].tally()
}

/// One host in each of two waves.
fn two() -> Scene {
    let mut scene = Scene::with(Spec::waves(2));
    scene.place(R1, "a", 0).place(R1, "b", 1);
    scene
}

fn fails(scene: &mut Scene, host: &str, state: HostState) {
    scene.failed(R1, host, FailureClass::Artifact, Rollback::Done);
    scene.edit(R1, host, |placement| placement.record.state = state);
}

/// What the rollout machine is told, case by case.
#[test]
fn what_the_rollout_machine_is_told() {
    let none = RolloutTally { later_wave_remains: true, ..RolloutTally::default() };
    let begun = RolloutTally { begun: true, ..none };
    let first_done = RolloutTally { current_wave_done: true, next_wave_started: true, ..begun };
    let failed = RolloutTally { artifact_failures_exceed: true, failed_hosts: 1, ..begun };
    let cases: [(&str, Change, RolloutTally); 12] = [
        ("nothing has happened", |_| (), none),
        ("dispatched", |s| _ = s.lease(R1, "a"), begun),
        ("activating", |s| _ = s.state(R1, "a", HostState::Activating), begun),
        ("the later one alone", |s| _ = s.state(R1, "b", HostState::Soaking), begun),
        ("the first wave is done", |s| _ = s.converged(R1, "a"), first_done),
        (
            "all done",
            |s| {
                s.converged(R1, "a").converged(R1, "b");
                s.rollout(R1).current_wave = WaveIndex(1);
            },
            RolloutTally {
                begun: true,
                current_wave_done: true,
                all_done: true,
                ..RolloutTally::default()
            },
        ),
        (
            "one waits for a reboot",
            |s| {
                s.state(R1, "a", HostState::Deferred);
                s.converged(R1, "b");
            },
            RolloutTally { deferred_remain: true, ..first_done },
        ),
        (
            "failed",
            |s| fails(s, "a", HostState::Failed),
            RolloutTally { failed_hosts_awaiting_rollback: 1, ..failed },
        ),
        ("rolled back", |s| fails(s, "a", HostState::Reverted), failed),
        (
            "both",
            |s| {
                fails(s, "a", HostState::Failed);
                fails(s, "b", HostState::Reverted);
            },
            RolloutTally { failed_hosts_awaiting_rollback: 1, failed_hosts: 2, ..failed },
        ),
        (
            "G24: everybody of the first wave was left out by a person",
            |s| _ = s.edit(R1, "a", |p| p.skip = Some(SkipReason::Operator)),
            first_done,
        ),
        (
            "left out for silence: that is no beginning",
            |s| _ = s.edit(R1, "a", |p| p.skip = Some(SkipReason::Offline)),
            none,
        ),
    ];
    for (case, change, expected) in cases {
        let mut scene = two();
        change(&mut scene);
        assert_eq!(tally(&scene), expected, "{case}");
    }
}

#[test]
fn a_rollout_ends_complete_or_with_exceptions() {
    let mut scene = two();
    scene.converged(R1, "a").converged(R1, "b");
    let outcome = |scene: &Scene| scene.fleet.rollouts[&id(R1)].outcome();
    assert_eq!(outcome(&scene), None, "it has not ended");
    scene.rollout(R1).state = RolloutState::Terminal;
    assert_eq!(outcome(&scene), Some(Outcome::Complete));
    scene.edit(R1, "b", |placement| placement.skip = Some(SkipReason::Operator));
    assert_eq!(outcome(&scene), Some(Outcome::WithExceptions));
}

/// A wave that the plan does not have is not done, has no soak, and nobody waits in it.
#[test]
fn a_wave_that_does_not_exist() {
    let scene = two();
    let rollout = &scene.fleet.rollouts[&id(R1)];
    let beyond = WaveIndex(2);
    assert!(!rollout.is_wave_done(beyond) && !rollout.is_wave_over(beyond));
    assert_eq!((rollout.soak_secs(WaveIndex(1)), rollout.soak_secs(beyond)), (60, 0));
    assert_eq!(rollout.wave(beyond), None);
    assert_eq!(rollout.candidates(beyond).count(), 0);
}

/// G24: a person's approval of the next wave stands for evidence that is lacking, and for nothing else.
#[test]
fn g24_an_approval_of_the_next_wave_ends_one_without_evidence_and_no_other() {
    let done = |scene: &Scene| scene.fleet.rollouts[&id(R1)].is_wave_done(WaveIndex(0));
    let approve = |scene: &mut Scene, wave| {
        let (actor, reason) = ("operator/alice".to_owned(), "seen".to_owned());
        let by = MarkBy { actor, reason, at: wall() };
        scene.rollout(R1).approvals.insert(WaveIndex(wave), by);
    };
    let mut silent = two();
    silent.edit(R1, "a", |placement| placement.skip = Some(SkipReason::Offline));
    assert!(!done(&silent), "nobody speaks for it");
    approve(&mut silent, 0);
    assert!(!done(&silent), "its own approval says nothing about its end");
    approve(&mut silent, 1);
    assert!(done(&silent));
    let mut at_work = two();
    approve(&mut at_work, 1);
    at_work.state(R1, "a", HostState::Soaking);
    assert!(!done(&at_work), "it is still at work");
}

/// Everything that is counted, as one text to compare.
fn counted(scene: &Scene) -> String {
    let rollouts = scene.fleet.rollouts.values().map(|rollout| {
        let candidates: Vec<_> = rollout.all_candidates().collect();
        let silences: Vec<_> = rollout.silences().collect();
        format!("{} {:?} {candidates:?} {silences:?}\n", rollout.id, rollout.waves())
    });
    let rollouts: String = rollouts.collect();
    format!("{rollouts}{:?}\n{:?}", scene.fleet.budgets, scene.fleet.hosts_by_state)
}

/// `a` and `b` go on, `c` was never touched; `others` may be placed before.
fn superseded(with_c: bool) -> Scene {
    let mut scene = Scene::with(Spec::waves(2).budget("db", 2));
    scene.place_with(R1, "a", 0, counts_in("db")).state(R1, "a", HostState::Soaking);
    scene.place_with(R1, "b", 1, counts_in("db")).converged(R1, "b");
    scene.open("stable@r2", Spec::waves(1).order(2).budget("db", 1));
    scene.place_with("stable@r2", "a", 0, counts_in("db"));
    if with_c {
        scene.place_with(R1, "c", 1, counts_in("db"));
    }
    scene
}

#[test]
fn hosts_that_nothing_was_started_for_are_taken_out_without_a_trace() {
    let mut scene = superseded(true);
    scene.edit(R1, "a", |placement| {
        placement.record.journal_id = "00000000-0000-4000-8000-000000000001".parse().ok();
    });
    assert_eq!(scene.fleet.drop_untouched(&id(R1)), [name("c")]);
    assert_eq!(scene.fleet.drop_untouched(&id(R1)), []);
    assert_eq!(scene.fleet.drop_untouched(&id("stable@r9")), []);
    let mut never = superseded(false);
    never.fleet.host_entry(&name("c"), never.now.mono).member =
        scene.fleet.hosts[&name("c")].member.clone();
    never.fleet.refresh(&name("c"));
    assert_eq!(counted(&scene), counted(&never));
    assert!(scene.fleet.newest(&name("c")).is_none());
    // One that reported something stays, though its record is pending.
    let mut reported = superseded(true);
    reported.edit(R1, "c", |placement| {
        placement.record.journal_id = "00000000-0000-4000-8000-000000000001".parse().ok();
    });
    assert_eq!(reported.fleet.drop_untouched(&id(R1)), []);
}

#[test]
fn a_removed_rollout_leaves_nothing_behind_but_hosts_that_are_still_named() {
    let mut scene = superseded(true);
    scene.fleet.hosts.get_mut(&name("c")).unwrap().member = None;
    scene.fleet.refresh(&name("c"));
    scene.fleet.remove_rollout(&id(R1));
    let mut never = Scene::new();
    never.open("stable@r2", Spec::waves(1).order(2).budget("db", 1));
    never.place_with("stable@r2", "a", 0, counts_in("db"));
    let member = scene.fleet.hosts[&name("b")].member.clone();
    never.fleet.host_entry(&name("b"), never.now.mono).member = member;
    never.fleet.refresh(&name("b"));
    let without_zeros =
        |text: String| text.replace("\"converged\": 0, ", "").replace("\"soaking\": 0", "");
    let (left, expected) = (without_zeros(counted(&scene)), without_zeros(counted(&never)));
    assert_eq!(left.lines().next(), expected.lines().next());
    assert_eq!(scene.fleet.budgets, never.fleet.budgets);
    assert!(!scene.fleet.hosts.contains_key(&name("c")), "nobody names it any more");
    assert!(scene.fleet.hosts.contains_key(&name("b")), "the release names it");
    let before = counted(&scene);
    scene.fleet.remove_rollout(&id(R1));
    assert_eq!(counted(&scene), before);
}

#[test]
fn members_are_counted_by_the_state_of_their_newest_record() {
    let mut scene = superseded(true);
    let count = |scene: &Scene, state| scene.fleet.hosts_by_state.get(state).copied().unwrap_or(0);
    assert_eq!((count(&scene, "pending"), count(&scene, "converged")), (2, 1));
    scene.converged("stable@r2", "a");
    assert_eq!((count(&scene, "pending"), count(&scene, "converged")), (1, 2));
    scene.fleet.hosts.get_mut(&name("b")).unwrap().member = None;
    scene.fleet.refresh(&name("b"));
    assert_eq!(count(&scene, "converged"), 1, "it is no member any more");
    scene.fleet.host_entry(&name("x"), scene.now.mono);
    scene.fleet.refresh(&name("x"));
    assert_eq!(count(&scene, "none"), 0, "nor is this one");
}

/// G12, G18: what was put up with stands for an attempt, and for those before it.
#[test]
fn g12_g18_what_was_put_up_with_stands_for_its_attempt() {
    let mut scene = Scene::with(Spec::waves(1).policy(|p| p.max_failures = Limit::Count(0)));
    scene.place(R1, "a", 0);
    fails(&mut scene, "a", HostState::Failed);
    scene.edit(R1, "a", |placement| placement.record.attempt = Attempt(2));
    let over = |scene: &Scene| scene.fleet.rollouts[&id(R1)].wave_over_limit();
    assert_eq!(over(&scene), Some(WaveIndex(0)));
    scene.edit(R1, "a", |placement| placement.forgiven = Some(Attempt(1)));
    assert_eq!(over(&scene), Some(WaveIndex(0)), "of an earlier attempt");
    scene.edit(R1, "a", |placement| placement.forgiven = Some(Attempt(2)));
    assert_eq!(over(&scene), None);
    let wave = &scene.fleet.rollouts[&id(R1)].waves()[0];
    assert_eq!((wave.artifact_failures(), wave.halting_failures()), (1, 0));
    let mut placement: Placement = scene.fleet.placement(&id(R1), &name("a")).unwrap().clone();
    assert!(!placement.is_cleared(Attempt(1)));
    placement.cleared = Some(Attempt(2));
    let cleared: Vec<bool> = (1..4).map(|n| placement.is_cleared(Attempt(n))).collect();
    assert_eq!(cleared, [true, true, false]);
}

/// How a host counts, from what is noted beside its record.
#[test]
fn how_a_host_counts_in_its_wave() {
    let cases: [(&str, Change, HostClass); 12] = [
        ("pending", |_| (), HostClass::Waiting),
        ("dispatched", |s| _ = s.lease(R1, "a"), HostClass::Leased),
        (
            "as often as it is tried",
            |s| _ = s.edit(R1, "a", |p| p.infra_failures = 3),
            HostClass::Waiting,
        ),
        ("once more", |s| _ = s.edit(R1, "a", |p| p.infra_failures = 4), HostClass::InfraExhausted),
        (
            "failed for the closure's fault, though unheard",
            |s| {
                fails(s, "a", HostState::Failed);
                s.fleet.recovering.unreported.insert(name("a"));
                s.fleet.refresh(&name("a"));
            },
            HostClass::FailedArtifact,
        ),
        (
            "unheard",
            |s| {
                s.fleet.recovering.unreported.insert(name("a"));
                s.fleet.refresh(&name("a"));
            },
            HostClass::Unknown,
        ),
        (
            "converged, though unheard",
            |s| {
                s.converged(R1, "a");
                s.fleet.recovering.unreported.insert(name("a"));
                s.fleet.refresh(&name("a"));
            },
            HostClass::Converged,
        ),
        ("left out", |s| _ = s.state(R1, "a", HostState::Skipped), HostClass::Skipped),
        (
            "its certificate was revoked",
            |s| _ = s.edit(R1, "a", |p| p.skip = Some(SkipReason::Revoked)),
            HostClass::Skipped,
        ),
        (
            "lost",
            |s| {
                s.state(R1, "a", HostState::Soaking);
                s.edit(R1, "a", |p| p.lost = true);
            },
            HostClass::InfraExhausted,
        ),
        ("rolled back", |s| fails(s, "a", HostState::Reverted), HostClass::RevertedArtifact),
        (
            "rolled back for another reason",
            |s| {
                s.failed(R1, "a", FailureClass::Host, Rollback::Done);
                s.state(R1, "a", HostState::Reverted);
            },
            HostClass::InfraRetrying,
        ),
    ];
    for (case, change, expected) in cases {
        let mut scene = two();
        change(&mut scene);
        let placement = scene.fleet.placement(&id(R1), &name("a")).unwrap();
        assert_eq!(placement.class(), expected, "{case}");
    }
}

#[test]
fn a_retry_is_due_on_both_clocks() {
    let scene = Scene::new();
    let retry = RetryAt::after(scene.now, 30);
    assert_eq!((retry.wall, retry.mono), (wall().plus_secs(30), scene.now.mono.plus_secs(30)));
}

#[test]
fn local_times_and_zones_for_people() {
    let berlin = "Europe/Berlin".parse().unwrap();
    assert_eq!(window::local_time(&berlin, wall()).as_deref(), Some("2026-11-21 10:00"));
    assert_eq!(window::local_time(&"Atlantis/Capital".parse().unwrap(), wall()), None);
    assert!(window::zone_names().any(|zone| zone == "Europe/Berlin"));
    assert!(window::knows_zone(&berlin));
}
