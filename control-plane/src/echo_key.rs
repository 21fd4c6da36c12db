//! The key of what hosts are given to show back. It lies beside the database, not in it: an older copy
//! of the database must not bring back an older key (G11).
//!
//! Not here: what it binds (see [`crate::core`]).

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::core::EchoKey;

/// The key's file in the state folder.
pub const ECHO_KEY_FILE: &str = "echo.key";

const LENGTH_BYTES: usize = 32;

/// The key of the state folder; made when absent. One that is damaged is replaced: hosts then show
/// what does not verify, and that changes nothing.
///
/// # Errors
/// When it can neither be read nor written.
pub(crate) fn read_or_make(state_dir: &Path) -> io::Result<EchoKey> {
    let path = state_dir.join(ECHO_KEY_FILE);
    let known = match fs::read(&path) {
        Ok(bytes) => <[u8; LENGTH_BYTES]>::try_from(bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(named(&path, &error)),
    };
    match known {
        Some(key) => Ok(EchoKey(key)),
        None => make(&path).map_err(|error| named(&path, &error)),
    }
}

fn make(path: &Path) -> io::Result<EchoKey> {
    let mut key = [0; LENGTH_BYTES];
    let filled = getrandom(&mut key, GetRandomFlags::empty())?;
    if filled != LENGTH_BYTES {
        return Err(io::Error::other("the system gave too few random bytes"));
    }
    let beside = path.with_extension("new");
    // What an earlier start left behind may have any mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(EchoKey(key))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_private_whatever_stood_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("echo.new"), b"left behind, for all to read").unwrap();
        read_or_make(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(ECHO_KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn g11_the_key_stays_and_a_damaged_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let first = read_or_make(dir.path()).unwrap();
        assert_eq!(read_or_make(dir.path()).unwrap().0, first.0);
        fs::write(dir.path().join(ECHO_KEY_FILE), b"short").unwrap();
        let second = read_or_make(dir.path()).unwrap();
        assert_ne!(second.0, first.0);
        assert_eq!(read_or_make(dir.path()).unwrap().0, second.0);
    }
}
