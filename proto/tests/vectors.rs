//! The figures of an independent implementation: keys, canonical hashes, signatures, roots, proofs.
//!
//! Not here: what this implementation writes itself (see `golden.rs`).

#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use serde_json::Value;
use wavegate_proto::artifact::fleet::FleetDocument;
use wavegate_proto::artifact::header::RolloutHeader;
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::artifact::release::{ReleaseFiles, RolloutFiles, verify_release};
use wavegate_proto::artifact::rules::{Freshness, RuleCode, SerialFloor, VerifyContext};
use wavegate_proto::canonical::canonicalize;
use wavegate_proto::ids::{KeyId, Sha256Hash};
use wavegate_proto::merkle::{MerkleTree, verify_inclusion};
use wavegate_proto::signing::{
    ArtifactType, PrivateKey, PublicKey, Signature, SignatureFile, signed_message,
};
use wavegate_proto::trust::{TrustFile, TrustedKey};
use wavegate_proto::wire::agent::InclusionProof;

#[derive(Deserialize)]
struct Vectors {
    keys: Vec<KeyVector>,
    hosts_jsonl: Vec<String>,
    merkle: Vec<TreeVector>,
    signed: Vec<SignedVector>,
}

#[derive(Deserialize)]
struct KeyVector {
    seed_hex: Sha256Hash,
    public_key: PublicKey,
    key_id: KeyId,
}

#[derive(Deserialize)]
struct TreeVector {
    leaves: usize,
    root: Sha256Hash,
    proofs: Vec<InclusionProof>,
}

#[derive(Deserialize)]
struct SignedVector {
    #[serde(rename = "type")]
    kind: String,
    document: Value,
    canonical_sha256: Sha256Hash,
    message_sha256: Sha256Hash,
    pretty_input: String,
    signatures: Vec<Signature>,
}

