//! What was previewed is what then happens: the release is planned, then published, and hosts of the test's own
//! carry it out.

use std::collections::BTreeSet;

use wavegate_control_plane::forecast::preview::preview;
use wavegate_control_plane::forecast::simulate::simulate;
use wavegate_control_plane::forecast::{Assumptions, Ending};
use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_proto::wire::plan::PlanDocument;
use wavegate_tests::release_kit::{ChannelSpec, Kit, closure};

use crate::harness::{Cp, hours, id, minutes};
use crate::{after, on_channel, patient, release, with_policy};

/// What publishing these channels would do now.
fn plan(cp: &Cp, channels: &[ChannelSpec]) -> PlanDocument {
    let signed_at = cp.now().wall.truncated_to_secs();
    preview(&cp.core, &cp.kit.release(cp.serial + 1, signed_at, channels), cp.now())
}

/// Plans, publishes, carries it out, and compares.
fn agree(cp: &mut Cp, channels: &[ChannelSpec]) -> PlanDocument {
    let plan = plan(cp, channels);
    let before = cp.disk.log.len();
    let answer = cp.publish(channels);
    let opened: Vec<_> = plan.rollouts.iter().map(|rollout| rollout.rollout_id.clone()).collect();
    assert_eq!(opened, answer.rollouts_opened);
    assert_eq!(plan.unchanged, answer.unchanged);
    for planned in &plan.rollouts {
        let rollout = cp.rollout(&planned.rollout_id.to_string());
        let waves = |hosts: Vec<(String, u64)>| hosts;
        assert_eq!(
            waves(planned.waves.iter().map(|w| (w.name.to_string(), w.hosts)).collect()),
            waves(rollout.waves.iter().map(|w| (w.name.to_string(), w.hosts)).collect()),
        );
        for hold in &planned.held {
            let host = hold.example.to_string();
            assert_eq!(cp.held_by(&host).first(), Some(&hold.reason.code), "{host}");
        }
    }
    cp.converge_all();
    cp.advance(hours(25));
    cp.converge_all();
    for planned in &plan.rollouts {
        let issued = cp.disk.log[before..].iter().filter(|row| {
            row.kind == "dispatch_issued" && row.rollout_id.as_ref() == Some(&planned.rollout_id)
        });
        let issued: Vec<_> = issued.collect();
        let carried = issued.iter().filter(|row| row.payload["no_change"] == true).count();
        let no_change: u64 = planned.waves.iter().map(|wave| wave.no_change).sum();
        assert_eq!(no_change, carried as u64, "{}", planned.rollout_id);
        let order: Vec<_> = issued.iter().filter_map(|row| row.host.clone()).collect();
        assert_eq!(planned.first, order[..order.len().min(20)], "{}", planned.rollout_id);
    }
    let left: BTreeSet<_> = plan.left_behind_hosts.iter().map(|left| left.host.clone()).collect();
    assert_eq!(left, not_converged(cp, &opened));
    assert_eq!(plan.left_behind, left.len() as u64);
    plan
}

fn not_converged(
    cp: &Cp,
    opened: &[wavegate_proto::ids::RolloutId],
) -> BTreeSet<wavegate_proto::ids::HostName> {
    let placements = opened.iter().flat_map(|id| &cp.core.fleet().rollouts[id].placements);
    let left = placements.filter(|(_, p)| p.record.state != HostState::Converged);
    left.map(|(host, _)| host.clone()).collect()
}

/// Everybody has converged on release 1 and says so.
fn settled(channels: &[ChannelSpec]) -> Cp {
    let mut cp = Cp::with(channels);
    cp.converge_all();
    cp.advance(minutes(1));
    cp
}

