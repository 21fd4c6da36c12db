//! The closures and assets of a release that is put together from two, and whether they fit together.
//!
//! Not here: which closure which host gets.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use wavegate_proto::artifact::bundle::{Bundle, Dependency, Resource};
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::ids::{BlobId, ChannelName, HostName};

use super::{ReadBlob, RecallError};

/// What the hosts of a release are to run.
pub(super) struct Content {
    pub(super) closures: BTreeMap<BlobId, Vec<u8>>,
    pub(super) assets: BTreeMap<BlobId, Vec<u8>>,
    bundles: BTreeMap<BlobId, Bundle>,
}

/// A host of a release with its channel.
type Placed<'r> = (&'r ChannelName, &'r HostEntry);

impl Content {
    /// Reads everything that `release` names.
    pub(super) fn read(release: &Release, read: ReadBlob<'_>) -> Result<Self, RecallError> {
        let mut content =
            Self { closures: BTreeMap::new(), assets: BTreeMap::new(), bundles: BTreeMap::new() };
        for blob in release.blobs() {
            let bytes = read(blob)?;
            let bundle =
                Bundle::parse(&bytes).map_err(|error| RecallError::Closure { blob, error })?;
            for asset in bundle.assets() {
                if let Entry::Vacant(place) = content.assets.entry(asset) {
                    place.insert(read(asset)?);
                }
            }
            content.bundles.insert(blob, bundle);
            content.closures.insert(blob, bytes);
        }
        Ok(content)
    }

    /// Whether every resource that another host waits for is there, and not in a later wave.
    pub(super) fn check_dependencies(&self, release: &Release) -> Result<(), RecallError> {
        let hosts: BTreeMap<&HostName, Placed<'_>> = release
            .rollouts
            .iter()
            .flat_map(|(channel, rollout)| rollout.hosts.iter().map(move |e| (channel, e)))
            .map(|placed| (&placed.1.host, placed))
            .collect();
        hosts.values().try_for_each(|placed| self.check_host(*placed, &hosts))
    }

    fn resources(&self, entry: &HostEntry) -> &[Resource] {
        let bundle = entry.closure.blob().and_then(|blob| self.bundles.get(&blob));
        bundle.map_or(&[], |bundle| &bundle.resources)
    }

    fn check_host(
        &self,
        (channel, entry): Placed<'_>,
        hosts: &BTreeMap<&HostName, Placed<'_>>,
    ) -> Result<(), RecallError> {
        for dependency in self.resources(entry).iter().flat_map(|resource| &resource.depends_on) {
            let Dependency::There { host: on, resource: wanted } = dependency else { continue };
            let why = match hosts.get(on) {
                None => Some("which is not in the fleet"),
                Some((_, other)) if self.resources(other).iter().all(|r| r.id != *wanted) => {
                    Some("which does not have it")
                }
                Some((other_channel, other)) if *other_channel == channel => {
                    (other.wave > entry.wave).then_some("which is in a later wave")
                }
                Some(_) => None,
            };
            if let Some(why) = why {
                let (host, on, wanted) = (entry.host.clone(), on.clone(), wanted.clone());
                return Err(RecallError::Dependency { host, on, wanted, why });
            }
        }
        Ok(())
    }
}
