//! The certificates of a swarm's hosts, made for this run and kept in memory.
//!
//! Not here: certificates of real hosts (see [`crate::commands::ca`]).

use std::time::SystemTime;

use wavegate_agent::client::Credentials;
use wavegate_proto::ids::HostName;

use crate::keys::ca::{CaError, CertificateAuthority, Role};

/// One certificate a host.
///
/// # Errors
/// When the authority cannot issue them.
pub(super) fn issue(
    authority: &CertificateAuthority,
    roots_pem: &str,
    hosts: &[HostName],
) -> Result<Vec<Credentials>, CaError> {
    let now = SystemTime::now();
    let credentials = |host: &HostName| {
        let issued = authority.issue(&Role::Host(host.clone()), now)?;
        Credentials::from_pem(roots_pem, &issued.certificate_pem, &issued.key_pem)
            .map_err(|error| CaError::Unusable(error.to_string()))
    };
    hosts.iter().map(credentials).collect()
}
