//! Holds while the other members of one of the host's budgets use up its slots, over all rollouts and
//! over what the same plan has decided already (E12).

use std::collections::BTreeSet;

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

/// How many users of a budget an explanation names.
const NAMED_USERS: usize = 3;

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    candidate.placement.entry.budgets.iter().find_map(|id| {
        let budget = candidate.fleet.budgets.get(id)?;
        let limit = budget.max_in_flight();
        let planned = candidate.planned.users(id).filter(|host| *host != candidate.name);
        let users: BTreeSet<_> = budget.blockers(candidate.name).chain(planned).collect();
        if u64::try_from(users.len()).unwrap_or(u64::MAX) < limit {
            return None;
        }
        Some(Hold::BudgetUsedUp {
            budget: id.clone(),
            max_in_flight: limit,
            users: users.into_iter().take(NAMED_USERS).cloned().collect(),
        })
    })
}
