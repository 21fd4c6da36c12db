//! Verifying a release as a whole: the fleet document, a header for each channel that has hosts, and
//! the hosts tables. It is accepted whole or not at all.
//!
//! Not here: `ref-conflict` (only who remembers earlier releases can see it, by
//! [`ReleaseRollout::content_id`]), and the blobs, which are checked by their hash.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::artifact::bounds::{MAX_CHANNELS, check_fleet, check_header};
use crate::artifact::entry::HostEntry;
use crate::artifact::fleet::{FleetDocument, MAX_FLEET_BYTES};
use crate::artifact::header::{MAX_HEADER_BYTES, RolloutHeader};
use crate::artifact::hosts_table::HostsTable;
use crate::artifact::received::{Claims, Received};
use crate::artifact::release_dir;
use crate::artifact::rules::{RuleCode, VerifyContext, Violation};
use crate::artifact::verified::Verified;
use crate::canonical::canonical_bytes;
use crate::ids::{BlobId, BudgetId, ChannelName, HostName, KeyId, Sha256Hash, share};
use crate::merkle::MerkleTree;
use crate::signing::{ArtifactType, Signature, SignatureFile};
use crate::wire::agent::RolloutProof;

/// The files of a release, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFiles {
    /// `fleet.json`.
    pub fleet: Vec<u8>,
    /// `fleet.json.sig`.
    pub fleet_sig: SignatureFile,
    /// One for each channel that has hosts.
    pub rollouts: Vec<RolloutFiles>,
}

/// The files of one rollout, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutFiles {
    /// `rollouts/<channel>@<ref>.json`.
    pub header: Vec<u8>,
    /// Its `.sig`.
    pub sig: SignatureFile,
    /// `rollouts/<channel>@<ref>.hosts.jsonl`.
    pub hosts: Vec<u8>,
}

/// A release.
#[derive(Clone, PartialEq)]
pub struct Release {
    /// The fleet document.
    pub fleet: FleetDocument,
    /// The hash of its canonical bytes.
    pub fleet_sha256: Sha256Hash,
    /// Its exact bytes.
    pub fleet_bytes: Vec<u8>,
    /// Its signatures.
    pub fleet_sig: SignatureFile,
    /// One for each channel that has hosts.
    pub rollouts: BTreeMap<ChannelName, ReleaseRollout>,
}

/// Without its documents: the hash of the fleet document stands for them.
impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Release")
            .field("serial", &self.fleet.serial)
            .field("fleet_sha256", &self.fleet_sha256)
            .finish_non_exhaustive()
    }
}

impl Release {
    /// The blobs a release needs beside the assets that its closures name: closure documents, and
    /// the probes of store paths.
    #[must_use]
    pub fn blobs(&self) -> BTreeSet<BlobId> {
        let entries = self.rollouts.values().flat_map(|rollout| &rollout.hosts);
        entries.flat_map(|entry| [entry.closure.blob(), entry.checks]).flatten().collect()
    }

    /// Its files by their names in a release folder, signatures as they are written there.
    pub fn named_files(&self) -> impl Iterator<Item = (String, Cow<'_, [u8]>)> {
        let signed = |path: String, bytes, sig: &SignatureFile| {
            [(release_dir::signature_of(&path), Cow::Owned(sig.to_bytes())), (path, bytes)]
        };
        let fleet = signed(
            release_dir::FLEET.to_owned(),
            Cow::Borrowed(&self.fleet_bytes[..]),
            &self.fleet_sig,
        );
        let rollouts = self.rollouts.values().flat_map(move |rollout| {
            let id = rollout.header.rollout_id();
            let header = Cow::Borrowed(&rollout.header_bytes[..]);
            let sig = SignatureFile::new(rollout.signatures.clone());
            let hosts = (release_dir::hosts(&id), Cow::Borrowed(rollout.hosts_bytes()));
            signed(release_dir::header(&id), header, &sig).into_iter().chain([hosts])
        });
        fleet.into_iter().chain(rollouts)
    }

