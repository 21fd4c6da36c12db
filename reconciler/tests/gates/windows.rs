//! The gate `window`: when it holds, whom, and what it says.
//!
//! Not here: what a window means on the days on which clocks change (see [`crate::calendar`]).

use wavegate_proto::artifact::window::{Weekday, Window};
use wavegate_proto::ids::Serial;
use wavegate_proto::time::Timestamp;
use wavegate_reconciler::gates::{Gate, Lane};
use wavegate_reconciler::plan::{explain, plan};

use crate::scene::{Case, Change, Scene, table};
use crate::spec::{Spec, name};

/// The tests begin on a Saturday at nine.
fn saturday(start: &str, end: &str) -> Window {
    let (start, end) = (start.parse().unwrap(), end.parse().unwrap());
    Window { tz: "UTC".parse().unwrap(), days: vec![Weekday::Sat], start, end }
}

fn with(windows: Vec<Window>) -> Scene {
    let mut scene = Scene::with(Spec::waves(2).policy(|policy| policy.windows = windows));
    scene.place("stable@r1", "a", 0).place("stable@r1", "b", 0).place("stable@r1", "c", 1);
    scene
}

#[test]
fn window_holds_until_the_minute_it_opens_and_from_the_minute_it_closes() {
    let wait: [Change; 4] = [
        |s| {
            s.wait_millis(3_600_000 - 1);
        },
        |s| {
            s.wait_millis(3_600_000);
        },
        |s| {
            s.wait_millis(2 * 3_600_000 - 1);
        },
        |s| {
            s.wait_millis(2 * 3_600_000);
        },
    ];
    let cases: [Case; 5] = [
        ("an hour before", |_| (), Some("outside-window")),
        ("a millisecond before", wait[0], Some("outside-window")),
        ("as it opens", wait[1], None),
        ("a millisecond before it closes", wait[2], None),
        ("as it closes", wait[3], Some("outside-window")),
    ];
    table(Gate::Window, "stable@r1", "a", &with(vec![saturday("10:00", "11:00")]), &cases);
    let none: [Case; 1] = [("no windows", |_| (), None)];
    table(Gate::Window, "stable@r1", "a", &with(Vec::new()), &none);
}

#[test]
fn the_plan_says_when_the_next_window_opens_that_somebody_waits_for() {
    let mut scene = with(vec![saturday("09:02", "11:00")]);
    let opens: Timestamp = "2026-11-21T09:02:00Z".parse().unwrap();
    let held = plan(&scene.fleet, scene.now);
    assert!(held.actions.is_empty());
    assert_eq!(held.report.earliest_at(&scene.fleet, scene.now), Some(opens));
    let explained = explain(&scene.fleet, &name("a"), scene.now).unwrap();
    let [reason] = &explained.reasons[..] else { panic!("{explained:?}") };
    assert_eq!((reason.gate.as_str(), reason.earliest_at), ("window", Some(opens)));
    assert_eq!(reason.clears_when, "the next maintenance window opens");
    scene.wait_millis(120_000);
    assert_eq!(scene.dispatched(), ["stable@r1 a", "stable@r1 b"]);
    let report = plan(&scene.fleet, scene.now).report;
    assert_eq!(report.earliest_at(&scene.fleet, scene.now), None, "nobody waits for one");
}

/// A signed policy has no such window; one made up has no openings.
#[test]
fn a_window_without_days_never_opens() {
    let mut never = saturday("10:00", "11:00");
    never.days = Vec::new();
    assert_eq!(wavegate_reconciler::window::openings(&[never], crate::spec::wall()).next(), None);
}

#[test]
fn a_zone_that_the_control_plane_does_not_know_holds_and_says_so() {
    let mut nowhere = saturday("00:00", "00:00");
    nowhere.tz = "Atlantis/Capital".parse().unwrap();
    let scene = with(vec![nowhere]);
    assert_eq!(scene.code("stable@r1", "a", Gate::Window), Some("window-zone-unknown"));
    let explained = explain(&scene.fleet, &name("a"), scene.now).unwrap();
    assert_eq!(explained.reasons[0].earliest_at, None);
    let report = plan(&scene.fleet, scene.now).report;
    assert_eq!(report.earliest_at(&scene.fleet, scene.now), None);
}

#[test]
fn a_fix_waits_for_the_window_and_a_host_without_a_change_does_not() {
    let scene = with(vec![saturday("10:00", "11:00")]);
    let asks = |lane| {
        let holds = scene.all_holds("stable@r1", "a", lane);
        holds.iter().any(|(gate, _)| *gate == Gate::Window)
    };
    assert!(asks(Lane::Ordinary));
    assert!(asks(Lane::Fix));
    assert!(!asks(Lane::NoChange));
    let mut next = Scene::new();
    next.open("stable@r1", Spec::waves(1));
    next.place("stable@r1", "a", 0).converged("stable@r1", "a");
    let outside = Spec::waves(1).order(2).policy(|policy| {
        policy.windows = vec![saturday("10:00", "11:00")];
    });
    next.open("stable@r2", outside);
    let target = next.fleet.placement(&crate::spec::id("stable@r1"), &name("a")).unwrap();
    let target = target.entry.closure.clone();
    next.place_with("stable@r2", "a", 0, |entry| entry.closure = target);
    assert_eq!(next.rollout("stable@r2").serial(), Serial(2));
    assert_eq!(next.lane("stable@r2", "a"), Lane::NoChange);
    assert_eq!(next.dispatched(), ["stable@r2 a"], "nothing is disrupted");
}
