//! Private keys that this process is given: its owner's alone, or it does not start.
//!
//! Not here: the key it makes for itself (see [`crate::echo_key`]).

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use wavegate_proto::key_file::require_private;

use crate::exit::{Exit, Failure};

/// Refuses a key that others may read. One that is not there is found out by whoever reads it.
///
/// # Errors
/// Exit code 2, with the command that mends it.
pub(crate) fn require_private_key(key: &Path) -> Result<(), Failure> {
    let Ok(meta) = std::fs::metadata(key) else { return Ok(()) };
    require_private(meta.permissions().mode()).map_err(|exposed| {
        Failure::new(Exit::Usage, format!("use {}: {exposed}", key.display()))
            .hint(format!("chmod 600 {}", key.display()))
    })
}
