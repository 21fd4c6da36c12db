//! The host's private key: PKCS#8 PEM, or the host key of the SSH server. Made when missing, with mode
//! 0600 before its first byte is written.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};
use wavegate_proto::enroll::HostKey;
use wavegate_proto::signing::PrivateKey;

use crate::resources::durable::sync_folder_of;

const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("use the key {path}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It is of another kind.
    #[error("use the key {path}: {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The library said no.
    #[error("sign with the host's key: {0}")]
    Library(#[from] rcgen::Error),
}

/// Reads a key as PKCS#8 PEM, whichever form it has.
///
/// # Errors
/// When it is not there, or of no known form.
pub fn read_pem(path: &Path) -> Result<String, KeyError> {
    let text = std::fs::read_to_string(path).map_err(io_error(path))?;
    if !text.trim_start().starts_with(OPENSSH) {
        return Ok(text);
    }
    let refuse = |reason| KeyError::Content { path: path.to_owned(), reason };
    let key = ssh_key::PrivateKey::from_openssh(&text)
        .map_err(|_| refuse("it cannot be read as an OpenSSH key"))?;
    if key.is_encrypted() {
        return Err(refuse("it is encrypted"));
    }
    let pair = key.key_data().ed25519().ok_or_else(|| refuse("it is not an Ed25519 key"))?;
    Ok(PrivateKey::from_seed(pair.private.to_bytes()).to_pkcs8_pem().clone())
}

/// Makes a key at `path` when there is none, and its folder.
///
/// # Errors
/// When the disk says no.
pub fn make_when_missing(path: &Path) -> Result<(), KeyError> {
    if path.exists() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(io_error(folder))?;
    }
    let pem = KeyPair::generate()?.serialize_pem();
    // Whole or not at all: half a key would have to be removed by hand.
    let temporary = path.with_extension("key.tmp");
    let write = || {
        let _left_over = std::fs::remove_file(&temporary);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_folder_of(path)
    };
    write().map_err(io_error(path))
}

/// A request for a certificate, signed by the key: PKCS#10, PEM. It asks for no name.
///
/// # Errors
/// When the key cannot sign.
pub fn request(key_pem: &str) -> Result<String, KeyError> {
    let key = KeyPair::from_pem(key_pem)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(&key)?.pem()?)
}

/// The public half: PEM, and what it is called in a token.
///
/// # Errors
/// When the key is of a kind that hosts do not have.
pub fn public(path: &Path) -> Result<(String, HostKey), KeyError> {
    let key = KeyPair::from_pem(&read_pem(path)?)?;
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    let reason = "it is neither Ed25519 nor ECDSA P-256";
    let host_key = HostKey::from_spki_der(&spki)
        .map_err(|_| KeyError::Content { path: path.to_owned(), reason })?;
    Ok((key.public_key_pem(), host_key))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    |error| KeyError::Io { path, error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_private_from_the_start_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity/host.key");
        make_when_missing(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let first = read_pem(&path).unwrap();
        make_when_missing(&path).unwrap();
        assert_eq!(read_pem(&path).unwrap(), first);
        assert!(request(&first).unwrap().starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    }

    #[test]
    fn the_key_of_the_ssh_server_is_the_same_key_here() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ssh_host_ed25519_key");
        let seed = [7; 32];
        let pair = ssh_key::private::Ed25519Keypair {
            public: ssh_key::public::Ed25519PublicKey(public_of(seed)),
            private: ssh_key::private::Ed25519PrivateKey::from_bytes(&seed),
        };
        let ssh = ssh_key::PrivateKey::new(pair.into(), "root@web-07").unwrap();
        let text = ssh.to_openssh(ssh_key::LineEnding::LF).unwrap();
        std::fs::write(&path, text.as_bytes()).unwrap();
        assert_eq!(public(&path).unwrap().1, HostKey::Ed25519(public_of(seed)));
        assert!(request(&read_pem(&path).unwrap()).is_ok());

        std::fs::write(&path, format!("{OPENSSH}\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"))
            .unwrap();
        assert!(matches!(read_pem(&path), Err(KeyError::Content { .. })));
    }

    fn public_of(seed: [u8; 32]) -> [u8; 32] {
        let pem = PrivateKey::from_seed(seed).to_pkcs8_pem().clone();
        KeyPair::from_pem(&pem).unwrap().public_key_raw().try_into().unwrap()
    }
}
