//! What an operator wants, and what the control plane makes of it. A refusal is an answer, too.
//!
//! Not here: when (any time, see `action`).

use wavegate_control_plane::core::{Answer, Input, Verb};
use wavegate_proto::ids::RolloutId;

use super::Step;
use crate::action::Wish;
use crate::state::At;

impl Step<'_> {
    pub(super) fn wish(&mut self, wish: Wish) {
        self.state.left.verbs -= 1;
        let verb = self.verb(wish);
        let (by, reason) = ("alice".parse().unwrap(), "wanted".to_owned());
        let answer = self.ask(|reply| Input::Verb { verb, by, reason, reply });
        let answered = matches!(answer, Some(Answer::Document(_) | Answer::Problem(_)));
        assert!(answered, "{wish:?}: {answer:?}");
    }

    fn verb(&self, wish: Wish) -> Verb {
        let rollout_id = self.newest();
        let host = |at: At| self.state.hosts[at].name.clone();
        match wish {
            Wish::Pause => Verb::Pause(rollout_id),
            Wish::Resume => Verb::Resume { rollout_id, clear_quarantine: false },
            Wish::Abort => Verb::Abort(rollout_id),
            Wish::Skip(at) => Verb::Skip { rollout_id, host: host(at) },
            Wish::Retry(at) => Verb::Retry { rollout_id, host: host(at) },
            Wish::Hold(at) => Verb::Hold { host: host(at), until: None },
            Wish::Release(at) => Verb::Release(host(at)),
        }
    }

    fn newest(&self) -> RolloutId {
        let release = &self.setup.releases[self.state.released - 1];
        release.rollouts.values().next().unwrap().header.rollout_id()
    }
}
