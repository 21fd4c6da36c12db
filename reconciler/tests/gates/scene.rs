//! A fleet built by hand, and what the gates say of it.
//!
//! Not here: any case.

use std::sync::Arc;

use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::artifact::header::RolloutHeader;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::{Attempt, Serial, Sha256Hash, WaveIndex};
use wavegate_proto::record::{Failure, HostRecord, HostState, Rollback};
use wavegate_proto::time::{Mono, Now};
use wavegate_reconciler::fleet::Fleet;
use wavegate_reconciler::fleet::channel::Channel;
use wavegate_reconciler::fleet::host::Membership;
use wavegate_reconciler::fleet::placement::{Lease, Placement};
use wavegate_reconciler::fleet::recovering::Recovering;
use wavegate_reconciler::fleet::rollout::{Manifest, Rollout};
use wavegate_reconciler::gates::{Candidate, Gate, Hold, Lane, Planned, holds};
use wavegate_reconciler::plan::{Action, plan};
use wavegate_reconciler::window;

use crate::spec::{START, Spec, closure, id, name, wall};

/// A fleet, and the time.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) now: Now,
}

impl Scene {
    /// Everybody has been heard; nothing is published.
    pub(crate) fn new() -> Self {
        let opened_at = Some(Mono::default());
        let recovering = Recovering { opened_at, ..Recovering::at_start(false) };
        Self { fleet: Fleet::new(60, recovering), now: Now { wall: wall(), mono: START } }
    }

    /// One rollout `stable@r1`.
    pub(crate) fn with(spec: Spec) -> Self {
        let mut scene = Self::new();
        scene.open("stable@r1", spec);
        scene
    }

    /// Opens a rollout and makes it current on its channel.
    pub(crate) fn open(&mut self, rollout: &str, spec: Spec) {
        let rollout = id(rollout);
        let header = RolloutHeader {
            schema_version: 1,
            fleet: "demo".parse().unwrap(),
            serial: Serial(spec.order),
            signed_at: wall(),
            channel: rollout.channel.clone(),
            reference: rollout.reference.clone(),
            freshness_window_secs: 3600,
            fleet_sha256: Sha256Hash::default(),
            policy: spec.policy,
            budgets: spec.budgets,
            host_count: 1,
            host_root: Sha256Hash::default(),
        };
        let manifest = Manifest {
            header,
            header_bytes: Vec::new(),
            signatures: Vec::new(),
            content_id: Sha256Hash::default(),
        };
        self.fleet.add_rollout(Rollout::open(Arc::new(manifest), spec.order, wall()));
        let after = self.fleet.channels.get(&rollout.channel).map(|known| known.after.clone());
        let known = Channel {
            rollout_id: rollout.clone(),
            signed_at: wall(),
            freshness_window_secs: 3600,
            hosts: 1,
            after: after.unwrap_or_default(),
        };
        self.fleet.channels.insert(rollout.channel, known);
    }

    /// Puts a host into a rollout: a member that was heard just now.
    pub(crate) fn place(&mut self, rollout: &str, host: &str, wave: u32) -> &mut Self {
        self.place_with(rollout, host, wave, |_| ())
    }

    /// The same, with more in its signed entry.
    pub(crate) fn place_with(
        &mut self,
        rollout: &str,
        host: &str,
        wave: u32,
        change: impl FnOnce(&mut HostEntry),
    ) -> &mut Self {
        let (rollout, host) = (id(rollout), name(host));
        let mut entry = HostEntry {
            after: Vec::new(),
            budgets: Vec::new(),
            checks: None,
            closure: closure(&rollout.to_string()),
            host: host.clone(),
            wave: WaveIndex(wave),
        };
        change(&mut entry);
        let member = Membership {
            channel: rollout.channel.clone(),
            tags: Vec::new(),
            target_closure: entry.closure.clone(),
            checks: entry.checks,
        };
        let known = self.fleet.host_entry(&host, self.now.mono);
        known.member = Some(member);
        known.liveness.last_heartbeat = Some(self.now.mono);
        known.liveness.last_seen_at = Some(self.now.wall);
        let target = entry.closure.clone();
        let record = HostRecord::pending(rollout.clone(), host.clone(), entry.wave, target, wall());
        let mut placement = Placement::new(entry, record);
        placement.entered = self.now.mono;
        self.fleet.add_placement(&rollout, &host, placement);
        self
    }

    pub(crate) fn edit(
        &mut self,
        rollout: &str,
        host: &str,
        change: impl FnOnce(&mut Placement),
    ) -> &mut Self {
        self.fleet.change(&id(rollout), &name(host), change).unwrap();
        self
    }

    pub(crate) fn rollout(&mut self, rollout: &str) -> &mut Rollout {
        self.fleet.rollouts.get_mut(&id(rollout)).unwrap()
    }

