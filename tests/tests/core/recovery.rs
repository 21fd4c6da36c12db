//! A restarted, and a wiped, control plane: the same picture again, and nobody touched who should
//! not be.

use wavegate_control_plane::core::{Answer, Input};
use wavegate_proto::event::ProbeOutcome;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::release_kit::closure;

use crate::harness::{Cp, equal_but_for, hours, id, minutes, name};
use crate::{on_channel, patient, release, with_policy};

/// What only the old database could know.
const ONLY_THE_OLD_DATABASE_KNEW: [&str; 8] = [
    // A forecast from durations, those of earlier rollouts among them.
    "eta",
    "opened_at",
    "finished_at",
    "dispatched_at",
    "cp_epoch",
    "last_seen_at",
    // Since when a host waits, and when a record that is still pending was opened.
    "since_waiting",
    "state_since_pending",
];

/// A rollout in full flight: one release behind, a failure, hosts in every state.
fn full_flight() -> Cp {
    use wavegate_proto::artifact::policy::Limit;
    let spec = |reference, target| {
        let spec = release(reference, target, &[4, 3]).budget("all", 4, 1);
        with_policy(spec, |policy| policy.max_failures = Limit::Count(1))
    };
    let edge = on_channel("edge", release("e1", "edge", &[1, 1]));
    let mut cp = Cp::with(&[edge.clone(), spec("r1", "one")]);
    cp.converge("edge-01");
    for _ in 0..4 {
        cp.converge_all();
    }
    cp.degrade("edge-02");
    cp.advance(minutes(7));
    cp.publish(&[edge, spec("r2", "two")]);
    cp.converge("host-01");
    cp.advance(minutes(1));
    cp.ack("host-02");
    cp.activate("host-02");
    cp.probe("host-02", ProbeOutcome::Fail);
    cp.fail("host-03");
    cp.ack("host-04");
    cp.advance(minutes(1));
    cp.roll_back("host-03");
    cp.advance(minutes(1));
    cp
}

/// Records that are pending differ in when they were opened.
fn without_pending_times(mut picture: serde_json::Value) -> serde_json::Value {
    fn walk(value: &mut serde_json::Value) {
        if value["state"] == "pending" {
            value["state_since"] = serde_json::Value::Null;
        }
        if let Some(waiting) = value.get_mut("waiting_for").and_then(|w| w.as_array_mut()) {
            // Who waits is compared as a set: the order is by since when.
            waiting.iter_mut().for_each(|w| w["since"] = serde_json::Value::Null);
            waiting.sort_by_key(|w| w["host"].to_string());
        }
        match value {
            serde_json::Value::Object(fields) => fields.values_mut().for_each(walk),
            serde_json::Value::Array(items) => items.iter_mut().for_each(walk),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
    walk(&mut picture);
    picture
}

#[test]
fn a_restart_gives_the_same_documents() {
    let mut cp = full_flight();
    let before = without_pending_times(cp.picture());
    let issued = cp.logged("dispatch_issued");
    cp.restart();
    cp.everybody_reports();
    let after = without_pending_times(cp.picture());
    equal_but_for(&before, &after, &[]);
    assert_eq!(cp.logged("dispatch_issued"), issued);
}

#[test]
fn a_wipe_gives_the_same_documents_within_one_heartbeat() {
    let mut cp = full_flight();
    let before = without_pending_times(cp.picture());
    cp.wipe();
    cp.everybody_reports();
    let after = without_pending_times(cp.picture());
    equal_but_for(&before, &after, &ONLY_THE_OLD_DATABASE_KNEW);
    assert_eq!(cp.logged("dispatch_issued"), 0, "nobody is dispatched who should not be");
}

#[test]
fn a_wipe_after_a_halt_gives_the_same_documents_in_any_order_of_reports() {
    for backwards in [false, true] {
        let mut cp = Cp::with(&[release("r1", "one", &[2, 3])]);
        cp.converge_all();
        cp.publish(&[release("r2", "bad", &[2, 3])]);
        cp.converge("host-01");
        cp.converge("host-02");
        cp.ack("host-05");
        cp.fail("host-03");
        cp.advance(minutes(1));
        cp.roll_back("host-03");
        cp.activate("host-05");
        cp.fail_health("host-05");
        cp.roll_back("host-05");
        assert_eq!(cp.rollout_state("stable@r2"), RolloutState::Reverted);
        cp.everybody_reports();
        let before = without_pending_times(cp.picture());
        cp.wipe();
        let mut names: Vec<String> = cp.hosts.keys().map(ToString::to_string).collect();
        if backwards {
            names.reverse();
        }
        for host in &names {
            cp.report(host);
        }
        let after = without_pending_times(cp.picture());
        equal_but_for(&before, &after, &ONLY_THE_OLD_DATABASE_KNEW);
        assert_eq!(cp.quarantines()[0].host.as_str(), "host-03");
        cp.advance(hours(1));
        assert_eq!(cp.logged("dispatch_issued"), 0, "E1: it is still halted");
    }
}

#[test]
fn e2_a_quarantine_survives_a_restart() {
    let mut cp = Cp::with(&[release("r1", "bad", &[2])]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    let before = cp.quarantines();
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.quarantines(), before);
    let again = with_policy(release("r2", "bad", &[2]), |p| p.activation_timeout_secs += 1);
    cp.publish(&[again]);
    cp.advance(hours(1));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-02"), ["quarantined"]);
}

#[test]
fn e4_a_wiped_database_converges_nobody_because_a_closure_matches() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    cp.converge_all();
    for host in ["host-01", "host-02"] {
        cp.host(host).journals.clear();
    }
    cp.wipe();
    cp.everybody_reports();
    assert_eq!(cp.state("host-01"), HostState::Pending);
    let dispatch = cp.dispatch("host-01").unwrap();
    assert_eq!((dispatch.target_closure, dispatch.no_change), (closure("one"), false));
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Active);
    cp.converge("host-01");
    assert_eq!(cp.state("host-01"), HostState::Converged, "by probes and soak");
}

