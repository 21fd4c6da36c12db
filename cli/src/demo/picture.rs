//! The picture of the fleet that must be the same after the control plane's database was deleted.
//!
//! Compared are documents, not counts. Left out is what only the old database could know: when a
//! rollout opened and ended, when a dispatch was issued, since when a host waits, when it was seen
//! last. Of superseded rollouts only what hosts still hold a journal of can come back.

use std::collections::BTreeMap;

use serde_json::Value;
use wavegate_proto::wire::operator::RolloutState;

use crate::client::ApiClient;
use crate::exit::Failure;

/// Fields that only the old database could know; and the forecast, which goes on with the time.
const ONLY_THE_OLD_DATABASE: [&str; 7] = [
    "opened_at",
    "finished_at",
    "dispatched_at",
    "last_seen_at",
    "clock_skew_secs",
    "waiting_for",
    "eta",
];

/// The fleet as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picture {
    hosts: Vec<Value>,
    quarantines: Vec<Value>,
    /// Rollouts that are current on their channel, with the records of all their hosts.
    current: BTreeMap<String, (Value, Vec<Value>)>,
    /// Records of superseded rollouts, by rollout and host.
    history: BTreeMap<(String, String), Value>,
}

impl Picture {
    pub(super) async fn take(client: &ApiClient) -> Result<Self, Failure> {
        let mut picture = Self {
            hosts: strip_all(client.get_all("/v1/hosts", &[]).await?),
            quarantines: client.get_all("/v1/quarantines", &[]).await?,
            current: BTreeMap::new(),
            history: BTreeMap::new(),
        };
        for rollout in client.get_all("/v1/rollouts", &[]).await? {
            let id = text(&rollout, "rollout_id");
            let records = client.get_all(&format!("/v1/rollouts/{id}/hosts"), &[]).await?;
            let records = strip_all(records);
            if text(&rollout, "state") == RolloutState::Superseded.as_str() {
                for record in records {
                    picture.history.insert((id.clone(), text(&record, "host")), record);
                }
            } else {
                picture.current.insert(id, (strip(rollout), records));
            }
        }
        Ok(picture)
    }

    /// What differs from the picture `before` the wipe; `None`: nothing.
    pub(super) fn difference(&self, before: &Self, held: &[(String, String)]) -> Option<String> {
        if let Some(difference) = first_difference("host", &before.hosts, &self.hosts) {
            return Some(difference);
        }
        if self.quarantines != before.quarantines {
            let (now, then) = (&self.quarantines, &before.quarantines);
            return Some(format!("quarantines: {} instead of {}", show(now), show(then)));
        }
        for (id, (rollout, records)) in &before.current {
            let Some((now, records_now)) = self.current.get(id) else {
                return Some(format!("{id} is missing"));
            };
            if let Some(difference) = first_difference("record", records, records_now) {
                return Some(difference);
            }
            if now != rollout {
                return Some(format!("{id}: {now} instead of {rollout}"));
            }
        }
        let lost = held.iter().find(|key| !self.history.contains_key(*key));
        if let Some((rollout, host)) = lost {
            return Some(format!("the record of {host} in {rollout} is missing"));
        }
        let changed =
            self.history.iter().find(|(key, record)| before.history.get(*key) != Some(*record));
        changed.map(|((rollout, host), record)| format!("{host} in {rollout}: {record}"))
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn quarantines(&self) -> usize {
        self.quarantines.len()
    }
}

fn first_difference(what: &str, before: &[Value], now: &[Value]) -> Option<String> {
    if before.len() != now.len() {
        return Some(format!("{} {what}s instead of {}", now.len(), before.len()));
    }
    let pair = before.iter().zip(now).find(|(before, now)| before != now);
    pair.map(|(before, now)| format!("{what}: {now} instead of {before}"))
}

fn strip_all(documents: Vec<Value>) -> Vec<Value> {
    documents.into_iter().map(strip).collect()
}

fn strip(mut document: Value) -> Value {
    let waits = document["state"].is_null() || document["state"] == "pending";
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|key, _| !ONLY_THE_OLD_DATABASE.contains(&key.as_str()));
        let waves = fields.get_mut("waves").and_then(Value::as_array_mut);
        for wave in waves.into_iter().flatten().filter_map(Value::as_object_mut) {
            wave.remove("eta");
        }
        if waits {
            fields.remove("state_since");
        }
    }
    document
}

fn text(document: &Value, key: &str) -> String {
    document[key].as_str().unwrap_or_default().to_owned()
}

fn show(documents: &[Value]) -> String {
    Value::Array(documents.to_vec()).to_string()
}
