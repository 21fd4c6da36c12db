//! The gates that ask about the rollout and its content: rollout, freshness, quarantine, wave.

use wavegate_proto::ids::{Attempt, WaveIndex};
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::{Halt, QuarantineDocument, QuarantineSource, RolloutState};
use wavegate_reconciler::fleet::Quarantine;
use wavegate_reconciler::gates::{Gate, Hold};

use crate::scene::{Case, Scene, table};
use crate::spec::{Spec, channel, closure, id, name, wall};

fn one_host() -> Scene {
    let mut scene = Scene::with(Spec::waves(2));
    scene.place("stable@r1", "a", 0);
    scene
}

#[test]
fn e1_nothing_is_dispatched_in_a_rollout_that_does_not_go_on() {
    for (state, expected) in [
        (RolloutState::Opening, None),
        (RolloutState::Active, None),
        (RolloutState::Converging, None),
        (RolloutState::Terminal, None),
        (RolloutState::Failed, Some("rollout-halted")),
        (RolloutState::Reverted, Some("rollout-halted")),
        (RolloutState::Superseded, Some("rollout-superseded")),
        (RolloutState::Pruned, Some("rollout-halted")),
    ] {
        let mut scene = one_host();
        scene.rollout("stable@r1").state = state;
        assert_eq!(scene.code("stable@r1", "a", Gate::Rollout), expected, "{state}");
        assert_eq!(scene.dispatched().is_empty(), expected.is_some(), "{state}");
    }
}

#[test]
fn g16_g17_a_halt_holds_a_terminal_rollout_and_a_freeze_only_first_attempts() {
    fn freeze(scene: &mut Scene, issued: u32) {
        scene.rollout("stable@r1").frozen = true;
        scene.edit("stable@r1", "a", |placement| placement.issued = Attempt(issued));
    }
    let cases: [Case; 4] = [
        (
            "terminal, and late hosts exceed the limit",
            |s| {
                let reason = "probe-failed".to_owned();
                s.rollout("stable@r1").state = RolloutState::Terminal;
                s.rollout("stable@r1").halt = Some(Halt { reason, host: None, at: wall() });
            },
            Some("rollout-halted"),
        ),
        ("frozen, first attempt", |s| freeze(s, 0), Some("rollout-frozen")),
        ("frozen, second attempt", |s| freeze(s, 1), None),
        (
            "the host has left the fleet",
            |s| s.fleet.hosts.get_mut(&name("a")).unwrap().member = None,
            Some("host-not-in-fleet"),
        ),
    ];
    table(Gate::Rollout, "stable@r1", "a", &one_host(), &cases);
}

#[test]
fn freshness_holds_beyond_the_window_and_not_at_its_end() {
    let cases: [Case; 5] = [
        ("signed now", |_| (), None),
        ("at the end of the window", |s| _ = s.wait_millis(3_600_000), None),
        ("a millisecond later", |s| _ = s.wait_millis(3_600_001), Some("stale")),
        (
            "signed anew",
            |s| {
                s.wait_millis(3_600_001);
                let known = s.fleet.channels.get_mut(&channel("stable")).unwrap();
                known.signed_at = wall().plus_secs(1);
            },
            None,
        ),
        (
            "another channel is stale",
            |s| {
                s.open("edge@r1", Spec::waves(1).order(2));
                s.fleet.channels.get_mut(&channel("edge")).unwrap().freshness_window_secs = 0;
                s.wait_millis(1);
            },
            None,
        ),
    ];
    table(Gate::Freshness, "stable@r1", "a", &one_host(), &cases);
    let mut stale = one_host();
    stale.wait_millis(3_600_001);
    let since = wall().plus_secs(3600);
    assert_eq!(stale.hold("stable@r1", "a", Gate::Freshness), Some(Hold::Stale { since }));
}

fn quarantine(scene: &mut Scene, on: &str, content: &str) {
    let document = QuarantineDocument {
        channel: channel(on),
        closure: closure(content),
        since: wall(),
        host: name("b"),
        rollout_id: id("stable@r0"),
        attempt: Attempt(1),
        reason: "probe-failed".to_owned(),
        source: QuarantineSource::Rollback,
    };
    let key = (channel(on), closure(content));
    let log_seq = wavegate_proto::ids::LogSeq(1);
    scene.fleet.quarantines.insert(key, Quarantine { document, log_seq });
}

#[test]
fn quarantine_holds_the_closure_on_its_channel_alone() {
    let cases: [Case; 4] = [
        ("nothing is quarantined", |_| (), None),
        ("this closure here", |s| quarantine(s, "stable", "stable@r1"), Some("quarantined")),
        ("this closure on another channel", |s| quarantine(s, "edge", "stable@r1"), None),
        ("another closure here", |s| quarantine(s, "stable", "stable@r0"), None),
    ];
    table(Gate::Quarantine, "stable@r1", "a", &one_host(), &cases);
}

#[test]
fn e13_wave_holds_hosts_after_the_current_one_and_hosts_in_no_wave() {
    for (own, current, expected) in [
        (0, 0, None),
        (1, 0, Some("earlier-wave")),
        (0, 1, None),
        (1, 1, None),
        (2, 1, Some("earlier-wave")),
        (2, 2, Some("earlier-wave")),
        (u32::MAX, u32::MAX, Some("earlier-wave")),
    ] {
        let mut scene = Scene::with(Spec::waves(2));
        scene.place("stable@r1", "a", own);
        scene.rollout("stable@r1").current_wave = WaveIndex(current);
        let code = scene.code("stable@r1", "a", Gate::Wave);
        assert_eq!(code, expected, "wave {own}, current {current}");
        assert_eq!(scene.dispatched().is_empty(), expected.is_some(), "wave {own} of {current}");
    }
}

/// E3 is the soak's; this is the wave's side: a host that joins does not move the cursor.
#[test]
fn e13_a_host_that_joins_a_later_wave_does_not_open_it() {
    let mut scene = one_host();
    scene.place("stable@r1", "z", 1);
    assert_eq!(scene.rollout("stable@r1").current_wave, WaveIndex(0));
    assert_eq!(scene.dispatched(), ["stable@r1 a"]);
    scene.state("stable@r1", "a", HostState::Soaking).place("stable@r1", "y", 1);
    assert!(scene.dispatched().is_empty());
}
