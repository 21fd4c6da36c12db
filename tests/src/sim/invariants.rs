//! What must never happen, judged from what happened: what was committed, and what hosts really did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wavegate_control_plane::core::{Core, LogRow, Write};
use wavegate_proto::ids::{Attempt, BudgetId, ClosureId, HostName, JournalId, RolloutId, Seq};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_reconciler::fleet::placement::Placement;

use super::oracle::tolerated;
use super::standing::Standing;

/// What the judge remembers, across wipes.
#[derive(Default)]
pub struct Judge {
    /// What signed plans have named for each host.
    pub signed: BTreeSet<(HostName, ClosureId)>,
    /// The acknowledgement of each attempt that was accepted live. One whose answer was lost may be accepted again by a
    /// database that has forgotten it: it is the same one.
    accepted: BTreeMap<(RolloutId, HostName, Attempt), (JournalId, u64)>,
    /// The last seq of each journal that the log holds, of the database in use.
    seqs: BTreeMap<JournalId, u64>,
    /// Hosts that were left out or lost once: their wave may have been done without them, and a wave that
    /// was done stays done (G16).
    set_aside: BTreeSet<(RolloutId, HostName)>,
    /// Hosts that were left out, have been taken in again, and have neither been given anything nor converged since.
    taken_in_again: BTreeSet<HostName>,
    /// What operators have said.
    standing: Standing,
    /// Hosts that have really passed a probe since their last activation.
    pub passed: BTreeSet<HostName>,
    /// Dispatches seen.
    pub dispatches: u64,
}

impl Judge {
    /// The database is another one now; journals may be replayed into it.
    pub fn new_database(&mut self, log: &[Arc<LogRow>]) {
        self.seqs.clear();
        self.set_aside.clear();
        self.taken_in_again.clear();
        self.standing = Standing::default();
        for row in log {
            self.note_seq(row, false);
            self.note_set_aside(row);
            self.standing.note(row);
        }
    }

    /// A host begins to activate a closure: G1, only what a signed plan names for it.
    pub fn activates(&mut self, host: &HostName, closure: &ClosureId) {
        let key = (host.clone(), closure.clone());
        assert!(
            self.signed.contains(&key),
            "{host} activates {closure}, which nobody signed for it"
        );
        self.passed.remove(host);
    }

    /// A batch is committed at `at`. The core is as it is after the batch.
    pub fn committed(&mut self, core: &Core, batch: &[Write], at: Timestamp) {
        for write in batch {
            match write {
                Write::Log(row) => self.log_row(row),
                Write::Dispatch(row) => self.dispatched(core, &row.rollout_id, &row.host, at),
                Write::HostRollout(_)
                | Write::HostRolloutDropped { .. }
                | Write::Rollout(_)
                | Write::Wave(_)
                | Write::ProbeFailures(_)
                | Write::Quarantine(_)
                | Write::QuarantineCleared { .. }
                | Write::Mark(_)
                | Write::MarksVersion(_)
                | Write::DispatchClosed { .. }
                | Write::Release(_)
                | Write::RolloutPruned(_)
                | Write::LogRemoved(_)
                | Write::Enrollment(_)
                | Write::Epoch { .. }
                | Write::Provider(_)
                | Write::ProviderSynced(_)
                | Write::HostsSeen(_) => {}
            }
        }
        self.budgets_are_kept(core);
    }

    fn log_row(&mut self, row: &LogRow) {
        self.note_seq(row, true);
        self.note_set_aside(row);
        self.standing.note(row);
        let replayed = row.payload.get("replay").is_some();
        if row.kind == "converged" && !replayed {
            // Converged only with evidence (E4, E7).
            let host = row.host.as_ref().unwrap();
            assert!(self.passed.contains(host), "{host} converged and never passed its probe");
        }
        if row.kind != "dispatch_ack" || replayed {
            return;
        }
        let attempt = row.payload["attempt"].as_u64().unwrap();
        let attempt = Attempt(u32::try_from(attempt).unwrap());
        let key = (row.rollout_id.clone().unwrap(), row.host.clone().unwrap(), attempt);
        let entry = journal_entry(row).unwrap();
        let known = *self.accepted.entry(key.clone()).or_insert(entry);
        assert_eq!(known, entry, "two accepted acknowledgements of {key:?}");
    }

    fn note_set_aside(&mut self, row: &LogRow) {
        let (Some(id), Some(host)) = (&row.rollout_id, &row.host) else { return };
        match row.kind {
            "host_skipped" | "host_lost" => {
                self.set_aside.insert((id.clone(), host.clone()));
                if row.payload["skipped"] == false {
                    self.taken_in_again.insert(host.clone());
                }
            }
            "dispatch_issued" | "converged" => drop(self.taken_in_again.remove(host)),
            _ => {}
        }
    }

