//! A host that lost its disk, and what it takes from the control plane's snapshots.
//!
//! Not here: journals that are still there (see `recovery`).

use wavegate_proto::event::{Event, FailureClass, ProbeOutcome};
use wavegate_proto::record::{Failure, HostRecord, HostState, Rollback};
use wavegate_state_machine::agent::{AgentEffect, AgentInput, OfferedPlan, PostOutcome, Rejection};

use crate::host::Host;
use crate::plans::{Release, THRESHOLD_SECS, closure, release};

fn snapshot(host: &mut Host, release: &Release) -> HostRecord {
    host.record(release).clone()
}

fn bootstraps(host: &mut Host, release: &Release, snapshot: HostRecord) -> Vec<AgentEffect> {
    host.lose_disk();
    host.heartbeat_answered(|answer| answer.bootstrap = vec![snapshot]);
    let fetch = AgentEffect::FetchPlan { rollout_id: release.id() };
    assert_eq!(host.take_told(), [fetch]);
    host.keep_plan(release);
    let (plan, current) = (Ok(release.offered()), host.current.clone());
    host.input(AgentInput::BootstrapPlan { rollout_id: release.id(), plan, current });
    host.take_told()
}

#[test]
fn a_host_with_a_new_disk_goes_on_from_a_snapshot() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.converges(&r1, 1);
    let known = snapshot(&mut host, &r1);
    let told = bootstraps(&mut host, &r1, known);
    assert!(matches!(&told[..], [AgentEffect::StartProbes { .. }]));
    assert_eq!(host.kinds(&r1), ["journal_opened"]);
    assert_eq!(host.state(&r1), HostState::Converged);
}

/// E4: a soak taken over from a snapshot is soaked anew, and every probe is asked.
#[test]
fn e4_a_snapshot_that_soaks_proves_nothing() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    let known = snapshot(&mut host, &r1);
    bootstraps(&mut host, &r1, known);
    host.advance(crate::plans::SOAK_SECS);
    assert_eq!(host.state(&r1), HostState::Soaking);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    assert_eq!(host.state(&r1), HostState::Converged);
}

#[test]
fn g1_a_snapshot_names_no_closure_to_go_to() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Fail);
    host.advance(THRESHOLD_SECS);
    let mut evil = snapshot(&mut host, &r1);
    evil.prior_closure = Some(closure("evil"));
    let told = bootstraps(&mut host, &r1, evil.clone());
    assert_eq!(told, [], "no rollback, no activation");
    assert_eq!(host.kinds(&r1), ["journal_opened", "rollback_failed"]);
    host.restart();
    assert_eq!(host.take_told(), []);
    evil.state = HostState::Activating;
    evil.failure = None;
    let told = bootstraps(&mut host, &r1, evil);
    assert_eq!(told, []);
    assert_eq!(host.kinds(&r1), ["journal_opened", "activation_failed", "rollback_failed"]);
    assert_eq!(host.record(&r1).failure.as_ref().unwrap().reason, "state-lost");
}

/// G1: a soak from a snapshot that then fails has no way back either.
#[test]
fn g1_a_rollback_to_nothing_is_not_taken_from_a_snapshot() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    let known = snapshot(&mut host, &r1);
    assert_eq!(known.prior_closure, None);
    bootstraps(&mut host, &r1, known);
    host.probe(&r1, "http", ProbeOutcome::Fail);
    host.advance(THRESHOLD_SECS);
    assert_eq!(host.last_kind(&r1), "rollback_failed");
    assert!(!host.take_told().iter().any(|e| matches!(e, AgentEffect::Rollback { .. })));
}

