//! A small fleet made from nothing: authority, certificates, trust file, signed releases.
//!
//! Not here: the control plane that it is served by (see `running`).

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};
use wavegate_control_plane::clock::wall;
use wavegate_proto::artifact::release_dir;
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{BlobId, Sha256Hash};
use wavegate_proto::merkle::MerkleTree;
use wavegate_proto::signing::{ArtifactType, PrivateKey, SignatureFile};
use wavegate_proto::trust::{EnrollTrust, TrustFile, TrustedKey};

/// A certificate and its key, PEM.
pub(crate) struct Certificate {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// An authority that issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate that nobody but its own key has signed.
    pub(crate) fn self_signed(uris: &[&str]) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let chain = leaf(uris).self_signed(&key).unwrap().pem();
        Certificate { chain, key: key.serialize_pem() }
    }

    /// An authority below this one that issues certificates of hosts.
    pub(crate) fn intermediate(&self) -> Certificate {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { chain, key: key.serialize_pem() }
    }

    /// A certificate with these SPIFFE URIs.
    pub(crate) fn issue(&self, uris: &[&str]) -> Certificate {
        self.issue_with(uris, |_| {})
    }

    /// One that ran out half a minute ago.
    pub(crate) fn issue_expired(&self, uris: &[&str]) -> Certificate {
        let end = SystemTime::now() - Duration::from_secs(30);
        self.issue_with(uris, |params| params.not_after = end.into())
    }

    fn issue_with(
        &self,
        uris: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        // Whole seconds, as certificates have them: issued a minute ago.
        let now = SystemTime::now();
        let mut params = leaf(uris);
        params.not_before = (now - Duration::from_secs(60)).into();
        params.not_after = (now + Duration::from_secs(365 * 86_400)).into();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { chain, key: key.serialize_pem() }
    }

    /// The same for a key and a time.
    pub(crate) fn issue_for(
        &self,
        uris: &[&str],
        not_before: SystemTime,
        not_after: SystemTime,
        key: &KeyPair,
    ) -> Certificate {
        let mut params = leaf(uris);
        (params.not_before, params.not_after) = (not_before.into(), not_after.into());
        let chain = params.signed_by(key, &self.issuer).unwrap().pem();
        Certificate { chain, key: key.serialize_pem() }
    }
}

fn leaf(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
    }
    // Whole seconds, as certificates have them: issued a minute ago.
    params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
    params
}

/// Everything that the operator of a fleet holds.
pub(crate) struct TestFleet {
    pub(crate) authority: Authority,
    pub(crate) key: PrivateKey,
    pub(crate) enroll_key: PrivateKey,
}

/// One version of what the fleet should run.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) serial: u64,
    pub(crate) reference: &'static str,
    pub(crate) hosts: Vec<&'static str>,
    pub(crate) content: &'static str,
    /// Whether each host has a closure and an asset of its own.
    pub(crate) apart: bool,
    pub(crate) revoked: Value,
    pub(crate) operators: Value,
    pub(crate) enroll: Value,
    /// The key that each host must have.
    pub(crate) public_key: Option<String>,
}

impl Plan {
    pub(crate) fn new(serial: u64, reference: &'static str) -> Self {
        Self {
            serial,
            reference,
            hosts: vec!["host-01", "host-02"],
            content: reference,
            apart: false,
            revoked: json!([]),
            operators: json!({}),
            enroll: Value::Null,
            public_key: None,
        }
    }

    /// What the asset of a host's closure holds.
    pub(crate) fn content_of(&self, host: &str) -> String {
        if self.apart { format!("{} of {host}", self.content) } else { self.content.to_owned() }
    }

    /// The closure document of a host.
    pub(crate) fn closure_of(&self, host: &str) -> Vec<u8> {
        closure(self.content_of(host).as_bytes())
    }

    /// The closure document where all hosts share it.
    pub(crate) fn closure(&self) -> Vec<u8> {
        closure(self.content.as_bytes())
    }

    pub(crate) fn closure_id(&self) -> BlobId {
        BlobId::of(&self.closure())
    }

    pub(crate) fn asset_id(&self) -> BlobId {
        BlobId::of(self.content.as_bytes())
    }
}

/// A release, signed.
pub(crate) struct SignedRelease {
    pub(crate) fleet: Vec<u8>,
    pub(crate) fleet_sig: SignatureFile,
    pub(crate) header: Vec<u8>,
    pub(crate) header_sig: SignatureFile,
    pub(crate) hosts: Vec<u8>,
}

impl TestFleet {
    pub(crate) fn new() -> Self {
        Self {
            authority: Authority::new(),
            key: PrivateKey::from_seed([7; 32]),
            enroll_key: PrivateKey::from_seed([8; 32]),
        }
    }

