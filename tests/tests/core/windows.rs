//! Maintenance windows: the core wakes up when one opens, and what began in one goes on.

use std::time::Duration;

use wavegate_proto::artifact::window::{Weekday, Window};
use wavegate_proto::event::ProbeOutcome;
use wavegate_proto::record::HostState;
use wavegate_proto::time::Mono;
use wavegate_tests::release_kit::ChannelSpec;

use crate::harness::{Cp, minutes};
use crate::{patient, release, with_policy};

/// The tests begin on a Saturday at nine; the window is on Saturdays from ten to eleven.
fn on_saturdays_at_ten(spec: ChannelSpec) -> ChannelSpec {
    with_policy(spec, |policy| {
        policy.windows = vec![Window {
            tz: "UTC".parse().unwrap(),
            days: vec![Weekday::Sat],
            start: "10:00".parse().unwrap(),
            end: "11:00".parse().unwrap(),
        }];
    })
}

const TEN: Mono = Mono::from_millis(3_600_000);

/// O8: the wake-up is the opening itself, not the next tick after it.
#[test]
fn o8_hosts_are_dispatched_the_moment_their_window_opens() {
    let mut cp = Cp::with(&[on_saturdays_at_ten(release("r1", "one", &[2, 1]))]);
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-01"), ["outside-window"]);
    assert_eq!(cp.core.next_wakeup(), Some(TEN));
    cp.advance(minutes(60) - Duration::from_millis(1));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.core.next_wakeup(), Some(TEN));
    cp.skip_time(Duration::from_millis(1));
    cp.tick();
    assert_eq!(cp.dispatched(), ["host-01", "host-02"]);
    assert_ne!(cp.core.next_wakeup(), Some(TEN), "nobody waits for it any more");
    assert_eq!(cp.logged("gate_changed"), 1, "one row for the wave, however long it waits (D6)");
}

#[test]
fn what_began_in_a_window_goes_on_when_it_closes_and_the_rest_waits_for_the_next() {
    let spec = on_saturdays_at_ten(patient(release("r1", "one", &[1, 1])));
    let mut cp = Cp::with(&[spec]);
    cp.advance(minutes(119));
    cp.ack("host-01");
    cp.advance(minutes(2));
    cp.activate("host-01");
    cp.probe("host-01", ProbeOutcome::Pass);
    cp.settle("host-01");
    assert_eq!(cp.state("host-01"), HostState::Converged);
    assert!(cp.dispatched().is_empty());
    let [reason] = &cp.explain("host-02").reasons[..] else { panic!("only the window holds") };
    assert_eq!(reason.code, "outside-window");
    let next = reason.earliest_at.map(|at| at.to_string());
    assert_eq!(next.as_deref(), Some("2026-11-28T10:00:00.000Z"));
    let since = reason.since.map(|at| at > "2026-11-21T11:00:00Z".parse().unwrap());
    assert_eq!(since, Some(true), "it waits for the window since its wave began");
}
