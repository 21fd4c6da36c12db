//! Checkpoints: the end of the log, shown to hosts now and then and shown back by them, so that a
//! control plane that is started on an older copy of its database finds out.
//!
//! A checkpoint is bound to its host by a MAC whose key lies outside the database (G11). What does not
//! verify changes nothing. A log that went back gets a new epoch, at most once a start.
//!
//! Not here: sending journals again, which heals the log (see `heartbeat`, `events`).

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use wavegate_proto::ids::{HostName, LogSeq, Sha256Hash};
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::Checkpoint;

use super::log::Fact;
use super::payload::{EpochRenewed, logged};
use super::rows::Write;
use super::{Core, LogEnd, Output};

/// A host is shown the end of the log again after so many heartbeats.
const SHOWN_EVERY_HEARTBEATS: u64 = 10;

/// What this process knows of the log behind it.
#[derive(Debug, Clone)]
pub(super) struct LogHistory {
    /// The end of the log when the process started.
    found: LogSeq,
    /// The end of what is committed.
    committed: LogEnd,
    /// Whether the epoch has been made anew since the start.
    renewed: bool,
    /// Whether a checkpoint that does not verify has been noted since the start.
    refusal_noted: bool,
    /// Whether marks that do not verify have been noted since the start.
    marks_refusal_noted: bool,
}

impl LogHistory {
    pub(super) fn at_start(end: LogEnd) -> Self {
        Self {
            found: end.seq,
            committed: end,
            renewed: false,
            refusal_noted: false,
            marks_refusal_noted: false,
        }
    }

    /// Whether marks that do not verify are to be noted: the first time since the start.
    pub(super) fn note_marks_refusal(&mut self) -> bool {
        !std::mem::replace(&mut self.marks_refusal_noted, true)
    }
}

impl Core {
    pub(super) fn committed(&mut self, end: LogEnd) {
        self.history.committed = end;
    }

    /// Looks at what a host was shown by an earlier process: once, at its first heartbeat.
    pub(super) fn check_checkpoint(
        &mut self,
        now: Now,
        host: &HostName,
        shown: Option<&Checkpoint>,
    ) {
        let is_first = |h: &wavegate_reconciler::fleet::host::Host| h.liveness.log_shown.is_none();
        let (Some(shown), Some(true)) = (shown, self.fleet.hosts.get(host).map(is_first)) else {
            return;
        };
        if !self.is_ours(host, shown) {
            if !std::mem::replace(&mut self.history.refusal_noted, true) {
                let payload = json!({ "seq": shown.seq });
                self.note(Fact::own(now, "checkpoint_refused", payload).on(host));
            }
        } else if shown.seq > self.history.found {
            self.renew_epoch(now, host);
        } else {
            let end = LogEnd { seq: shown.seq, chain: shown.chain };
            self.outputs.push(Output::CompareLog { host: host.clone(), end });
        }
    }

    /// The end of the log, for a host that has not been shown it for a while.
    pub(super) fn show_checkpoint(&mut self, now: Now, name: &HostName) -> Option<Checkpoint> {
        let every_secs = self.config.heartbeat_secs.saturating_mul(SHOWN_EVERY_HEARTBEATS);
        let end = self.history.committed;
        let host = self.fleet.hosts.get_mut(name)?;
        let due = |at| now.mono.secs_since(at) >= every_secs;
        if end.seq == LogSeq(0) || !host.liveness.log_shown.is_none_or(due) {
            return None;
        }
        host.liveness.log_shown = Some(now.mono);
        let mac = self.mac(name, end.seq, &end.chain).finalize().into_bytes();
        Some(Checkpoint { seq: end.seq, chain: end.chain, mac: Sha256Hash(mac.into()) })
    }

    /// The log is not the one that hosts have seen: agents learn of it by a new epoch and offer every
    /// journal they hold; nobody is dispatched who has not been heard.
    pub(super) fn renew_epoch(&mut self, now: Now, host: &HostName) {
        if std::mem::replace(&mut self.history.renewed, true) {
            return;
        }
        let (old, new) = (self.cp_epoch, self.config.next_epoch);
        self.cp_epoch = new;
        self.epoch_since = now.wall;
        self.write(Write::Epoch { epoch: new, since: now.wall });
        self.note(Fact::own(now, "epoch_renewed", logged(&EpochRenewed { old, new })).on(host));
        self.expect_everybody();
    }

    fn is_ours(&self, host: &HostName, shown: &Checkpoint) -> bool {
        self.mac(host, shown.seq, &shown.chain).verify_slice(&shown.mac.0).is_ok()
    }

    /// A host name holds no line break, so no two checkpoints read the same.
    fn mac(&self, host: &HostName, seq: LogSeq, chain: &Sha256Hash) -> Hmac<Sha256> {
        let mut mac = self.echo_mac();
        mac.update(format!("wavegate checkpoint\n{host}\n{seq}\n{chain}").as_bytes());
        mac
    }

    /// Nothing fed to it yet; what is fed begins with what it is for.
    pub(super) fn echo_mac(&self) -> Hmac<Sha256> {
        // A key shorter than a block is filled up with zeros: so HMAC has it.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.config.echo_key.0);
        Hmac::<Sha256>::new(&block.into())
    }
}