    pub(crate) fn state(&mut self, rollout: &str, host: &str, state: HostState) -> &mut Self {
        self.edit(rollout, host, |placement| {
            placement.record.state = state;
            placement.lease = None;
        })
    }

    /// It converged on its target, and says that it runs it.
    pub(crate) fn converged(&mut self, rollout: &str, host: &str) -> &mut Self {
        let target = self.fleet.placement(&id(rollout), &name(host)).unwrap().entry.closure.clone();
        let known = self.fleet.hosts.get_mut(&name(host)).unwrap();
        known.liveness.current_closure = Some(Some(target));
        self.state(rollout, host, HostState::Converged)
    }

    pub(crate) fn degraded(&mut self, rollout: &str, host: &str) -> &mut Self {
        self.converged(rollout, host);
        self.edit(rollout, host, |placement| placement.record.degraded_since = Some(wall()))
    }

    pub(crate) fn failed(
        &mut self,
        rollout: &str,
        host: &str,
        class: FailureClass,
        rollback: Rollback,
    ) -> &mut Self {
        self.edit(rollout, host, |placement| {
            placement.record.state = HostState::Failed;
            let reason = "probe-failed".to_owned();
            placement.record.failure = Some(Failure { class, reason, rollback, changed: true });
        })
    }

    /// It has an open dispatch.
    pub(crate) fn lease(&mut self, rollout: &str, host: &str) -> &mut Self {
        let now = self.now;
        self.edit(rollout, host, |placement| {
            placement.issued = Attempt(placement.issued.0 + 1);
            placement.lease = Some(Lease {
                attempt: placement.issued,
                no_change: false,
                issued_at: now.wall,
                expires_at: now.wall.plus_secs(300),
                expires: now.mono.plus_secs(300),
            });
        })
    }

    pub(crate) fn at_millis(&self, millis: u64) -> Now {
        let wall = self.now.wall.plus(std::time::Duration::from_millis(millis));
        Now { wall, mono: self.now.mono.plus_millis(millis) }
    }

    pub(crate) fn wait_millis(&mut self, millis: u64) -> &mut Self {
        self.now = self.at_millis(millis);
        self
    }

    fn candidate<T>(&self, rollout: &str, host: &str, ask: impl FnOnce(&Candidate<'_>) -> T) -> T {
        let (rollout_id, host) = (id(rollout), name(host));
        let rollout = &self.fleet.rollouts[&rollout_id];
        let candidate = Candidate {
            fleet: &self.fleet,
            planned: &Planned::default(),
            rollout,
            window: window::at(&rollout.policy().windows, self.now.wall),
            name: &host,
            host: &self.fleet.hosts[&host],
            placement: self.fleet.placement(&rollout_id, &host).unwrap(),
        };
        ask(&candidate)
    }

    /// What one gate says of a host.
    pub(crate) fn hold(&self, rollout: &str, host: &str, gate: Gate) -> Option<Hold> {
        let mut all = self.all_holds(rollout, host, Lane::Ordinary);
        all.retain(|(asked, _)| *asked == gate);
        assert!(all.len() < 2, "a gate gives one reason");
        all.pop().map(|(_, hold)| hold)
    }

    /// The same, as its code.
    pub(crate) fn code(&self, rollout: &str, host: &str, gate: Gate) -> Option<&'static str> {
        self.hold(rollout, host, gate).map(|hold| hold.code())
    }

    /// What every gate of a lane says.
    pub(crate) fn all_holds(&self, rollout: &str, host: &str, lane: Lane) -> Vec<(Gate, Hold)> {
        self.candidate(rollout, host, |candidate| holds(candidate, lane, self.now).collect())
    }

    pub(crate) fn lane(&self, rollout: &str, host: &str) -> Lane {
        self.candidate(rollout, host, Lane::of)
    }

    /// Who is dispatched now, in order.
    pub(crate) fn dispatched(&self) -> Vec<String> {
        let plan = plan(&self.fleet, self.now);
        let dispatches = plan.actions.iter().filter_map(|action| match action {
            Action::Dispatch { rollout_id, host, .. } => Some(format!("{rollout_id} {host}")),
            Action::SkipOffline { .. }
            | Action::Unskip { .. }
            | Action::MarkLost { .. }
            | Action::MarkFound { .. } => None,
        });
        dispatches.collect()
    }
}

/// What makes a case of an ordinary fleet.
pub(crate) type Change = fn(&mut Scene);

/// A case: its name, what makes it, and the reason that is expected.
pub(crate) type Case = (&'static str, Change, Option<&'static str>);

/// Asks one gate about one host, case by case.
pub(crate) fn table(gate: Gate, rollout: &str, host: &str, fleet: &Scene, cases: &[Case]) {
    for (case, change, expected) in cases {
        let mut scene = fleet.clone();
        change(&mut scene);
        assert_eq!(scene.code(rollout, host, gate), *expected, "{}: {case}", gate.as_str());
    }
}
