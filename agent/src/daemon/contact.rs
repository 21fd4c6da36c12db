//! Whether the control plane is reached, and whether the two clocks agree: said in the log when it changes,
//! and kept, so that `wavegate-agent status` can explain a host that is cut off.
//!
//! Not here: trying again (see [`super::heartbeat`]).

use wavegate_proto::time::Timestamp;
use wavegate_proto::time_floor::TimeFloor;
use wavegate_proto::wire::agent::HeartbeatAnswer;

use super::inbox::Stopped;
use super::shell::Shell;
use crate::client::ClientError;
use crate::clock;
use crate::journal::{Contact, Note};

/// The time that is known to have been is kept when it has risen by so much, in seconds.
const KEEP_FLOOR_SECS: i64 = 60;

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct ContactLog {
    reached: Option<bool>,
    clocks_agree: Option<bool>,
    kept_floor: TimeFloor,
}

impl ContactLog {
    /// Nothing has been said yet.
    pub(super) fn new(shell: &Shell) -> Self {
        Self { kept_floor: shell.clock.floor(), ..Self::default() }
    }

    /// The control plane has answered.
    pub(super) async fn reached(
        &mut self,
        shell: &Shell,
        answer: &HeartbeatAnswer,
    ) -> Result<(), Stopped> {
        let wall = clock::wall();
        let skew_secs = wall.secs_since(answer.now);
        let agree = shell.clock.compare(answer.now);
        if self.reached.replace(true) != Some(true) {
            tracing::info!(epoch = %answer.cp_epoch, "control plane reached");
        } else if self.clocks_agree == Some(agree) {
            return self.keep_floor(shell).await;
        }
        if !agree && self.clocks_agree != Some(false) {
            tracing::warn!(skew_secs, here = %wall, there = %answer.now, "the clock of this host and that of the control plane differ: set the one that is wrong");
        }
        self.clocks_agree = Some(agree);
        let detail = (!agree).then(|| {
            let (ahead, behind) = (skew_secs.unsigned_abs(), skew_secs < 0);
            let way = if behind { "behind" } else { "ahead of" };
            format!("the clock of this host is {ahead} s {way} that of the control plane")
        });
        let contact = Contact { reached: true, since: wall, detail };
        shell.inbox.keep_note(Note::Contact(contact)).await?;
        self.keep_floor(shell).await
    }

    /// It has not.
    pub(super) async fn missed(
        &mut self,
        shell: &Shell,
        error: &ClientError,
    ) -> Result<(), Stopped> {
        if self.reached.replace(false) == Some(false) {
            return Ok(());
        }
        let wall = clock::wall();
        let detail = match explain(error, wall, shell.clock.floor()) {
            Some(explanation) => format!("{error}; {explanation}"),
            None => error.to_string(),
        };
        tracing::warn!(error = detail, "heartbeat not taken, trying again");
        let contact = Contact { reached: false, since: wall, detail: Some(detail) };
        shell.inbox.keep_note(Note::Contact(contact)).await
    }

    async fn keep_floor(&mut self, shell: &Shell) -> Result<(), Stopped> {
        let floor = shell.clock.floor();
        if floor.at().secs_since(self.kept_floor.at()) < KEEP_FLOOR_SECS {
            return Ok(());
        }
        self.kept_floor = floor;
        shell.inbox.keep_note(Note::TimeFloor(floor.at())).await
    }
}

/// What a clock has to do with it, where it has.
fn explain(error: &ClientError, wall: Timestamp, floor: TimeFloor) -> Option<String> {
    if !error.is_about_time() {
        return None;
    }
    let judged = floor.lift(wall);
    let mut text = format!("this host's clock shows {wall}");
    if floor != TimeFloor::default() {
        text.push_str(&format!(", and {} is known to have been", floor.at()));
    }
    text.push_str(&format!(
        "; at {judged} the certificate is not valid. Set the clock if it is wrong, else the certificate \
         must be replaced; this host goes on trying, and keeps running what it runs"
    ));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_clock_may_explain_is_explained_by_it() {
        let wall = "2028-11-21T09:00:00Z".parse().unwrap();
        let floor = TimeFloor::new("2026-11-21T09:00:00Z".parse().unwrap());
        let expired = ClientError::NotValidNow("certificate expired".to_owned());
        let text = explain(&expired, wall, floor).unwrap();
        for part in ["shows 2028-11-21", "2026-11-21T09:00:00.000Z is known", "Set the clock"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(explain(&ClientError::Unreachable("refused".to_owned()), wall, floor), None);
    }
}
