//! The fleet as operators read it: every document that must be the same after the control plane lost
//! what it knew.
//!
//! Compared are documents, not counts. Left out is what only the old database could know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::reader::Reader;

/// Fields that only the old database could know, wherever they stand; and the forecast and what is left
/// until something expires, which go on with the time.
const ONLY_THE_OLD_DATABASE: [&str; 9] = [
    "eta",
    "left_secs",
    "opened_at",
    "finished_at",
    "dispatched_at",
    "last_seen_at",
    "clock_skew_secs",
    "cp_epoch",
    "log",
];

/// Every document by its path.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    documents: BTreeMap<String, Value>,
}

impl Picture {
    /// Reads every document. Of superseded rollouts only the records in `held`, as `(rollout, host)`:
    /// what the hosts have a journal of.
    ///
    /// # Errors
    /// Why one cannot be read.
    pub fn take(reader: &Reader, held: &BTreeSet<(String, String)>) -> Result<Self, String> {
        let mut documents = BTreeMap::new();
        let mut keep = |path: &str, document: Value| {
            documents.insert(path.to_owned(), strip(document));
        };
        let mut status: Value = reader.get("/v1/status")?;
        let current = |rollout: &Value| rollout["state"] != "superseded";
        status["rollouts"].as_array_mut().ok_or("no rollouts")?.retain(current);
        keep("/v1/status", status);
        keep("/v1/quarantines", reader.all("/v1/quarantines")?.into());
        keep("/v1/channels", reader.all("/v1/channels")?.into());
        let hosts = reader.all("/v1/hosts")?;
        for host in &hosts {
            let path = format!("/v1/hosts/{}", host["host"].as_str().unwrap_or_default());
            keep(&path, reader.get(&path)?);
            let path = format!("{path}/explain");
            keep(&path, reader.get(&path)?);
        }
        keep("/v1/hosts", hosts.into());
        let (superseded, current): (Vec<Value>, Vec<Value>) = reader
            .all("/v1/rollouts")?
            .into_iter()
            .partition(|rollout| rollout["state"] == "superseded");
        for rollout in &current {
            let path =
                format!("/v1/rollouts/{}", rollout["rollout_id"].as_str().unwrap_or_default());
            keep(&path, reader.get(&path)?);
            let path = format!("{path}/hosts");
            keep(&path, reader.all(&path)?.into());
        }
        keep("/v1/rollouts", current.into());
        for rollout in &superseded {
            let id = rollout["rollout_id"].as_str().unwrap_or_default();
            for record in reader.all(&format!("/v1/rollouts/{id}/hosts"))? {
                let host = record["host"].as_str().unwrap_or_default();
                if held.contains(&(id.to_owned(), host.to_owned())) {
                    keep(&format!("{host} in {id}"), record.clone());
                }
            }
        }
        Ok(Self { documents })
    }

    /// Where the documents are not as they were in `before`, if anywhere.
    pub fn difference(&self, before: &Self) -> Option<String> {
        let mut found = Vec::new();
        let as_value = |picture: &Self| serde_json::to_value(&picture.documents).unwrap();
        compare("", &as_value(self), &as_value(before), &mut found);
        (!found.is_empty()).then(|| found.join("\n"))
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }
}

/// Adds every place below `path` where two documents differ.
fn compare(path: &str, now: &Value, was: &Value, found: &mut Vec<String>) {
    match (now, was) {
        (Value::Object(now), Value::Object(was)) => {
            for name in now.keys().chain(was.keys().filter(|name| !now.contains_key(*name))) {
                let of =
                    |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                compare(&format!("{path} {name}"), &of(now), &of(was), found);
            }
        }
        (Value::Array(now), Value::Array(was)) if now.len() == was.len() => {
            for (index, (now, was)) in now.iter().zip(was).enumerate() {
                compare(&format!("{path}[{index}]"), now, was, found);
            }
        }
        (now, was) if now == was => {}
        (now, was) => found.push(format!("{path}: {now}, was {was}")),
    }
}

fn strip(mut document: Value) -> Value {
    strip_in_place(&mut document);
    document
}

fn forget_since(items: &mut [Value]) {
    for item in items {
        item["since"].take();
    }
}

fn strip_in_place(document: &mut Value) {
    match document {
        Value::Array(items) => items.iter_mut().for_each(strip_in_place),
        Value::Object(fields) => {
            fields.retain(|name, _| !ONLY_THE_OLD_DATABASE.contains(&name.as_str()));
            let waits = fields.get("state").is_some_and(|s| s.is_null() || s == "pending");
            if waits {
                fields.remove("state_since");
            }
            // Since when a gate holds a host, and so in which order hosts wait.
            if let Some(Value::Array(waiting)) = fields.get_mut("waiting_for") {
                forget_since(waiting);
                waiting.sort_by_key(|item| item["host"].to_string());
            }
            let held = fields.get("decision").is_some_and(|decision| decision == "wait");
            if let Some(Value::Array(reasons)) = fields.get_mut("reasons").filter(|_| held) {
                forget_since(reasons);
            }
            fields.values_mut().for_each(strip_in_place);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
