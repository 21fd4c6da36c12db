//! Which version of the trust file holds, and whether the adopted release verifies under it.
//!
//! Not here: verifying (see `workers`); the core keeps what came out of it.

use serde_json::json;
use wavegate_proto::artifact::rules::Violation;
use wavegate_proto::ids::KeyId;
use wavegate_proto::time::{Now, Timestamp};
use wavegate_reconciler::fleet::Untrusted;

use super::log::Fact;
use super::{Answer, Core, Token};

/// The version of the trust file that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustHolds {
    /// Its number.
    pub version: u64,
    /// How many keys must sign a release.
    pub threshold: u32,
    /// Which may.
    pub keys: Vec<KeyId>,
    /// What is signed before this is refused.
    pub reject_signed_before: Option<Timestamp>,
    /// Why the adopted release does not verify under it; `None`: it does, or there is none.
    pub untrusted: Option<Violation>,
    /// Whether it took the place of another one just now.
    pub rotated: bool,
}

impl Core {
    pub(super) fn trust_holds(&mut self, now: Now, holds: &TrustHolds, reply: Token) {
        self.trust_version = Some(holds.version);
        if holds.rotated {
            let payload = json!({
                "version": holds.version,
                "threshold": holds.threshold,
                "keys": holds.keys,
                "reject_signed_before": holds.reject_signed_before,
                "release_refused": holds.untrusted.as_ref().map(|violation| violation.code.as_str()),
            });
            self.note(Fact::own(now, "trust_rotated", payload));
        }
        self.fleet.untrusted = holds.untrusted.as_ref().map(|violation| {
            let before = self.fleet.untrusted.as_ref();
            Untrusted {
                version: holds.version,
                code: violation.code,
                since: before.map_or(now.wall, |known| known.since),
            }
        });
        self.reply(reply, Answer::TrustHeld);
    }
}
