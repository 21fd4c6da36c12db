//! Keeps counters and ordered sets equal to what the records say.
//!
//! Whoever changes a host or one of its placements calls [`Fleet::refresh`] afterwards; what the host
//! contributed before is taken back first, so it does not matter what was changed.

use std::collections::BTreeSet;

use wavegate_proto::ids::{BudgetId, HostName, RolloutId, WaveIndex};
use wavegate_proto::record::HostState;
use wavegate_proto::time::Mono;

use super::Fleet;
use super::host::{Contribution, Host, SlotUse};
use super::placement::{Counted, Placement};
use super::rollout::Rollout;
use super::silence::silence_moves;

impl Fleet {
    /// Adds a rollout and takes its budgets into account.
    pub fn add_rollout(&mut self, rollout: Rollout) {
        for budget in &rollout.manifest.header.budgets {
            let limits = &mut self.budgets.entry(budget.id.clone()).or_default().limits;
            limits.insert(rollout.id.clone(), budget.max_in_flight);
        }
        self.rollouts.insert(rollout.id.clone(), rollout);
    }

    /// Takes a superseded rollout's limits out of the budgets.
    pub fn retire_budgets(&mut self, rollout: &RolloutId) {
        for budget in self.budgets.values_mut() {
            budget.limits.remove(rollout);
        }
    }

    /// Adds a host's place to a rollout.
    pub fn add_placement(&mut self, rollout_id: &RolloutId, host: &HostName, placement: Placement) {
        let Some(rollout) = self.rollouts.get_mut(rollout_id) else { return };
        let order = rollout.order;
        if let Some(wave) = rollout.waves.get_mut(wave_position(placement.entry.wave)) {
            wave.hosts += 1;
        }
        rollout.placements.insert(host.clone(), placement);
        if let Some(host) = self.hosts.get_mut(host) {
            host.enter(order, rollout_id);
        }
        self.refresh(host);
    }

    /// Takes the hosts out of a rollout that nothing was started for: once it is superseded, nothing
    /// ever will be. Returns them.
    pub fn drop_untouched(&mut self, rollout_id: &RolloutId) -> Vec<HostName> {
        let Some(rollout) = self.rollouts.get_mut(rollout_id) else { return Vec::new() };
        let untouched: Vec<HostName> = rollout
            .placements
            .iter()
            .filter(|(_, placement)| placement.is_untouched())
            .map(|(host, _)| host.clone())
            .collect();
        for name in &untouched {
            rollout.forget(name);
            if let Some(host) = self.hosts.get_mut(name) {
                host.leave(rollout_id);
            }
        }
        for name in &untouched {
            self.refresh(name);
        }
        untouched
    }

    /// Takes a rollout away with everything in it, and hosts that nothing names any more.
    pub fn remove_rollout(&mut self, rollout_id: &RolloutId) {
        let Some(rollout) = self.rollouts.remove(rollout_id) else { return };
        self.retire_budgets(rollout_id);
        for name in rollout.placements.keys() {
            let Some(host) = self.hosts.get_mut(name) else { continue };
            host.leave(rollout_id);
            let unnamed = host.member.is_none() && host.rollouts.is_empty();
            self.refresh(name);
            if unnamed {
                self.hosts.remove(name);
            }
        }
    }

    /// Changes a host's place in a rollout.
    pub fn change<T>(
        &mut self,
        rollout_id: &RolloutId,
        host: &HostName,
        change: impl FnOnce(&mut Placement) -> T,
    ) -> Option<T> {
        let placement = self.rollouts.get_mut(rollout_id)?.placements.get_mut(host)?;
        let result = change(placement);
        self.refresh(host);
        Some(result)
    }

    /// Brings everything a host counts in up to date.
    pub fn refresh(&mut self, name: &HostName) {
        let Some(host) = self.hosts.get(name) else { return };
        let heard = host.liveness.last_heartbeat.unwrap_or(host.known_since);
        let ids: Vec<RolloutId> = host.rollouts.iter().map(|(_, id)| id.clone()).collect();
        for id in &ids {
            let express = self.is_express(name, id);
            let unknown = self.recovering.unreported.contains(name);
            if let Some(rollout) = self.rollouts.get_mut(id) {
                rollout.recount(name, unknown, express, heard);
            }
        }
        self.recontribute(name);
    }

    /// Whether a candidate does not wait for its wave: nothing changes for it, or it is broken and
    /// this is its fix (G19).
    fn is_express(&self, host: &HostName, rollout: &RolloutId) -> bool {
        let candidate = |r: &Rollout| {
            r.is_open() && r.placements.get(host).is_some_and(Placement::is_candidate)
        };
        self.rollouts.get(rollout).is_some_and(candidate)
            && (self.is_no_change(host, rollout) || self.is_broken_elsewhere(host, rollout))
    }

    /// Whether a rollout changes nothing for a host: it runs the target already, converged on it
    /// before, with the same checks (G23), and is healthy.
    #[must_use]
    pub fn is_no_change(&self, host: &HostName, rollout: &RolloutId) -> bool {
        let (Some(h), Some(here)) = (self.hosts.get(host), self.placement(rollout, host)) else {
            return false;
        };
        let Some((before, last)) = self.newest_started(host) else { return false };
        before.id != *rollout
            && last.record.state == HostState::Converged
            && last.entry.closure == here.entry.closure
            && last.entry.checks == here.entry.checks
            && !last.is_unhealthy()
            && h.liveness.current_closure.as_ref() == Some(&Some(here.entry.closure.clone()))
            && h.liveness.resources.drifted == 0
    }

