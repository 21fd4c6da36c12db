//! Appending to the log, and writing derived rows that name the row that changed them.

use serde_json::Value;
use wavegate_proto::ids::{HostName, LogSeq, PersonName, RolloutId, Serial};
use wavegate_proto::record::ProbeStatus;
use wavegate_proto::time::{Now, Timestamp};
use wavegate_reconciler::fleet::placement::Placement;
use wavegate_reconciler::fleet::rollout::Rollout;

use super::rows::{
    DispatchRow, HostRolloutRow, LogRow, PlacementMarks, ProbeFailuresRow, RolloutRow, WaveRow,
    Write,
};
use super::{Answer, Core, Output, Token};

/// Who caused a log row.
#[derive(Debug, Clone)]
pub(super) enum Actor {
    Host(HostName),
    ControlPlane,
    Release(Serial),
    Operator(PersonName),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host) => write!(f, "host/{host}"),
            Self::ControlPlane => f.write_str("control-plane"),
            Self::Release(serial) => write!(f, "release/{serial}"),
            Self::Operator(name) => write!(f, "operator/{name}"),
        }
    }
}

/// What is to be noted.
#[derive(Debug)]
pub(super) struct Fact<'a> {
    pub(super) at: Timestamp,
    pub(super) host: Option<&'a HostName>,
    pub(super) rollout_id: Option<&'a RolloutId>,
    pub(super) kind: &'static str,
    pub(super) actor: Actor,
    pub(super) synthetic: bool,
    pub(super) payload: Value,
}

impl<'a> Fact<'a> {
    /// A fact of the control plane's own.
    pub(super) fn own(now: Now, kind: &'static str, payload: Value) -> Self {
        Self {
            at: now.wall,
            host: None,
            rollout_id: None,
            kind,
            actor: Actor::ControlPlane,
            synthetic: false,
            payload,
        }
    }

    pub(super) fn about(mut self, rollout_id: &'a RolloutId) -> Self {
        self.rollout_id = Some(rollout_id);
        self
    }

    pub(super) fn on(mut self, host: &'a HostName) -> Self {
        self.host = Some(host);
        self
    }

    pub(super) fn by(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }
}

impl Core {
    /// Appends to the log and returns the row's place.
    pub(super) fn note(&mut self, fact: Fact<'_>) -> LogSeq {
        self.last_seq = self.last_seq.next();
        self.write(Write::Log(LogRow {
            seq: self.last_seq,
            at: fact.at,
            host: fact.host.cloned(),
            rollout_id: fact.rollout_id.cloned(),
            kind: fact.kind,
            actor: fact.actor.to_string(),
            synthetic: fact.synthetic,
            payload: fact.payload,
        }));
        self.last_seq
    }

    pub(super) fn write(&mut self, write: Write) {
        self.outputs.push(Output::Write(Box::new(write)));
    }

    pub(super) fn reply(&mut self, to: Token, answer: Answer) {
        self.outputs.push(Output::Reply { to, answer });
    }

    /// Writes a host's place as it stands.
    pub(super) fn save_placement(
        &mut self,
        rollout_id: &RolloutId,
        host: &HostName,
        log_seq: LogSeq,
    ) {
        let Some(placement) = self.fleet.placement(rollout_id, host) else { return };
        let row = HostRolloutRow {
            entry: placement.entry.clone(),
            record: placement.record.clone(),
            journal: placement.journal.to_store(),
            marks: marks(placement),
            log_seq,
        };
        self.write(Write::HostRollout(Box::new(row)));
    }

    /// Writes which probes of a host fail now.
    pub(super) fn save_probe_failures(
        &mut self,
        rollout_id: &RolloutId,
        host: &HostName,
        log_seq: LogSeq,
    ) {
        let Some(placement) = self.fleet.placement(rollout_id, host) else { return };
        let record = &placement.record;
        let failing = record.probes.iter().filter(|probe| probe.status == ProbeStatus::Fail);
        let failing = failing
            .map(|p| {
                (p.name.clone(), p.failing_since.unwrap_or(record.state_since), p.reason.clone())
            })
            .collect();
        let (rollout_id, host) = (rollout_id.clone(), host.clone());
        self.write(Write::ProbeFailures(ProbeFailuresRow { rollout_id, host, failing, log_seq }));
    }

    /// Writes a rollout as it stands.
    pub(super) fn save_rollout(&mut self, rollout_id: &RolloutId, log_seq: LogSeq) {
        let Some(rollout) = self.fleet.rollouts.get(rollout_id) else { return };
        let row = rollout_row(rollout, log_seq);
        self.write(Write::Rollout(row));
    }

    /// Writes that a rollout's current wave has begun.
    pub(super) fn save_wave(&mut self, now: Now, rollout_id: &RolloutId, log_seq: LogSeq) {
        let Some(rollout) = self.fleet.rollouts.get(rollout_id) else { return };
        let (rollout_id, wave) = (rollout_id.clone(), rollout.current_wave);
        self.write(Write::Wave(WaveRow { rollout_id, wave, started_at: now.wall, log_seq }));
    }

    /// Writes a host's open dispatch.
    pub(super) fn save_dispatch(
        &mut self,
        rollout_id: &RolloutId,
        host: &HostName,
        log_seq: LogSeq,
    ) {
        let placement = self.fleet.placement(rollout_id, host);
        let Some(lease) = placement.and_then(|p| p.lease.clone()) else { return };
        self.write(Write::Dispatch(DispatchRow {
            rollout_id: rollout_id.clone(),
            host: host.clone(),
            attempt: lease.attempt,
            no_change: lease.no_change,
            issued_at: lease.issued_at,
            expires_at: lease.expires_at,
            log_seq,
        }));
    }
}

fn marks(placement: &Placement) -> PlacementMarks {
    PlacementMarks {
        issued: placement.issued,
        skip: placement.skip,
        skip_by: placement.skip_by.as_deref().cloned(),
        skip_version: placement.skip_version,
        retried: placement.retried,
        forgiven: placement.forgiven,
        cleared: placement.cleared,
        infra_failures: placement.infra_failures,
        retry_at: placement.retry_at.map(|at| at.wall),
        lost: placement.lost,
        diverged: placement.diverged,
        resources: placement.resources.clone(),
    }
}

fn rollout_row(rollout: &Rollout, log_seq: LogSeq) -> RolloutRow {
    RolloutRow {
        rollout_id: rollout.id.clone(),
        channel: rollout.id.channel.clone(),
        reference: rollout.id.reference.clone(),
        order: rollout.order,
        serial: rollout.serial(),
        content_id: rollout.manifest.content_id,
        header: rollout.manifest.header_bytes.clone(),
        signatures: rollout.manifest.signatures.clone(),
        state: rollout.state,
        halt: rollout.halt.clone(),
        frozen: rollout.frozen,
        current_wave: rollout.current_wave,
        opened_at: rollout.opened_at,
        finished_at: rollout.finished_at,
        superseded_by: rollout.superseded_by.clone(),
        log_seq,
    }
}
