//! The order of a bundle's resources: dependencies first, otherwise as written.
//!
//! A group comes after its members, and its members after what the group depends on.
//! Not here: dependencies on other hosts (see `engine`), which do not order anything in a bundle; what
//! makes a bundle contradict itself (see `Bundle::check`).

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::artifact::bundle::{Bundle, BundleError, ResourceSpec};
use wavegate_proto::ids::ResourceId;

use super::error::ResourceError;

/// The resources of a bundle by their position in it.
#[derive(Debug)]
pub struct Graph {
    order: Vec<usize>,
    needs: Vec<Vec<usize>>,
    groups: Vec<Option<usize>>,
}

impl Graph {
    /// Orders the resources of `bundle`.
    ///
    /// # Errors
    /// When the bundle contradicts itself, as when dependencies run in a circle.
    pub fn of(bundle: &Bundle) -> Result<Self, ResourceError> {
        bundle.check()?;
        let positions: BTreeMap<&ResourceId, usize> =
            bundle.resources.iter().enumerate().map(|(at, resource)| (&resource.id, at)).collect();
        let at = |ids: &mut dyn Iterator<Item = &ResourceId>| -> Vec<usize> {
            ids.filter_map(|id| positions.get(id).copied()).collect()
        };
        let own = bundle.resources.iter().map(|resource| at(&mut resource.needs_here()));
        let mut needs: Vec<Vec<usize>> = own.collect();
        let mut groups = vec![None; needs.len()];
        for (position, resource) in bundle.resources.iter().enumerate() {
            let ResourceSpec::ResourceGroup(group) = &resource.spec else { continue };
            let needs_of_group = needs[position].clone();
            let members = at(&mut group.members.iter());
            for member in &members {
                groups[*member] = Some(position);
                needs[*member].extend(&needs_of_group);
            }
            needs[position].extend(members);
        }
        Ok(Self { order: sorted(&needs), needs, groups })
    }

    /// Every position, in the order in which to start.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The positions that must be done before this one, as written.
    #[must_use]
    pub fn needs(&self, position: usize) -> &[usize] {
        &self.needs[position]
    }

    /// The position of the group this one is a member of.
    #[must_use]
    pub fn group(&self, position: usize) -> Option<usize> {
        self.groups[position]
    }

    /// Every position that a pass works on: all, or `only` that resource and what it needs.
    #[must_use]
    pub fn scope(&self, bundle: &Bundle, only: Option<&ResourceId>) -> BTreeSet<usize> {
        let Some(only) = only else { return self.order.iter().copied().collect() };
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> =
            bundle.resources.iter().position(|resource| resource.id == *only).into_iter().collect();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(self.needs(next));
            }
        }
        found
    }
}

impl From<BundleError> for ResourceError {
    fn from(error: BundleError) -> Self {
        let reason = match &error {
            BundleError::Schema(_) => "unsupported-schema",
            BundleError::TooLarge | BundleError::Json(_) | BundleError::Shape(_) => "bad-json",
            BundleError::TooMany | BundleError::NoParallel => "bad-bundle",
            BundleError::DuplicateResource(_) | BundleError::DuplicateProbe(_) => {
                "duplicate-resource"
            }
            BundleError::DuplicateHolding { .. } => "duplicate-holding",
            BundleError::UnknownDependency { .. } => "unknown-dependency",
            BundleError::UnknownMember { .. }
            | BundleError::GroupInGroup(_)
            | BundleError::InTwoGroups(_) => "bad-group",
            BundleError::Cycle(_) => "dependency-cycle",
        };
        Self::BadBundle { reason, what: error.to_string() }
    }
}

/// Of all that could come next, always the one written first.
fn sorted(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(needs.len());
    let mut placed = vec![false; needs.len()];
    let mut open: BTreeSet<usize> = (0..needs.len()).collect();
    while let Some(next) = open.iter().copied().find(|p| needs[*p].iter().all(|n| placed[*n])) {
        open.remove(&next);
        placed[next] = true;
        order.push(next);
    }
    order
}
