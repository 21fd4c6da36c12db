//! What happened in a run, as people read it: what concerns a rollout one by one, what hosts did in groups.
//!
//! Not here: how it looks on a terminal.

use std::collections::BTreeMap;

use serde::Serialize;
use wavegate_proto::ids::{HostName, RolloutId};
use wavegate_proto::time::Timestamp;

/// The most entries that are kept; further ones are only counted.
const MAX_ENTRIES: usize = 10_000;

/// How many hosts of a group are named.
const NAMED_HOSTS: usize = 3;

/// What happened, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// The entries.
    pub entries: Vec<Entry>,
    /// How many more there were.
    pub left_out: u64,
}

/// A timeline that is being written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) timeline: Timeline,
    /// Groups that still grow, until something concerns their rollout as a whole.
    open: BTreeMap<RolloutId, BTreeMap<What, usize>>,
}

/// One thing that happened, or several of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, or when the first of them.
    pub at: Timestamp,
    /// When the last of them.
    pub until: Timestamp,
    /// In which rollout.
    pub rollout_id: RolloutId,
    /// What.
    pub what: What,
    /// More about it.
    pub detail: String,
    /// The first hosts it is about.
    pub hosts: Vec<HostName>,
    /// How many hosts it is about.
    pub count: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A rollout opened.
    Opened,
    /// A wave became the current one.
    WaveStarted,
    /// A rollout went into another state, halted, froze or thawed.
    State,
    /// A closure was quarantined.
    Quarantined,
    /// Hosts were dispatched.
    Dispatched,
    /// Hosts converged.
    Converged,
    /// Nothing changed for hosts.
    Carried,
    /// Hosts failed.
    Failed,
    /// Hosts went back to what they ran before.
    RolledBack,
    /// Hosts were left out.
    Skipped,
    /// Hosts that had been left out were taken in again.
    TakenIn,
}

impl Writer {
    pub(super) fn rollout(&mut self, at: Timestamp, id: &RolloutId, what: What, detail: String) {
        self.open.remove(id);
        let rollout_id = id.clone();
        self.push(Entry { at, until: at, rollout_id, what, detail, hosts: Vec::new(), count: 0 });
    }

    pub(super) fn host(&mut self, at: Timestamp, id: &RolloutId, what: What, host: &HostName) {
        let group = self.open.get(id).and_then(|groups| groups.get(&what)).copied();
        if let Some(entry) = group.and_then(|index| self.timeline.entries.get_mut(index)) {
            entry.until = at;
            entry.count += 1;
            if entry.hosts.len() < NAMED_HOSTS {
                entry.hosts.push(host.clone());
            }
            return;
        }
        let (rollout_id, hosts) = (id.clone(), vec![host.clone()]);
        let detail = String::new();
        let entry = Entry { at, until: at, rollout_id, what, detail, hosts, count: 1 };
        if let Some(index) = self.push(entry) {
            self.open.entry(id.clone()).or_default().insert(what, index);
        }
    }

    /// Where it stands now, if there was room.
    fn push(&mut self, entry: Entry) -> Option<usize> {
        let Timeline { entries, left_out } = &mut self.timeline;
        if entries.len() >= MAX_ENTRIES {
            *left_out += 1;
            return None;
        }
        entries.push(entry);
        Some(entries.len() - 1)
    }
}