    /// Whether a host uses a slot as failed or degraded under an earlier rollout.
    #[must_use]
    pub fn is_broken_elsewhere(&self, host: &HostName, rollout: &RolloutId) -> bool {
        self.newest_started(host)
            .is_some_and(|(before, last)| before.id != *rollout && last.is_broken())
    }

    /// The budgets in which a host uses a slot now, and why (G19, G25). Who is left out uses none,
    /// whatever it was doing (G7); nor who has left the fleet (G21): it is not heard any more, and what it
    /// was found to be would stand for ever.
    fn slots(&self, name: &HostName) -> (BTreeSet<BudgetId>, SlotUse) {
        let mut budgets = BTreeSet::new();
        let newest = self.newest(name).map(|(_, p)| p);
        let is_member = self.hosts.get(name).is_some_and(|host| host.member.is_some());
        if !is_member || newest.is_some_and(|p| p.skip.is_some()) {
            return (budgets, SlotUse::AtWork);
        }
        let unreported = self.recovering.unreported.contains(name);
        if unreported {
            budgets.extend(newest.into_iter().flat_map(|p| p.entry.budgets.iter().cloned()));
        }
        let mut use_of_slots = SlotUse::AtWork;
        if let Some((_, started)) = self.newest_started(name)
            && started.uses_slot()
        {
            let entries = [Some(started), newest];
            budgets.extend(entries.iter().flatten().flat_map(|p| p.entry.budgets.iter().cloned()));
            if started.is_broken() && !unreported {
                use_of_slots = SlotUse::Broken;
            }
        }
        (budgets, use_of_slots)
    }

    fn recontribute(&mut self, name: &HostName) {
        let by_state = self.hosts.get(name).and_then(|h| h.member.as_ref()).map(|_| {
            self.newest(name).map_or("none", |(_, placement)| placement.record.state.as_str())
        });
        let (slots, use_of_slots) = self.slots(name);
        let slots: Vec<BudgetId> = slots.into_iter().collect();
        let contribution = Contribution { slots, use_of_slots, by_state };
        let Some(host) = self.hosts.get_mut(name) else { return };
        let before = std::mem::replace(&mut host.contribution, contribution.clone());
        if before == contribution {
            return;
        }
        for budget in &before.slots {
            if let Some(budget) = self.budgets.get_mut(budget) {
                budget.users.remove(name);
                budget.broken.remove(name);
            }
        }
        for budget in contribution.slots {
            let budget = self.budgets.entry(budget).or_default();
            budget.users.insert(name.clone());
            if contribution.use_of_slots == SlotUse::Broken {
                budget.broken.insert(name.clone());
            }
        }
        if let Some(state) = before.by_state
            && let Some(count) = self.hosts_by_state.get_mut(state)
        {
            *count -= 1;
        }
        if let Some(state) = contribution.by_state {
            *self.hosts_by_state.entry(state).or_default() += 1;
        }
    }

    /// Adds a host, or finds it.
    pub fn host_entry(&mut self, name: &HostName, known_since: Mono) -> &mut Host {
        self.hosts.get_or_insert_with(name, || Host::new(known_since))
    }
}

impl Rollout {
    fn forget(&mut self, name: &HostName) {
        let Some(placement) = self.placements.remove(name) else { return };
        if let Some(wave) = self.waves.get_mut(wave_position(placement.entry.wave)) {
            wave.hosts -= 1;
            if let Some(counted) = placement.counted {
                wave.remove(counted);
            }
        }
        self.candidates.keep(placement.entry.wave, name, false);
        self.express.keep(placement.entry.wave, name, false);
        if let Some(due) = placement.silence_due {
            self.quiet.remove(&(due, name.clone()));
        }
    }

    fn recount(&mut self, name: &HostName, unknown: bool, express: bool, heard: Mono) {
        let infra_retries = self.manifest.header.policy.infra_retries;
        let Some(placement) = self.placements.get_mut(name) else { return };
        let counted = Counted {
            class: placement.classify(unknown, infra_retries),
            state: placement.record.state,
            unhealthy: placement.is_unhealthy(),
            unheard_failure: unknown && placement.is_artifact_failure(),
            forgiven: placement.is_forgiven(),
            touched: !placement.is_untouched(),
            candidate: placement.is_candidate(),
            express,
        };
        let before = placement.counted.replace(counted);
        let own_wave = placement.entry.wave;
        let silence = silence_moves(placement, &self.manifest.header.policy, heard);
        if let Some(wave) = self.waves.get_mut(wave_position(own_wave)) {
            if let Some(before) = before {
                wave.remove(before);
            }
            wave.add(counted);
        }
        if before.is_some_and(|b| b.candidate) != counted.candidate {
            self.candidates.keep(own_wave, name, counted.candidate);
        }
        if before.is_some_and(|b| b.express) != express {
            self.express.keep(own_wave, name, express);
        }
        self.place_silence(name, silence);
    }
}

fn wave_position(wave: WaveIndex) -> usize {
    usize::try_from(wave.0).unwrap_or(usize::MAX)
}
