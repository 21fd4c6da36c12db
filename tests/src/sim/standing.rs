//! What operators have said and what stands, read from the committed rows alone: nothing is dispatched
//! against it.
//!
//! Not here: the rest of what must never happen (see [`super::invariants`]).

use std::collections::{BTreeMap, BTreeSet};

use wavegate_control_plane::core::LogRow;
use wavegate_proto::artifact::window::Window;
use wavegate_proto::ids::{HostName, RolloutId};
use wavegate_proto::time::Timestamp;
use wavegate_reconciler::fleet::placement::Placement;
use wavegate_reconciler::fleet::rollout::Rollout;

/// What stands in the database in use.
#[derive(Debug, Default)]
pub(super) struct Standing {
    stopped: BTreeSet<RolloutId>,
    approved: BTreeSet<(RolloutId, u64)>,
    held: BTreeMap<HostName, Option<Timestamp>>,
}

impl Standing {
    pub(super) fn note(&mut self, row: &LogRow) {
        match (row.kind, &row.rollout_id, &row.host) {
            ("rollout_paused" | "rollout_aborted", Some(id), _) => {
                self.stopped.insert(id.clone());
            }
            ("rollout_resumed", Some(id), _) => {
                self.stopped.remove(id);
            }
            ("wave_approved", Some(id), _) => {
                self.approved.insert((id.clone(), row.payload["wave"].as_u64().unwrap()));
            }
            ("host_held", _, Some(host)) => {
                self.held.insert(host.clone(), until(&row.payload));
            }
            ("host_released", _, Some(host)) => {
                self.held.remove(host);
            }
            ("mark_restored", id, host) => self.restored(row, id.as_ref(), host.as_ref()),
            _ => {}
        }
    }

    fn restored(&mut self, row: &LogRow, id: Option<&RolloutId>, host: Option<&HostName>) {
        if let (Some(mark), Some(id)) = (row.payload.get("mark"), id) {
            if mark.is_null() {
                self.stopped.remove(id);
            } else {
                self.stopped.insert(id.clone());
            }
        }
        if let (Some(hold), Some(host)) = (row.payload.get("hold"), host) {
            self.held.insert(host.clone(), until(hold));
        }
    }

    /// A host is dispatched at `at`.
    ///
    /// # Panics
    /// When somebody has said that it must not be.
    pub(super) fn check(&self, rollout: &Rollout, placement: &Placement, at: Timestamp) {
        let (id, host) = (&rollout.id, &placement.record.host);
        assert!(!self.stopped.contains(id), "{id} is stopped and {host} is dispatched");
        if let Some(until) = self.held.get(host) {
            let over = until.is_some_and(|until| until <= at);
            assert!(over, "{host} is held until {until:?} and dispatched in {id} at {at}");
        }
        if placement.lease.as_ref().is_none_or(|lease| lease.no_change) {
            return;
        }
        let wave = u64::from(placement.entry.wave.0);
        let asks = rollout.policy().waves[usize::try_from(wave).unwrap()].requires_approval;
        let approved = self.approved.contains(&(id.clone(), wave));
        assert!(!asks || approved, "{host} of {id} is dispatched, wave {wave} is not approved");
        let windows = &rollout.policy().windows;
        let open = windows.is_empty() || windows.iter().any(|window| is_open(window, at));
        assert!(open, "{host} of {id} is dispatched at {at}, outside of every window");
    }
}

fn until(payload: &serde_json::Value) -> Option<Timestamp> {
    payload["until"].as_str().map(|text| text.parse().unwrap())
}

/// The windows of stories are daily, and in UTC.
fn is_open(window: &Window, at: Timestamp) -> bool {
    let minute = at.unix_millis().div_euclid(60_000).rem_euclid(24 * 60);
    let (start, end) = (window.start.minute_of_day(), window.end.minute_of_day());
    let (start, end) = (i64::from(start), i64::from(end));
    if start < end { (start..end).contains(&minute) } else { minute >= start || minute < end }
}
