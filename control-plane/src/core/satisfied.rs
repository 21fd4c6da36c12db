//! What hosts wait for on other hosts, and whether it is there: asked with each heartbeat, answered from the
//! live model.
//!
//! A resource is there when the newest rollout its host has begun is of the closure that the adopted release
//! names for that host, and the resource is completed in it, its gate passed. Who may wait for what is signed; that a
//! host asks for more gives it nothing that it could not be told.
//! Not here: what is completed (see `wavegate_reconciler::fleet::resource_book`), waiting (the agent).

use wavegate_proto::event::MAX_LIST_ITEMS;
use wavegate_proto::wire::agent::ResourceRef;

use super::Core;

impl Core {
    /// Of what a host waits for, what is there. Two look-ups for each; nothing for a host that waits for nothing.
    pub(super) fn satisfied(&self, awaiting: &[ResourceRef]) -> Vec<ResourceRef> {
        let asked = awaiting.iter().take(MAX_LIST_ITEMS);
        asked.filter(|of| self.is_completed(of)).cloned().collect()
    }

    fn is_completed(&self, of: &ResourceRef) -> bool {
        let member = self.fleet.hosts.get(&of.host).and_then(|host| host.member.as_ref());
        let (Some(member), Some((_, placement))) = (member, self.fleet.newest_started(&of.host))
        else {
            return false;
        };
        placement.entry.closure == member.target_closure
            && !placement.diverged
            && placement.resources.is_completed(placement.record.state, &of.resource)
    }
}
