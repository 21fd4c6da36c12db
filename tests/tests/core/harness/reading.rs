//! What operators read, and how documents are compared.
//!
//! Not here: what hosts do (see `verbs`).

use serde_json::Value;
use wavegate_control_plane::core::{Answer, HostFilter, Input, PageRequest, Query};
use wavegate_proto::wire::operator::{
    Explanation, HostDocument, Page, QuarantineDocument, RolloutDocument, RolloutState,
};

use super::{Cp, id, name};

fn page() -> PageRequest {
    PageRequest { after: None, limit: 1000 }
}

impl Cp {
    pub(crate) fn read(&mut self, query: Query) -> Value {
        match self.send(|reply| Input::Query { query, reply }).unwrap() {
            Answer::Document(document) => document,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn host_document(&mut self, host: &str) -> HostDocument {
        serde_json::from_value(self.read(Query::Host(name(host)))).unwrap()
    }

    pub(crate) fn rollout(&mut self, rollout: &str) -> RolloutDocument {
        serde_json::from_value(self.read(Query::Rollout(id(rollout)))).unwrap()
    }

    pub(crate) fn rollout_state(&mut self, rollout: &str) -> RolloutState {
        self.rollout(rollout).state
    }

    pub(crate) fn explain(&mut self, host: &str) -> Explanation {
        serde_json::from_value(self.read(Query::Explain(name(host)))).unwrap()
    }

    /// The codes of everything that holds a host.
    pub(crate) fn held_by(&mut self, host: &str) -> Vec<String> {
        self.explain(host).reasons.into_iter().map(|reason| reason.code).collect()
    }

    pub(crate) fn quarantines(&mut self) -> Vec<QuarantineDocument> {
        let document = self.read(Query::Quarantines(page()));
        let page: Page<QuarantineDocument> = serde_json::from_value(document).unwrap();
        page.items
    }

    /// Everything that must be the same after a restart or a wipe.
    pub(crate) fn picture(&mut self) -> Value {
        let rollouts = self.read(Query::Rollouts { state: None, channel: None, page: page() });
        let ids = rollouts["items"].as_array().unwrap().iter();
        let ids: Vec<String> = ids.map(|r| r["rollout_id"].as_str().unwrap().to_owned()).collect();
        let mut records = serde_json::Map::new();
        for rollout in ids {
            let query = Query::RolloutHosts { rollout_id: id(&rollout), page: page() };
            records.insert(rollout, self.read(query));
        }
        serde_json::json!({
            "hosts": self.read(Query::Hosts { filter: HostFilter::default(), page: page() }),
            "rollouts": rollouts,
            "records": records,
            "quarantines": self.read(Query::Quarantines(page())),
        })
    }

    /// How many rows of a kind the log has.
    pub(crate) fn logged(&self, kind: &str) -> usize {
        self.disk.log.iter().filter(|row| row.kind == kind).count()
    }
}

/// Whether two documents are equal apart from keys of these names, at any depth.
pub(crate) fn equal_but_for(before: &Value, after: &Value, except: &[&str]) {
    let (before, after) = (without(before, except), without(after, except));
    let pretty = |value| serde_json::to_string_pretty(value).unwrap();
    let (before, after) = (pretty(&before), pretty(&after));
    let pairs = before.lines().zip(after.lines()).enumerate();
    let differ: Vec<_> = pairs.filter(|(_, (a, b))| a != b).take(10).collect();
    assert!(before == after, "first differences: {differ:#?}");
}

fn without(value: &Value, except: &[&str]) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, _)| !except.contains(&key.as_str()));
            Value::Object(kept.map(|(key, v)| (key.clone(), without(v, except))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|v| without(v, except)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
