//! Releases: building them from `fleet.toml`, keeping them in a folder, signing, verifying,
//! comparing, recalling and publishing them.
//!
//! [`build`] is pure: everything it needs was read before. Not here: reading the files
//! (see [`crate::fleet_toml`]), the rules of a release (`wavegate_proto::artifact`).

mod budgets;
pub mod checks;
mod closures;
pub mod diff;
pub mod dir;
mod documents;
mod edges;
mod names;
mod operators;
mod order;
mod pins;
pub mod previous;
pub mod publish;
pub mod recall;
mod refs;
pub mod rehearse;
mod report;
mod resolve;
mod revoked;
pub mod sign;
pub mod unsigned;
pub mod verify;
mod waves;
pub mod windows;

use std::collections::BTreeMap;

use wavegate_proto::artifact::release::{ReleaseFiles, RolloutFiles};
use wavegate_proto::artifact::rules::Violation;
use wavegate_proto::ids::{BlobId, ChannelName, FleetName, Ref, RolloutId, Serial, Sha256Hash};
use wavegate_proto::signing::SignatureFile;
use wavegate_proto::time::Timestamp;

use crate::fleet_toml::FleetFile;
use crate::fleet_toml::source::{Complaints, FileErrors};
use documents::Stamp;
use order::Ordering;
use previous::PreviousRelease;

pub use dir::{read_dir, write_dir};
pub use pins::Pin;
pub use report::{BuildReport, ChannelReport, HostReport, RefOrigin, WaveReport};
pub use sign::sign_dir;
pub use verify::verify_dir;

/// What a build is told beside `fleet.toml`.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// The time of signing that is covered by the signatures.
    pub signed_at: Timestamp,
    /// The serial; by default one above the previous, or 1.
    pub serial: Option<Serial>,
    /// Refs chosen by a person.
    pub refs: BTreeMap<ChannelName, Ref>,
    /// The release before.
    pub previous: Option<PreviousRelease>,
}

/// A release that has been built and not signed.
#[derive(Debug, Clone)]
pub struct BuiltRelease {
    /// Its serial.
    pub serial: Serial,
    /// `fleet.json`.
    pub fleet: Vec<u8>,
    /// Headers and hosts tables.
    pub rollouts: BTreeMap<RolloutId, BuiltRollout>,
    /// Closure documents.
    pub closures: BTreeMap<BlobId, Vec<u8>>,
    /// Files too large to stand in a closure document.
    pub assets: BTreeMap<BlobId, Vec<u8>>,
    /// What to tell a person about it.
    pub report: BuildReport,
}

/// The files of one rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltRollout {
    /// `rollouts/<channel>@<ref>.json`.
    pub header: Vec<u8>,
    /// `rollouts/<channel>@<ref>.hosts.jsonl`.
    pub hosts: Vec<u8>,
}

