//! Recall: a release that puts one channel back on the closures of an older release, under a new ref,
//! and leaves everything else as the current release has it.
//!
//! It is made of two releases, not of `fleet.toml`: what went out is what is put back, whatever has
//! become of the files since. Waves, policy, edges and budgets of the channel stay the current ones.
//!
//! Not here: finding the older release (see [`older`]); quarantines, which only the control plane
//! knows.

mod content;
pub mod older;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wavegate_proto::artifact::bundle::BundleError;
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::artifact::release::{Release, ReleaseFiles, ReleaseRollout, RolloutFiles};
use wavegate_proto::artifact::rules::Violation;
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{
    BlobId, ChannelName, FleetName, HostName, NameError, Ref, ResourceId, Serial, Sha256Hash,
};
use wavegate_proto::merkle::MerkleTree;
use wavegate_proto::signing::SignatureFile;
use wavegate_proto::time::Timestamp;

use content::Content;

use super::verify::VerifyError;
use super::{
    BuildReport, BuiltRelease, BuiltRollout, ChannelReport, HostReport, RefOrigin, WaveReport,
    unsigned,
};

/// What a recall is told beside the two releases.
#[derive(Debug, Clone)]
pub struct RecallOptions {
    /// The channel that goes back.
    pub channel: ChannelName,
    /// Its new ref; by default made from the serial.
    pub reference: Option<Ref>,
    /// The serial; by default one above the current release's.
    pub serial: Option<Serial>,
    /// The time of signing that is covered by the signatures.
    pub signed_at: Timestamp,
}

