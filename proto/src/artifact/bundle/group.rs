//! `kind = "group"` with `members`: resources that are completed together.
//!
//! Not here: groups of users (see [`super::AccountGroupSpec`]), what a group does to the order (the
//! agent's graph).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::ResourceId;

/// `kind = "group"` with `members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "GroupKeys", into = "GroupKeys")]
pub struct ResourceGroupSpec {
    /// The resources of this bundle in it; at least one, none twice.
    pub members: Vec<ResourceId>,
    /// How many of them may be worked on at once; the bundle's own limit when absent.
    pub max_parallel: Option<u32>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupKeys {
    members: Vec<ResourceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_parallel: Option<u32>,
}

impl TryFrom<GroupKeys> for ResourceGroupSpec {
    type Error = String;

    fn try_from(keys: GroupKeys) -> Result<Self, String> {
        let GroupKeys { members, max_parallel } = keys;
        if members.is_empty() {
            return Err("members is empty".to_owned());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = members.iter().find(|id| !seen.insert(*id)) {
            return Err(format!("member {twice} is there twice"));
        }
        if max_parallel.is_some_and(|at_once| !(1..=256).contains(&at_once)) {
            return Err("max_parallel must be 1 to 256".to_owned());
        }
        Ok(Self { members, max_parallel })
    }
}

impl From<ResourceGroupSpec> for GroupKeys {
    fn from(spec: ResourceGroupSpec) -> Self {
        Self { members: spec.members, max_parallel: spec.max_parallel }
    }
}