/// Why a release was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The files are wrong.
    #[error(transparent)]
    Files(#[from] FileErrors),
    /// Another fleet's release was given as the previous one.
    #[error("the previous release is of fleet {previous}, this is fleet {fleet}")]
    OtherFleet {
        /// This fleet.
        fleet: FleetName,
        /// The previous release's.
        previous: FleetName,
    },
    /// The serial would not rise.
    #[error("serial {serial} is not above {previous}, the serial of the previous release")]
    SerialNotAbove {
        /// The one asked for.
        serial: Serial,
        /// The previous one.
        previous: Serial,
    },
    /// `--ref` for a channel that is not there.
    #[error("--ref names unknown channel {0}")]
    UnknownChannel(ChannelName),
    /// G22: the ref went out with other content.
    #[error(
        "ref {reference} of channel {channel} went out with other content before, and a ref never changes its content"
    )]
    RefConflict {
        /// The channel.
        channel: ChannelName,
        /// The ref.
        reference: Ref,
    },
    /// The ref made from the serial is not a ref.
    #[error(transparent)]
    Ref(#[from] wavegate_proto::ids::NameError),
    /// A document could not be written.
    #[error("a document cannot be written as JSON: {0}")]
    Encoding(serde_json::Error),
    /// The result breaks a rule that every verifier applies.
    #[error("the release would be refused: {0}")]
    Rule(#[from] Violation),
}

/// Builds a release.
///
/// # Errors
/// Everything that is wrong in the files, or the first thing that is wrong elsewhere.
pub fn build(file: &FleetFile, options: &BuildOptions) -> Result<BuiltRelease, BuildError> {
    let mut complaints = Complaints::about(&file.source);
    checks::refuse_doubles(&file.keys, &mut complaints);
    let channels = edges::channels(file, &mut complaints);
    let hosts = resolve::hosts(file, &mut complaints);
    let revoked = revoked::read(file, &mut complaints);
    let operators = operators::read(file, &mut complaints);
    let pins = pins::read(file, options.signed_at, &mut complaints);
    if file.keys.hosts.is_empty() {
        complaints.add(&["fleet"], "the fleet has no hosts");
    }
    // Names are judged against hosts that resolved: one wrong host would make more look wrong.
    complaints.check()?;
    let selectables = resolve::selectables(&hosts);
    let waves = waves::assign(file, &selectables, &mut complaints);
    let budgets = budgets::resolve(file, &selectables, &mut complaints);
    let after = edges::hosts(file, &selectables, &waves, &mut complaints);
    complaints.check()?;
    let ordering = Ordering {
        hosts: &hosts,
        waves: &waves,
        after: &after,
        channels: &channels,
        budgets: &budgets,
    };
    order::check(&ordering, &mut complaints);
    let closures = closures::make(&hosts, file.secrets, &mut complaints);
    complaints.check()?;

    revoked::stand(options.previous.as_ref(), &revoked)?;
    let serial = refs::serial(&file.keys.fleet.name, options)?;
    let stamp = Stamp {
        fleet: file.keys.fleet.name.clone(),
        serial,
        signed_at: options.signed_at.truncated_to_secs(),
    };
    let mut drafts = BTreeMap::new();
    for channel in file.keys.channels.keys() {
        let parts = (&waves, &after, &budgets[..], &closures);
        drafts.insert(channel.clone(), documents::draft(&file.keys, channel, &hosts, parts));
    }
    let chosen = refs::choose(&stamp, &drafts, options)?;
    let report = report::make(file, &stamp, &chosen, &hosts, (&waves, &closures, &pins));
    let names = chosen.into_iter().map(|(channel, (name, _))| (channel, name)).collect();
    let fleet =
        documents::fleet(&file.keys, &stamp, &names, &hosts, &closures, (revoked, operators))?;
    let fleet_sha256 = Sha256Hash::of(&fleet);
    let mut rollouts = BTreeMap::new();
    for (channel, draft) in drafts {
        let (Some(draft), Some(reference)) = (draft, names.get(&channel)) else { continue };
        let id = RolloutId { channel: channel.clone(), reference: reference.clone() };
        rollouts.insert(id, draft.finish(&stamp, &channel, reference, fleet_sha256)?);
    }
    let built = BuiltRelease {
        serial,
        fleet,
        rollouts,
        closures: closures.documents,
        assets: closures.assets,
        report,
    };
    check_by_the_rules(&built, stamp.fleet)?;
    Ok(built)
}

/// Nothing is built that every verifier would refuse.
fn check_by_the_rules(built: &BuiltRelease, fleet: FleetName) -> Result<(), Violation> {
    let sig = || SignatureFile::new(Vec::new());
    let rollout = |rollout: &BuiltRollout| RolloutFiles {
        header: rollout.header.clone(),
        sig: sig(),
        hosts: rollout.hosts.clone(),
    };
    let files = ReleaseFiles {
        fleet: built.fleet.clone(),
        fleet_sig: sig(),
        rollouts: built.rollouts.values().map(rollout).collect(),
    };
    unsigned::judge(fleet, files).map(|_| ())
}

#[cfg(test)]
mod tests;
