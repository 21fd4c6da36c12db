//! What happened in a run, read from the log that the core writes: when each wave began and each rollout ended,
//! who was dispatched first, and what was held by what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wavegate_proto::ids::{BudgetId, HostName, RolloutId, WaveIndex};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::plan::MAX_FIRST_HOSTS;
use wavegate_reconciler::fleet::Fleet;
use wavegate_reconciler::gates::Hold;

use super::timeline::{What, Writer};
use crate::core::LogRow;

/// What happened in a run.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) rollouts: BTreeMap<RolloutId, Course>,
    /// The hosts that each budget has held, however shortly.
    pub(super) held_by_budget: BTreeMap<BudgetId, BTreeSet<HostName>>,
    pub(super) told: Writer,
}

/// The course of one rollout.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// When the first host was dispatched.
    pub(super) starts_at: Option<Timestamp>,
    /// When each wave became the current one.
    pub(super) waves: BTreeMap<WaveIndex, Timestamp>,
    /// When every host was done.
    pub(super) ends_at: Option<Timestamp>,
    /// The first hosts that were dispatched, in order.
    pub(super) first: Vec<HostName>,
}

impl Record {
    /// Takes a row of the log; `fleet` is as it was just after.
    pub(super) fn note(&mut self, fleet: &Fleet, row: &LogRow) {
        let Some(id) = &row.rollout_id else { return };
        let at = row.at;
        match (row.kind, &row.host) {
            ("rollout_opened", _) => self.tell(at, id, What::Opened, opened(fleet, id)),
            ("wave_started", _) => self.wave(fleet, at, id, &row.payload),
            ("rollout_state", _) => self.state(fleet, at, id, &row.payload),
            ("quarantine_added", _) => {
                self.tell(at, id, What::Quarantined, text(&row.payload, "closure"));
            }
            ("dispatch_issued", Some(host)) => self.dispatched(at, id, host),
            ("gate_changed", Some(host)) => self.gate(fleet, id, host),
            ("host_skipped", Some(host)) => {
                let skipped = row.payload["skipped"] == true;
                let what = if skipped { What::Skipped } else { What::TakenIn };
                self.told.host(at, id, what, host);
            }
            ("converged", Some(host)) => self.told.host(at, id, What::Converged, host),
            ("carried", Some(host)) => self.told.host(at, id, What::Carried, host),
            ("failed" | "activation_failed", Some(host)) => {
                self.told.host(at, id, What::Failed, host);
            }
            ("rollback_complete", Some(host)) => {
                self.told.host(at, id, What::RolledBack, host);
            }
            _ => {}
        }
    }

    fn tell(&mut self, at: Timestamp, id: &RolloutId, what: What, detail: String) {
        self.told.rollout(at, id, what, detail);
    }

    fn course(&mut self, id: &RolloutId) -> &mut Course {
        self.rollouts.entry(id.clone()).or_default()
    }

    fn wave(&mut self, fleet: &Fleet, at: Timestamp, id: &RolloutId, payload: &Value) {
        let index = payload["wave"].as_u64().and_then(|wave| u32::try_from(wave).ok());
        let Some(index) = index.map(WaveIndex) else { return };
        self.course(id).waves.insert(index, at);
        self.tell(at, id, What::WaveStarted, wave_named(fleet, id, index));
    }

    fn state(&mut self, fleet: &Fleet, at: Timestamp, id: &RolloutId, payload: &Value) {
        let (to, reason) = (text(payload, "to"), text(payload, "reason"));
        if to == "terminal" {
            self.course(id).ends_at.get_or_insert(at);
        }
        let halt = fleet.rollouts.get(id).and_then(|rollout| rollout.halt.as_ref());
        let detail = match (reason.as_str(), halt) {
            // What begins and ends waves is told as such.
            ("first_dispatch" | "wave_done" | "wave_started" | "wave_reached", _) => return,
            ("halted", Some(halt)) => {
                let host = halt.host.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("halted by {host}: {}", halt.reason)
            }
            ("frozen" | "thawed", _) => reason,
            _ => to,
        };
        self.tell(at, id, What::State, detail);
    }

    fn dispatched(&mut self, at: Timestamp, id: &RolloutId, host: &HostName) {
        let course = self.course(id);
        course.starts_at.get_or_insert(at);
        if course.first.len() < MAX_FIRST_HOSTS {
            course.first.push(host.clone());
        }
        self.told.host(at, id, What::Dispatched, host);
    }

    fn gate(&mut self, fleet: &Fleet, id: &RolloutId, host: &HostName) {
        let held = fleet.placement(id, host).and_then(|placement| placement.held.as_deref());
        if let Some(held) = held
            && let Hold::BudgetUsedUp { budget, .. } = &held.hold
        {
            self.held_by_budget.entry(budget.clone()).or_default().insert(host.clone());
        }
    }
}

fn opened(fleet: &Fleet, id: &RolloutId) -> String {
    let Some(rollout) = fleet.rollouts.get(id) else { return String::new() };
    let waves = rollout.policy().waves.len();
    format!("{} hosts in {waves} waves", rollout.manifest.header.host_count)
}

fn wave_named(fleet: &Fleet, id: &RolloutId, index: WaveIndex) -> String {
    let Some(rollout) = fleet.rollouts.get(id) else { return String::new() };
    let position = usize::try_from(index.0).unwrap_or(usize::MAX);
    let name = rollout.policy().waves.get(position).map(|wave| wave.name.to_string());
    format!("wave {index} ({})", name.unwrap_or_default())
}

fn text(payload: &Value, key: &str) -> String {
    payload[key].as_str().unwrap_or_default().to_owned()
}