    pub(crate) fn trust(&self) -> TrustFile {
        let keys = vec![TrustedKey::new(self.key.public_key())];
        let mut trust =
            TrustFile::new("demo".parse().unwrap(), 1, keys, vec![self.authority.pem.clone()]);
        trust.enroll =
            Some(EnrollTrust { keys: vec![TrustedKey::new(self.enroll_key.public_key())] });
        trust
    }

    pub(crate) fn sign(&self, plan: &Plan) -> SignedRelease {
        let closure = |host: &str| BlobId::of(&plan.closure_of(host)).to_string();
        let signed_at = wall().truncated_to_secs().to_string().replace(".000Z", "Z");
        let host = |name: &str| {
            json!({ "channel": "stable", "tags": ["app"], "closure": closure(name),
                "public_key": plan.public_key })
        };
        let hosts: serde_json::Map<_, _> =
            plan.hosts.iter().map(|name| ((*name).to_owned(), host(name))).collect();
        let fleet = json!({
            "schema_version": 1, "fleet": "demo", "serial": plan.serial, "signed_at": signed_at,
            "channels": { "stable": {
                "ref": plan.reference, "rollout_policy": "p", "freshness_window_secs": 86400,
            } },
            "hosts": hosts, "channel_edges": [], "revoked": plan.revoked,
            "operators": plan.operators,
            "enroll": plan.enroll,
        });
        let fleet = canonical_bytes(&fleet);
        let leaves: Vec<Vec<u8>> = plan
            .hosts
            .iter()
            .map(|name| {
                canonical_bytes(&json!({
                    "after": [], "budgets": [], "closure": closure(name), "host": name, "wave": 0,
                }))
            })
            .collect();
        let root = MerkleTree::new(leaves.iter().map(Vec::as_slice)).root();
        let header = canonical_bytes(&json!({
            "schema_version": 1, "fleet": "demo", "serial": plan.serial, "signed_at": signed_at,
            "channel": "stable", "ref": plan.reference, "freshness_window_secs": 86400,
            "fleet_sha256": Sha256Hash::of(&fleet), "policy": policy(), "budgets": [],
            "host_count": plan.hosts.len(), "host_root": root,
        }));
        let sign = |kind, bytes: &[u8]| SignatureFile::new(vec![self.key.sign(kind, bytes)]);
        SignedRelease {
            fleet_sig: sign(ArtifactType::Fleet, &fleet),
            header_sig: sign(ArtifactType::Rollout, &header),
            fleet,
            header,
            hosts: leaves.iter().flat_map(|leaf| [leaf.as_slice(), b"\n"].concat()).collect(),
        }
    }

    /// Writes a release folder, blobs included.
    pub(crate) fn write_release(&self, folder: &Path, plan: &Plan) {
        let release = self.sign(plan);
        let rollout = format!("stable@{}", plan.reference).parse().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let header = release_dir::header(&rollout);
        let sig = |file: &SignatureFile| serde_json::to_vec(file).unwrap();
        for host in &plan.hosts {
            let (closure, asset) = (plan.closure_of(host), plan.content_of(host));
            put(&release_dir::closure(BlobId::of(&closure)), &closure);
            put(&release_dir::asset(BlobId::of(asset.as_bytes())), asset.as_bytes());
        }
        put(&header, &release.header);
        put(&release_dir::signature_of(&header), &sig(&release.header_sig));
        put(&release_dir::hosts(&rollout), &release.hosts);
        put(&release_dir::signature_of(release_dir::FLEET), &sig(&release.fleet_sig));
        put(release_dir::FLEET, &release.fleet);
    }
}

fn closure(asset: &[u8]) -> Vec<u8> {
    canonical_bytes(&json!({
        "schema_version": 1, "profile": "", "max_parallel": 4, "probes": [],
        "resources": [{
            "id": "hello", "kind": "file", "path": "/etc/hello", "mode": "0644",
            "create_parents": false, "on_drift": "correct", "depends_on": [], "one_way": false,
            "owner": null, "group": null, "health_gate": null,
            "asset": BlobId::of(asset).to_string(), "size": asset.len(),
        }],
    }))
}

fn policy() -> Value {
    json!({
        "waves": [{ "name": "all", "soak_secs": 1, "requires_approval": false }],
        "on_health_failure": "rollback-and-halt", "failure_threshold_secs": 5,
        "activation_timeout_secs": 60, "dispatch_timeout_secs": 60, "await_timeout_secs": 60,
        "max_failures": { "count": 0 }, "max_infra_failures": { "percent": 20 },
        "infra_retries": 3, "offline_after_secs": 60, "skip_offline_after_secs": null,
        "max_dispatch_per_minute": null, "windows": [],
    })
}
