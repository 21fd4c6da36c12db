//! The gates that ask about order: channel-edge, host-edge.

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::gates::Gate;

use crate::scene::{Case, Scene, table};
use crate::spec::{Spec, channel};

fn two_channels() -> Scene {
    let mut scene = Scene::with(Spec::waves(1).policy(|p| p.max_failures = Limit::Count(1)));
    scene.place("stable@r1", "a", 0).place("stable@r1", "b", 0).place("stable@r1", "c", 0);
    scene.open("edge@r1", Spec::waves(1).order(2));
    scene.place("edge@r1", "e", 0);
    comes_after(&mut scene, "edge", &["stable"]);
    scene
}

fn comes_after(scene: &mut Scene, later: &str, before: &[&str]) {
    let known = scene.fleet.channels.get_mut(&channel(later)).unwrap();
    known.after = before.iter().copied().map(channel).collect();
}

fn all_converged(scene: &mut Scene) {
    scene.converged("stable@r1", "a").converged("stable@r1", "b").converged("stable@r1", "c");
}

const NOT_DONE: Option<&str> = Some("channel-not-done");

#[test]
fn channel_edge_holds_until_every_host_before_it_is_done() {
    let cases: [Case; 8] = [
        ("nothing has happened", |_| (), NOT_DONE),
        ("everybody converged", all_converged, None),
        (
            "one soaks",
            |s| {
                all_converged(s);
                s.state("stable@r1", "c", HostState::Soaking);
            },
            NOT_DONE,
        ),
        (
            "one is deferred",
            |s| {
                all_converged(s);
                s.state("stable@r1", "c", HostState::Deferred);
            },
            None,
        ),
        (
            "as many failed as are tolerated",
            |s| {
                all_converged(s);
                s.failed("stable@r1", "c", FailureClass::Artifact, Rollback::Done);
            },
            None,
        ),
        (
            "one more failed",
            |s| {
                all_converged(s);
                s.failed("stable@r1", "b", FailureClass::Artifact, Rollback::Done);
                s.failed("stable@r1", "c", FailureClass::Artifact, Rollback::Done);
            },
            NOT_DONE,
        ),
        (
            "G13: as many are degraded as are tolerated",
            |s| {
                all_converged(s);
                s.degraded("stable@r1", "c");
            },
            None,
        ),
        (
            "G13: one more is degraded",
            |s| {
                all_converged(s);
                s.degraded("stable@r1", "b").degraded("stable@r1", "c");
            },
            NOT_DONE,
        ),
    ];
    table(Gate::ChannelEdge, "edge@r1", "e", &two_channels(), &cases);
}

#[test]
fn e15_a_finished_channel_stays_finished_when_a_late_host_is_served() {
    let mut scene = two_channels();
    all_converged(&mut scene);
    scene.edit("stable@r1", "c", |placement| {
        placement.record.state = HostState::Pending;
        placement.skip = Some(SkipReason::Offline);
    });
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), None, "one powered-off host");
    scene.rollout("stable@r1").state = RolloutState::Terminal;
    scene.edit("stable@r1", "c", |placement| placement.skip = None);
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), None, "it has returned");
    scene.state("stable@r1", "c", HostState::Soaking);
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), None, "it is being worked on");
    scene.degraded("stable@r1", "a").degraded("stable@r1", "b");
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), NOT_DONE, "G13 holds all the same");
}

#[test]
fn channel_edge_is_open_where_nothing_is_published_and_held_where_it_is_not_opened_yet() {
    let mut scene = two_channels();
    comes_after(&mut scene, "edge", &["early"]);
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), None, "none published");
    scene.open("early@r1", Spec::waves(1).order(3));
    scene.place("early@r1", "x", 0);
    scene.fleet.rollouts.remove(&crate::spec::id("early@r1"));
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), NOT_DONE, "published, not opened");
}

/// G20: the closure over every channel before, also when the one between has nothing to do.
#[test]
fn g20_channel_edge_asks_every_channel_that_goes_before() {
    let mut scene = two_channels();
    all_converged(&mut scene);
    scene.open("early@r1", Spec::waves(1).order(3));
    scene.place("early@r1", "x", 0);
    comes_after(&mut scene, "edge", &["early", "stable"]);
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), NOT_DONE);
    scene.converged("early@r1", "x");
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), None);
}

#[test]
fn g24_a_channel_in_which_nobody_converged_is_not_done_by_silence() {
    let mut scene = two_channels();
    for host in ["a", "b", "c"] {
        scene.edit("stable@r1", host, |placement| placement.skip = Some(SkipReason::Offline));
    }
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), NOT_DONE);
    scene.edit("stable@r1", "a", |placement| placement.skip = None).converged("stable@r1", "a");
    assert_eq!(scene.code("edge@r1", "e", Gate::ChannelEdge), None, "one speaks for the closure");
}

#[test]
fn host_edge_holds_until_the_host_before_has_converged_or_is_left_out() {
    let mut fleet = Scene::with(Spec::waves(1));
    fleet.place("stable@r1", "a", 0);
    fleet.place_with("stable@r1", "b", 0, |entry| {
        entry.after = vec!["a".parse().unwrap(), "elsewhere".parse().unwrap()];
    });
    for (state, open) in [
        (HostState::Pending, false),
        (HostState::Activating, false),
        (HostState::Deferred, false),
        (HostState::Soaking, false),
        (HostState::Converged, true),
        (HostState::Failed, false),
        (HostState::Reverted, false),
        (HostState::Skipped, true),
    ] {
        let mut scene = fleet.clone();
        scene.state("stable@r1", "a", state);
        let expected = (!open).then_some("predecessor-not-converged");
        assert_eq!(scene.code("stable@r1", "b", Gate::HostEdge), expected, "{state}");
        for skip in [SkipReason::Offline, SkipReason::Removed] {
            scene.edit("stable@r1", "a", |placement| placement.skip = Some(skip));
            assert_eq!(scene.code("stable@r1", "b", Gate::HostEdge), None, "{state}, {skip:?}");
        }
    }
    assert_eq!(fleet.code("stable@r1", "a", Gate::HostEdge), None, "nobody goes before it");
}
