//! A signed rollout for one host, and every way to spoil it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wavegate_proto::artifact::policy::Policy;
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{BlobId, ClosureId, RolloutId, Sha256Hash, WaveIndex};
use wavegate_proto::merkle::MerkleTree;
use wavegate_proto::record::HostRecord;
use wavegate_proto::signing::{ArtifactType, PrivateKey};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::{TrustFile, TrustedKey};
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_state_machine::host::{FoldContext, Lease, Origin};

pub(crate) const FLEET: &str = "demo";
pub(crate) const HOST: &str = "host-01";

/// What a test wants released to its host.
pub(crate) struct Release {
    pub(crate) serial: u64,
    pub(crate) reference: String,
    pub(crate) signed_at: Timestamp,
    pub(crate) soak_secs: u64,
    pub(crate) activation_timeout_secs: u64,
    pub(crate) failure_threshold_secs: u64,
    pub(crate) on_health_failure: &'static str,
    /// The bundle document.
    pub(crate) bundle: Value,
    pub(crate) assets: Vec<Vec<u8>>,
    /// The closure; `bundle` then holds its probes only.
    pub(crate) store_path: Option<ClosureId>,
    /// The host that the entry names.
    pub(crate) host: String,
    /// Changes the header before it is signed.
    pub(crate) edit: fn(&mut Value),
}

/// The same, signed.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) rollout_id: RolloutId,
    pub(crate) closure: ClosureId,
    pub(crate) proof: RolloutProof,
    pub(crate) policy: Policy,
    pub(crate) signed_at: Timestamp,
    /// The closure document and assets by hash.
    pub(crate) blobs: BTreeMap<BlobId, Vec<u8>>,
}

pub(crate) fn release_key() -> PrivateKey {
    PrivateKey::from_seed([7; 32])
}

pub(crate) fn trust() -> TrustFile {
    let keys = vec![TrustedKey::new(release_key().public_key())];
    TrustFile::new(FLEET.parse().unwrap(), 1, keys, Vec::new())
}

impl Release {
    /// A release of `bundle` that soaks for a second and is signed now.
    pub(crate) fn new(serial: u64, bundle: Value) -> Self {
        Self {
            serial,
            reference: format!("r{serial}"),
            signed_at: wavegate_agent::clock::wall(),
            soak_secs: 1,
            activation_timeout_secs: 30,
            failure_threshold_secs: 1,
            on_health_failure: "rollback-and-halt",
            bundle,
            assets: Vec::new(),
            store_path: None,
            host: HOST.to_owned(),
            edit: |_| {},
        }
    }

    pub(crate) fn sign(&self) -> Signed {
        self.sign_with(&release_key())
    }

    pub(crate) fn sign_with(&self, key: &PrivateKey) -> Signed {
        let document = canonical_bytes(&self.bundle);
        let blob = BlobId::of(&document);
        let closure = self.store_path.clone().unwrap_or(ClosureId::Bundle(blob));
        let mut blobs = BTreeMap::from([(blob, document)]);
        blobs.extend(self.assets.iter().map(|bytes| (BlobId::of(bytes), bytes.clone())));
        let mut entry = json!({
            "after": [], "budgets": [], "closure": closure.to_string(), "host": self.host, "wave": 0,
        });
        if self.store_path.is_some() {
            entry["checks"] = json!(blob);
        }
        let leaf = canonical_bytes(&entry);
        let tree = MerkleTree::new([leaf.as_slice()].into_iter());
        let mut header = self.header(tree.root());
        let policy = serde_json::from_value(header["policy"].clone()).unwrap();
        (self.edit)(&mut header);
        let header = canonical_bytes(&header);
        let proof = RolloutProof {
            signatures: vec![key.sign(ArtifactType::Rollout, &header)],
            header: STANDARD.encode(&header),
            entry,
            proof: tree.prove(0).unwrap(),
        };
        let rollout_id = format!("stable@{}", self.reference).parse().unwrap();
        let signed_at = self.signed_at;
        Signed { rollout_id, closure, proof, policy, signed_at, blobs }
    }

    fn header(&self, host_root: Sha256Hash) -> Value {
        let signed_at = self.signed_at.truncated_to_secs().to_string().replace(".000Z", "Z");
        json!({
            "schema_version": 1, "fleet": FLEET, "serial": self.serial, "signed_at": signed_at,
            "channel": "stable", "ref": self.reference, "freshness_window_secs": 86400,
            "fleet_sha256": Sha256Hash::of(self.reference.as_bytes()).to_string(),
            "policy": {
                "waves": [{"name": "all", "soak_secs": self.soak_secs, "requires_approval": false}],
                "on_health_failure": self.on_health_failure,
                "failure_threshold_secs": self.failure_threshold_secs,
                "activation_timeout_secs": self.activation_timeout_secs,
                "dispatch_timeout_secs": 300, "await_timeout_secs": 60,
                "max_failures": {"count": 0}, "max_infra_failures": {"percent": 20},
                "infra_retries": 3, "offline_after_secs": 180, "skip_offline_after_secs": null,
                "max_dispatch_per_minute": null, "windows": [],
            },
            "budgets": [], "host_count": 1, "host_root": host_root.to_string(),
        })
    }
}

impl Signed {
    /// Replaces the signature by one of `key`, over an artifact of this type.
    pub(crate) fn sign_again(&mut self, key: &PrivateKey, artifact: ArtifactType) {
        let header = STANDARD.decode(&self.proof.header).unwrap();
        self.proof.signatures = vec![key.sign(artifact, &header)];
    }

    /// This host's record before anything has happened.
    pub(crate) fn pending_record(&self) -> HostRecord {
        let host = HOST.parse().unwrap();
        let (id, closure) = (self.rollout_id.clone(), self.closure.clone());
        HostRecord::pending(id, host, WaveIndex(0), closure, self.signed_at)
    }

    /// What folding an event of this host needs.
    pub(crate) fn fold_context(&self, lease: Lease, origin: Origin) -> FoldContext {
        FoldContext {
            soak_secs: self.policy.waves[0].soak_secs,
            failure_threshold_secs: self.policy.failure_threshold_secs,
            on_health_failure: self.policy.on_health_failure,
            lease,
            origin,
        }
    }
}