#[test]
fn g1_a_snapshot_of_something_else_is_not_taken() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.converges(&r1, 1);
    let known = snapshot(&mut host, &r1);
    let edits: [fn(&mut HostRecord); 4] = [
        |s| s.target_closure = closure("evil"),
        |s| s.wave = s.wave.next(),
        |s| s.topology_known = false,
        |s| s.attempt.0 = 1001,
    ];
    for edit in edits {
        let mut wrong = known.clone();
        edit(&mut wrong);
        assert_eq!(bootstraps(&mut host, &r1, wrong), []);
        assert_eq!(host.kinds(&r1), [""; 0]);
    }
}

#[test]
fn d5_the_host_keeps_its_own_newer_state() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    let older = snapshot(&mut host, &r1);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    host.advance(crate::plans::SOAK_SECS);
    host.take_told();
    host.heartbeat_answered(|answer| answer.bootstrap = vec![older]);
    assert_eq!(host.take_told(), [], "no probe is started again");
    assert_eq!(host.state(&r1), HostState::Converged);
}

/// E5: while a switch runs, nothing but its own end completes it.
#[test]
fn e5_a_heartbeat_in_the_middle_of_a_switch_completes_nothing() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.post_all();
    host.current = Some(closure("a"));
    let mut ahead = snapshot(&mut host, &r1);
    ahead.state = HostState::Soaking;
    host.heartbeat_answered(|answer| answer.bootstrap = vec![ahead]);
    assert_eq!(host.state(&r1), HostState::Activating);
    assert_eq!(host.last_kind(&r1), "activation_started");
}

/// What a host that runs `current` makes of a snapshot.
fn taken(
    release: &Release,
    snapshot: HostRecord,
    current: Option<&str>,
    offered: OfferedPlan,
) -> Vec<&'static str> {
    let mut host = Host::new();
    host.current = current.map(closure);
    host.keep_plan(release);
    host.heartbeat_answered(|answer| answer.bootstrap = vec![snapshot]);
    let (plan, current) = (Ok(offered), host.current.clone());
    host.input(AgentInput::BootstrapPlan { rollout_id: release.id(), plan, current });
    host.kinds(release)
}

/// A record of `web-1` in `state`, as the control plane may have it.
fn in_state(release: &Release, state: HostState) -> HostRecord {
    let mut host = Host::new();
    host.current = Some(closure("before"));
    host.soaks(release, 1);
    let soaking = snapshot(&mut host, release);
    host.probe(release, "http", ProbeOutcome::Pass);
    host.advance(crate::plans::SOAK_SECS);
    let converged = snapshot(&mut host, release);
    let failure = |rollback| {
        let (class, reason) = (FailureClass::Host, "broken".to_owned());
        Some(Failure { class, reason, rollback, changed: true })
    };
    match state {
        HostState::Soaking => soaking,
        HostState::Converged => converged,
        HostState::Failed => HostRecord { state, failure: failure(Rollback::Running), ..soaking },
        HostState::Reverted => HostRecord { state, failure: failure(Rollback::Done), ..soaking },
        _ => HostRecord { state, ..soaking },
    }
}

/// What follows from each state, and from what the host runs by then.
#[test]
fn what_a_snapshot_leads_to() {
    let (opened, back, lost) = ("journal_opened", "rollback_complete", "rollback_failed");
    let (failed, done) = ("activation_failed", "activation_complete");
    for (state, current, expected) in [
        (HostState::Pending, "a", vec![]),
        (HostState::Activating, "a", vec![opened, failed, lost]),
        (HostState::Activating, "before", vec![opened, failed, back]),
        (HostState::Deferred, "a", vec![opened, done, "probe_topology"]),
        (HostState::Deferred, "before", vec![opened]),
        (HostState::Soaking, "a", vec![opened]),
        (HostState::Soaking, "before", vec![]),
        (HostState::Converged, "a", vec![opened]),
        (HostState::Converged, "before", vec![opened]),
        (HostState::Failed, "a", vec![opened, lost]),
        (HostState::Failed, "before", vec![opened, back]),
        (HostState::Reverted, "a", vec![opened]),
        (HostState::Reverted, "before", vec![opened]),
        (HostState::Skipped, "before", vec![]),
    ] {
        let r1 = release("r1", 1, "a");
        let kinds = taken(&r1, in_state(&r1, state), Some(current), r1.offered());
        assert_eq!(kinds, expected, "{state}, {current} runs");
    }
}