impl SignedVector {
    fn artifact(&self) -> ArtifactType {
        let all = [ArtifactType::Fleet, ArtifactType::Rollout, ArtifactType::Trust];
        *all.iter().find(|a| a.as_str() == self.kind).unwrap()
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

/// Trusts the first `keys` keys of the vectors.
fn trust(keys: usize, threshold: u32) -> TrustFile {
    let keys = vectors().keys.into_iter().take(keys);
    let keys = keys.map(|key| TrustedKey::new(key.public_key)).collect();
    let trust = TrustFile::new("demo".parse().unwrap(), threshold, keys, Vec::new());
    trust.check().unwrap();
    trust
}

#[test]
fn keys_and_their_ids() {
    for vector in vectors().keys {
        let key = PrivateKey::from_seed(vector.seed_hex.0);
        assert_eq!(key.public_key(), vector.public_key);
        assert_eq!(key.key_id(), vector.key_id);
    }
}

/// S5: the hash is over the document as received, whatever its white space and order of keys.
#[test]
fn s5_canonical_bytes_and_messages() {
    for vector in vectors().signed {
        let canonical = canonicalize(vector.pretty_input.as_bytes()).unwrap();
        assert_eq!(canonical, canonicalize(vector.document.to_string().as_bytes()).unwrap());
        assert_eq!(Sha256Hash::of(&canonical), vector.canonical_sha256);
        let message = signed_message(vector.artifact(), &canonical);
        assert_eq!(Sha256Hash::of(&message), vector.message_sha256);
    }
}

#[test]
fn signatures_are_the_same_and_verify() {
    let keys: Vec<_> = vectors().keys.iter().map(|k| PrivateKey::from_seed(k.seed_hex.0)).collect();
    for vector in vectors().signed {
        let canonical = canonicalize(vector.pretty_input.as_bytes()).unwrap();
        assert_eq!(vector.signatures.len(), 2);
        for signature in &vector.signatures {
            let key = keys.iter().find(|key| key.key_id() == signature.key_id).unwrap();
            assert_eq!(key.sign(vector.artifact(), &canonical), *signature);
            let public = key.public_key();
            assert!(public.verify(vector.artifact(), &canonical, signature).is_ok());
            assert!(public.verify(ArtifactType::Trust, &canonical, signature).is_err());
        }
    }
}

#[test]
fn tampered_documents_and_signatures_do_not_verify() {
    let trust = trust(3, 1);
    for vector in vectors().signed {
        let canonical = canonicalize(vector.pretty_input.as_bytes()).unwrap();
        let at = "2026-11-21T09:00:00Z".parse().unwrap();
        let signers = |bytes: &[u8], signatures: &[Signature]| {
            trust.signers(vector.artifact(), bytes, at, signatures).len()
        };
        assert_eq!(signers(&canonical, &vector.signatures), 2);
        for position in (0..canonical.len()).step_by(7) {
            let mut tampered = canonical.clone();
            tampered[position] ^= 1;
            assert_eq!(signers(&tampered, &vector.signatures), 0, "byte {position}");
        }
        for position in 0..86 {
            let mut signature = vector.signatures[0].clone();
            let old = signature.signature.as_bytes()[position];
            let new = if old == b'A' { "B" } else { "A" };
            signature.signature.replace_range(position..=position, new);
            assert_eq!(signers(&canonical, &[signature]), 0, "character {position}");
        }
    }
}

#[test]
fn roots_and_every_proof() {
    let vectors = vectors();
    for vector in &vectors.merkle {
        let leaves = || vectors.hosts_jsonl.iter().take(vector.leaves).map(String::as_bytes);
        let tree = MerkleTree::new(leaves());
        assert_eq!(tree.root(), vector.root);
        assert_eq!(vector.proofs.len(), vector.leaves);
        let size = u64::try_from(vector.leaves).unwrap();
        for (index, (leaf, proof)) in leaves().zip(&vector.proofs).enumerate() {
            assert_eq!(tree.prove(index).as_ref(), Some(proof));
            assert_eq!(verify_inclusion(&vector.root, size, leaf, proof), Ok(()));
            for tampered in tampered_proofs(proof) {
                assert!(verify_inclusion(&vector.root, size, leaf, &tampered).is_err());
            }
            assert!(verify_inclusion(&vector.root, size, &leaf[1..], proof).is_err());
            assert!(verify_inclusion(&Sha256Hash::of(leaf), size, leaf, proof).is_err());
        }
    }
}

fn tampered_proofs(proof: &InclusionProof) -> Vec<InclusionProof> {
    let mut variants = vec![InclusionProof { index: proof.index + 1, ..proof.clone() }];
    for position in 0..proof.path.len() {
        let mut flipped = proof.clone();
        flipped.path[position].0[0] ^= 1;
        let mut shorter = proof.clone();
        shorter.path.remove(position);
        variants.extend([flipped, shorter]);
    }
    let mut longer = proof.clone();
    longer.path.push(Sha256Hash::default());
    variants.push(longer);
    variants
}

#[test]
fn documents_are_the_types_of_this_build() {
    let signed = vectors().signed;
    let fleet: FleetDocument = serde_json::from_value(signed[0].document.clone()).unwrap();
    assert_eq!(serde_json::to_value(&fleet).unwrap(), signed[0].document);
    let header: RolloutHeader = serde_json::from_value(signed[1].document.clone()).unwrap();
    let mut written = serde_json::to_value(&header).unwrap();
    // Written out by this build, absent in the vector.
    written["policy"].as_object_mut().unwrap().remove("await_timeout_secs");
    assert_eq!(written, signed[1].document);
}

#[test]
fn the_release_is_accepted_and_its_proofs_verify() {
    let vectors = vectors();
    let trust = trust(2, 2);
    let context = VerifyContext {
        trust: &trust,
        now: "2026-11-21T10:00:00Z".parse().unwrap(),
        floor: SerialFloor::default(),
        freshness: Freshness::Enforced,
    };
    let files = ReleaseFiles {
        fleet: vectors.signed[0].pretty_input.clone().into_bytes(),
        fleet_sig: SignatureFile::new(vectors.signed[0].signatures.clone()),
        rollouts: vec![RolloutFiles {
            header: vectors.signed[1].pretty_input.clone().into_bytes(),
            sig: SignatureFile::new(vectors.signed[1].signatures.clone()),
            hosts: vectors.hosts_jsonl[..5]
                .iter()
                .flat_map(|l| [l, "\n"].concat().into_bytes())
                .collect(),
        }],
    };
    let release = verify_release(files.clone(), &context).unwrap();
    assert_eq!(release.files(), files);
    assert_eq!(release.signed_by().len(), 2);
    assert_eq!(release.blobs().len(), 5);
    let rollout = &release.rollouts["stable"];
    for entry in &rollout.hosts {
        let proof = rollout.proof(&entry.host).unwrap();
        let plan = verify_rollout_proof(&proof, &entry.host, &context).unwrap();
        assert_eq!((&plan.entry, &plan.header), (entry, &rollout.header));
        assert_eq!(plan.content_id, rollout.content_id);
    }
    assert_eq!(rollout.proof(&"web-06".parse().unwrap()), None);

    let mut other_hosts = files;
    other_hosts.rollouts[0].hosts.truncate(0);
    assert_eq!(verify_release(other_hosts, &context).unwrap_err().code, RuleCode::MerkleMismatch);
}
