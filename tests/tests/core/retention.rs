//! Rollouts that have been over for long: what goes, and what stays for ever.

use wavegate_control_plane::core::Input;
use wavegate_proto::wire::operator::RolloutState;

use crate::harness::{Cp, RETAIN_SECS, hours, id, minutes, name};
use crate::release;

/// Everybody has gone on from r1 to r2, and the time for which r1 is kept is over.
fn long_after() -> Cp {
    let mut cp = Cp::with(&[release("r1", "one", &[1, 1])]);
    cp.converge_all();
    cp.publish(&[release("r2", "two", &[1, 1])]);
    cp.converge_all();
    wait(&mut cp);
    cp
}

fn wait(cp: &mut Cp) {
    cp.skip_time(hours(RETAIN_SECS / 3600));
    cp.everybody_reports();
    cp.tick();
}

fn is_kept(cp: &Cp, rollout: &str) -> bool {
    cp.core.fleet().rollouts.contains_key(&id(rollout))
}

/// G22: the ref of a rollout that has been removed stays bound to its content.
#[test]
fn g22_a_pruned_rollout_is_gone_but_for_its_ref() {
    let mut cp = long_after();
    assert!(!is_kept(&cp, "stable@r1"));
    assert!(cp.disk.host_rollouts.keys().all(|(rollout, _)| *rollout == id("stable@r2")));
    assert_eq!(cp.rollout_state("stable@r2"), RolloutState::Terminal);
    for restarted in [false, true] {
        let problem = cp.try_publish(9, &[release("r1", "three", &[1, 1])]).unwrap_err();
        assert_eq!(problem.code(), "ref-conflict", "other content, restarted: {restarted}");
        let problem = cp.try_publish(9, &[release("r1", "one", &[1, 1])]).unwrap_err();
        assert_eq!(problem.code(), "ref-conflict", "it never returns, restarted: {restarted}");
        cp.restart();
        cp.everybody_reports();
    }
    cp.publish(&[release("r3", "one", &[1, 1])]);
    cp.converge_all();
    assert_eq!(cp.rollout_state("stable@r3"), RolloutState::Terminal);
}

#[test]
fn the_events_of_a_pruned_rollout_are_told_that_it_is_gone() {
    let mut cp = long_after();
    let journal = cp.hosts[&name("host-01")].journals[&id("stable@r1")].clone();
    let entry = journal.entries[0].clone();
    let answer = cp.post("host-01", &id("stable@r1"), journal.id, false, vec![entry]);
    assert_eq!(answer.unwrap_err().code(), "rollout-pruned");
    // A host that still has the journal is not asked for it, and holds nothing up after a start.
    cp.restart();
    cp.everybody_reports();
    assert!(!cp.core.fleet().recovering.holds(cp.now().mono));
}

#[test]
fn what_is_current_or_where_a_host_stands_is_kept() {
    let mut cp = Cp::with(&[release("r1", "one", &[1, 1])]);
    cp.converge_all();
    wait(&mut cp);
    assert!(is_kept(&cp, "stable@r1"), "it is current");
    cp.publish(&[release("r2", "two", &[1, 1])]);
    cp.converge("host-01");
    cp.goes_silent("host-02");
    wait(&mut cp);
    assert!(is_kept(&cp, "stable@r1"), "host-02 still runs it");
    cp.returns("host-02");
    // The same content signed anew: what was signed 90 days ago is stale.
    cp.publish(&[release("r2", "two", &[1, 1])]);
    // It lost the lease it had, and waits for a moment.
    cp.advance(minutes(1));
    cp.converge_all();
    cp.advance(hours(2));
    assert!(!is_kept(&cp, "stable@r1"));
}

#[test]
fn a_rollout_is_kept_for_as_long_as_it_was_told() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.converge_all();
    cp.publish(&[release("r2", "two", &[1])]);
    cp.converge_all();
    cp.skip_time(hours(RETAIN_SECS / 3600 - 1));
    cp.everybody_reports();
    cp.tick();
    assert!(is_kept(&cp, "stable@r1"));
    cp.advance(hours(2));
    assert!(!is_kept(&cp, "stable@r1"));
}

/// What is left of the log still gives the derived tables, with the rows of the pruned rollout there,
/// partly there, and gone.
#[test]
fn a_compacted_log_accounts_for_what_it_lost_and_still_gives_the_tables() {
    let mut cp = Cp::with(&[release("r1", "one", &[1, 1])]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    cp.publish(&[release("r2", "two", &[1, 1])]);
    cp.converge_all();
    wait(&mut cp);
    assert_eq!(cp.quarantines().len(), 1, "what was learnt of a closure outlives the rollout");
    cp.disk.check_rebuild();
    let before = cp.disk.log.len();
    let some = cp.disk.removable().into_iter().take(1).collect();
    cp.send(|reply| Input::Compact { runs: some, reply });
    cp.disk.check_rebuild();
    cp.compact();
    assert!(cp.disk.log.len() < before, "rows have gone");
    let of_r1 = cp.disk.log.iter().filter(|row| row.rollout_id == Some(id("stable@r1")));
    let kinds: Vec<&str> = of_r1.map(|row| row.kind).collect();
    assert_eq!(kinds, ["quarantine_added", "rollout_pruned"]);
    let end = cp.disk.log_end();
    cp.compact();
    assert_eq!(cp.disk.log_end(), end, "there is nothing more to say");
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.quarantines().len(), 1);
}

/// D6: a fleet at rest adds nothing to the log, however long it rests.
#[test]
fn d6_the_log_of_a_fleet_at_rest_does_not_grow() {
    let mut cp = long_after();
    cp.compact();
    let end = cp.disk.log_end();
    cp.advance(hours(5));
    assert_eq!(cp.disk.log_end(), end);
}