    /// The files it was made of.
    #[must_use]
    pub fn files(&self) -> ReleaseFiles {
        let rollouts = self.rollouts.values().map(|rollout| RolloutFiles {
            header: rollout.header_bytes.clone(),
            sig: SignatureFile::new(rollout.signatures.clone()),
            hosts: rollout.hosts_bytes().to_vec(),
        });
        ReleaseFiles {
            fleet: self.fleet_bytes.clone(),
            fleet_sig: self.fleet_sig.clone(),
            rollouts: rollouts.collect(),
        }
    }
}

/// One channel's part of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRollout {
    /// The header.
    pub header: RolloutHeader,
    /// Its exact bytes.
    pub header_bytes: Vec<u8>,
    /// Its signatures.
    pub signatures: Vec<Signature>,
    /// What the ref is bound to, see [`content_id`].
    pub content_id: Sha256Hash,
    /// The entries, sorted by host.
    pub hosts: Vec<HostEntry>,
    table: HostsTable,
    tree: MerkleTree,
}

impl ReleaseRollout {
    /// The exact bytes of the hosts table.
    #[must_use]
    pub fn hosts_bytes(&self) -> &[u8] {
        &self.table.bytes
    }

    /// The entry of one host.
    #[must_use]
    pub fn entry(&self, host: &HostName) -> Option<&HostEntry> {
        self.position(host).and_then(|index| self.hosts.get(index))
    }

    /// What one host needs to verify its own part; `None` when it has none.
    #[must_use]
    pub fn proof(&self, host: &HostName) -> Option<RolloutProof> {
        let index = self.position(host)?;
        Some(RolloutProof {
            header: STANDARD.encode(&self.header_bytes),
            signatures: self.signatures.clone(),
            entry: serde_json::from_slice(self.table.leaf(index)?).ok()?,
            proof: self.tree.prove(index)?,
        })
    }

    fn position(&self, host: &HostName) -> Option<usize> {
        self.hosts.binary_search_by(|entry| entry.host.cmp(host)).ok()
    }
}

/// What a ref is bound to: the SHA-256 of the JCS of the header, as received, without `serial`,
/// `signed_at`, `fleet_sha256` and `freshness_window_secs`. Signing the same content again changes
/// only those.
#[must_use]
pub fn content_id(header: &Value) -> Sha256Hash {
    let mut content = header.clone();
    if let Value::Object(keys) = &mut content {
        for key in ["serial", "signed_at", "fleet_sha256", "freshness_window_secs"] {
            keys.remove(key);
        }
    }
    Sha256Hash::of(&canonical_bytes(&content))
}

/// Verifies a release: every rule but `ref-conflict`.
///
/// # Errors
/// The first rule that is broken: by the fleet document, then by the headers in the order given,
/// then by their hosts tables.
pub fn verify_release(
    files: ReleaseFiles,
    context: &VerifyContext<'_>,
) -> Result<Verified<Release>, Violation> {
    let received = Received::new(ArtifactType::Fleet, &files.fleet, MAX_FLEET_BYTES)?;
    let fleet: FleetDocument = received.read()?;
    check_fleet(&fleet)?;
    let fleet_sha256 = Sha256Hash::of(&received.canonical);
    let windows = fleet.channels.values().map(|channel| channel.freshness_window_secs);
    let claims = Claims {
        fleet: &fleet.fleet,
        serial: fleet.serial,
        signed_at: fleet.signed_at,
        fleet_sha256,
        freshness_window_secs: windows.min(),
    };
    let signed_by = received.judge(&files.fleet_sig, &claims, context)?;
    drop(received);

    let rollouts = verify_rollouts(files.rollouts, &fleet, fleet_sha256, context)?;
    let release = Release {
        fleet,
        fleet_sha256,
        fleet_bytes: files.fleet,
        fleet_sig: files.fleet_sig,
        rollouts,
    };
    Ok(Verified::new(release, signed_by))
}

