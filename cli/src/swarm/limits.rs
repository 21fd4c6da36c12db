//! How many connections one process may have.
//!
//! Not here: how many a control plane bears; that is what the swarm is for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open for other reasons than a host's connection.
const OTHER_FILES: u64 = 64;

/// The system does not let one process have so many connections.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{hosts} agents take {needed} open files, and this process may have {allowed}")]
pub struct LimitError {
    hosts: usize,
    needed: u64,
    allowed: u64,
}

/// Raises the limit of open files as far as these hosts need it.
///
/// # Errors
/// When the system does not allow so many.
pub(super) fn expect_files(hosts: usize) -> Result<(), LimitError> {
    let needed = u64::try_from(hosts).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|allowed| allowed >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    let most = limit.maximum.unwrap_or(u64::MAX);
    if most >= needed && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(LimitError { hosts, needed, allowed: most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_system_allows_is_said() {
        assert_eq!(expect_files(1), Ok(()));
        let Some(most) = getrlimit(Resource::Nofile).maximum else { return };
        let error = expect_files(usize::try_from(most).unwrap()).unwrap_err();
        assert!(error.to_string().ends_with(&format!("this process may have {most}")), "{error}");
    }
}
