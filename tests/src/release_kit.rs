//! Signed releases for tests: a fleet in a few words.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::artifact::fleet::{
    ChannelEdge, FleetChannel, FleetDocument, FleetHost, Revocation,
};
use wavegate_proto::artifact::header::RolloutHeader;
use wavegate_proto::artifact::policy::{Budget, Limit, Policy, Wave};
use wavegate_proto::artifact::release::{Release, ReleaseFiles, RolloutFiles, verify_release};
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::canonical::canonicalize;
use wavegate_proto::event::FailurePolicy;
use wavegate_proto::ids::{
    BlobId, BudgetId, ChannelName, ClosureId, HostName, Serial, Sha256Hash, WaveIndex,
};
use wavegate_proto::merkle::MerkleTree;
use wavegate_proto::signing::{ArtifactType, PrivateKey, SignatureFile};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::{TrustFile, TrustedKey};

/// A release key and the trust file that names it.
pub struct Kit {
    key: PrivateKey,
    pub trust: TrustFile,
    /// What every release from now on revokes.
    pub revoked: Vec<Revocation>,
}

/// One channel of a release.
#[derive(Debug, Clone)]
pub struct ChannelSpec {
    pub channel: ChannelName,
    /// Channels that go before it.
    pub after: Vec<ChannelName>,
    pub reference: String,
    pub policy: Policy,
    pub budgets: Vec<Budget>,
    pub entries: Vec<HostEntry>,
}

impl Default for Kit {
    fn default() -> Self {
        let key = PrivateKey::from_seed([7; 32]);
        let trusted = TrustedKey::new(key.public_key());
        let trust = TrustFile::new("demo".parse().unwrap(), 1, vec![trusted], Vec::new());
        Self { key, trust, revoked: Vec::new() }
    }
}

impl Kit {
    pub fn context(&self, now: Timestamp) -> VerifyContext<'_> {
        let floor = SerialFloor::default();
        VerifyContext { trust: &self.trust, now, floor, freshness: Freshness::Ignored }
    }

    /// A signed and verified release.
    pub fn release(
        &self,
        serial: u64,
        signed_at: Timestamp,
        channels: &[ChannelSpec],
    ) -> Arc<Verified<Release>> {
        let files = self.files(serial, signed_at, channels);
        Arc::new(verify_release(files, &self.context(signed_at)).unwrap())
    }

    pub fn files(
        &self,
        serial: u64,
        signed_at: Timestamp,
        channels: &[ChannelSpec],
    ) -> ReleaseFiles {
        let mut fleet = fleet_document(serial, signed_at, channels);
        fleet.revoked = self.revoked.clone();
        let fleet = serde_json::to_vec(&fleet).unwrap();
        let canonical = canonicalize(&fleet).unwrap();
        let fleet_sha256 = Sha256Hash::of(&canonical);
        ReleaseFiles {
            fleet_sig: self.sign(ArtifactType::Fleet, &canonical),
            fleet,
            rollouts: channels
                .iter()
                .map(|channel| self.rollout(serial, signed_at, fleet_sha256, channel))
                .collect(),
        }
    }

    fn sign(&self, artifact: ArtifactType, canonical: &[u8]) -> SignatureFile {
        SignatureFile::new(vec![self.key.sign(artifact, canonical)])
    }

    fn rollout(
        &self,
        serial: u64,
        signed_at: Timestamp,
        fleet_sha256: Sha256Hash,
        spec: &ChannelSpec,
    ) -> RolloutFiles {
        let lines: Vec<Vec<u8>> = spec
            .entries
            .iter()
            .map(|entry| canonicalize(&serde_json::to_vec(entry).unwrap()).unwrap())
            .collect();
        let tree = MerkleTree::new(lines.iter().map(Vec::as_slice));
        let header = RolloutHeader {
            schema_version: 1,
            fleet: "demo".parse().unwrap(),
            serial: Serial(serial),
            signed_at,
            channel: spec.channel.clone(),
            reference: spec.reference.parse().unwrap(),
            freshness_window_secs: FRESHNESS_WINDOW_SECS,
            fleet_sha256,
            policy: spec.policy.clone(),
            budgets: spec.budgets.clone(),
            host_count: lines.len() as u64,
            host_root: tree.root(),
        };
        let header = serde_json::to_vec(&header).unwrap();
        let canonical = canonicalize(&header).unwrap();
        let sig = self.sign(ArtifactType::Rollout, &canonical);
        let hosts = lines.into_iter().flat_map(|mut line| {
            line.push(b'\n');
            line
        });
        RolloutFiles { header, sig, hosts: hosts.collect() }
    }
}