fn verify_rollouts(
    files: Vec<RolloutFiles>,
    fleet: &FleetDocument,
    fleet_sha256: Sha256Hash,
    context: &VerifyContext<'_>,
) -> Result<BTreeMap<ChannelName, ReleaseRollout>, Violation> {
    if files.len() > MAX_CHANNELS {
        let detail = format!("{} headers, at most {MAX_CHANNELS}", files.len());
        return Err(Violation::new(RuleCode::TooLarge, detail));
    }
    let mut headers = BTreeMap::new();
    for RolloutFiles { header, sig, hosts } in files {
        let verified = verify_header(&header, &sig, context)?;
        let channel = verified.header.channel.clone();
        check_belongs_to_fleet(&verified.header, fleet, fleet_sha256)?;
        if headers.insert(channel.clone(), (verified, header, sig, hosts)).is_some() {
            let detail = format!("two headers for channel {channel}");
            return Err(Violation::new(RuleCode::FleetHashMismatch, detail));
        }
    }
    let mut by_channel = hosts_by_channel(fleet);
    let mut rollouts = BTreeMap::new();
    for (channel, (verified, header_bytes, sig, hosts)) in headers {
        let HeaderParts { header, content_id, .. } = verified;
        let (table, mut hosts) = HostsTable::read(hosts)?;
        let tree = MerkleTree::new(table.leaves());
        check_belongs_to_header(&hosts, &tree, &header)?;
        check_no_wave_is_empty(&hosts, &header)?;
        let expected = by_channel.remove(&channel).unwrap_or_default();
        check_hosts_match(&hosts, &expected, fleet)?;
        for (entry, name) in hosts.iter_mut().zip(&expected) {
            share(&mut entry.host, name);
        }
        let signatures = sig.signatures;
        let rollout =
            ReleaseRollout { header, header_bytes, signatures, content_id, hosts, table, tree };
        rollouts.insert(channel, rollout);
    }
    if let Some(channel) = by_channel.keys().next() {
        let detail = format!("channel {channel} has hosts, but no header");
        return Err(Violation::new(RuleCode::HostMismatch, detail));
    }
    Ok(rollouts)
}

/// A header that has been verified by itself.
pub(super) struct HeaderParts {
    pub(super) header: RolloutHeader,
    pub(super) content_id: Sha256Hash,
    pub(super) signed_by: Vec<KeyId>,
}

/// Every rule that a header can be held to without the fleet document.
pub(super) fn verify_header(
    bytes: &[u8],
    sig: &SignatureFile,
    context: &VerifyContext<'_>,
) -> Result<HeaderParts, Violation> {
    let received = Received::new(ArtifactType::Rollout, bytes, MAX_HEADER_BYTES)?;
    let header: RolloutHeader = received.read()?;
    check_header(&header)?;
    let claims = Claims {
        fleet: &header.fleet,
        serial: header.serial,
        signed_at: header.signed_at,
        fleet_sha256: header.fleet_sha256,
        freshness_window_secs: Some(header.freshness_window_secs),
    };
    let signed_by = received.judge(sig, &claims, context)?;
    let content_id = content_id(&received.value);
    Ok(HeaderParts { header, content_id, signed_by })
}

fn check_belongs_to_fleet(
    header: &RolloutHeader,
    fleet: &FleetDocument,
    fleet_sha256: Sha256Hash,
) -> Result<(), Violation> {
    let id = header.rollout_id();
    let differs = |what: &str| {
        let detail = format!("header {id}: its {what} is not the fleet document's");
        Err(Violation::new(RuleCode::FleetHashMismatch, detail))
    };
    if header.fleet_sha256 != fleet_sha256 {
        return differs("fleet_sha256");
    }
    if header.serial != fleet.serial {
        return differs("serial");
    }
    if header.signed_at != fleet.signed_at {
        return differs("signed_at");
    }
    let Some(channel) = fleet.channels.get(&header.channel) else {
        return differs("channel");
    };
    if header.reference != channel.reference {
        return differs("ref");
    }
    if header.freshness_window_secs != channel.freshness_window_secs {
        return differs("freshness_window_secs");
    }
    Ok(())
}

