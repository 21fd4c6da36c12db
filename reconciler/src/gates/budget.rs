//! Holds while the other members of one of the host's budgets use up its slots, over all rollouts and
//! over what the same plan has decided already (E12). A host never blocks itself.

use std::collections::BTreeSet;

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

/// How many users of a budget an explanation names.
const NAMED_USERS: usize = 3;

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    candidate.placement.entry.budgets.iter().find_map(|id| {
        let budget = candidate.fleet.budgets.get(id)?;
        let limit = budget.max_in_flight();
        let planned = candidate.planned.users(id).filter(|host| !budget.users.contains(*host));
        let planned = u64::try_from(planned.count()).unwrap_or(u64::MAX);
        if budget.used_by_others(candidate.name).saturating_add(planned) < limit {
            return None;
        }
        let users: BTreeSet<_> = budget.users.iter().chain(candidate.planned.users(id)).collect();
        let users = users.into_iter().filter(|host| *host != candidate.name);
        Some(Hold::BudgetUsedUp {
            budget: id.clone(),
            max_in_flight: limit,
            users: users.take(NAMED_USERS).cloned().collect(),
        })
    })
}
