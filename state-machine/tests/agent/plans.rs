//! Signed plans for the host `web-1`, made and verified by the real rules.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext};
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::event::DeclaredProbe;
use wavegate_proto::ids::{BlobId, ClosureId, RolloutId, Sha256Hash};
use wavegate_proto::merkle::MerkleTree;
use wavegate_proto::record::{ProbeKind, ProbeMode};
use wavegate_proto::signing::{ArtifactType, PrivateKey};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::{TrustFile, TrustedKey};
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_state_machine::agent::{OfferedPlan, ProbeSchedule};

pub(crate) const SOAK_SECS: u64 = 30;
pub(crate) const THRESHOLD_SECS: u64 = 60;
pub(crate) const PROBE_INTERVAL_SECS: u64 = 10;
pub(crate) const PROBE_TIMEOUT_SECS: u64 = 5;

/// A release of one channel for one host.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) reference: &'static str,
    pub(crate) serial: u64,
    pub(crate) closure: &'static str,
    pub(crate) policy: &'static str,
    pub(crate) host: &'static str,
    pub(crate) fleet: &'static str,
    pub(crate) checks: Option<&'static str>,
}

pub(crate) fn release(reference: &'static str, serial: u64, closure: &'static str) -> Release {
    let (policy, host, fleet) = ("rollback-and-halt", "web-1", "fleet");
    Release { reference, serial, closure, policy, host, fleet, checks: None }
}

/// A bundle, or a NixOS system where the name begins with `nixos`.
pub(crate) fn closure(name: &str) -> ClosureId {
    if name.starts_with("nixos") {
        return format!("/nix/store/{}-{name}", "a".repeat(32)).parse().unwrap();
    }
    ClosureId::Bundle(BlobId::of(name.as_bytes()))
}

pub(crate) fn start() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

impl Release {
    pub(crate) fn id(&self) -> RolloutId {
        format!("stable@{}", self.reference).parse().unwrap()
    }

    fn entry(&self) -> serde_json::Value {
        let mut entry = json!({
            "after": [], "budgets": [], "closure": closure(self.closure), "host": self.host, "wave": 0,
        });
        if let Some(checks) = self.checks {
            entry["checks"] = json!(BlobId::of(checks.as_bytes()));
        }
        entry
    }

    fn header(&self, root: Sha256Hash) -> serde_json::Value {
        json!({
            "schema_version": 1, "fleet": "demo", "serial": self.serial,
            "signed_at": "2026-11-21T09:00:00Z", "channel": "stable", "ref": self.reference,
            "freshness_window_secs": 86_400, "fleet_sha256": Sha256Hash::of(self.fleet.as_bytes()),
            "policy": {
                "waves": [{"name": "all", "soak_secs": SOAK_SECS, "requires_approval": false}],
                "on_health_failure": self.policy, "failure_threshold_secs": THRESHOLD_SECS,
                "activation_timeout_secs": 900, "dispatch_timeout_secs": 300,
                "await_timeout_secs": 3600, "max_failures": {"count": 0},
                "max_infra_failures": {"percent": 20}, "infra_retries": 3,
                "offline_after_secs": 180, "skip_offline_after_secs": null,
                "max_dispatch_per_minute": null, "windows": []
            },
            "budgets": [], "host_count": 1, "host_root": root,
        })
    }

    pub(crate) fn proof(&self, key: &PrivateKey) -> RolloutProof {
        let leaf = canonical_bytes(&self.entry());
        let tree = MerkleTree::new(std::iter::once(leaf.as_slice()));
        let header = canonical_bytes(&self.header(tree.root()));
        RolloutProof {
            signatures: vec![key.sign(ArtifactType::Rollout, &header)],
            header: STANDARD.encode(&header),
            entry: self.entry(),
            proof: tree.prove(0).unwrap(),
        }
    }

    pub(crate) fn offered(&self) -> OfferedPlan {
        let key = PrivateKey::from_seed([7; 32]);
        let fleet = "demo".parse().unwrap();
        let trust = TrustFile::new(fleet, 1, vec![TrustedKey::new(key.public_key())], vec![]);
        let context = VerifyContext {
            trust: &trust,
            now: start(),
            floor: SerialFloor::default(),
            freshness: Freshness::Ignored,
        };
        let proof = self.proof(&key);
        let plan = verify_rollout_proof(&proof, &self.host.parse().unwrap(), &context).unwrap();
        OfferedPlan { plan, proof, probes: Some(probes()) }
    }
}

/// One enforce probe and one that is only shown.
pub(crate) fn probes() -> Vec<ProbeSchedule> {
    let schedule = |name: &str, mode| ProbeSchedule {
        declared: DeclaredProbe { name: name.parse().unwrap(), kind: ProbeKind::Http, mode },
        interval_secs: PROBE_INTERVAL_SECS,
        timeout_secs: PROBE_TIMEOUT_SECS,
    };
    vec![schedule("http", ProbeMode::Enforce), schedule("disk", ProbeMode::Observe)]
}
