//! Reading a bundle and checking what its shape does not say: names and paths are unique,
//! dependencies exist, and there is an order to do it in.
//!
//! Not here: that the bytes have the hash they are named by (whoever fetched them).

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::toposort;
use petgraph::graphmap::DiGraphMap;
use serde_json::Value;

use crate::artifact::bundle::{
    BUNDLE_SCHEMA_VERSION, Bundle, Holding, MAX_CLOSURE_BYTES, Resource, ResourceSpec,
};
use crate::ids::{ProbeName, ResourceId};
use crate::json::{JsonError, parse_strict};

/// The most resources of a bundle.
pub const MAX_RESOURCES: usize = 10_000;

/// The most probes of a bundle: as many as an event may list.
pub const MAX_PROBES: usize = crate::event::MAX_LIST_ITEMS;

/// Why a closure document is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Larger than [`MAX_CLOSURE_BYTES`].
    #[error("the bundle is larger than {MAX_CLOSURE_BYTES} bytes")]
    TooLarge,
    /// Not acceptable JSON.
    #[error("the bundle is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON of another shape.
    #[error("the bundle is malformed: {0}")]
    Shape(String),
    /// A schema version this build does not read.
    #[error("the bundle has schema version {0}, this build reads {BUNDLE_SCHEMA_VERSION}")]
    Schema(u64),
    /// More than [`MAX_RESOURCES`] or [`MAX_PROBES`].
    #[error("more than {MAX_RESOURCES} resources or {MAX_PROBES} probes")]
    TooMany,
    /// `max_parallel` is 0.
    #[error("max_parallel is 0")]
    NoParallel,
    /// A resource id that is there twice.
    #[error("resource {0} is there twice")]
    DuplicateResource(ResourceId),
    /// A probe name that is there twice.
    #[error("probe {0} is there twice")]
    DuplicateProbe(ProbeName),
    /// Two resources that keep the same thing of the host.
    #[error("resources {first} and {second} both own {name}")]
    DuplicateHolding {
        /// A path, or a kind and a name.
        name: String,
        /// The resource written first.
        first: ResourceId,
        /// The other one.
        second: ResourceId,
    },
    /// A dependency on a resource that is not in the bundle.
    #[error("resource {resource} depends on {missing}, which is not in the bundle")]
    UnknownDependency {
        /// The resource.
        resource: ResourceId,
        /// What it names.
        missing: ResourceId,
    },
    /// A group with a member that is not in the bundle.
    #[error("group {group} has member {missing}, which is not in the bundle")]
    UnknownMember {
        /// The group.
        group: ResourceId,
        /// What it names.
        missing: ResourceId,
    },
    /// A group that is a member.
    #[error("group {0} is a member of a group")]
    GroupInGroup(ResourceId),
    /// A member of two groups.
    #[error("resource {0} is in two groups")]
    InTwoGroups(ResourceId),
    /// Resources that wait for each other.
    #[error("resource {0} depends on itself, directly or through others")]
    Cycle(ResourceId),
}

impl Bundle {
    /// Reads and checks a closure document.
    ///
    /// # Errors
    /// The first thing that is wrong. A kind or key that this build does not know is no error, see
    /// [`crate::artifact::bundle::ResourceSpec::Unknown`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_CLOSURE_BYTES {
            return Err(BundleError::TooLarge);
        }
        let value = parse_strict(bytes)?;
        match value.get("schema_version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(BUNDLE_SCHEMA_VERSION) => {}
            Some(version) => return Err(BundleError::Schema(version)),
            None => return Err(BundleError::Shape("no schema_version".to_owned())),
        }
        let bundle: Self =
            serde_json::from_value(value).map_err(|e| BundleError::Shape(e.to_string()))?;
        bundle.check()?;
        Ok(bundle)
    }

    /// Checks what the shape does not say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BundleError> {
        if self.resources.len() > MAX_RESOURCES || self.probes.len() > MAX_PROBES {
            return Err(BundleError::TooMany);
        }
        if self.max_parallel == 0 {
            return Err(BundleError::NoParallel);
        }
        let mut names = BTreeSet::new();
        if let Some(probe) = self.probes.iter().find(|probe| !names.insert(&probe.name)) {
            return Err(BundleError::DuplicateProbe(probe.name.clone()));
        }
        let mut ids = BTreeSet::new();
        if let Some(resource) = self.resources.iter().find(|r| !ids.insert(&r.id)) {
            return Err(BundleError::DuplicateResource(resource.id.clone()));
        }
        check_holdings(&self.resources)?;
        check_groups(&self.resources, &ids)?;
        check_order(&self.resources, &ids)
    }
}