/// Why a release was not built.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// The releases are of different fleets.
    #[error("the older release is of fleet {older}, the current one of fleet {current}")]
    OtherFleet {
        /// The current one's.
        current: FleetName,
        /// The older one's.
        older: FleetName,
    },
    /// The older release is not older.
    #[error("release {older} is not older than release {current}")]
    NotOlder {
        /// The current one's serial.
        current: Serial,
        /// The older one's.
        older: Serial,
    },
    /// The serial would not rise.
    #[error("serial {serial} is not above {current}, the serial of the current release")]
    SerialNotAbove {
        /// The one asked for.
        serial: Serial,
        /// The current one.
        current: Serial,
    },
    /// The channel has no hosts in one of the releases.
    #[error("release {serial} has no hosts on channel {channel}")]
    NoChannel {
        /// The channel.
        channel: ChannelName,
        /// The release.
        serial: Serial,
    },
    /// There is nothing to go back to.
    #[error("channel {channel} runs in release {older} what it runs in release {current}")]
    NothingChanges {
        /// The channel.
        channel: ChannelName,
        /// The current release.
        current: Serial,
        /// The older release.
        older: Serial,
    },
    /// G22: a ref never returns.
    #[error("ref {reference} of channel {channel} went out before, and a ref never returns")]
    RefReturns {
        /// The channel.
        channel: ChannelName,
        /// The ref.
        reference: Ref,
    },
    /// The ref made from the serial is not a ref.
    #[error(transparent)]
    Ref(#[from] NameError),
    /// A closure or an asset of either release is not there, or not what its name says.
    #[error(transparent)]
    Blob(#[from] VerifyError),
    /// A closure document that no agent would read.
    #[error("closure {blob}: {error}")]
    Closure {
        /// Which.
        blob: BlobId,
        /// What is wrong with it.
        error: BundleError,
    },
    /// What is put back and what stays do not fit together.
    #[error("host {host} would wait for resource {wanted} of host {on}, {why}")]
    Dependency {
        /// The host that would wait.
        host: HostName,
        /// For which host.
        on: HostName,
        /// For which of its resources.
        wanted: ResourceId,
        /// Why that would never end.
        why: &'static str,
    },
    /// The result breaks a rule that every verifier applies.
    #[error("the release would be refused: {0}")]
    Rule(#[from] Violation),
}

/// Reads a closure document or an asset of either release, checked.
pub type ReadBlob<'a> = &'a dyn Fn(BlobId) -> Result<Vec<u8>, VerifyError>;

/// Builds the release that puts a channel back.
///
/// # Errors
/// The first thing that is wrong.
pub fn recall(
    current: &Release,
    older: &Release,
    options: &RecallOptions,
    read: ReadBlob<'_>,
) -> Result<BuiltRelease, RecallError> {
    let plan = Plan::of(current, older, options)?;
    let release = unsigned::judge(current.fleet.fleet.clone(), plan.files(current))?;
    let content = Content::read(&release, read)?;
    content.check_dependencies(&release)?;
    let report = plan.report(&release, older);
    let rollouts = release.rollouts.values().map(|rollout| {
        let (header, hosts) = (rollout.header_bytes.clone(), rollout.hosts_bytes().to_vec());
        (rollout.header.rollout_id(), BuiltRollout { header, hosts })
    });
    Ok(BuiltRelease {
        serial: plan.serial,
        rollouts: rollouts.collect(),
        fleet: release.fleet_bytes.clone(),
        closures: content.closures,
        assets: content.assets,
        report,
    })
}

/// What is put back, and under which names.
struct Plan<'r> {
    channel: &'r ChannelName,
    reference: Ref,
    ref_origin: RefOrigin,
    serial: Serial,
    signed_at: Timestamp,
    /// What each host of the channel is put back to.
    back: BTreeMap<&'r HostName, &'r HostEntry>,
    /// Hosts of the channel that the older release does not have there.
    stay: Vec<&'r HostName>,
}

impl<'r> Plan<'r> {
    fn of(
        current: &'r Release,
        older: &'r Release,
        options: &'r RecallOptions,
    ) -> Result<Self, RecallError> {
        let (now, then) = (&current.fleet, &older.fleet);
        if now.fleet != then.fleet {
            let (current, older) = (now.fleet.clone(), then.fleet.clone());
            return Err(RecallError::OtherFleet { current, older });
        }
        if then.serial >= now.serial {
            return Err(RecallError::NotOlder { current: now.serial, older: then.serial });
        }
        let serial = options.serial.unwrap_or(now.serial.next());
        if serial <= now.serial {
            return Err(RecallError::SerialNotAbove { serial, current: now.serial });
        }
        let channel = &options.channel;
        let of = |release: &'r Release| {
            let serial = release.fleet.serial;
            let missing = || RecallError::NoChannel { channel: channel.clone(), serial };
            release.rollouts.get(channel).ok_or_else(missing)
        };
        let (now_there, then_there) = (of(current)?, of(older)?);
        let (back, stay): (Vec<_>, Vec<_>) =
            now_there.hosts.iter().partition(|entry| then_there.entry(&entry.host).is_some());
        let back: BTreeMap<_, _> = back
            .into_iter()
            .filter_map(|entry| Some((&entry.host, then_there.entry(&entry.host)?)))
            .collect();
        let differs = |entry: &&HostEntry| {
            let back = back.get(&entry.host);
            back.is_some_and(|b| (&b.closure, b.checks) != (&entry.closure, entry.checks))
        };
        if !now_there.hosts.iter().any(|entry| differs(&entry)) {
            let (current, older) = (now.serial, then.serial);
            let channel = channel.clone();
            return Err(RecallError::NothingChanges { channel, current, older });
        }
        let (reference, ref_origin) = match &options.reference {
            Some(reference) => (reference.clone(), RefOrigin::Named),
            None => (Ref::new(&format!("r{serial}"))?, RefOrigin::New),
        };
        if [now_there, then_there].iter().any(|rollout| rollout.header.reference == reference) {
            return Err(RecallError::RefReturns { channel: channel.clone(), reference });
        }
        let stay = stay.into_iter().map(|entry| &entry.host).collect();
        let signed_at = options.signed_at.truncated_to_secs();
        Ok(Self { channel, reference, ref_origin, serial, signed_at, back, stay })
    }

    /// The documents: those of the current release with the channel put back. Keys that this program
    /// does not know stay as they are.
    fn files(&self, current: &Release) -> ReleaseFiles {
        let mut fleet = document(&current.fleet_bytes);
        self.stamp(&mut fleet);
        fleet["channels"][self.channel.as_str()]["ref"] = json!(self.reference);
        for (host, entry) in &self.back {
            fleet["hosts"][host.as_str()]["closure"] = json!(entry.closure);
        }
        let fleet = canonical_bytes(&fleet);
        let fleet_sha256 = Sha256Hash::of(&fleet);
        let rollout = |rollout: &ReleaseRollout| {
            let mut header = document(&rollout.header_bytes);
            self.stamp(&mut header);
            header["fleet_sha256"] = json!(fleet_sha256);
            let mut hosts = rollout.hosts_bytes().to_vec();
            if rollout.header.channel == *self.channel {
                let lines = self.lines(rollout);
                header["ref"] = json!(self.reference);
                header["host_root"] =
                    json!(MerkleTree::new(lines.iter().map(Vec::as_slice)).root());
                hosts =
                    lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
            }
            let sig = SignatureFile::new(Vec::new());
            RolloutFiles { header: canonical_bytes(&header), sig, hosts }
        };
        let rollouts = current.rollouts.values().map(rollout).collect();
        ReleaseFiles { fleet, fleet_sig: SignatureFile::new(Vec::new()), rollouts }
    }

    fn stamp(&self, document: &mut Value) {
        document["serial"] = json!(self.serial);
        let signed_at = self.signed_at.to_string().replace(".000Z", "Z");
        document["signed_at"] = json!(signed_at);
    }

    /// The lines of the channel's hosts table, without their ends.
    fn lines(&self, rollout: &ReleaseRollout) -> Vec<Vec<u8>> {
        let lines = rollout.hosts_bytes().split(|byte| *byte == b'\n');
        let entries = lines.filter(|line| !line.is_empty()).zip(&rollout.hosts);
        let put_back = |(line, entry): (&[u8], &HostEntry)| {
            let Some(back) = self.back.get(&entry.host) else { return line.to_vec() };
            let mut line = document(line);
            line["closure"] = json!(back.closure);
            match back.checks {
                Some(checks) => line["checks"] = json!(checks),
                None => {
                    line.as_object_mut().map(|keys| keys.remove("checks"));
                }
            }
            canonical_bytes(&line)
        };
        entries.map(put_back).collect()
    }

    fn report(&self, release: &Release, older: &Release) -> BuildReport {
        let then = older.fleet.serial;
        let channels = release.rollouts.iter().map(|(name, rollout)| ChannelReport {
            channel: name.clone(),
            reference: rollout.header.reference.clone(),
            ref_origin: if name == self.channel { self.ref_origin } else { RefOrigin::Kept },
            waves: waves(rollout),
        });
        let host = |entry: &HostEntry| HostReport {
            host: entry.host.clone(),
            wave: entry.wave,
            closure: entry.closure.clone(),
            from: match self.back.get(&entry.host) {
                Some(_) => format!("release {then}"),
                None => "the current release".to_owned(),
            },
            pin: None,
            tags: BTreeSet::new(),
            tags_from: None,
            checks: BTreeMap::new(),
        };
        let mut hosts: Vec<HostReport> =
            release.rollouts.values().flat_map(|rollout| &rollout.hosts).map(host).collect();
        hosts.sort_by(|a, b| a.host.cmp(&b.host));
        let mut warnings: Vec<String> = self
            .stay
            .iter()
            .map(|host| {
                let channel = self.channel;
                format!(
                    "host {host} is not on channel {channel} in release {then}: it stays as it is"
                )
            })
            .collect();
        warnings.push(
            "fleet.toml still says what was recalled: change it before the next build".to_owned(),
        );
        BuildReport {
            fleet: release.fleet.fleet.clone(),
            serial: self.serial,
            channels: channels.collect(),
            hosts,
            warnings,
        }
    }
}

fn waves(rollout: &ReleaseRollout) -> Vec<WaveReport> {
    let count = |index| rollout.hosts.iter().filter(|entry| entry.wave.0 == index).count();
    let waves = (0..).zip(&rollout.header.policy.waves);
    waves.map(|(index, wave)| WaveReport { name: wave.name.clone(), hosts: count(index) }).collect()
}

/// A document that has been verified, so it is one.
fn document(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}
