//! Looks for what is no longer as the running bundle says, and puts it right where that is wanted.
//!
//! A correction that fails is tried again after 1 min * 2^n, at most 1 h; from then on it is stalled. So is one that
//! has to be made again and again: somebody else changes the same thing (a storm).
//! Not here: when to look (the daemon's schedule), what is reported (its journal).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
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
use super::rivals;
use super::status::Charge;

/// The wait after the first failed correction.
const FIRST_RETRY: Duration = Duration::from_secs(60);

/// The longest wait.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// A resource that was corrected so often within [`STORM_WINDOW`] is not just corrected again: somebody else
/// keeps changing it.
pub const MAX_CORRECTIONS: usize = 5;

/// The time in which corrections are counted.
pub const STORM_WINDOW: Duration = Duration::from_secs(3600);

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
    /// It could not be corrected, and not for the first few times; or it was, and somebody keeps changing it.
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
        let all = bundle.resources.iter();
        let mut findings = self.look_at(bundle, charge, all).await;
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

    /// Looks at these resources of `bundle` and at nothing else; changes nothing on the host.
    pub async fn observe_some(
        &self,
        bundle: &Bundle,
        charge: &Charge,
        ids: &BTreeSet<ResourceId>,
    ) -> BTreeMap<ResourceId, Finding> {
        let some = bundle.resources.iter().filter(|resource| ids.contains(&resource.id));
        self.look_at(bundle, charge, some).await
    }

    async fn look_at<'a>(
        &self,
        bundle: &'a Bundle,
        charge: &Charge,
        resources: impl Iterator<Item = &'a Resource>,
    ) -> BTreeMap<ResourceId, Finding> {
        let mut findings = BTreeMap::new();
        for resource in resources {
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
        findings
    }
}

/// Remembers which corrections failed, and how often in a row; which were done, and how often of late.
#[derive(Debug, Default)]
pub struct Corrections {
    failures: BTreeMap<ResourceId, (u32, Timestamp)>,
    done: BTreeMap<ResourceId, Storm>,
}

/// The corrections of one resource of late.
#[derive(Debug, Default)]
struct Storm {
    /// When, oldest first; at most one more than [`MAX_CORRECTIONS`].
    at: VecDeque<Timestamp>,
    /// How often in a row it had to wait.
    waits: u32,
    /// Until when it waits.
    until: Option<Timestamp>,
}

impl Storm {
    /// Corrections that are no longer of late do not count; nor do those that a clock set back has put in
    /// the future.
    fn forget_old(&mut self, now: Timestamp) {
        let window = i64::try_from(STORM_WINDOW.as_secs()).unwrap_or(i64::MAX);
        self.at.retain(|at| (0..window).contains(&now.secs_since(*at)));
        if self.at.is_empty() {
            *self = Self::default();
        }
    }

    fn note(&mut self, now: Timestamp) {
        self.at.push_back(now);
        while self.at.len() > MAX_CORRECTIONS + 1 {
            self.at.pop_front();
        }
    }
}

impl Corrections {
    /// Puts right what `findings` show as missing or changed, dependencies first, where the bundle
    /// wants that. Nothing is deleted. What was not looked at stays as it is.
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
            let Some(finding) = findings.get(&resource.id) else { continue };
            let drift = finding.drift();
            let wrong = matches!(drift, Some(Drift::Missing | Drift::Changed));
            if !wrong {
                self.is_fine(engine, charge, resource, drift);
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

    /// Nothing has to be put right, though it may have been given up on before: it is as it should be.
    fn is_fine(&mut self, e: &Engine, charge: &Charge, resource: &Resource, drift: Option<Drift>) {
        let id = &resource.id;
        let failed = self.failures.remove(id).is_some();
        let stalled = self.done.get_mut(id).is_some_and(|storm| storm.until.take().is_some());
        if (failed || stalled) && drift == Some(Drift::Ok) {
            e.statuses.corrected(id, resource.spec.kind(), charge, Operation::None);
        }
    }

    /// Forgets that corrections of `id` failed: the next one is not put off.
    pub fn forget(&mut self, id: &ResourceId) {
        self.failures.remove(id);
        self.done.remove(id);
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
        if let Some(put_off) = self.put_off(engine, charge, resource, now).await {
            return put_off;
        }
        match kind::reconcile(&engine.host, bundle, resource).await {
            Ok(operation) => {
                self.failures.remove(id);
                engine.statuses.corrected(id, kind, charge, operation);
                self.done.entry(id.clone()).or_default().note(now);
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

    /// A resource that was corrected too often of late waits, 1 min * 2^n and at most 1 h, and is corrected once
    /// after each wait. `None`: it may be corrected now.
    async fn put_off(
        &mut self,
        engine: &Engine,
        charge: &Charge,
        resource: &Resource,
        now: Timestamp,
    ) -> Option<Correction> {
        let (id, kind) = (&resource.id, resource.spec.kind());
        let storm = self.done.get_mut(id)?;
        storm.forget_old(now);
        match storm.until {
            Some(until) if until > now => return Some(Correction::Waiting { until }),
            // The wait is over: once more, and the next time it waits again.
            Some(_) => {
                storm.until = None;
                return None;
            }
            None if storm.at.len() <= MAX_CORRECTIONS => return None,
            None => {}
        }
        let wait = (FIRST_RETRY * 2_u32.pow(storm.waits.min(6))).min(LONGEST_RETRY);
        let retry_after = now.plus(wait);
        storm.waits += 1;
        storm.until = Some(retry_after);
        let (host, looked_at) = (Arc::clone(&engine.host), resource.clone());
        let seen = kind::on_thread(move || Ok(rivals::suspects(&host, &looked_at))).await;
        let who = seen.unwrap_or_else(|error| error.to_string());
        let error =
            format!("stalled: corrected more than {MAX_CORRECTIONS} times within an hour; {who}");
        engine.statuses.stalled(id, kind, charge, (&error, retry_after));
        Some(Correction::Stalled { error, retry_after })
    }
}
