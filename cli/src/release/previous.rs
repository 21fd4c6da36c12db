//! What the release before says: its serial, and what its refs are bound to.
//!
//! Not here: releases before that one (the control plane remembers every ref).

use std::collections::BTreeMap;
use std::path::Path;

use wavegate_proto::artifact::fleet::Revocation;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::ids::{ChannelName, FleetName, Ref, Serial, Sha256Hash};

use super::dir::DirError;
use super::unsigned;

/// The release before the one that is built.
#[derive(Debug, Clone)]
pub struct PreviousRelease {
    /// Its fleet.
    pub fleet: FleetName,
    /// Its serial.
    pub serial: Serial,
    /// What it revokes.
    pub revoked: Vec<Revocation>,
    /// The ref of each channel, and the content it is bound to; a channel without hosts has none.
    pub refs: BTreeMap<ChannelName, (Ref, Option<Sha256Hash>)>,
}

impl PreviousRelease {
    /// Reads the release in folder `path`. Its signatures are not looked at.
    ///
    /// # Errors
    /// When it is no release.
    pub fn read(path: &Path) -> Result<Self, DirError> {
        unsigned::read(path).map(|release| Self::of(&release))
    }

    /// What `release` says.
    #[must_use]
    pub fn of(release: &Release) -> Self {
        let fleet = &release.fleet;
        let bound = |name| release.rollouts.get(name).map(|rollout| rollout.content_id);
        let refs = fleet.channels.iter();
        Self {
            fleet: fleet.fleet.clone(),
            serial: fleet.serial,
            revoked: fleet.revoked.clone(),
            refs: refs
                .map(|(name, c)| (name.clone(), (c.reference.clone(), bound(name))))
                .collect(),
        }
    }
}
