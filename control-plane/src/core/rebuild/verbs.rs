//! What an operator asked for, and what hosts brought back of it.
//!
//! Not here: why it was allowed.

use serde::Deserialize;
use wavegate_proto::wire::operator::{EventItem, Hold, MarkBy, RolloutMark};
use wavegate_reconciler::fleet::rollout::Mark;

use super::fold::{read, rollout};
use super::signed::Artifacts;
use super::{Rebuild, Unfoldable, at};
use crate::core::payload::{
    HostHeld, HostRetried, MarkRestored, Marked, QuarantineCleared, Restored, WaveApproved,
};

impl<A: Artifacts> Rebuild<A> {
    pub(super) fn verb(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        match row.kind.as_str() {
            "rollout_paused" => self.mark(row, RolloutMark::Paused)?,
            "rollout_aborted" => self.mark(row, RolloutMark::Aborted)?,
            "rollout_resumed" => {
                let version = read::<Marked>(row)?.version;
                self.core.unmark(rollout(row)?, version, row.seq);
            }
            "wave_approved" => {
                let WaveApproved { wave, version } = read(row)?;
                self.core.set_approval(rollout(row)?, wave, by(row)?, version, row.seq);
            }
            "host_retried" => {
                let version = read::<HostRetried>(row)?.version;
                self.core.mark_retried(at(row.at), &self.place(row)?, version, row.seq);
            }
            "host_held" => {
                let HostHeld { until, version } = read(row)?;
                let by = by(row)?;
                let hold = Hold { reason: by.reason, actor: by.actor, since: by.at, until };
                let host = row.host.as_ref().ok_or(Unfoldable::NoPlace)?;
                self.core.set_hold(host, Some(hold), version, row.seq);
            }
            "host_released" => {
                let version = read::<Marked>(row)?.version;
                let host = row.host.as_ref().ok_or(Unfoldable::NoPlace)?;
                self.core.set_hold(host, None, version, row.seq);
            }
            "provider_changed" => {
                let host = row.host.as_ref().ok_or(Unfoldable::NoPlace)?;
                self.core.set_provider(host, read(row)?, row.actor.clone(), row.at, row.seq);
            }
            "quarantine_cleared" => {
                let cleared: QuarantineCleared = read(row)?;
                self.core.mark_cleared(cleared, row.seq);
            }
            "mark_restored" => self.restored(row)?,
            _ => return Err(Unfoldable::UnknownKind),
        }
        Ok(())
    }

    fn mark(&mut self, row: &EventItem, mark: RolloutMark) -> Result<(), Unfoldable> {
        let mark = Mark { mark, by: by(row)? };
        let version = read::<Marked>(row)?.version;
        self.core.set_mark(rollout(row)?, Some(mark), version, row.seq);
        Ok(())
    }

    fn restored(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        let MarkRestored { version, restored, from_host: _ } = read(row)?;
        match restored {
            Restored::Mark(mark) => {
                self.core.set_mark(rollout(row)?, mark, version, row.seq);
            }
            Restored::SkippedBy(by) => {
                self.core.set_left_out(&self.place(row)?, by, version, row.seq);
            }
            Restored::Hold(hold) => {
                let host = row.host.as_ref().ok_or(Unfoldable::NoPlace)?;
                self.core.set_hold(host, Some(hold), version, row.seq);
            }
        }
        Ok(())
    }
}

/// Who asked, and why: beside the row's payload, its actor and time.
fn by(row: &EventItem) -> Result<MarkBy, Unfoldable> {
    #[derive(Deserialize)]
    struct Reasoned {
        reason: String,
    }
    let reason = read::<Reasoned>(row)?.reason;
    Ok(MarkBy { actor: row.actor.clone(), reason, at: row.at })
}
