//! A control plane whose words come late, too often, or from the past.
//!
//! Not here: one in an attacker's hands (see `taken_over`).

use std::time::Duration;

use wavegate_proto::event::{Event, FailureClass};
use wavegate_proto::record::{Failure, HostState, Rollback};

use super::agent::Host;
use super::happy::bundle;
use super::lies::Lie;
use super::release::{Release, Signed};

/// Offers `signed` and returns the reason for which the host refused it.
async fn reason_of_refusal(host: &Host, signed: &Signed) -> String {
    host.control_plane.dispatch(signed);
    host.control_plane.until_event(&signed.rollout_id, "dispatch_reject").await;
    let journal = host.control_plane.journal(&signed.rollout_id);
    let reason = journal.entries.iter().rev().find_map(|entry| {
        let Event::DispatchReject { reason, .. } = &entry.event else { return None };
        Some(reason.clone())
    });
    reason.unwrap()
}

/// Offers `signed` and returns class, reason and `changed` of the activation that failed.
async fn failure_of(host: &Host, signed: &Signed, lease: u64) -> (FailureClass, String, bool) {
    host.control_plane.dispatch_for(signed, lease);
    host.control_plane.until_event(&signed.rollout_id, "activation_failed").await;
    let journal = host.control_plane.journal(&signed.rollout_id);
    let failure = journal.entries.iter().find_map(|entry| {
        let Event::ActivationFailed { class, reason, changed, .. } = &entry.event else {
            return None;
        };
        Some((*class, reason.clone(), *changed))
    });
    failure.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_an_older_release_is_refused_also_after_a_restart() {
    let host = Host::new().await;
    let agent = host.start();
    let newer = Release::new(5, bundle("five", "five")).sign();
    host.control_plane.dispatch(&newer);
    host.control_plane.until_event(&newer.rollout_id, "converged").await;
    let older = Release::new(4, bundle("four", "four")).sign();
    assert_eq!(reason_of_refusal(&host, &older).await, "serial-regressed");
    agent.stop().await.unwrap();

    let agent = host.start();
    let older = Release::new(3, bundle("three", "three")).sign();
    assert_eq!(reason_of_refusal(&host, &older).await, "serial-regressed");
    assert_eq!(host.file("etc/hello").as_deref(), Some("five"));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_the_pace_of_heartbeats_is_bounded_whatever_is_asked() {
    let host = Host::new().await;
    host.control_plane.edit_answers(|answer| answer.next_heartbeat_secs = 0);
    let agent = host.start();
    host.control_plane.until("a first heartbeat", |world| !world.heartbeats.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let count = host.control_plane.world().heartbeats.len();
    assert!((2..=6).contains(&count), "{count} heartbeats in 2.5 s");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_an_acknowledgement_accepted_too_late_starts_nothing() {
    let host = Host::new().await;
    let agent = host.start();
    host.control_plane.lie("events", Lie::Late(Duration::from_millis(1500)));
    let signed = Release::new(1, bundle("late", "late")).sign();
    let (class, reason, changed) = failure_of(&host, &signed, 1).await;
    assert_eq!((class, reason.as_str(), changed), (FailureClass::Host, "lease-lapsed", false));
    assert!(!host.control_plane.journal(&signed.rollout_id).has("activation_started"));
    assert_eq!((host.file("etc/hello"), host.current()), (None, None));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_without_an_answer_nothing_starts() {
    let host = Host::new().await;
    let agent = host.start();
    host.control_plane.lie("events", Lie::Busy(usize::MAX));
    let signed = Release::new(1, bundle("never", "never")).sign();
    host.control_plane.dispatch(&signed);
    let asked = host.control_plane.world().heartbeats.len();
    host.control_plane.until("more heartbeats", |w| w.heartbeats.len() > asked + 2).await;
    assert_eq!((host.file("etc/hello"), host.current()), (None, None));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_g1_a_snapshot_neither_overwrites_newer_state_nor_starts_a_rollback() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let agent = host.start();
    let signed = Release::new(1, bundle("one", "one")).sign();
    control_plane.dispatch(&signed);
    control_plane.until_event(&signed.rollout_id, "converged").await;
    let before = control_plane.journal(&signed.rollout_id);
    let fetched = control_plane.world().blob_requests;

    let evil = Release::new(1, bundle("evil", "evil")).sign();
    let mut known = signed.pending_record();
    known.state = HostState::Failed;
    known.prior_closure = Some(evil.closure.clone());
    known.failure = Some(Failure {
        class: FailureClass::Artifact,
        reason: "says the control plane".to_owned(),
        rollback: Rollback::Running,
        changed: true,
    });
    let mut unknown = known.clone();
    unknown.rollout_id = "stable@r9".parse().unwrap();
    let evil = vec![known, unknown];
    control_plane.edit_answers(move |answer| answer.bootstrap = evil.clone());
    let seen = control_plane.world().heartbeats.len();
    control_plane.until("more heartbeats", |w| w.heartbeats.len() > seen + 2).await;

    assert_eq!(control_plane.journal(&signed.rollout_id).entries, before.entries);
    assert_eq!(control_plane.world().blob_requests, fetched);
    assert_eq!(host.file("etc/hello").as_deref(), Some("one"));
    assert_eq!(host.current(), Some(signed.closure.clone()));
    agent.stop().await.unwrap();
}
