//! Which certificates the adopted release revokes. Asked for each request, so that a revocation also
//! ends what runs over connections that are open, and over sessions resumed from a ticket.
//!
//! Not here: who signed it (see [`crate::workers::release`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use wavegate_proto::artifact::fleet::Revocation;
use wavegate_proto::time::Timestamp;

use super::identity::Identity;

/// The cut-off of each revoked subject.
#[derive(Debug, Default)]
pub struct Revocations {
    cut_offs: ArcSwap<BTreeMap<String, Timestamp>>,
    published: Notify,
}

impl Revocations {
    /// Replaces them by those of an adopted release; of several for one subject the latest holds.
    pub fn publish(&self, revoked: &[Revocation]) {
        let mut cut_offs = BTreeMap::<String, Timestamp>::new();
        for revocation in revoked {
            let cut_off = cut_offs.entry(revocation.subject.clone()).or_default();
            *cut_off = (*cut_off).max(revocation.not_before);
        }
        self.cut_offs.store(Arc::new(cut_offs));
        self.published.notify_waiters();
    }

    /// Waits until the certificate is revoked: what waits for long ends then.
    pub async fn until_revoked(&self, identity: &Identity) {
        loop {
            let published = self.published.notified();
            tokio::pin!(published);
            // Before looking: nothing that is published in between is missed.
            published.as_mut().enable();
            if self.is_revoked(identity) {
                return;
            }
            published.await;
        }
    }

    /// Whether the certificate was issued before its subject's cut-off.
    #[must_use]
    pub fn is_revoked(&self, identity: &Identity) -> bool {
        let cut_offs = self.cut_offs.load();
        // Asked for each request, and hardly any fleet revokes anybody.
        if cut_offs.is_empty() {
            return false;
        }
        cut_offs
            .get(&identity.caller.subject())
            .is_some_and(|cut_off| identity.not_before < *cut_off)
    }
}