#[test]
fn a_plan_of_waves_and_a_budget_of_one_comes_true_host_by_host() {
    let spec = |reference, target| patient(release(reference, target, &[2, 5]).budget("all", 1, 1));
    let mut cp = settled(&[spec("r1", "one")]);
    let plan = agree(&mut cp, &[spec("r2", "two")]);
    let names: Vec<_> = plan.rollouts[0].first.iter().map(|host| host.as_str()).collect();
    let all = ["host-01", "host-02", "host-03", "host-04", "host-05", "host-06", "host-07"];
    assert_eq!(names, all);
    assert_eq!(plan.rollouts[0].supersedes, Some(id("stable@r1")));
    let changing: Vec<_> = plan.rollouts[0].waves.iter().map(|wave| wave.changing).collect();
    assert_eq!(changing, [2, 5]);
    assert_eq!((plan.budgets[0].hosts, plan.budgets[0].max_in_flight), (7, 1));
    assert_eq!(plan.budgets[0].held, 5, "the first of each wave never waits for it");
    let held: Vec<_> = plan.rollouts[0].held.iter().map(|h| h.reason.code.as_str()).collect();
    assert_eq!(held, ["budget-used-up"]);
    let ends = plan.ends.unwrap();
    assert!(plan.rollouts[0].starts_at == Some(plan.planned_at) && ends.p50 <= ends.p90);
    assert!(ends.p50 >= plan.planned_at.plus_secs(7 * 60), "each soaks for a minute");
}

#[test]
fn a_plan_of_two_channels_one_after_the_other_comes_true() {
    let edge = |reference, target| on_channel("edge", release(reference, target, &[1, 2]));
    let stable = |reference, target| after(release(reference, target, &[1, 2]), "edge");
    let mut cp = settled(&[edge("e1", "one"), stable("r1", "one")]);
    let plan = agree(&mut cp, &[edge("e2", "two"), stable("r2", "two")]);
    let stable = &plan.rollouts[1];
    assert_eq!(stable.held[0].reason.code, "channel-not-done");
    assert!(stable.starts_at.unwrap() > plan.planned_at);
    assert!(stable.ends.unwrap().p50 > plan.rollouts[0].ends.unwrap().p50);
}

#[test]
fn a_channel_that_does_not_change_is_left_alone_and_a_host_that_does_not_is_carried() {
    let edge = on_channel("edge", release("e1", "one", &[1]));
    let stable = |reference, target| {
        let mut spec = release(reference, target, &[1, 3]);
        spec.entries[3].closure = closure("the same");
        spec
    };
    let mut cp = settled(&[edge.clone(), stable("r1", "one")]);
    let plan = agree(&mut cp, &[edge, stable("r2", "two")]);
    assert_eq!(plan.unchanged.len(), 1);
    let waves: Vec<_> =
        plan.rollouts[0].waves.iter().map(|w| (w.hosts, w.changing, w.no_change)).collect();
    assert_eq!(waves, [(1, 1, 0), (3, 2, 1)]);
    assert_eq!(plan.left_behind, 0);
}

#[test]
fn hosts_that_never_go_are_named_with_the_reason() {
    let spec = |reference, target| {
        let mut spec = release(reference, target, &[1, 3]);
        spec.entries[2].after = vec![spec.entries[1].host.clone()];
        with_policy(spec, |policy| policy.skip_offline_after_secs = None)
    };
    let mut cp = settled(&[spec("r1", "one")]);
    cp.goes_silent("host-02");
    cp.advance(minutes(10));
    let plan = agree(&mut cp, &[spec("r2", "two")]);
    let left: Vec<_> = plan
        .left_behind_hosts
        .iter()
        .map(|left| (left.host.as_str(), left.reason.code.as_str()))
        .collect();
    assert_eq!(left, [("host-02", "silent"), ("host-03", "predecessor-not-converged")]);
    assert_eq!(plan.ends, None);
    assert!(plan.warnings.iter().any(|text| text.contains("does not end")), "{:?}", plan.warnings);
}

#[test]
fn a_silent_host_is_left_out_in_the_plan_as_it_is_in_life() {
    let spec = |reference, target| release(reference, target, &[1, 3]);
    let mut cp = settled(&[spec("r1", "one")]);
    cp.goes_silent("host-04");
    cp.advance(minutes(10));
    let plan = agree(&mut cp, &[spec("r2", "two")]);
    assert_eq!(plan.left_behind_hosts[0].reason.code, "skipped-offline");
    let ends = plan.rollouts[0].ends.unwrap();
    let patience = ends.p50.secs_since(plan.planned_at);
    assert!((23 * 3600..=24 * 3600).contains(&patience), "{patience}");
    assert_eq!(cp.rollout_state("stable@r2"), RolloutState::Terminal);
}

