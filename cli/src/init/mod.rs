//! `wavegate init`: a small real fleet in an empty folder.
//!
//! Not here: the text of the files (see `templates`), building its first release.

mod templates;

pub(crate) use templates::quoted;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use wavegate_proto::ids::{FleetName, HostName, NameError, PersonName};
use wavegate_proto::trust::{EnrollTrust, TrustFile, TrustedKey};

use crate::keys::ca::intermediate::{INTERMEDIATE_DAYS, INTERMEDIATE_STEM};
use crate::keys::ca::{CaError, CertificateAuthority, Role};
use crate::keys::file::{self, FileAccessError};
use crate::keys::release_key::{self, KeyError};

/// The most hosts `init` makes certificates for.
pub const MAX_HOSTS: u32 = 1000;

/// What to make.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Where; missing or empty.
    pub dir: PathBuf,
    /// How many hosts: `host-01` and so on.
    pub hosts: u32,
    /// The fleet.
    pub fleet: FleetName,
    /// Names and addresses of the control plane beside this machine's.
    pub server_names: Vec<String>,
    /// The time of issue of the certificates.
    pub now: SystemTime,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct InitReport {
    /// Where.
    pub dir: PathBuf,
    /// The fleet.
    pub fleet: FleetName,
    /// The hosts.
    pub hosts: Vec<HostName>,
    /// The files, relative to `dir`, sorted.
    pub files: Vec<String>,
    /// The commands to type next.
    #[serde(skip)]
    pub next: String,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something in the folder.
    #[error("{path} is not empty", path = .0.display())]
    NotEmpty(PathBuf),
    /// No hosts, or too many.
    #[error("the number of hosts must be 1 to {MAX_HOSTS}")]
    Hosts,
    /// A name is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileAccessError),
    /// The release key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate could not be made.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The trust file could not be written as JSON.
    #[error("trust.json: {0}")]
    Trust(#[from] serde_json::Error),
}

/// Makes a small fleet: `fleet.toml`, a bundle, a release key, the trust file, the authority and
/// certificates.
///
/// # Errors
/// When the folder is not empty or something cannot be made; then the folder stays empty.
pub fn init(options: &InitOptions) -> Result<InitReport, InitError> {
    if options.hosts == 0 || options.hosts > MAX_HOSTS {
        return Err(InitError::Hosts);
    }
    let dir = &options.dir;
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) || dir.is_file() {
        return Err(InitError::NotEmpty(dir.clone()));
    }
    let io = |error| FileAccessError { path: dir.clone(), error };
    fs::create_dir_all(dir).map_err(io)?;
    // Staged inside the folder: it may be the one somebody stands in, so it is not replaced itself.
    let staged = tempfile::Builder::new().prefix(".wavegate-init-").tempdir_in(dir).map_err(io)?;
    let hosts = host_names(options.hosts)?;
    let mut files = make(options, &hosts, staged.path())?;
    files.sort();
    for entry in fs::read_dir(staged.path()).map_err(io)? {
        let entry = entry.map_err(io)?;
        fs::rename(entry.path(), dir.join(entry.file_name())).map_err(io)?;
    }
    Ok(InitReport {
        dir: dir.clone(),
        fleet: options.fleet.clone(),
        next: templates::next_commands(&dir.display().to_string(), &hosts),
        hosts,
        files,
    })
}

fn host_names(count: u32) -> Result<Vec<HostName>, NameError> {
    (1..=count).map(|number| HostName::new(&format!("host-{number:02}"))).collect()
}

/// Makes everything in `root`; returns the files relative to it.
fn make(options: &InitOptions, hosts: &[HostName], root: &Path) -> Result<Vec<String>, InitError> {
    for folder in ["bundles", "keys", "ca", "certs"] {
        let path = root.join(folder);
        fs::create_dir(&path).map_err(|error| FileAccessError { path, error })?;
    }
    let (key, enroll_key) = (release_key::generate()?, release_key::generate()?);
    let authority = CertificateAuthority::generate(options.fleet.clone(), options.now)?;
    let mut trust = TrustFile::new(
        options.fleet.clone(),
        1,
        vec![TrustedKey::new(key.public_key())],
        vec![authority.certificate_pem().to_owned()],
    );
    trust.enroll = Some(EnrollTrust { keys: vec![TrustedKey::new(enroll_key.public_key())] });
    let mut trust_json = serde_json::to_string_pretty(&trust)?;
    trust_json.push('\n');
    file::write_public(&root.join("fleet.toml"), &templates::fleet_toml(&options.fleet, hosts))?;
    file::write_public(&root.join("bundles/app.toml"), templates::BUNDLE)?;
    file::write_public(&root.join("trust.json"), &trust_json)?;
    release_key::write(&key, &root.join("keys/release.key"))?;
    release_key::write(&enroll_key, &root.join("keys/enroll.key"))?;
    authority.write(&root.join("ca"))?;
    let issuer = authority.intermediate(options.now, INTERMEDIATE_DAYS)?;
    issuer.write(&root.join("certs"), INTERMEDIATE_STEM)?;
    let mut files: Vec<String> = [
        "fleet.toml",
        "bundles/app.toml",
        "trust.json",
        "keys/release.key",
        "keys/enroll.key",
        "ca/ca.pem",
        "ca/ca.key",
        "certs/issuer.pem",
        "certs/issuer.key",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut roles = vec![
        Role::ControlPlane(options.server_names.clone()),
        Role::Operator(PersonName::new("admin")?),
        Role::Viewer(PersonName::new("read")?),
    ];
    roles.extend(hosts.iter().cloned().map(Role::Host));
    for role in roles {
        let stem = role.file_stem();
        authority.issue(&role, options.now)?.write(&root.join("certs"), &stem)?;
        files.extend(["pem", "key"].map(|suffix| format!("certs/{stem}.{suffix}")));
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
