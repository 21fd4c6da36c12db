//! Reading the public key of a host, to bind a token to it.
//!
//! Not here: private keys of hosts, which never leave them.

use std::path::Path;

use wavegate_proto::enroll::HostKey;

use super::file::{self, FileAccessError};

/// Why it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyFileError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileAccessError),
    /// It holds something else.
    #[error(
        "{0} holds no Ed25519 or ECDSA P-256 public key (a PEM with PUBLIC KEY, or an ssh-ed25519 line)"
    )]
    Content(String),
}

/// Reads a PEM with a `PUBLIC KEY`, or a line in the manner of OpenSSH.
///
/// # Errors
/// When it is neither, or of another kind.
pub fn read_public(path: &Path) -> Result<HostKey, HostKeyFileError> {
    let text = file::read_text(path)?;
    let found = if text.starts_with("ssh-") { openssh(&text) } else { pem(&text) };
    found.ok_or_else(|| HostKeyFileError::Content(path.display().to_string()))
}

fn openssh(line: &str) -> Option<HostKey> {
    let key = ssh_key::PublicKey::from_openssh(line.trim_end()).ok()?;
    key.key_data().ed25519().map(|key| HostKey::Ed25519(key.0))
}

fn pem(text: &str) -> Option<HostKey> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes()).ok()?;
    (pem.label == "PUBLIC KEY").then_some(())?;
    HostKey::from_spki_der(&pem.contents).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same key in both forms, as ssh-keygen and openssl write it.
    #[test]
    fn a_key_is_the_same_in_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = folder.path().join("key.pub");
            std::fs::write(&path, text).unwrap();
            read_public(&path)
        };
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let raw: [u8; 32] = key.public_key_raw().try_into().unwrap();
        let ssh = ssh_key::PublicKey::from(ssh_key::public::Ed25519PublicKey(raw));
        let ssh = format!("{} root@web-07\n", ssh.to_openssh().unwrap());
        assert_eq!(read(&ssh).unwrap(), HostKey::Ed25519(raw));
        assert_eq!(read(&key.public_key_pem()).unwrap(), HostKey::Ed25519(raw));
        for other in ["", "ssh-rsa AAAA", "-----BEGIN PUBLIC KEY-----\n", "hello"] {
            assert!(matches!(read(other), Err(HostKeyFileError::Content(_))), "{other}");
        }
    }
}