#[test]
fn a_quarantined_closure_is_found_before_it_is_published() {
    let mut cp = settled(&[release("r1", "one", &[1, 2])]);
    cp.publish(&[release("r2", "bad", &[1, 2])]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    cp.advance(minutes(1));
    let plan = agree(&mut cp, &[release("r3", "bad", &[1, 2])]);
    assert_eq!(plan.rollouts[0].held[0].reason.code, "quarantined");
    assert_eq!((plan.left_behind, plan.ends), (3, None));
}

/// Planning is reading: the core that is asked stays as it is, whoever is in the middle of what.
#[test]
fn a_plan_in_full_flight_changes_nothing_and_goes_on_from_where_hosts_are() {
    let spec = |reference, target| patient(release(reference, target, &[2, 2]));
    let mut cp = settled(&[spec("r1", "one")]);
    cp.publish(&[spec("r2", "two")]);
    cp.converge("host-01");
    cp.ack("host-02");
    let (picture, rows) = (cp.picture(), cp.disk.log.len());
    let plan = plan(&cp, &[spec("r3", "three")]);
    assert_eq!((cp.picture(), cp.disk.log.len()), (picture, rows));
    let planned = &plan.rollouts[0];
    let busy = planned.held.iter().find(|hold| hold.reason.code == "busy-elsewhere").unwrap();
    assert_eq!((busy.example.as_str(), busy.hosts), ("host-02", 1));
    let mut everybody: Vec<_> = planned.first.iter().map(|host| host.as_str()).collect();
    everybody.sort_unstable();
    assert_eq!(everybody, ["host-01", "host-02", "host-03", "host-04"]);
    assert_eq!(plan.left_behind, 0, "host-02 finishes there first");
}

#[test]
fn a_first_release_is_planned_for_hosts_that_could_not_speak_yet() {
    let cp = Cp::empty();
    let plan = plan(&cp, &[release("r1", "one", &[1, 2])]);
    assert_eq!(plan.left_behind, 0);
    assert!(plan.ends.is_some());
    assert!(plan.warnings[0].contains("no release"), "{:?}", plan.warnings);
}

fn simulated(
    channels: &[ChannelSpec],
    assumptions: Assumptions,
) -> wavegate_control_plane::forecast::simulate::Simulation {
    let start = "2026-11-21T09:00:00Z".parse().unwrap();
    let release = Kit::default().release(1, start, channels);
    simulate(&release, start, 60, assumptions)
}

#[test]
fn e21_the_same_seed_gives_the_same_timeline_and_another_another() {
    let run = |seed| simulated(&[release("r1", "one", &[3, 9])], Assumptions::fair(seed));
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).ended_at, run(2).ended_at);
}

#[test]
fn a_simulation_ends_terminal_halted_or_waiting() {
    let spec = || release("r1", "one", &[3, 9]);
    let fair = simulated(&[spec()], Assumptions::fair(1));
    assert_eq!((fair.ending, fair.rollouts[0].converged), (Ending::Terminal, 12));

    let failing = simulated(&[spec()], Assumptions { fail: 1.0, ..Assumptions::fair(1) });
    assert_eq!(failing.ending, Ending::Halted);
    let end = &failing.rollouts[0];
    assert_eq!((end.state, end.converged), (RolloutState::Reverted, 0));
    assert!(end.halt.is_some());

    let tolerant = with_policy(spec(), |policy| policy.max_failures = Limit::Percent(100));
    let some_fail = Assumptions { fail: 0.3, ..Assumptions::fair(1) };
    let tolerated = simulated(&[tolerant], some_fail);
    assert_eq!(tolerated.ending, Ending::Terminal);
    assert!(tolerated.rollouts[0].converged < 12);

    let patient = with_policy(spec(), |policy| policy.skip_offline_after_secs = None);
    let some_silent = Assumptions { offline: 0.4, ..Assumptions::fair(1) };
    let waiting = simulated(&[patient], some_silent);
    assert_eq!(waiting.ending, Ending::Waiting);
    assert!(!waiting.rollouts[0].waiting_for.is_empty());
    let left_out = simulated(&[spec()], some_silent);
    assert_eq!(left_out.ending, Ending::Terminal);
    assert!(left_out.ended_at.secs_since(left_out.started_at) > 86_400);
}
