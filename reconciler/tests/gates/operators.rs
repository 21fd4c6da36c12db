//! The gates that operators and policies set beside the machine: hold, approval, ramp, and marks on the
//! whole rollout.

use wavegate_proto::ids::WaveIndex;
use wavegate_proto::wire::operator::{Hold, MarkBy, ReasonKind, RolloutMark};
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::fleet::rollout::Mark;
use wavegate_reconciler::gates::{Gate, Lane};
use wavegate_reconciler::plan::plan;

use crate::scene::{Scene, table};
use crate::spec::{Spec, name, wall};

const R1: &str = "stable@r1";

fn by() -> MarkBy {
    MarkBy { actor: "operator/alice".to_owned(), reason: "why".to_owned(), at: wall() }
}

fn held(until_secs: Option<u64>) -> Option<Hold> {
    let (actor, reason) = (by().actor, by().reason);
    Some(Hold { reason, actor, since: wall(), until: until_secs.map(|s| wall().plus_secs(s)) })
}

fn hold(scene: &mut Scene, until_secs: Option<u64>) {
    scene.fleet.hosts.get_mut(&name("a")).unwrap().hold = held(until_secs).map(Box::new);
}

fn two_waves() -> Scene {
    let mut scene = Scene::with(Spec::waves(2));
    scene.place(R1, "a", 0).place(R1, "b", 0).place(R1, "later", 1);
    scene
}

#[test]
fn a_hold_holds_its_host_until_its_time_is_up() {
    table(
        Gate::Hold,
        R1,
        "a",
        &two_waves(),
        &[
            ("nobody holds it", |_| {}, None),
            ("until released", |scene| hold(scene, None), Some("held-by-operator")),
            ("for an hour", |scene| hold(scene, Some(3600)), Some("held-by-operator")),
            (
                "the millisecond before",
                |scene| {
                    hold(scene, Some(3600));
                    scene.wait_millis(3_599_999);
                },
                Some("held-by-operator"),
            ),
            (
                "the hour is over",
                |scene| {
                    hold(scene, Some(3600));
                    scene.wait_millis(3_600_000);
                },
                None,
            ),
        ],
    );
    let mut scene = two_waves();
    hold(&mut scene, None);
    assert_eq!(scene.code(R1, "b", Gate::Hold), None, "and nobody else");
}

#[test]
fn an_approval_is_needed_where_the_policy_says_so_and_opens_no_other_wave() {
    let mut spec = Spec::waves(2);
    for wave in &mut spec.policy.waves {
        wave.requires_approval = true;
    }
    let mut scene = Scene::with(spec);
    scene.place(R1, "a", 0).place(R1, "later", 1);
    assert_eq!(scene.code(R1, "a", Gate::Approval), Some("not-approved"));
    scene.rollout(R1).approvals.insert(WaveIndex(1), by());
    assert_eq!(scene.code(R1, "a", Gate::Approval), Some("not-approved"));
    assert_eq!(scene.code(R1, "later", Gate::Approval), None);
    scene.rollout(R1).approvals.insert(WaveIndex(0), by());
    assert_eq!(scene.code(R1, "a", Gate::Approval), None);
}

#[test]
fn marks_hold_a_rollout_and_a_skip_its_host() {
    let mark = |mark| Some(Mark { mark, by: by() });
    let mut scene = two_waves();
    for (set, code) in [
        (mark(RolloutMark::Paused), "rollout-paused"),
        (mark(RolloutMark::Aborted), "rollout-aborted"),
    ] {
        scene.rollout(R1).mark = set;
        assert_eq!(scene.code(R1, "a", Gate::Rollout), Some(code));
        assert!(scene.dispatched().is_empty());
    }
    scene.rollout(R1).mark = None;
    for (reason, code) in [
        (SkipReason::Operator, "skipped-by-operator"),
        (SkipReason::Revoked, "certificate-revoked"),
    ] {
        scene.edit(R1, "a", |placement| placement.skip = Some(reason));
        assert_eq!(scene.code(R1, "a", Gate::Rollout), Some(code));
        assert_eq!(scene.dispatched(), ["stable@r1 b"]);
    }
}

#[test]
fn the_ramp_counts_the_last_minute_and_the_same_plan() {
    let mut spec = Spec::waves(1);
    spec.policy.max_dispatch_per_minute = Some(2);
    let mut scene = Scene::with(spec);
    for host in ["a", "b", "c", "d"] {
        scene.place(R1, host, 0);
    }
    assert_eq!(scene.dispatched(), ["stable@r1 a", "stable@r1 b"], "two in one plan");
    let start = scene.now.mono;
    scene.rollout(R1).note_dispatch(start);
    scene.wait_millis(30_000);
    assert_eq!(scene.dispatched(), ["stable@r1 a"], "one in this minute already");
    let second = scene.now.mono;
    scene.rollout(R1).note_dispatch(second);
    assert!(scene.dispatched().is_empty());
    let held = plan(&scene.fleet, scene.now).report;
    assert_eq!(held.earliest_at(&scene.fleet, scene.now), Some(scene.now.wall.plus_secs(30)));
    scene.wait_millis(29_999);
    assert!(scene.dispatched().is_empty());
    scene.wait_millis(1);
    assert_eq!(scene.dispatched(), ["stable@r1 a"], "the first is a minute ago");
    let rollout = scene.rollout(R1);
    rollout.note_dispatch(second.plus_secs(60));
    assert_eq!(rollout.recent_dispatches.len(), 1, "what the ramp does not look at is forgotten");
}

#[test]
fn a_policy_without_a_ramp_remembers_no_dispatches() {
    let mut scene = two_waves();
    let now = scene.now.mono;
    scene.rollout(R1).note_dispatch(now);
    assert!(scene.rollout(R1).recent_dispatches.is_empty());
}

/// What holds everybody alike is asked of one host and told once; whoever does not wait for it goes on.
#[test]
fn what_holds_a_wave_is_told_once_and_does_not_hide_those_that_do_not_wait_for_it() {
    let mut spec = Spec::waves(1);
    spec.policy.waves[0].requires_approval = true;
    let mut scene = Scene::new();
    scene.open("stable@r0", Spec::waves(1));
    for host in ["a", "c", "z"] {
        scene.place("stable@r0", host, 0);
    }
    scene.converged("stable@r0", "c");
    scene.open(R1, Spec { order: 2, ..spec });
    for host in ["a", "b", "c", "z"] {
        scene.place_with(R1, host, 0, |entry| {
            if host == "c" {
                entry.closure = crate::spec::closure("stable@r0");
            }
        });
    }
    scene.rollout("stable@r0").state = wavegate_proto::wire::operator::RolloutState::Superseded;
    assert_eq!(scene.lane(R1, "c"), Lane::NoChange);
    let plan = plan(&scene.fleet, scene.now);
    assert_eq!(scene.dispatched(), ["stable@r1 c"], "nothing changes for it");
    let told: Vec<_> = plan.report.held.iter().map(|held| (held.host.clone(), held.gate)).collect();
    assert_eq!(told, [(None, Gate::Approval)]);
    assert_eq!(plan.report.held[0].hold.kind(), ReasonKind::NeedsPerson);
}
