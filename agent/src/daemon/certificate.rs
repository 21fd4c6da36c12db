//! The certificate this host has, as it is on the disk, and what changes when another lies there.
//!
//! Not here: getting another (see [`super::renewal`]).

use std::path::{Path, PathBuf};

use wavegate_proto::ids::Sha256Hash;
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::trust::TrustFile;
use wavegate_state_machine::agent::{CertificateLife, Jitter, RenewalStep, renewal_step};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::client::{ClientError, ControlPlane, Credentials, TlsError};
use crate::clock::FloorClock;
use crate::config::Settings;
use crate::identity::{Identity, IdentityError};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("read the certificate: {0}")]
    Unreadable(&'static str),
    #[error("use the certificate: it names {0}, this agent is another")]
    Other(String),
}

/// The certificate in use.
pub(super) struct OwnCertificate {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca: Option<PathBuf>,
    pub(super) url: String,
    /// Whether the agent fetches the next one.
    pub(super) renews: bool,
    trust: TrustFile,
    /// Authorities of versions of the trust file that were followed: a file given with `--ca` cannot know them.
    followed: Vec<String>,
    clock: FloorClock,
    identity: Identity,
    life: CertificateLife,
    jitter: Jitter,
    /// Since when this process has it, if it fetched it.
    fetched: Option<Mono>,
    /// The hash of the files, in use or of no use.
    seen: Sha256Hash,
}

impl OwnCertificate {
    /// Reads it for the first time.
    pub(super) fn read(settings: &Settings, trust: &TrustFile) -> Result<Self, CertificateError> {
        let (cert, key) = (settings.cert.clone(), settings.key.clone());
        let ca = settings.ca.clone();
        let seen = hash(&cert, &key, ca.as_deref());
        let credentials = Credentials::read(ca.as_deref(), trust, &cert, &key)?;
        let identity = Identity::of_certificate(credentials.leaf())?;
        Ok(Self {
            life: life(&credentials)?,
            cert,
            key,
            ca,
            url: settings.url.clone(),
            renews: settings.renews,
            trust: trust.clone(),
            followed: Vec::new(),
            clock: FloorClock::default(),
            identity,
            jitter: Jitter::of(fastrand::u64(..)),
            fetched: None,
            seen,
        })
    }

    /// Whom this host believes, and by which clock, once that is known.
    pub(super) fn judge_by(
        &mut self,
        trust: &TrustFile,
        clock: &FloorClock,
    ) -> Result<Credentials, CertificateError> {
        if trust.version > self.trust.version {
            self.followed.clone_from(&trust.ca_pem);
        }
        (self.trust, self.clock) = (trust.clone(), clock.clone());
        self.credentials()
    }

    /// What lies on the disk now, if it is still this host's.
    fn credentials(&self) -> Result<Credentials, CertificateError> {
        let read = Credentials::read(self.ca.as_deref(), &self.trust, &self.cert, &self.key)?;
        let identity = Identity::of_certificate(read.leaf())?;
        if identity != self.identity {
            let named = format!("{} of fleet {}", identity.host, identity.fleet);
            return Err(CertificateError::Other(named));
        }
        Ok(read.trusting(&self.followed)?.judged_by(&self.clock))
    }

    /// Believes the authorities of a newer version of the trust file from the next request on; says
    /// whether `trust` is one. What cannot be used is told once.
    pub(super) fn follow(
        &mut self,
        control_plane: &ControlPlane,
        trust: &TrustFile,
    ) -> Result<bool, CertificateError> {
        if trust.version <= self.trust.version {
            return Ok(false);
        }
        let credentials = self.judge_by(trust, &self.clock.clone())?;
        control_plane.use_credentials(&credentials)?;
        Ok(true)
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn trust(&self) -> &TrustFile {
        &self.trust
    }

    pub(super) fn not_after(&self) -> Timestamp {
        self.life.not_after
    }

    /// What is to be done about it.
    pub(super) fn step(&self, now: Now) -> RenewalStep {
        let held_secs = self.fetched.map(|since| now.mono.secs_since(since));
        renewal_step(self.life, self.jitter, now.wall, held_secs)
    }

    /// Uses what lies on the disk now, if it is another than before; says whether it is. `fetched`: since
    /// when it is there, if this process put it there. What cannot be used is told once.
    pub(super) fn take_up(
        &mut self,
        control_plane: &ControlPlane,
        fetched: Option<Mono>,
    ) -> Result<bool, CertificateError> {
        let hash = hash(&self.cert, &self.key, self.ca.as_deref());
        if hash == self.seen {
            return Ok(false);
        }
        self.seen = hash;
        let credentials = self.credentials()?;
        let life = life(&credentials)?;
        control_plane.use_credentials(&credentials)?;
        (self.life, self.fetched) = (life, fetched);
        self.jitter = Jitter::of(fastrand::u64(..));
        Ok(true)
    }
}

fn life(credentials: &Credentials) -> Result<CertificateLife, CertificateError> {
    let (_, certificate) = X509Certificate::from_der(credentials.leaf())
        .map_err(|_| CertificateError::Unreadable("it is no X.509"))?;
    let time = |secs: i64| Timestamp::from_unix_millis(secs.saturating_mul(1000));
    let validity = certificate.validity();
    Ok(CertificateLife {
        not_before: time(validity.not_before.timestamp()),
        not_after: time(validity.not_after.timestamp()),
    })
}

fn hash(cert: &Path, key: &Path, ca: Option<&Path>) -> Sha256Hash {
    let paths = [cert, key].into_iter().chain(ca);
    let hashes = paths.map(|path| Sha256Hash::of(&std::fs::read(path).unwrap_or_default()).0);
    Sha256Hash::of(hashes.collect::<Vec<_>>().as_flattened())
}