#[test]
fn a_failed_snapshot_goes_back_only_where_that_is_due() {
    let mut halting = release("r1", 1, "a");
    halting.policy = "halt";
    let stands = |release: &Release, rollback| {
        let mut failed = in_state(release, HostState::Failed);
        failed.failure.as_mut().unwrap().rollback = rollback;
        taken(release, failed, Some("before"), release.offered())
    };
    let going_back = release("r1", 1, "a");
    assert_eq!(stands(&halting, Rollback::Running), ["journal_opened"], "the plan says halt");
    for settled in [Rollback::None, Rollback::Failed] {
        assert_eq!(stands(&going_back, settled), ["journal_opened"], "{settled:?}");
    }
}

/// G1: the plan is verified again, and must be this host's, of this rollout, with what the snapshot says.
#[test]
fn g1_a_plan_that_does_not_fit_the_snapshot_is_not_taken() {
    let r1 = release("r1", 1, "a");
    let converged = || in_state(&r1, HostState::Converged);
    let foreign = Release { host: "web-2", ..r1.clone() };
    let without_probes = |release: &Release| OfferedPlan { probes: None, ..release.offered() };
    for (case, offered, current, taken_over) in [
        ("the very plan", r1.offered(), "a", true),
        ("of another host", foreign.offered(), "a", false),
        ("of another rollout", release("r2", 2, "a").offered(), "a", false),
        ("of another closure", release("r1", 1, "b").offered(), "a", false),
        ("without the probes of what runs", without_probes(&r1), "a", false),
        ("without probes, and it does not run", without_probes(&r1), "before", true),
    ] {
        let kinds = taken(&r1, converged(), Some(current), offered);
        assert_eq!(!kinds.is_empty(), taken_over, "{case}");
    }
    let mut elsewhere = converged();
    elsewhere.wave = elsewhere.wave.next();
    assert_eq!(taken(&r1, elsewhere, Some("a"), r1.offered()), [""; 0], "another wave");
}

fn asks_for_plans(host: &mut Host, snapshots: Vec<HostRecord>) -> usize {
    host.heartbeat_answered(|answer| answer.bootstrap = snapshots);
    let told = host.take_told();
    told.iter().filter(|effect| matches!(effect, AgentEffect::FetchPlan { .. })).count()
}

/// G2: snapshots are few, of this host, and asked about once.
#[test]
fn g2_only_so_many_snapshots_of_this_host_are_looked_at() {
    let r1 = release("r1", 1, "a");
    let known = in_state(&r1, HostState::Converged);
    let foreign = HostRecord { host: "web-2".parse().unwrap(), ..known.clone() };
    let mut host = Host::new();
    assert_eq!(asks_for_plans(&mut host, vec![foreign]), 0, "of another host");
    for state in [HostState::Pending, HostState::Skipped] {
        let snapshot = in_state(&r1, state);
        assert_eq!(asks_for_plans(&mut host, vec![snapshot]), 0, "no journal begins {state}");
    }
    assert_eq!(asks_for_plans(&mut host, vec![known.clone()]), 1);
    assert_eq!(asks_for_plans(&mut host, vec![known.clone()]), 0, "its plan is under way");
    let many = (2..40).map(|n| {
        let rollout_id = format!("stable@r{n}").parse().unwrap();
        HostRecord { rollout_id, ..known.clone() }
    });
    assert_eq!(asks_for_plans(&mut host, many.collect()), 15, "16 at a time");
}

