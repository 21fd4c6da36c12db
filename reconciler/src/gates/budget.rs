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
        let planned = || candidate.planned.users(id).filter(|host| *host != candidate.name);
        // Counted, not collected: a budget of many may hold very many.
        let mut used = budget.blocker_count(candidate.name);
        if used < limit {
            let more = planned().filter(|host| !budget.blocks(host, candidate.name)).count();
            used = used.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        }
        if used < limit {
            return None;
        }
        let blockers = budget.blockers(candidate.name).take(NAMED_USERS);
        let users: BTreeSet<_> = blockers.chain(planned().take(NAMED_USERS)).collect();
        Some(Hold::BudgetUsedUp {
            budget: id.clone(),
            max_in_flight: limit,
            users: users.into_iter().take(NAMED_USERS).cloned().collect(),
        })
    })
}
