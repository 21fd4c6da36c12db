//! What operators ask for, in the words of the domain. Alice asks, unless a test says who.
//!
//! Not here: what hosts do (see `verbs`).

use serde_json::Value;
use wavegate_control_plane::core::{Answer, Input, Verb};
use wavegate_proto::ids::{ChannelName, ClosureId, WaveIndex};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::HostDocument;
use wavegate_proto::wire::problem::Problem;
use wavegate_proto::wire::provider::{ProviderState, ProviderSync};

use super::{Cp, id, name};

impl Cp {
    pub(crate) fn ask_as(&mut self, who: &str, verb: Verb, why: &str) -> Result<Value, Problem> {
        let (by, reason) = (who.parse().unwrap(), why.to_owned());
        match self.send(|reply| Input::Verb { verb, by, reason, reply }).unwrap() {
            Answer::Document(document) => Ok(document),
            Answer::Problem(problem) => Err(*problem),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ask(&mut self, verb: Verb) -> Result<Value, Problem> {
        self.ask_as("alice", verb, "because")
    }

    /// What the provider of a host says, told by Alice.
    pub(crate) fn sync(
        &mut self,
        host: &str,
        provider_id: Option<&str>,
        provider_state: ProviderState,
    ) -> Result<HostDocument, Problem> {
        let provider_id = provider_id.map(|id| id.parse().unwrap());
        let sync = ProviderSync { provider_id, provider_state };
        let (host, by) = (name(host), "alice".parse().unwrap());
        match self.send(|reply| Input::SyncProvider { host, sync, by, reply }).unwrap() {
            Answer::Document(document) => Ok(serde_json::from_value(document).unwrap()),
            Answer::Problem(problem) => Err(*problem),
            other => panic!("{other:?}"),
        }
    }

    /// The code with which something is refused.
    pub(crate) fn refused(&mut self, verb: &Verb) -> String {
        let rows = self.disk.log.len();
        let code = self.ask(verb.clone()).expect_err(&format!("{verb:?}")).code().to_owned();
        assert_eq!(self.disk.log.len(), rows, "a refusal adds nothing to the log");
        code
    }

    pub(crate) fn pause(&mut self, rollout: &str) {
        self.ask(Verb::Pause(id(rollout))).unwrap();
    }

    pub(crate) fn abort(&mut self, rollout: &str) {
        self.ask(Verb::Abort(id(rollout))).unwrap();
    }

    pub(crate) fn resume(&mut self, rollout: &str) {
        self.ask(resume(rollout, false)).unwrap();
    }

    pub(crate) fn resume_and_clear(&mut self, rollout: &str) {
        self.ask(resume(rollout, true)).unwrap();
    }

    pub(crate) fn approve(&mut self, rollout: &str, wave: u32) {
        self.ask(Verb::Approve { rollout_id: id(rollout), wave: WaveIndex(wave) }).unwrap();
    }

    pub(crate) fn retry(&mut self, rollout: &str, host: &str) {
        self.ask(retry(rollout, host)).unwrap();
    }

    pub(crate) fn skip(&mut self, rollout: &str, host: &str) {
        self.ask(skip(rollout, host)).unwrap();
    }

    pub(crate) fn hold(&mut self, host: &str, until: Option<Timestamp>) {
        self.ask(Verb::Hold { host: name(host), until }).unwrap();
    }

    pub(crate) fn release(&mut self, host: &str) {
        self.ask(Verb::Release(name(host))).unwrap();
    }

    pub(crate) fn clear(&mut self, channel: &str, closure: &ClosureId) {
        self.ask(clear(channel, closure)).unwrap();
    }
}

pub(crate) fn resume(rollout: &str, clear_quarantine: bool) -> Verb {
    Verb::Resume { rollout_id: id(rollout), clear_quarantine }
}

pub(crate) fn retry(rollout: &str, host: &str) -> Verb {
    Verb::Retry { rollout_id: id(rollout), host: name(host) }
}

pub(crate) fn skip(rollout: &str, host: &str) -> Verb {
    Verb::Skip { rollout_id: id(rollout), host: name(host) }
}

pub(crate) fn clear(channel: &str, closure: &ClosureId) -> Verb {
    let channel = channel.parse::<ChannelName>().unwrap();
    Verb::ClearQuarantine { channel, closure: closure.clone() }
}
