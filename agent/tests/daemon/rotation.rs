//! The trust file is followed, whoever shows it: each version by the keys of the one before. A control plane that
//! lies about it leads nobody anywhere.

use wavegate_proto::canonical::canonicalize;
use wavegate_proto::signing::{ArtifactType, PrivateKey};
use wavegate_proto::trust::rotation::SignedTrust;
use wavegate_proto::trust::{TrustFile, TrustedKey};

use super::agent::Host;
use super::happy::bundle;
use super::lies::Lie;
use super::release::{Release, release_key, trust};

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed([seed; 32])
}

fn version(number: u64, key: &PrivateKey, signed_by: &[&PrivateKey]) -> SignedTrust {
    let keys = vec![TrustedKey::new(key.public_key())];
    let next = TrustFile { version: number, ..TrustFile::new(trust().fleet, 1, keys, Vec::new()) };
    let bytes = serde_json::to_vec(&next).unwrap();
    let canonical = canonicalize(&bytes).unwrap();
    let signatures = signed_by.iter().map(|key| key.sign(ArtifactType::Trust, &canonical));
    SignedTrust::new(&bytes, signatures.collect())
}

impl Host {
    /// Shows these versions until they have been asked for and another heartbeat has come. Returns the version
    /// that it names.
    async fn shown(&self, claimed: u64, items: Vec<SignedTrust>) -> u64 {
        let asked = {
            let mut world = self.control_plane.world();
            world.trust = (claimed, items);
            world.trust_requests
        };
        self.control_plane.until("a question", |world| world.trust_requests > asked).await;
        let heard = self.control_plane.world().heartbeats.len();
        // One may have been made before the answer was looked at.
        self.control_plane.until("heartbeats", |world| world.heartbeats.len() > heard + 1).await;
        let world = self.control_plane.world();
        world.heartbeats.last().unwrap().trust_version.unwrap()
    }

    fn named(&self) -> Option<u64> {
        self.control_plane.world().heartbeats.last()?.trust_version
    }
}

/// S3: replayed, forged, skipped: the version that holds stays, and what it signs is taken.
#[tokio::test(flavor = "multi_thread")]
async fn s3_old_and_forged_trust_files_are_refused_and_the_next_versions_followed() {
    let host = Host::new().await;
    let agent = host.start();
    let (old, thief, second, third) = (release_key(), key(66), key(2), key(3));
    // Signed by keys that count for nothing here; a version that leaves one out; the first again, another one.
    let forged = version(2, &thief, &[&thief]);
    assert_eq!(host.shown(2, vec![forged]).await, 1);
    let skipped = version(3, &second, &[&old, &second]);
    assert_eq!(host.shown(3, vec![skipped]).await, 1);
    let replayed = version(1, &thief, &[&old, &thief]);
    assert_eq!(host.shown(2, vec![replayed]).await, 1);
    host.control_plane.lie("trust", Lie::Endless);
    assert_eq!(host.shown(2, Vec::new()).await, 1);
    host.control_plane.world().lies.clear();

    let followed =
        vec![version(2, &second, &[&old, &second]), version(3, &third, &[&second, &third])];
    host.control_plane.world().trust = (3, followed.clone());
    let three = |world: &super::control_plane::World| {
        world.heartbeats.last().is_some_and(|heartbeat| heartbeat.trust_version == Some(3))
    };
    host.control_plane.until("version 3", three).await;
    // Back to a version that was followed, and to one that never was.
    assert_eq!(host.shown(9, followed[..1].to_vec()).await, 3);
    let other = version(2, &thief, &[&old, &thief]);
    assert_eq!(host.shown(9, vec![other]).await, 3);
    agent.stop().await.unwrap();

    // The file on disk is the first version still.
    host.control_plane.world().heartbeats.clear();
    host.control_plane.world().trust = (3, followed);
    let agent = host.start();
    host.control_plane.until("a heartbeat", |world| !world.heartbeats.is_empty()).await;
    assert_eq!(host.named(), Some(3));
    let by_the_old_key = Release::new(1, bundle("old", "old")).sign_with(&old);
    host.control_plane.dispatch(&by_the_old_key);
    host.control_plane.until_event(&by_the_old_key.rollout_id, "dispatch_reject").await;
    let by_the_new_key = Release::new(2, bundle("new", "new")).sign_with(&third);
    host.control_plane.dispatch(&by_the_new_key);
    host.control_plane.until_event(&by_the_new_key.rollout_id, "converged").await;
    assert_eq!(host.file("etc/hello").as_deref(), Some("new"));
    agent.stop().await.unwrap();
}
