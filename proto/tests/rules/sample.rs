//! A small signed release that tests break in one place at a time.
//!
//! Not here: the tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wavegate_proto::artifact::proof::{HostPlan, verify_rollout_proof};
use wavegate_proto::artifact::release::{Release, ReleaseFiles, RolloutFiles, verify_release};
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext, Violation};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{BlobId, HostName, Sha256Hash};
use wavegate_proto::merkle::MerkleTree;
use wavegate_proto::signing::{ArtifactType, PrivateKey, SignatureFile};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::{TrustFile, TrustedKey};
use wavegate_proto::wire::agent::RolloutProof;

/// The key with this seed.
pub(crate) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed([seed; 32])
}

/// A closure id.
pub(crate) fn closure(n: u8) -> Value {
    json!(BlobId::of(&[n]))
}

/// What goes into a release, and how it is judged. Hashes that are null are filled in when it is
/// sealed, so an edit of anything else does not break them.
pub(crate) struct Sample {
    pub(crate) fleet: Value,
    pub(crate) header: Value,
    pub(crate) hosts: Vec<Value>,
    pub(crate) header_signers: Vec<u8>,
    pub(crate) header_padding: usize,
    pub(crate) header_duplicate_key: bool,
    pub(crate) headers_given: usize,
    pub(crate) hosts_suffix: &'static [u8],
    pub(crate) table_is_canonical: bool,
    pub(crate) trust: TrustFile,
    pub(crate) now: Timestamp,
    pub(crate) floor: SerialFloor,
    pub(crate) freshness: Freshness,
    pub(crate) asking: HostName,
}

impl Sample {
    /// Two hosts in two waves on `stable`; `edge` has none.
    pub(crate) fn new() -> Self {
        let host = |n| json!({"channel": "stable", "tags": ["web"], "closure": closure(n)});
        let channel = |reference| json!({"ref": reference, "rollout_policy": "canary", "freshness_window_secs": 86400});
        let wave = |name| json!({"name": name, "soak_secs": 60, "requires_approval": false});
        let entry = |name, n, wave| json!({"after": [], "budgets": ["etcd"], "closure": closure(n), "host": name, "wave": wave});
        let trusted = TrustedKey::new(key(1).public_key());
        Self {
            fleet: json!({
                "schema_version": 1, "fleet": "demo", "serial": 42,
                "signed_at": "2026-11-21T09:00:00Z",
                "channels": {"stable": channel("r42"), "edge": channel("r40")},
                "hosts": {"web-01": host(1), "web-02": host(2)},
                "channel_edges": [{"before": "edge", "after": "stable", "reason": "first"}],
                "revoked": [],
            }),
            header: json!({
                "schema_version": 1, "fleet": "demo", "serial": 42,
                "signed_at": "2026-11-21T09:00:00Z", "channel": "stable", "ref": "r42",
                "freshness_window_secs": 86400, "fleet_sha256": null,
                "policy": {
                    "waves": [wave("canary"), wave("rest")],
                    "on_health_failure": "rollback-and-halt", "failure_threshold_secs": 60,
                    "activation_timeout_secs": 900, "dispatch_timeout_secs": 300,
                    "await_timeout_secs": 3600, "max_failures": {"count": 0},
                    "max_infra_failures": {"percent": 20}, "infra_retries": 3,
                    "offline_after_secs": 180, "skip_offline_after_secs": null,
                    "max_dispatch_per_minute": null, "windows": [],
                },
                "budgets": [{"id": "etcd", "max_in_flight": 1}],
                "host_count": null, "host_root": null,
            }),
            hosts: vec![entry("web-01", 1, 0), entry("web-02", 2, 1)],
            header_signers: vec![1],
            header_padding: 0,
            header_duplicate_key: false,
            headers_given: 1,
            hosts_suffix: b"",
            table_is_canonical: true,
            trust: TrustFile::new("demo".parse().unwrap(), 1, vec![trusted], Vec::new()),
            now: "2026-11-21T10:00:00Z".parse().unwrap(),
            floor: SerialFloor::default(),
            freshness: Freshness::Enforced,
            asking: "web-01".parse().unwrap(),
        }
    }

    /// Gives the policy one maintenance window.
    pub(crate) fn window(&mut self, window: &Value) {
        self.header["policy"]["windows"] = json!([window]);
    }

    fn tree(&self) -> MerkleTree {
        let leaves: Vec<_> = self.hosts.iter().map(canonical_bytes).collect();
        MerkleTree::new(leaves.iter().map(Vec::as_slice))
    }

    /// The header with its hashes filled in.
    pub(crate) fn sealed_header(&self) -> Value {
        let mut header = self.header.clone();
        for (key, value) in [
            ("fleet_sha256", json!(Sha256Hash::of(&canonical_bytes(&self.fleet)))),
            ("host_root", json!(self.tree().root())),
            ("host_count", json!(self.hosts.len())),
        ] {
            if header[key].is_null() {
                header[key] = value;
            }
        }
        header
    }

    fn header_files(&self) -> (Vec<u8>, SignatureFile) {
        let header = self.sealed_header();
        let canonical = canonical_bytes(&header);
        let sign = |seed: &u8| key(*seed).sign(ArtifactType::Rollout, &canonical);
        let sig = SignatureFile::new(self.header_signers.iter().map(sign).collect());
        let mut text = serde_json::to_string_pretty(&header).unwrap();
        if self.header_duplicate_key {
            text = text.replacen('{', "{\"fleet\":\"demo\",", 1);
        }
        text.push_str(&" ".repeat(self.header_padding));
        (text.into_bytes(), sig)
    }

    /// The release's files, sealed and signed.
    pub(crate) fn files(&self) -> ReleaseFiles {
        let (header, sig) = self.header_files();
        let mut hosts = Vec::new();
        for host in &self.hosts {
            hosts.extend(canonical_bytes(host));
            if !self.table_is_canonical {
                hosts.push(b' ');
            }
            hosts.push(b'\n');
        }
        hosts.extend(self.hosts_suffix);
        let fleet_signature = key(1).sign(ArtifactType::Fleet, &canonical_bytes(&self.fleet));
        ReleaseFiles {
            fleet: serde_json::to_vec_pretty(&self.fleet).unwrap(),
            fleet_sig: SignatureFile::new(vec![fleet_signature]),
            rollouts: vec![RolloutFiles { header, sig, hosts }; self.headers_given],
        }
    }

    /// What `web-01` is given.
    pub(crate) fn proof(&self) -> RolloutProof {
        let (header, sig) = self.header_files();
        RolloutProof {
            header: STANDARD.encode(header),
            signatures: sig.signatures,
            entry: self.hosts[0].clone(),
            proof: self.tree().prove(0).unwrap(),
        }
    }

    fn context(&self) -> VerifyContext<'_> {
        VerifyContext {
            trust: &self.trust,
            now: self.now,
            floor: self.floor,
            freshness: self.freshness,
        }
    }

    /// As the control plane and the CLI do.
    pub(crate) fn verify_release(&self) -> Result<Verified<Release>, Violation> {
        verify_release(self.files(), &self.context())
    }

    /// As an agent does.
    pub(crate) fn verify_proof(&self) -> Result<Verified<HostPlan>, Violation> {
        self.verify(&self.proof())
    }

    /// As an agent does, with a proof that may have been tampered with.
    pub(crate) fn verify(&self, proof: &RolloutProof) -> Result<Verified<HostPlan>, Violation> {
        verify_rollout_proof(proof, &self.asking, &self.context())
    }
}
