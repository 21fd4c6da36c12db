//! What runs out, as far as the core knows: signatures and the certificates of hosts.
//!
//! Not here: the control plane's own certificate and the authorities, which the core never sees (see
//! `server`).

use wavegate_proto::ids::HostName;
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::operator::{Expiry, ExpiryKind};

use super::Core;

impl Core {
    /// A row for each channel, and one for the host whose certificate expires first.
    pub(super) fn expiries(&self, now: Now) -> Vec<Expiry> {
        let row = |kind, name: String, at: Timestamp| Expiry {
            kind,
            name,
            at,
            left_secs: at.secs_since(now.wall),
        };
        let channels = self.fleet.channels.iter().map(|(name, channel)| {
            row(ExpiryKind::Freshness, name.to_string(), channel.fresh_until())
        });
        let first = self.first_host_certificate();
        let host = first.map(|(name, at)| row(ExpiryKind::HostCertificate, name.to_string(), at));
        channels.chain(host).collect()
    }

    /// The host whose certificate expires first, among those that have been heard.
    pub(super) fn first_host_certificate(&self) -> Option<(&HostName, Timestamp)> {
        let members = self.fleet.hosts.iter().filter(|(_, host)| host.member.is_some());
        members
            .filter_map(|(name, host)| Some((name, host.liveness.cert_expires_at?)))
            .min_by_key(|(_, at)| *at)
    }
}
