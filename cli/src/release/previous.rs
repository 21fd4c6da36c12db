//! What the release before says: its serial, and what its refs are bound to.
//!
//! Not here: releases before that one (the control plane remembers every ref).

use std::collections::BTreeMap;
use std::path::Path;

use wavegate_proto::artifact::fleet::FleetDocument;
use wavegate_proto::artifact::header::RolloutHeader;
use wavegate_proto::artifact::release::content_id;
use wavegate_proto::ids::{ChannelName, FleetName, Ref, Serial, Sha256Hash};
use wavegate_proto::json::parse_strict;

use super::dir::{self, DirError};

/// The release before the one that is built.
#[derive(Debug, Clone)]
pub struct PreviousRelease {
    /// Its fleet.
    pub fleet: FleetName,
    /// Its serial.
    pub serial: Serial,
    /// The ref of each channel, and the content it is bound to; a channel without hosts has none.
    pub refs: BTreeMap<ChannelName, (Ref, Option<Sha256Hash>)>,
}

impl PreviousRelease {
    /// Reads the release in folder `path`. Its signatures are not looked at.
    ///
    /// # Errors
    /// When it is no release.
    pub fn read(path: &Path) -> Result<Self, DirError> {
        let files = dir::read_dir(path)?;
        let malformed = |what: &str, error: &dyn std::fmt::Display| DirError::Malformed {
            path: path.join(what),
            reason: error.to_string(),
        };
        let fleet = parse_strict(&files.fleet).map_err(|error| malformed("fleet.json", &error))?;
        let fleet: FleetDocument =
            serde_json::from_value(fleet).map_err(|error| malformed("fleet.json", &error))?;
        let mut refs: BTreeMap<_, _> = fleet
            .channels
            .iter()
            .map(|(name, channel)| (name.clone(), (channel.reference.clone(), None)))
            .collect();
        for rollout in &files.rollouts {
            let value =
                parse_strict(&rollout.header).map_err(|error| malformed("rollouts", &error))?;
            let id = content_id(&value);
            let header: RolloutHeader =
                serde_json::from_value(value).map_err(|error| malformed("rollouts", &error))?;
            refs.insert(header.channel, (header.reference, Some(id)));
        }
        Ok(Self { fleet: fleet.fleet, serial: fleet.serial, refs })
    }
}
