//! Where the programs are that the tests start: beside the tests, built in one go with them.

use std::path::{Path, PathBuf};

/// What has to be there.
const PROGRAMS: [&str; 3] = ["wavegate", "wavegate-cp", "wavegate-agent"];

/// The folder of the programs.
///
/// # Panics
/// When one of them was not built.
#[must_use]
pub fn folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/TEST
    let folder = test.parent().and_then(Path::parent).unwrap().to_owned();
    for program in PROGRAMS {
        let path = folder.join(program);
        assert!(path.exists(), "{} is missing: run `cargo xtask test`", path.display());
    }
    folder
}

/// One of them.
///
/// # Panics
/// As [`folder`].
#[must_use]
pub fn path(program: &str) -> PathBuf {
    folder().join(program)
}