    /// Each budget is kept, whatever was forgotten in between. One that was left out while it was in flight, for
    /// silence after a wipe or by a person, has its slot again when it comes back, whoever has it meanwhile (G7);
    /// that nobody is added then is judged with each dispatch.
    fn budgets_are_kept(&self, core: &Core) {
        for id in core.fleet().budgets.keys() {
            within_limit(core, id, |host| !self.taken_in_again.contains(host));
        }
    }

    /// An agent's events stand in the log without gaps and without repeats.
    fn note_seq(&mut self, row: &LogRow, check: bool) {
        let Some((journal, seq)) = journal_entry(row) else { return };
        let last = self.seqs.insert(journal, seq).unwrap_or(0);
        assert!(!check || seq == last + 1, "journal {journal}: {seq} follows {last}");
    }

    /// What the log of the database in use holds of a journal.
    pub fn logged(&self, journal: JournalId) -> Seq {
        Seq(self.seqs.get(&journal).copied().unwrap_or(0))
    }

    /// No dispatch past a closed gate; a halted rollout dispatches nothing (E1).
    fn dispatched(&mut self, core: &Core, id: &RolloutId, host: &HostName, at: Timestamp) {
        self.dispatches += 1;
        let fleet = core.fleet();
        let rollout = &fleet.rollouts[id];
        let placement = &rollout.placements[host];
        let halted = matches!(
            rollout.state,
            RolloutState::Failed | RolloutState::Reverted | RolloutState::Superseded
        );
        assert!(!halted || placement.lease.is_none(), "{id} is halted and {host} holds a dispatch");
        let Some(lease) = &placement.lease else { return };
        self.standing.check(rollout, placement, at);
        for index in 0..rollout.waves().len() {
            let of_wave =
                || rollout.placements.values().filter(|p| p.entry.wave.0 as usize == index);
            let failures = of_wave().filter(|p| p.is_artifact_failure()).count();
            let limit = tolerated(rollout.policy().max_failures, of_wave().count());
            assert!(failures <= limit, "{id} has {failures} failures and {host} is dispatched");
        }
        let earlier =
            || rollout.placements.values().filter(|p| p.entry.wave < placement.entry.wave);
        let aside = |p: &Placement| self.set_aside.contains(&(id.clone(), p.record.host.clone()));
        // Failures are within the limit, or it would have been found above.
        let done = |p: &Placement| settled(&p.record) || p.is_artifact_failure() || aside(p);
        let open = earlier().filter(|p| !done(p));
        let open: Vec<_> = open.map(|p| (&p.record.host, p.record.state, p.class())).collect();
        for (index, wave) in rollout.waves().iter().enumerate() {
            let here = |p: &&Placement| p.lost && usize::try_from(p.entry.wave.0) == Ok(index);
            let lost = earlier().filter(here).count() as u64;
            let tolerated = wave.max_infra_failures(rollout.policy());
            assert!(lost <= tolerated, "{host} goes before {lost} lost hosts of wave {index}");
        }
        // G19: a host that is broken under an earlier rollout gets its fix without waiting.
        let fix = fleet.records(host).any(|(other, p)| {
            let failed = p.record.state == HostState::Failed && !p.record.is_rolling_back();
            other.id != *id && (failed || p.record.degraded_since.is_some() || p.diverged)
        });
        assert!(open.is_empty() || lease.no_change || fix, "{host} goes before {open:?}");
        if !lease.no_change && !fix {
            placement.entry.budgets.iter().for_each(|budget| within_limit(core, budget, |_| true));
        }
    }
}

/// Which entry of an agent's journal a row holds.
fn journal_entry(row: &LogRow) -> Option<(JournalId, u64)> {
    let journal_id = row.payload["journal_id"].as_str()?.parse().ok()?;
    Some((journal_id, row.payload["seq"].as_u64()?))
}

fn settled(record: &HostRecord) -> bool {
    matches!(record.state, HostState::Converged | HostState::Deferred | HostState::Skipped)
}

/// Of those who count, no more use the budget than may. A host with nothing but a lapsed or a refused switch
/// uses no slot.
fn within_limit(core: &Core, id: &BudgetId, counts: impl Fn(&HostName) -> bool) {
    let budget = &core.fleet().budgets[id];
    let limit = usize::try_from(budget.max_in_flight()).unwrap_or(usize::MAX);
    let unreported = &core.fleet().recovering.unreported;
    // A dispatch that changes nothing disrupts nobody, and is given whatever the budget says.
    let keeps = |host: &HostName| {
        let mut records = core.fleet().records(host);
        records.any(|(_, p)| p.lease.as_ref().is_some_and(|lease| lease.no_change))
    };
    let counts = |host: &&HostName| !unreported.contains(*host) && !keeps(host) && counts(host);
    let users: Vec<&HostName> = budget.users.iter().filter(counts).collect();
    let records = |host| core.fleet().records(host).map(|(rollout, p)| (&rollout.id, p));
    assert!(
        users.len() <= limit,
        "budget {id} allows {limit}, and it is used by {:#?}",
        users.iter().map(|host| (host, records(host).collect::<Vec<_>>())).collect::<Vec<_>>()
    );
}
