//! Who may read a file with a private key.
//!
//! Not here: reading it. Whoever does asks the file that it has open for its mode.

/// Others than its owner may read or write a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("others than its owner may use this private key: its mode is {mode:04o}")]
pub struct ExposedKey {
    /// The permission bits.
    pub mode: u32,
}

/// Whether a private key with these permission bits is its owner's alone. Bits above them, as `st_mode`
/// has, are not looked at.
///
/// # Errors
/// When its group or everybody may read or write it.
pub fn require_private(mode: u32) -> Result<(), ExposedKey> {
    if mode & 0o077 == 0 { Ok(()) } else { Err(ExposedKey { mode: mode & 0o7777 }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_may_use_a_private_key() {
        for mode in [0o100_600, 0o400, 0o700] {
            assert_eq!(require_private(mode), Ok(()));
        }
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            assert_eq!(require_private(0o100_000 | mode), Err(ExposedKey { mode }));
        }
        let told = ExposedKey { mode: 0o644 }.to_string();
        assert!(told.ends_with("its mode is 0644"), "{told}");
    }
}
