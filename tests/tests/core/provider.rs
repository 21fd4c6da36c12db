//! What providers say of hosts: kept, shown beside a silence, and without any effect.

use std::time::Duration;

use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_proto::wire::provider::ProviderState;

use crate::harness::{Cp, equal_but_for, hours, minutes, name};
use crate::{patient, release};

const R1: &str = "stable@r1";

impl Cp {
    /// What is told first of the reasons why a host waits for itself.
    fn detail_of(&mut self, host: &str, code: &str) -> String {
        let reasons = self.explain(host).reasons;
        let reason = reasons.into_iter().find(|reason| reason.code == code);
        reason.unwrap_or_else(|| panic!("{host} is not held by {code}")).detail
    }
}

#[test]
fn what_a_provider_says_is_shown_with_who_told_it_and_when() {
    let mut cp = Cp::with(&[release("r1", "good", &[2])]);
    assert_eq!(cp.host_document("host-01").provider, None, "nobody has told");
    let first = cp.now().wall;
    let told = cp.sync("host-01", Some("i-0abc"), ProviderState::Running).unwrap();
    let provider = told.provider.clone().unwrap();
    assert_eq!(provider.provider_id.as_ref().unwrap().as_str(), "i-0abc");
    assert_eq!(provider.provider_state, ProviderState::Running);
    assert_eq!(provider.actor, "operator/alice");
    assert_eq!((provider.since, provider.last_sync), (first, first));
    assert_eq!(cp.host_document("host-01").provider, told.provider, "and read the same");
    let row = cp.disk.log.iter().find(|row| row.kind == "provider_changed").unwrap();
    assert_eq!((row.actor.as_str(), row.host.as_ref()), ("operator/alice", Some(&name("host-01"))));
    assert_eq!(row.payload["provider_id"], "i-0abc");
    assert_eq!(row.payload["provider_state"], "running");

    cp.skip_time(Duration::from_secs(60));
    let off = cp.sync("host-01", None, ProviderState::Off).unwrap().provider.unwrap();
    assert_eq!(off.provider_id, provider.provider_id, "without an id the one that is known stays");
    assert_eq!((off.provider_state, off.since), (ProviderState::Off, cp.now().wall));
    assert_eq!(cp.host_document("host-02").provider, None);
    assert_eq!(cp.logged("provider_changed"), 2);
}

/// D6: a script that tells the same every minute moves the time of the last sync, and adds no row.
#[test]
fn d6_the_same_told_again_is_no_row_and_moves_the_last_sync() {
    let mut cp = Cp::with(&[release("r1", "good", &[1])]);
    cp.converge_all();
    let since = cp.now().wall;
    cp.sync("host-01", Some("i-0abc"), ProviderState::Off).unwrap();
    let rows = cp.disk.log.len();
    for minute in 1..=10 {
        cp.skip_time(minutes(1));
        let id = (minute % 2 == 0).then_some("i-0abc");
        let provider = cp.sync("host-01", id, ProviderState::Off).unwrap().provider.unwrap();
        assert_eq!(provider.since, since);
        assert_eq!(provider.last_sync, since.plus_secs(60 * minute));
    }
    assert_eq!(cp.disk.log.len(), rows, "ten times the same is no row");
    cp.sync("host-01", Some("i-0def"), ProviderState::Off).unwrap();
    assert_eq!(cp.logged("provider_changed"), 2, "another machine is one");
}

