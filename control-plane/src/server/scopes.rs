//! Which operators may act on some channels only, as the adopted release says (docs/decisions/0050).
//!
//! Not here: roles (see [`super::table`]), what a verb does (see [`crate::core`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use wavegate_proto::artifact::fleet::{FleetDocument, OperatorScope};
use wavegate_proto::ids::{ChannelName, HostName, PersonName};
use wavegate_proto::wire::problem::ProblemCode;

use super::error::ApiError;

/// The scopes of the adopted release.
#[derive(Debug, Default)]
pub struct Scopes {
    adopted: ArcSwap<Adopted>,
}

#[derive(Debug, Default)]
struct Adopted {
    operators: BTreeMap<PersonName, OperatorScope>,
    /// Empty when nobody has a scope.
    channel_of: BTreeMap<HostName, ChannelName>,
}

impl Scopes {
    /// Replaces them by those of an adopted release.
    pub fn publish(&self, fleet: &FleetDocument) {
        let operators = fleet.operators.clone();
        let hosts = fleet.hosts.iter().filter(|_| !operators.is_empty());
        let channel_of = hosts.map(|(name, host)| (name.clone(), host.channel.clone())).collect();
        self.adopted.store(Arc::new(Adopted { operators, channel_of }));
    }

    /// Refuses an operator whose scope does not have the channel.
    pub(super) fn require_channel(
        &self,
        operator: &PersonName,
        channel: &ChannelName,
    ) -> Result<(), ApiError> {
        match self.adopted.load().operators.get(operator) {
            Some(scope) if !scope.channels.contains(channel) => {
                Err(refused(operator, scope, &format!("channel {channel}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses an operator whose scope does not have the host's channel. A host that is on none is in
    /// nobody's scope.
    pub(super) fn require_host(
        &self,
        operator: &PersonName,
        host: &HostName,
    ) -> Result<(), ApiError> {
        let adopted = self.adopted.load();
        match (adopted.operators.get(operator), adopted.channel_of.get(host)) {
            (None, _) => Ok(()),
            (Some(scope), Some(channel)) if scope.channels.contains(channel) => Ok(()),
            (Some(scope), Some(_) | None) => Err(refused(operator, scope, &format!("host {host}"))),
        }
    }

    /// Refuses an operator with a scope: a release is the whole fleet's.
    pub(super) fn require_whole_fleet(&self, operator: &PersonName) -> Result<(), ApiError> {
        match self.adopted.load().operators.get(operator) {
            Some(scope) => Err(refused(operator, scope, "a release, which is the whole fleet's")),
            None => Ok(()),
        }
    }
}

fn refused(operator: &PersonName, scope: &OperatorScope, what: &str) -> ApiError {
    let channels: Vec<&str> = scope.channels.iter().map(ChannelName::as_str).collect();
    let detail = format!(
        "operator/{operator} may act on channels [{}] only, not on {what}",
        channels.join(", ")
    );
    ApiError::new(ProblemCode::RoleForbidden, detail)
}
