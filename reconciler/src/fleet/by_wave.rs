//! A set of hosts by wave, so that one wave is found without looking at the others.

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::ids::{HostName, WaveIndex};

/// A set of hosts by wave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostsByWave(BTreeMap<WaveIndex, BTreeSet<HostName>>);

impl HostsByWave {
    /// Puts a host in, or takes it out.
    pub(super) fn keep(&mut self, wave: WaveIndex, host: &HostName, wanted: bool) {
        if wanted {
            self.0.entry(wave).or_default().insert(host.clone());
        } else if let Some(hosts) = self.0.get_mut(&wave) {
            hosts.remove(host);
            if hosts.is_empty() {
                self.0.remove(&wave);
            }
        }
    }

    /// The hosts of a wave, by name.
    pub(super) fn of(&self, wave: WaveIndex) -> impl Iterator<Item = &HostName> {
        self.0.get(&wave).into_iter().flatten()
    }

    /// The waves that have hosts in the set, in order.
    pub(super) fn waves(&self) -> impl Iterator<Item = WaveIndex> {
        self.0.keys().copied()
    }
}
