//! A control plane in an attacker's hands: it has the server's certificate and every word of the protocol,
//! and no release key. One agent, the real binary, meets all of it; it refuses, says why, and goes on
//! running what it ran.
//!
//! Not here: what such a control plane can do, since it decides when (see SECURITY.md), and the cases
//! themselves (see `attacks`).

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Child;

use futures_util::future::join_all;
use serde_json::{Value, json};
use wavegate_proto::event::Event;
use wavegate_proto::ids::{Seq, Sha256Hash};
use wavegate_proto::wire::agent::Dispatch;

use super::agent::Host;
use super::attacks::{
    ANSWERS, NO_HEARTBEAT, NOT_FETCHED, NOT_PERMITTED, REFUSED, SERIAL, Wrong, bad, with_asset,
};
use super::control_plane::ControlPlane;
use super::happy::bundle;
use super::lies::Lie;
use super::release::{Release, Signed};

/// The agent's process, ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which the test has found out by then.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A host that runs `good`, has refused a bad release, and whose control plane was taken over then.
struct Scene {
    host: Host,
    agent: Process,
    good: Signed,
    before: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let host = Host::new().await;
        let good =
            Release { reference: "good".into(), ..Release::new(SERIAL, bundle("good", "good")) };
        let good = good.sign();
        let agent = Process(host.spawn());
        host.control_plane.dispatch(&good);
        host.control_plane.until_event(&good.rollout_id, "converged").await;
        let before = tree(&host.root());
        Self { host, agent, good, before }
    }

    /// A release that was tried and taken back, so that its closure is rejected on this host.
    async fn reject_bad(&mut self) {
        let release = Release { reference: "bad".into(), ..Release::new(SERIAL, bad()) };
        let header = |h: &mut Value| {
            h["fleet_sha256"] = json!(Sha256Hash::of(b"good").to_string());
        };
        let signed = Release { edit: header, ..release }.sign();
        self.plane().dispatch(&signed);
        self.plane().until_event(&signed.rollout_id, "rollback_complete").await;
        self.before = tree(&self.host.root());
    }

    fn plane(&self) -> &ControlPlane {
        &self.host.control_plane
    }

    /// A release as nothing is wrong with it; each is newer than the one before.
    fn release(number: usize) -> Release {
        let serial = SERIAL + 1 + u64::try_from(number).unwrap();
        Release {
            reference: format!("n{number}"),
            activation_timeout_secs: 1,
            assets: vec![b"asset".to_vec()],
            ..Release::new(serial, with_asset(number))
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.host.path("agent.log")).unwrap()
    }

    async fn more_heartbeats(&self, more: usize) {
        let seen = self.plane().world().heartbeats.len();
        self.plane().until("more heartbeats", |world| world.heartbeats.len() >= seen + more).await;
    }

    /// Nothing was touched, and the same process is still there.
    fn assert_unchanged(&mut self, what: &str) {
        self.plane().world().lies.clear();
        self.plane().world().edit = None;
        self.plane().world().dispatch = None;
        assert_eq!(tree(&self.host.root()), self.before, "{what}");
        assert_eq!(self.host.current(), Some(self.good.closure.clone()), "{what}");
        assert!(
            self.agent.0.try_wait().unwrap().is_none(),
            "{what}: the agent ended\n{}",
            self.log()
        );
    }

    async fn refused(&self, signed: &Signed) -> String {
        let id = &signed.rollout_id;
        self.plane().until_event(id, "dispatch_reject").await;
        let journal = self.plane().journal(id);
        let reason = journal.entries.iter().rev().find_map(|entry| {
            let Event::DispatchReject { reason, .. } = &entry.event else { return None };
            Some(reason.clone())
        });
        reason.unwrap()
    }
}

