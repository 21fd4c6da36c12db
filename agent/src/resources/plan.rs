//! What a pass would do, found out by looking: nothing is changed.
//!
//! Not here: doing it (see `engine`).

use std::collections::BTreeSet;

use serde::Serialize;
use wavegate_proto::artifact::bundle::{Bundle, Dependency};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{
    ActorSource, Decision, Drift, Operation, ResourceKind, ResourceState,
};

use super::collect::{is_wanted, wanted_by};
use super::difference::Difference;
use super::engine::Engine;
use super::error::ResourceError;
use super::kind;
use super::status::Charge;

/// Why a resource is part of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It was asked for.
    Target,
    /// Something that was asked for needs it.
    Prerequisite,
    /// It is ours, and nothing wants it any more.
    Orphan,
}

/// What would be done with one resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// The resource.
    pub id: ResourceId,
    /// Its kind.
    pub kind: ResourceKind,
    /// Why it is part of the pass.
    pub role: Role,
    /// Whether anything would be done.
    pub decision: Decision,
    /// What.
    pub operation: Operation,
    /// What it waits for, when it would be blocked.
    pub blocked_by: Option<String>,
    /// In what it differs.
    pub differs: Vec<Difference>,
    /// Why it cannot be looked at.
    pub error: Option<String>,
}

impl Engine {
    /// Looks at everything a pass over `bundle` would work on, in its order; with `only`, at that
    /// resource and what it needs.
    ///
    /// # Errors
    /// When the bundle cannot be worked on.
    pub async fn plan(
        &self,
        bundle: &Bundle,
        charge: &Charge,
        only: Option<&ResourceId>,
        satisfied: &BTreeSet<wavegate_proto::wire::agent::ResourceRef>,
    ) -> Result<Vec<Planned>, ResourceError> {
        let graph = self.check(bundle, charge)?;
        let scope = graph.scope(bundle, only);
        let mut planned = Vec::new();
        let mut stuck: BTreeSet<usize> = BTreeSet::new();
        for position in graph.order().iter().copied().filter(|position| scope.contains(position)) {
            let resource = &bundle.resources[position];
            let id = &resource.id;
            let is_target = only.is_none_or(|only| only == id);
            let role = if is_target { Role::Target } else { Role::Prerequisite };
            let mut one = match kind::observe(&self.host, bundle, resource).await {
                Ok(seen) => {
                    let operation = match seen.drift {
                        Drift::Ok => Operation::None,
                        Drift::Missing => Operation::Create,
                        Drift::Changed | Drift::Orphaned => Operation::Update,
                    };
                    self.planned(id, resource.spec.kind(), role, operation, seen.differs)
                }
                Err(error) => {
                    let mut one =
                        self.planned(id, resource.spec.kind(), role, Operation::None, Vec::new());
                    one.decision = Decision::Run;
                    one.error = Some(error.to_string());
                    stuck.insert(position);
                    one
                }
            };
            let local = graph.needs(position).iter().find(|need| stuck.contains(need));
            let remote = resource.depends_on.iter().find_map(|need| match need {
                Dependency::There { host, resource }
                    if !satisfied.iter().any(|of| of.host == *host && of.resource == *resource) =>
                {
                    Some(format!("{host}/{resource}"))
                }
                Dependency::Here(_) | Dependency::There { .. } => None,
            });
            let remote = remote.filter(|_| one.decision != Decision::Skip);
            one.blocked_by = local.map(|need| bundle.resources[*need].id.to_string()).or(remote);
            if one.blocked_by.is_some() {
                one.decision = Decision::Blocked;
                stuck.insert(position);
            }
            planned.push(one);
        }
        if only.is_none() {
            planned.extend(self.orphans(bundle));
        }
        Ok(planned)
    }

    fn planned(
        &self,
        id: &ResourceId,
        kind: ResourceKind,
        role: Role,
        operation: Operation,
        differs: Vec<Difference>,
    ) -> Planned {
        let decision = match (operation, self.statuses.state(id)) {
            (Operation::None, _) => Decision::Skip,
            (_, Some(ResourceState::Completed | ResourceState::Failed)) => Decision::Rerun,
            (_, _) => Decision::Run,
        };
        let (id, blocked_by, error) = (id.clone(), None, None);
        Planned { id, kind, role, decision, operation, blocked_by, differs, error }
    }

    fn orphans(&self, bundle: &Bundle) -> Vec<Planned> {
        let wanted = wanted_by(bundle);
        let mut entries = self.host.owned().entries();
        entries.retain(|entry| !is_wanted(entry, &wanted));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.order));
        let one = |entry: super::owned::OwnedEntry| {
            let differs = vec![Difference::new("path", Some(entry.path), None)];
            let (role, delete) = (Role::Orphan, Operation::Delete);
            self.planned(&entry.resource, entry.kind, role, delete, differs)
        };
        entries.into_iter().map(one).collect()
    }
}

/// On whose behalf a look is taken.
pub(crate) fn looking(bundle: &Bundle, identity: &str) -> Charge {
    let actor = wavegate_proto::wire::resource::Actor {
        identity: identity.to_owned(),
        source: ActorSource::Reconcile,
    };
    Charge { actor, profile: bundle.profile.clone() }
}