#[test]
fn what_a_provider_says_survives_a_restart_and_comes_back_from_the_log_but_not_after_a_wipe() {
    let mut cp = Cp::with(&[release("r1", "good", &[2])]);
    cp.sync("host-01", Some("i-0abc"), ProviderState::Running).unwrap();
    cp.skip_time(minutes(1));
    cp.sync("host-01", None, ProviderState::Off).unwrap();
    cp.skip_time(minutes(1));
    cp.sync("host-01", None, ProviderState::Off).unwrap();
    cp.sync("host-02", None, ProviderState::Unknown).unwrap();
    let before = [cp.host_document("host-01").provider, cp.host_document("host-02").provider];
    assert!(before[0].as_ref().is_some_and(|told| told.since < told.last_sync));
    cp.disk.check_rebuild();
    cp.restart();
    let after = [cp.host_document("host-01").provider, cp.host_document("host-02").provider];
    assert_eq!(after, before, "the last sync too");
    let rows = cp.logged("provider_changed");
    cp.sync("host-01", Some("i-0abc"), ProviderState::Off).unwrap();
    assert_eq!(cp.logged("provider_changed"), rows, "it is known what was told before");
    cp.wipe();
    cp.everybody_reports();
    assert_eq!(cp.host_document("host-01").provider, None, "it is asked for again");
}

#[test]
fn a_host_that_nobody_knows_is_refused_and_adds_nothing() {
    let mut cp = Cp::with(&[release("r1", "good", &[1])]);
    let rows = cp.disk.log.len();
    let refused = cp.sync("host-09", Some("i-0abc"), ProviderState::Off).unwrap_err();
    assert_eq!(refused.code(), "unknown-host");
    assert_eq!(cp.disk.log.len(), rows);
}

#[test]
fn a_silent_host_is_held_with_what_its_provider_says() {
    let mut cp = Cp::silent_with(&[release("r1", "good", &[1, 2])]);
    cp.goes_silent("host-02");
    cp.goes_silent("host-03");
    cp.everybody_reports();
    cp.advance(minutes(1));
    cp.converge("host-01");
    assert_eq!(cp.detail_of("host-02", "never-seen"), "the host has not been heard from yet");
    let rows = cp.logged("gate_changed");
    for (state, detail) in [
        (ProviderState::Off, "the host has not been heard from yet; provider says off"),
        (ProviderState::Running, "the host has not been heard from yet; provider says running"),
        (ProviderState::Unknown, "the host has not been heard from yet"),
    ] {
        cp.sync("host-02", None, state).unwrap();
        assert_eq!(cp.detail_of("host-02", "never-seen"), detail);
    }
    assert_eq!(cp.logged("gate_changed"), rows, "D6: the gate is the same");
    cp.returns("host-02");
    cp.goes_silent("host-02");
    cp.advance(minutes(10));
    cp.sync("host-02", None, ProviderState::Off).unwrap();
    let detail = cp.detail_of("host-02", "silent");
    assert!(detail.ends_with("; provider says off"), "{detail}");
}

/// Whatever a provider says, nothing about the fleet is otherwise than without it.
#[test]
fn what_a_provider_says_changes_no_state_and_no_decision() {
    let told = |says: &[ProviderState]| {
        let mut cp = Cp::with(&[patient(release("r1", "good", &[1, 2]))]);
        let tell = |cp: &mut Cp| {
            for state in says {
                for host in ["host-01", "host-02", "host-03"] {
                    cp.sync(host, None, *state).unwrap();
                }
            }
        };
        tell(&mut cp);
        assert_eq!(cp.dispatched(), ["host-01"], "one that is off according to its provider too");
        cp.converge("host-01");
        tell(&mut cp);
        cp.ack("host-02");
        cp.goes_silent("host-03");
        cp.advance(hours(1));
        tell(&mut cp);
        assert_eq!(cp.state("host-02"), HostState::Activating);
        cp.activate("host-02");
        cp.settle("host-02");
        cp.returns("host-03");
        tell(&mut cp);
        cp.converge("host-03");
        assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
        let decided = cp.disk.log.iter().filter(|row| row.kind != "provider_changed");
        let decided: Vec<_> = decided.map(|row| (row.kind, row.host.clone(), row.at)).collect();
        (cp.picture(), decided)
    };
    let (without, decided_without) = told(&[]);
    let all = [ProviderState::Off, ProviderState::Unknown, ProviderState::Off];
    let (with, decided_with) = told(&all);
    assert_eq!(decided_with, decided_without);
    // The harness numbers journals after the requests before.
    equal_but_for(&without, &with, &["provider", "journal_id"]);
}