#[test]
fn a_plan_that_comes_unasked_too_late_or_not_at_all_opens_nothing() {
    let r1 = release("r1", 1, "a");
    let known = in_state(&r1, HostState::Converged);
    let comes = |host: &mut Host, plan| {
        let current = host.current.clone();
        host.input(AgentInput::BootstrapPlan { rollout_id: r1.id(), plan, current });
    };
    let mut host = Host::new();
    comes(&mut host, Ok(r1.offered()));
    assert_eq!(host.kinds(&r1), [""; 0], "nobody asked");
    assert_eq!(asks_for_plans(&mut host, vec![known.clone()]), 1);
    let rejection = Rejection { reason: "bad-signature".to_owned(), detail: None };
    comes(&mut host, Err(rejection));
    assert_eq!(host.kinds(&r1), [""; 0], "it did not verify");
    assert_eq!(asks_for_plans(&mut host, vec![known]), 1, "it may be asked for again");
    host.offer(&r1, 1);
    comes(&mut host, Ok(r1.offered()));
    assert_eq!(host.kinds(&r1), ["dispatch_ack"], "dispatched meanwhile: D5");
}

/// G1: what a snapshot names is a way back only if this agent activated it, or a plan that it verified
/// names it.
#[test]
fn g1_the_way_back_of_a_snapshot_must_be_known_here() {
    let mut halting = release("r1", 1, "a");
    halting.policy = "halt";
    let other = Release { policy: "halt", ..release("r1", 1, "other") };
    for (case, held, activated, expected) in [
        ("a plan names it", &halting, false, true),
        ("activated once", &other, true, true),
        ("nobody knows it", &other, false, false),
    ] {
        let (mut host, r2) = (Host::new(), release("r2", 2, "b"));
        host.soaks(held, 1);
        host.probe(held, "http", ProbeOutcome::Fail);
        host.advance(THRESHOLD_SECS);
        host.post_all();
        host.soaks(&r2, 1);
        let mut known = snapshot(&mut host, &r2);
        known.prior_closure = Some(closure("a"));
        host.lose_journal(&r2);
        host.disk.activated.retain(|one| one.closure == closure("b"));
        if activated {
            let mut one = host.disk.activated[0].clone();
            one.closure = closure("a");
            host.disk.activated.push(one);
        }
        host.restart();
        assert_eq!(asks_for_plans(&mut host, vec![known]), 1);
        let (plan, current) = (Ok(r2.offered()), host.current.clone());
        host.input(AgentInput::BootstrapPlan { rollout_id: r2.id(), plan, current });
        host.probe(&r2, "http", ProbeOutcome::Fail);
        host.advance(THRESHOLD_SECS);
        let goes_back = host.take_told().iter().any(|effect| {
            matches!(effect, AgentEffect::Rollback { to, .. } if *to == Some(closure("a")))
        });
        assert_eq!(goes_back, expected, "{case}");
        assert_eq!(host.last_kind(&r2) == "rollback_failed", !expected, "{case}");
    }
}

/// G1: nor does a restart turn a snapshot into the host's own word.
#[test]
fn g1_a_restart_makes_no_way_back_of_a_snapshot() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    let known = snapshot(&mut host, &r1);
    bootstraps(&mut host, &r1, known);
    host.restart();
    host.probe(&r1, "http", ProbeOutcome::Fail);
    host.advance(THRESHOLD_SECS);
    assert_eq!(host.last_kind(&r1), "rollback_failed");
}

/// A journal begun anew, also twice, tells a snapshot that the host itself could not take from others.
#[test]
fn a_snapshot_of_our_own_stands_though_it_says_more_than_one_may() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1001);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::JournalReplaced);
    assert_eq!(host.kinds(&r1), ["journal_opened", "probe_result"]);
    assert_eq!(host.state(&r1), HostState::Soaking);
    host.restart();
    assert_eq!((host.state(&r1), host.record(&r1).attempt.0), (HostState::Soaking, 1001));
    let Event::JournalOpened { snapshot } = &host.disk.journals[0].entries[0].entry.event else {
        panic!("it begins with the record")
    };
    assert_eq!(snapshot.attempt.0, 1001);
}