fn check_belongs_to_header(
    hosts: &[HostEntry],
    tree: &MerkleTree,
    header: &RolloutHeader,
) -> Result<(), Violation> {
    let id = header.rollout_id();
    let mismatch = |what: String| Violation::new(RuleCode::MerkleMismatch, format!("{id}: {what}"));
    let count = hosts.len();
    if u64::try_from(count) != Ok(header.host_count) {
        return Err(mismatch(format!("{count} hosts, the header says {}", header.host_count)));
    }
    if tree.root() != header.host_root {
        return Err(mismatch("the root over the hosts is another".to_owned()));
    }
    check_has_hosts(header)?;
    hosts.iter().try_for_each(|entry| check_entry_fits(entry, header))
}

/// The wave and the budgets an entry names are the header's.
pub(super) fn check_entry_fits(entry: &HostEntry, header: &RolloutHeader) -> Result<(), Violation> {
    let mismatch = |what: String| {
        let detail = format!("{}: {}: {what}", header.rollout_id(), entry.host);
        Err(Violation::new(RuleCode::MerkleMismatch, detail))
    };
    let waves = header.policy.waves.len();
    if usize::try_from(entry.wave.0).is_ok_and(|wave| wave >= waves) {
        return mismatch(format!("wave {} of {waves}", entry.wave));
    }
    let has_budget = |id: &BudgetId| header.budgets.iter().any(|budget| budget.id == *id);
    match entry.budgets.iter().find(|id| !has_budget(id)) {
        Some(id) => mismatch(format!("the header has no budget {id}")),
        None => Ok(()),
    }
}

fn check_no_wave_is_empty(hosts: &[HostEntry], header: &RolloutHeader) -> Result<(), Violation> {
    let used: BTreeSet<_> = hosts.iter().map(|entry| entry.wave.0).collect();
    let empty = (0_u32..).zip(&header.policy.waves).find(|(index, _)| !used.contains(index));
    match empty {
        Some((index, wave)) => {
            let detail = format!("{}: wave {index} ({})", header.rollout_id(), wave.name);
            Err(Violation::new(RuleCode::EmptyWave, detail))
        }
        None => Ok(()),
    }
}

/// A rollout has at least one wave and one host.
pub(super) fn check_has_hosts(header: &RolloutHeader) -> Result<(), Violation> {
    if header.host_count == 0 || header.policy.waves.is_empty() {
        let detail = format!("{}: no hosts or no waves", header.rollout_id());
        return Err(Violation::new(RuleCode::EmptyWave, detail));
    }
    Ok(())
}

fn hosts_by_channel(fleet: &FleetDocument) -> BTreeMap<ChannelName, Vec<&HostName>> {
    let mut channels = BTreeMap::<_, Vec<_>>::new();
    for (name, host) in &fleet.hosts {
        channels.entry(host.channel.clone()).or_default().push(name);
    }
    channels
}

/// The table holds the channel's hosts, all of them, with the closures of the fleet document.
fn check_hosts_match(
    hosts: &[HostEntry],
    expected: &[&HostName],
    fleet: &FleetDocument,
) -> Result<(), Violation> {
    let mismatch = |detail: String| Err(Violation::new(RuleCode::HostMismatch, detail));
    let listed: BTreeSet<_> = hosts.iter().map(|entry| &entry.host).collect();
    if let Some(host) = expected.iter().find(|host| !listed.contains(*host)) {
        return mismatch(format!("host {host} is missing from its channel's table"));
    }
    if let Some(host) = listed.iter().find(|host| expected.binary_search(host).is_err()) {
        return mismatch(format!("host {host} is not on this channel in the fleet document"));
    }
    for entry in hosts {
        let named = fleet.hosts.get(&entry.host).map(|host| &host.closure);
        if named != Some(&entry.closure) {
            return mismatch(format!(
                "host {}: another closure than in the fleet document",
                entry.host
            ));
        }
    }
    Ok(())
}
