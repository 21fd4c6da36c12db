//! `state.json`: the part of the running model that the journal does not hold. A cache of what was
//! seen: it may be deleted at any time and is rebuilt from the journal and observation.
//!
//! Not here: anything a decision rests on (see [`crate::journal`]).

mod load;
mod save;

pub use load::{Loaded, SnapshotError, load, peek};
pub(crate) use save::replace_durably;
pub use save::{Saved, SnapshotFile};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wavegate_proto::event::ProbeOutcome;
use wavegate_proto::ids::{ProbeName, ResourceId};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::resource::{MAX_RESOURCE_LOG, ResourceKind, ResourceStatus};

use crate::resources::status::Tracked;

/// The name of the file in the state folder.
pub const SNAPSHOT_FILE: &str = "state.json";

/// The version this build writes. Older ones are read, newer ones refused.
pub const SNAPSHOT_VERSION: u64 = 1;

/// The most samples kept of one probe.
pub const MAX_PROBE_SAMPLES: usize = 16;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// The resources of the closure that runs.
    pub resources: BTreeMap<ResourceId, ResourceEntry>,
    /// The last results of each probe, oldest first.
    pub probes: BTreeMap<ProbeName, Vec<ProbeSample>>,
}

/// A resource and its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceEntry {
    /// What kind of thing it is.
    pub kind: ResourceKind,
    /// Its status, with its log.
    pub status: ResourceStatus,
}

/// One result of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSample {
    /// When it was reported.
    pub at: Timestamp,
    /// Its outcome.
    pub status: ProbeOutcome,
    /// Why it failed.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Snapshot {
    /// Keeps `sample` as the newest of `probe`.
    pub fn add_sample(&mut self, probe: ProbeName, sample: ProbeSample) {
        let samples = self.probes.entry(probe).or_default();
        samples.push(sample);
        keep_last(samples, MAX_PROBE_SAMPLES);
    }

    /// Its resources, as the resource engine has them.
    #[must_use]
    pub fn tracked(&self) -> BTreeMap<ResourceId, Tracked> {
        let tracked =
            |entry: &ResourceEntry| Tracked { kind: entry.kind, status: entry.status.clone() };
        self.resources.iter().map(|(id, entry)| (id.clone(), tracked(entry))).collect()
    }

    /// Takes over all resources of the resource engine.
    pub fn set_resources(&mut self, tracked: BTreeMap<ResourceId, Tracked>) {
        self.resources.clear();
        for (id, Tracked { kind, status }) in tracked {
            self.set_resource(id, kind, status);
        }
    }

    /// Keeps `status`, without the oldest entries of a log that is too long.
    pub fn set_resource(&mut self, id: ResourceId, kind: ResourceKind, mut status: ResourceStatus) {
        keep_last(&mut status.log, MAX_RESOURCE_LOG);
        self.resources.insert(id, ResourceEntry { kind, status });
    }
}

fn keep_last<T>(list: &mut Vec<T>, count: usize) {
    let surplus = list.len().saturating_sub(count);
    list.drain(..surplus);
}
