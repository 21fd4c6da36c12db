//! Looks for what is no longer as the running bundle says, and puts it right where that is wanted.
//!
//! A correction that fails is tried again after 1 min * 2^n, at most 1 h; from then on it is stalled.
//! Not here: when to look (the daemon's schedule), what is reported (its journal).

use std::collections::BTreeMap;
use std::time::Duration;

use wavegate_proto::artifact::bundle::{Bundle, OnDrift, Resource};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::resource::{Drift, Operation, ResourceKind};

use super::collect::{is_wanted, wanted_by};
use super::difference::Difference;
use super::engine::Engine;
use super::error::ResourceError;
use super::graph::Graph;
use super::kind::{self, Observed};
use super::status::Charge;

/// The wait after the first failed correction.
const FIRST_RETRY: Duration = Duration::from_secs(60);

/// The longest wait.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// What an observation of one resource showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// How it differs, and what is there.
    Seen {
        /// Its kind.
        kind: ResourceKind,
        /// How it differs.
        drift: Drift,
        /// What is there, typed by kind.
        detail: serde_json::Value,
        /// In what it differs.
        differs: Vec<Difference>,
    },
    /// It could not be looked at; that says nothing about how it is.
    Unobservable {
        /// Why.
        error: String,
    },
}

impl Finding {
    /// How it differs, when that is known.
    #[must_use]
    pub fn drift(&self) -> Option<Drift> {
        match self {
            Self::Seen { drift, .. } => Some(*drift),
            Self::Unobservable { .. } => None,
        }
    }
}

/// What became of a resource that had drifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correction {
    /// It is as it should be again.
    Corrected {
        /// What was done.
        operation: Operation,
    },
    /// It is only reported.
    Reported,
    /// An earlier correction failed; not tried yet.
    Waiting {
        /// Until then.
        until: Timestamp,
    },
    /// It could not be corrected.
    Failed {
        /// Why.
        error: String,
        /// When to try again.
        retry_after: Timestamp,
    },
    /// It could not be corrected, and not for the first few times.
    Stalled {
        /// Why.
        error: String,
        /// When to try again.
        retry_after: Timestamp,
    },
}

impl Engine {
    /// Looks at every resource of `bundle` and at what is ours beside it; changes nothing on the host.
    pub async fn observe_all(
        &self,
        bundle: &Bundle,
        charge: &Charge,
    ) -> BTreeMap<ResourceId, Finding> {
        let mut findings = BTreeMap::new();
        for resource in &bundle.resources {
            let kind = resource.spec.kind();
            let finding = match kind::observe(&self.host, bundle, resource).await {
                Ok(seen) => {
                    self.statuses.drifted(&resource.id, kind, charge, seen.drift);
                    let Observed { drift, detail, differs } = seen;
                    Finding::Seen { kind, drift, detail, differs }
                }
                Err(error) => Finding::Unobservable { error: error.to_string() },
            };
            findings.insert(resource.id.clone(), finding);
        }
        let wanted = wanted_by(bundle);
        for entry in self.host.owned().entries() {
            if !is_wanted(&entry, &wanted) {
                let detail = serde_json::json!({ "path": entry.path });
                let (kind, drift, differs) = (entry.kind, Drift::Orphaned, Vec::new());
                let orphan = Finding::Seen { kind, drift, detail, differs };
                findings.entry(entry.resource).or_insert(orphan);
            }
        }
        findings
    }
}

/// Remembers which corrections failed, and how often in a row.
#[derive(Debug, Default)]
pub struct Corrections {
    failures: BTreeMap<ResourceId, (u32, Timestamp)>,
}

impl Corrections {
    /// Puts right what `findings` show as missing or changed, dependencies first, where the bundle
    /// wants that. Nothing is deleted.
    ///
    /// # Errors
    /// When the bundle cannot be worked on at all.
    pub async fn correct(
        &mut self,
        engine: &Engine,
        bundle: &Bundle,
        charge: &Charge,
        findings: &BTreeMap<ResourceId, Finding>,
    ) -> Result<BTreeMap<ResourceId, Correction>, ResourceError> {
        let graph: Graph = engine.check(bundle, charge)?;
        let mut corrections = BTreeMap::new();
        for position in graph.order() {
            let resource = &bundle.resources[*position];
            let drift = findings.get(&resource.id).and_then(Finding::drift);
            let wrong = matches!(drift, Some(Drift::Missing | Drift::Changed));
            if !wrong {
                self.failures.remove(&resource.id);
                continue;
            }
            let correction = match resource.on_drift {
                OnDrift::Report => Correction::Reported,
                OnDrift::Correct => self.correct_one(engine, bundle, charge, resource).await,
            };
            corrections.insert(resource.id.clone(), correction);
        }
        Ok(corrections)
    }

    /// Forgets that corrections of `id` failed: the next one is not put off.
    pub fn forget(&mut self, id: &ResourceId) {
        self.failures.remove(id);
    }

    async fn correct_one(
        &mut self,
        engine: &Engine,
        bundle: &Bundle,
        charge: &Charge,
        resource: &Resource,
    ) -> Correction {
        let (id, kind) = (&resource.id, resource.spec.kind());
        let now = engine.statuses.now();
        if let Some((_, until)) = self.failures.get(id).filter(|(_, until)| *until > now) {
            return Correction::Waiting { until: *until };
        }
        match kind::reconcile(&engine.host, bundle, resource).await {
            Ok(operation) => {
                self.failures.remove(id);
                engine.statuses.corrected(id, kind, charge, operation);
                Correction::Corrected { operation }
            }
            Err(error) => {
                let count = self.failures.get(id).map_or(0, |(count, _)| *count);
                let wait = (FIRST_RETRY * 2_u32.pow(count.min(6))).min(LONGEST_RETRY);
                let retry_after = now.plus(wait);
                self.failures.insert(id.clone(), (count + 1, retry_after));
                let error = error.to_string();
                engine.statuses.failed(id, kind, charge, &error);
                engine.statuses.retry_at(id, kind, charge, retry_after);
                if wait == LONGEST_RETRY {
                    Correction::Stalled { error, retry_after }
                } else {
                    Correction::Failed { error, retry_after }
                }
            }
        }
    }
}