fn check_holdings(resources: &[Resource]) -> Result<(), BundleError> {
    let mut owners = BTreeMap::new();
    for resource in resources {
        for Holding { name, .. } in resource.spec.holdings() {
            if let Some(first) = owners.insert(name.clone(), &resource.id) {
                return Err(BundleError::DuplicateHolding {
                    name,
                    first: first.clone(),
                    second: resource.id.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Members exist, are no groups themselves, and none is in two groups.
fn check_groups(resources: &[Resource], ids: &BTreeSet<&ResourceId>) -> Result<(), BundleError> {
    let is_group = |r: &&Resource| matches!(r.spec, ResourceSpec::ResourceGroup(_));
    let groups: BTreeSet<_> = resources.iter().filter(is_group).map(|group| &group.id).collect();
    let mut grouped = BTreeSet::new();
    for resource in resources {
        let ResourceSpec::ResourceGroup(group) = &resource.spec else { continue };
        for member in &group.members {
            if groups.contains(member) {
                return Err(BundleError::GroupInGroup(member.clone()));
            }
            if !ids.contains(member) {
                return Err(BundleError::UnknownMember {
                    group: resource.id.clone(),
                    missing: member.clone(),
                });
            }
            if !grouped.insert(member) {
                return Err(BundleError::InTwoGroups(member.clone()));
            }
        }
    }
    Ok(())
}

fn check_order(resources: &[Resource], ids: &BTreeSet<&ResourceId>) -> Result<(), BundleError> {
    let mut graph = DiGraphMap::<&ResourceId, ()>::new();
    for resource in resources {
        for need in resource.needs_here() {
            if !ids.contains(need) {
                return Err(BundleError::UnknownDependency {
                    resource: resource.id.clone(),
                    missing: need.clone(),
                });
            }
            graph.add_edge(need, &resource.id, ());
        }
        let ResourceSpec::ResourceGroup(group) = &resource.spec else { continue };
        // The group comes after its members, and its members after what it needs.
        for member in &group.members {
            graph.add_edge(member, &resource.id, ());
            for need in resource.needs_here() {
                graph.add_edge(need, member, ());
            }
        }
    }
    match toposort(&graph, None) {
        Ok(_) => Ok(()),
        Err(cycle) => Err(BundleError::Cycle(cycle.node_id().clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bundle() -> Value {
        json!({
            "schema_version": 1,
            "resources": [
                {"id": "base", "kind": "directory", "path": "/srv"},
                {"id": "conf", "kind": "file", "path": "/srv/conf", "content": "x",
                 "depends_on": ["base", {"host": "db-1", "resource": "pg"}]},
                {"id": "tea", "kind": "teapot"},
            ],
            "probes": [{"name": "up", "kind": "tcp", "address": "127.0.0.1:80"}],
        })
    }

    fn refused(edit: impl FnOnce(&mut Value)) -> BundleError {
        let mut value = bundle();
        edit(&mut value);
        Bundle::parse(value.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn a_bundle_is_read_and_written_again() {
        let parsed = Bundle::parse(bundle().to_string().as_bytes()).unwrap();
        assert_eq!((parsed.max_parallel, parsed.resources.len()), (4, 3));
        let again = serde_json::to_vec(&parsed).unwrap();
        assert_eq!(Bundle::parse(&again).unwrap(), parsed);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        use BundleError as E;
        assert!(matches!(refused(|b| b["schema_version"] = json!(2)), E::Schema(2)));
        assert!(matches!(refused(|b| b["resources"] = json!(7)), E::Shape(_)));
        assert!(matches!(refused(|b| b["max_parallel"] = json!(0)), E::NoParallel));
        assert!(matches!(refused(|b| b["max_parallel"] = json!(1.5)), E::Json(_)));
        assert!(matches!(
            refused(|b| b["resources"][1]["id"] = json!("base")),
            E::DuplicateResource(_)
        ));
        assert!(matches!(
            refused(|b| b["resources"][1]["path"] = json!("/srv")),
            E::DuplicateHolding { .. }
        ));
        assert!(matches!(
            refused(|b| b["probes"] = json!([b["probes"][0], b["probes"][0]])),
            E::DuplicateProbe(_)
        ));
        assert!(matches!(
            refused(|b| b["resources"][0]["depends_on"] = json!(["x"])),
            E::UnknownDependency { .. }
        ));
        let group = |members: Value, needs: Value| json!({"id": "g", "kind": "group", "members": members, "depends_on": needs});
        let with = |group: Value| refused(|b| b["resources"].as_array_mut().unwrap().push(group));
        assert!(matches!(with(group(json!(["x"]), json!([]))), E::UnknownMember { .. }));
        assert!(matches!(with(group(json!(["base"]), json!(["conf"]))), E::Cycle(_)));
        assert!(matches!(with(group(json!(["g"]), json!([]))), E::GroupInGroup(_)));
        assert!(matches!(
            refused(|b| {
                let resources = b["resources"].as_array_mut().unwrap();
                resources.push(group(json!(["base"]), json!([])));
                resources.push(json!({"id": "h", "kind": "group", "members": ["base"]}));
            }),
            E::InTwoGroups(_)
        ));
        for dependency in ["conf", "base"] {
            assert!(matches!(
                refused(|b| b["resources"][0]["depends_on"] = json!([dependency])),
                E::Cycle(_)
            ));
        }
        assert!(matches!(Bundle::parse(&vec![b' '; MAX_CLOSURE_BYTES + 1]), Err(E::TooLarge)));
    }
}