const FRESHNESS_WINDOW_SECS: u64 = 30 * 86_400;

fn fleet_document(serial: u64, signed_at: Timestamp, channels: &[ChannelSpec]) -> FleetDocument {
    let mut hosts = BTreeMap::new();
    let mut by_name = BTreeMap::new();
    let mut channel_edges = Vec::new();
    for spec in channels {
        let channel = FleetChannel {
            reference: spec.reference.parse().unwrap(),
            rollout_policy: "test".to_owned(),
            freshness_window_secs: FRESHNESS_WINDOW_SECS,
        };
        by_name.insert(spec.channel.clone(), channel);
        let edge = |before: &ChannelName| ChannelEdge {
            before: before.clone(),
            after: spec.channel.clone(),
            reason: None,
        };
        channel_edges.extend(spec.after.iter().map(edge));
        for entry in &spec.entries {
            let host = FleetHost {
                channel: spec.channel.clone(),
                tags: Vec::new(),
                closure: entry.closure.clone(),
                public_key: None,
            };
            hosts.insert(entry.host.clone(), host);
        }
    }
    FleetDocument {
        schema_version: 1,
        fleet: "demo".parse().unwrap(),
        serial: Serial(serial),
        signed_at,
        channels: by_name,
        hosts,
        channel_edges,
        revoked: Vec::new(),
        operators: BTreeMap::new(),
        enroll: None,
    }
}

/// `host-01`, `host-02`, …
pub fn host_name(number: usize) -> HostName {
    format!("host-{number:02}").parse().unwrap()
}

/// A closure that exists by name only.
pub fn closure(name: &str) -> ClosureId {
    ClosureId::Bundle(BlobId::of(name.as_bytes()))
}

/// A policy with waves that soak for so many seconds.
pub fn policy(soaks: &[u64]) -> Policy {
    let waves = soaks.iter().enumerate().map(|(i, soak_secs)| Wave {
        name: format!("wave-{i}").parse().unwrap(),
        soak_secs: *soak_secs,
        requires_approval: false,
    });
    Policy {
        waves: waves.collect(),
        on_health_failure: FailurePolicy::RollbackAndHalt,
        failure_threshold_secs: 30,
        activation_timeout_secs: 300,
        dispatch_timeout_secs: 120,
        await_timeout_secs: 3600,
        max_failures: Limit::Count(0),
        max_infra_failures: Limit::Percent(20),
        infra_retries: 20,
        offline_after_secs: 180,
        skip_offline_after_secs: Some(86_400),
        max_dispatch_per_minute: None,
        windows: Vec::new(),
    }
}

/// A channel `stable` with waves of these sizes, all of them to run `target`.
pub fn stable(reference: &str, target: &ClosureId, sizes: &[usize], policy: Policy) -> ChannelSpec {
    let mut entries = Vec::new();
    let mut number = 0;
    for (wave, size) in sizes.iter().enumerate() {
        for _ in 0..*size {
            number += 1;
            entries.push(HostEntry {
                after: Vec::new(),
                budgets: Vec::new(),
                checks: None,
                closure: target.clone(),
                host: host_name(number),
                wave: WaveIndex(u32::try_from(wave).unwrap()),
            });
        }
    }
    entries.sort_by(|a, b| a.host.cmp(&b.host));
    ChannelSpec {
        channel: "stable".parse().unwrap(),
        after: Vec::new(),
        reference: reference.to_owned(),
        policy,
        budgets: Vec::new(),
        entries,
    }
}

impl ChannelSpec {
    /// Puts every `nth` host under a budget.
    #[must_use]
    pub fn budget(mut self, id: &str, max_in_flight: u32, nth: usize) -> Self {
        let id: BudgetId = id.parse().unwrap();
        self.budgets.push(Budget { id: id.clone(), max_in_flight });
        for entry in self.entries.iter_mut().step_by(nth) {
            entry.budgets.push(id.clone());
        }
        self
    }
}