#[test]
fn g25_a_host_not_heard_since_the_start_is_not_dispatched_not_done_and_holds_its_slot() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[3, 1]).budget("all", 2, 1))]);
    cp.ack("host-01");
    cp.goes_silent("host-01");
    cp.restart();
    assert_eq!(cp.held_by("host-03")[0], "recovering");
    cp.advance(minutes(2));
    assert_eq!(cp.dispatched().len(), 1, "host-01 uses the other slot");
    cp.converge_all();
    assert_eq!(cp.rollout("stable@r1").current_wave.0, 0, "host-01 is not done");
    assert!(!cp.dispatched().contains(&"host-01".to_owned()));
    cp.returns("host-01");
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.dispatched(), ["host-04"]);
}

#[test]
fn g25_a_host_with_a_replay_outstanding_is_not_reported() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    cp.converge("host-01");
    cp.wipe();
    let answer = cp.heartbeat("host-01").unwrap();
    assert_eq!(answer.replay.len(), 1);
    cp.report("host-02");
    assert!(cp.dispatched().is_empty(), "still recovering");
    cp.goes_silent("host-01");
    cp.advance(minutes(1));
    assert_eq!(cp.dispatched(), ["host-02"]);
    assert!(cp.held_by("host-01").contains(&"unreported".to_owned()));
    cp.returns("host-01");
    assert_eq!(cp.state("host-01"), HostState::Converged);
}

#[test]
fn an_acknowledged_dispatch_is_not_given_twice_after_a_wipe() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    cp.wipe();
    cp.everybody_reports();
    cp.advance(minutes(2));
    assert_eq!(cp.state("host-01"), HostState::Activating);
    assert!(cp.dispatched().is_empty());
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Terminal);
}

#[test]
fn a_lease_goes_on_across_a_restart_with_what_was_left_of_it() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let dispatch = cp.dispatch("host-01").unwrap();
    cp.advance(minutes(1));
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.dispatch("host-01").unwrap(), dispatch);
    cp.advance(minutes(1));
    assert_eq!(cp.logged("dispatch_expired"), 1);
}

#[test]
fn d2_history_offered_by_several_hosts_is_written_with_its_own_rows() {
    let mut cp = Cp::with(&[release("r1", "one", &[3])]);
    cp.converge_all();
    cp.publish(&[release("r2", "two", &[3])]);
    cp.wipe();
    cp.everybody_reports();
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Superseded);
    let placements = &cp.core.fleet().rollouts[&id("stable@r1")].placements;
    assert!(placements.values().all(|p| p.record.state == HostState::Converged));
    assert_eq!(placements.len(), 3);
}

/// D7: the copy that was put back has a lease that the host has long used: it is not offered again.
#[test]
fn d7_a_lease_of_an_older_database_waits_until_the_host_has_reported() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    let lease = cp.dispatch("host-02").unwrap();
    assert_eq!(cp.dispatched(), ["host-01", "host-02"]);
    let copy = cp.disk.clone();
    cp.converge("host-01");
    cp.disk = copy;
    cp.restart();
    assert_eq!(cp.dispatch("host-01"), None, "not before it has said what it did");
    assert_eq!(cp.dispatch("host-02"), None);
    let host = name("host-02");
    let parked = cp.send(|reply| Input::Poll { host, reply });
    assert!(parked.is_none(), "{parked:?}");
    cp.everybody_reports();
    let handed_over = cp.answers.values().find_map(|answer| {
        if let Answer::Dispatch(dispatch) = answer { dispatch.as_deref() } else { None }
    });
    assert_eq!(handed_over, Some(&lease), "the other host gets its own at once");
    assert_eq!(cp.state("host-01"), HostState::Converged);
    assert_eq!(cp.dispatch("host-01"), None);
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn g25_a_failed_host_that_was_not_heard_is_not_done_though_its_failure_is_tolerated() {
    use wavegate_proto::artifact::policy::Limit;
    let spec = with_policy(release("r1", "one", &[2, 1]), |p| p.max_failures = Limit::Count(1));
    let mut cp = Cp::with(&[patient(spec)]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    cp.ack("host-02");
    cp.goes_silent("host-01");
    cp.restart();
    cp.everybody_reports();
    cp.advance(minutes(2));
    cp.activate("host-02");
    cp.settle("host-02");
    assert!(cp.dispatched().is_empty(), "nobody knows what became of host-01");
    cp.returns("host-01");
    assert_eq!(cp.dispatched(), ["host-03"]);
}