/// Everything under a folder with what it is: a file that was written again shows.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = std::fs::read(&path).unwrap_or_default();
            let (mode, inode, mtime) = (meta.mode(), meta.ino(), meta.mtime_nsec());
            found.push(format!("{} {mode:o} {inode} {mtime} {content:?}", path.display()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// G2, S3, A11: no offer that breaks a rule is taken, whichever rule it is.
#[tokio::test(flavor = "multi_thread")]
async fn g2_every_false_offer_is_refused_with_its_reason_and_nothing_is_touched() {
    let mut scene = Scene::new().await;
    scene.reject_bad().await;
    for (number, (what, wrong, reason)) in REFUSED.iter().enumerate() {
        let mut release = Scene::release(number);
        match wrong {
            Wrong::Release(change) => change(&mut release),
            Wrong::Header(change) => release.edit = *change,
            Wrong::Signed(_) | Wrong::Dispatch(_) => {}
            Wrong::Answer(lie) => scene.plane().lie("proof", lie()),
        }
        let mut signed = release.sign();
        if let Wrong::Signed(change) = wrong {
            change(&mut signed);
        }
        let change: fn(&mut Dispatch) =
            if let Wrong::Dispatch(change) = wrong { *change } else { |_| {} };
        scene.plane().dispatch_as(&signed, change);
        assert_eq!(scene.refused(&signed).await, *reason, "{what}");
        scene.assert_unchanged(what);
    }
    still_takes_what_is_signed(&mut scene).await;
}

/// G2: after all that the agent takes the next honest release, also when it was told to be silent for ever.
async fn still_takes_what_is_signed(scene: &mut Scene) {
    scene.plane().edit_answers(|answer| answer.next_heartbeat_secs = u64::MAX);
    scene.more_heartbeats(1).await;
    let next = Release::new(1000, bundle("next", "next")).sign();
    scene.plane().dispatch(&next);
    scene.plane().until_event(&next.rollout_id, "converged").await;
    assert_eq!(scene.host.file("etc/hello").as_deref(), Some("next"));
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_false_closures_and_assets_touch_nothing() {
    let mut scene = Scene::new().await;
    for (number, (what, route, lie, said)) in NOT_FETCHED.iter().enumerate() {
        scene.plane().lie(route, lie());
        let signed = Scene::release(number).sign();
        let logged = scene.log().len();
        scene.plane().dispatch(&signed);
        scene.plane().until_event(&signed.rollout_id, "activation_failed").await;
        let log = scene.log().split_off(logged);
        assert!(log.contains(said), "{what}: {log}");
        let journal = scene.plane().journal(&signed.rollout_id);
        let untouched = journal
            .entries
            .iter()
            .any(|entry| matches!(&entry.event, Event::ActivationFailed { changed: false, .. }));
        assert!(untouched, "{what}: {:?}", journal.kinds());
        scene.assert_unchanged(what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_false_answers_to_heartbeats_change_nothing() {
    let mut scene = Scene::new().await;
    for (what, lie, said) in NO_HEARTBEAT {
        let logged = scene.log().len();
        let told = scene.plane().world().lies_told;
        scene.plane().lie("heartbeat", lie());
        scene.plane().until(what, |world| world.lies_told > told).await;
        scene.plane().world().lies.clear();
        scene.more_heartbeats(1).await;
        let log = scene.log().split_off(logged);
        assert!(log.contains(said), "{what}: {log}");
        scene.assert_unchanged(what);
    }
}

/// G2: an answer that comes in drops is given up after 30 s; nothing else waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn g2_answers_in_drops_are_given_up() {
    let mut scene = Scene::new().await;
    scene.plane().lie("heartbeat", Lie::Drip);
    scene.plane().lie("proof", Lie::Drip);
    scene.plane().dispatch(&Scene::release(0).sign());
    let plane = scene.host.control_plane.clone();
    plane.until("both were asked again", |world| world.lies_told >= 4).await;
    let log = scene.log();
    for said in ["heartbeat not taken", "plan not at hand"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    scene.assert_unchanged("drops");
}

/// G1, G2: snapshots, replays, journals, marks and epochs of an attacker's choice start nothing.
#[tokio::test(flavor = "multi_thread")]
async fn g1_g2_nothing_that_a_heartbeat_is_answered_starts_anything() {
    let mut scene = Scene::new().await;
    for (what, change) in ANSWERS {
        let (good, change) = (scene.good.clone(), *change);
        scene.plane().edit_answers(move |answer| change(answer, &good));
        let fetched = scene.plane().world().blob_requests;
        scene.more_heartbeats(3).await;
        assert_eq!(scene.plane().world().blob_requests, fetched, "{what}");
        scene.assert_unchanged(what);
        let sent =
            scene.plane().world().heartbeats.last().map(serde_json::to_vec).unwrap().unwrap();
        assert!(sent.len() < 64 * 1024, "{what}: a heartbeat of {} bytes", sent.len());
    }
}

/// G2: a replay that is asked for with each answer is sent once a minute.
#[tokio::test(flavor = "multi_thread")]
async fn g2_a_storm_of_replays_is_answered_once() {
    let mut scene = Scene::new().await;
    let id = scene.good.rollout_id.clone();
    scene.plane().edit_answers(move |answer| {
        answer.next_heartbeat_secs = 0;
        answer.replay.insert(id.clone(), Seq(1));
    });
    scene.more_heartbeats(4).await;
    assert_eq!(scene.plane().world().replays, 1);
    scene.assert_unchanged("a storm of replays");
}

/// G4: whatever is answered to it, an acknowledgement that was not taken starts nothing.
#[tokio::test(flavor = "multi_thread")]
async fn g4_without_a_true_permission_nothing_starts() {
    join_all(NOT_PERMITTED.iter().map(|(what, lie)| async move {
        let mut scene = Scene::new().await;
        scene.plane().lie("events", lie());
        let signed = Scene::release(0).sign();
        let told = scene.plane().world().lies_told;
        scene.plane().dispatch(&signed);
        scene.plane().until(what, |world| world.lies_told > told).await;
        scene.more_heartbeats(2).await;
        scene.assert_unchanged(what);
    }))
    .await;
}
