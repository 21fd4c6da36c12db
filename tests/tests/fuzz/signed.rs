//! A small release, and its parts signed again after they were damaged: what stands behind the signature is
//! reached, as it would be by an author who may sign.
//!
//! Not here: decoders of what nobody signs (see `decoders`).

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::artifact::release::{Release, ReleaseFiles, verify_release};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::canonical::canonicalize;
use wavegate_proto::signing::{ArtifactType, PrivateKey, SignatureFile};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_tests::release_kit::{Kit, closure, host_name, policy, stable};

struct Scene {
    kit: Kit,
    files: ReleaseFiles,
    release: Verified<Release>,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let kit = Kit::default();
    let channel = stable("r1", &closure("one"), &[1, 3], policy(&[60, 10])).budget("etcd", 1, 2);
    let files = kit.files(1, now(), &[channel]);
    let release = verify_release(files.clone(), &kit.context(now())).unwrap();
    Scene { kit, files, release }
});

fn now() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn sign(artifact: ArtifactType, bytes: &[u8]) -> SignatureFile {
    let canonical = canonicalize(bytes).unwrap_or_else(|_| bytes.to_vec());
    SignatureFile::new(vec![PrivateKey::from_seed([7; 32]).sign(artifact, &canonical)])
}

fn proof() -> RolloutProof {
    SCENE.release.rollouts.values().next().unwrap().proof(&host_name(2)).unwrap()
}

fn verify_proof(proof: &RolloutProof) -> bool {
    verify_rollout_proof(proof, &host_name(2), &SCENE.kit.context(now())).is_ok()
}

fn verify(files: ReleaseFiles) -> bool {
    verify_release(files, &SCENE.kit.context(now())).is_ok()
}

pub(crate) fn header_seeds() -> Vec<Vec<u8>> {
    vec![SCENE.files.rollouts[0].header.clone()]
}

pub(crate) fn header(bytes: &[u8]) -> bool {
    let signatures = sign(ArtifactType::Rollout, bytes).signatures;
    verify_proof(&RolloutProof { header: STANDARD.encode(bytes), signatures, ..proof() })
}

pub(crate) fn fleet_seeds() -> Vec<Vec<u8>> {
    vec![SCENE.files.fleet.clone()]
}

pub(crate) fn fleet(bytes: &[u8]) -> bool {
    let fleet_sig = sign(ArtifactType::Fleet, bytes);
    verify(ReleaseFiles { fleet: bytes.to_vec(), fleet_sig, ..SCENE.files.clone() })
}

pub(crate) fn hosts_seeds() -> Vec<Vec<u8>> {
    vec![SCENE.files.rollouts[0].hosts.clone()]
}

pub(crate) fn hosts(bytes: &[u8]) -> bool {
    let mut files = SCENE.files.clone();
    files.rollouts[0].hosts = bytes.to_vec();
    verify(files)
}

pub(crate) fn proof_seeds() -> Vec<Vec<u8>> {
    vec![serde_json::to_vec(&proof()).unwrap()]
}

pub(crate) fn read_proof(bytes: &[u8]) -> bool {
    serde_json::from_slice(bytes).is_ok_and(|proof| verify_proof(&proof))
}
