//! The server's certificate, key, client roots and issuing authority, read again while it runs: new
//! connections get the new ones. Those that are open go on, unless the authority of the certificate at the
//! other end is not believed any more.
//!
//! Not here: when (see [`crate::workers::certificates`]).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use wavegate_proto::enroll::HostKey;
use wavegate_proto::ids::{FleetName, HostName, Sha256Hash};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::TrustFile;

use super::tls::{ServerTls, TlsError};
use crate::clock::Clock;
use crate::config::{IssuerSettings, Settings};
use crate::issuing::Issuer;

/// What is read, and from where.
#[derive(Debug)]
struct Sources {
    fleet: FleetName,
    chain: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    issuer: Option<IssuerSettings>,
    clock: Clock,
}

/// What was read together.
#[derive(Debug)]
pub struct Certificates {
    /// For the acceptor.
    pub server: ServerTls,
    /// Issues certificates of hosts, where there is one.
    pub issuer: Option<Issuer>,
}

/// What is read, as it was when it was read last.
#[derive(Debug)]
pub struct LiveTls {
    sources: Sources,
    current: ArcSwap<Certificates>,
    /// The hash of the files that are in use, or that were found to be of no use.
    seen: Mutex<Sha256Hash>,
    changed: watch::Sender<()>,
}

/// What became of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// They are what they were.
    Unchanged,
    /// They are in use now.
    Changed,
}

impl LiveTls {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// When something cannot be read or used.
    pub fn read(settings: &Settings, trust: &TrustFile, clock: &Clock) -> Result<Self, TlsError> {
        let sources = Sources {
            fleet: trust.fleet.clone(),
            chain: settings.tls_cert.clone(),
            key: settings.tls_key.clone(),
            client_ca: settings.client_ca.clone(),
            issuer: settings.issuer.clone(),
            clock: clock.clone(),
        };
        let seen = Mutex::new(sources.hash(trust));
        let current = ArcSwap::from_pointee(sources.read(trust)?);
        Ok(Self { sources, current, seen, changed: watch::Sender::new(()) })
    }

    /// What is in use.
    #[must_use]
    pub fn load(&self) -> Arc<Certificates> {
        self.current.load_full()
    }

    /// Looks at the files and at the authorities of the trust file that holds, and uses them if they are
    /// others than those in use. What cannot be used is told once; what was in use stays.
    ///
    /// # Errors
    /// When they cannot be read or used.
    pub fn reload(&self, trust: &TrustFile) -> Result<Reloaded, TlsError> {
        let hash = self.sources.hash(trust);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == hash {
            return Ok(Reloaded::Unchanged);
        }
        *seen = hash;
        self.current.store(Arc::new(self.sources.read(trust)?));
        self.changed.send_replace(());
        Ok(Reloaded::Changed)
    }

    /// Whether the other end of a connection is believed, from now on. To be made before its handshake.
    #[must_use]
    pub fn standing(self: &Arc<Self>) -> Standing {
        Standing { tls: self.clone(), changes: self.changed.subscribe() }
    }
}

/// Whether the other end of a connection is still believed.
pub struct Standing {
    tls: Arc<LiveTls>,
    changes: watch::Receiver<()>,
}

impl Standing {
    /// Returns when `chain`, shown in the handshake, is not believed any more; never for one that showed
    /// none.
    pub async fn until_distrusted(mut self, chain: &[CertificateDer<'_>]) {
        while !chain.is_empty() && self.changes.changed().await.is_ok() {
            let now = self.tls.sources.clock.wall();
            if self.tls.load().server.verify(chain, now).is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

impl Sources {
    /// Files that are written in place are read half sometimes; the next look finds them changed again.
    fn hash(&self, trust: &TrustFile) -> Sha256Hash {
        let issuer = self.issuer.iter().flat_map(|issuer| [&issuer.cert, &issuer.key]);
        let files = [&self.chain, &self.key].into_iter().chain(&self.client_ca).chain(issuer);
        let files = files.map(|path| std::fs::read(path).unwrap_or_default());
        let authorities = trust.ca_pem.iter().map(|pem| pem.clone().into_bytes());
        let hashes: Vec<[u8; 32]> =
            files.chain(authorities).map(|bytes| Sha256Hash::of(&bytes).0).collect();
        Sha256Hash::of(hashes.as_flattened())
    }

    fn read(&self, trust: &TrustFile) -> Result<Certificates, TlsError> {
        let client_ca = self.client_ca.as_deref();
        let server = ServerTls::read(&self.chain, &self.key, client_ca, &trust.ca_pem)?;
        let server = server.judged_by(&self.clock);
        let issuer = match &self.issuer {
            Some(settings) => {
                let issuer = Issuer::read(settings, &self.fleet)?;
                expect_believed(&issuer, &server, self.clock.wall())?;
                Some(issuer)
            }
            None => None,
        };
        Ok(Certificates { server, issuer })
    }
}

/// What it issues must pass where it will be shown: an authority below another root, or below one that
/// allows none, is found out here and not by the first host.
fn expect_believed(issuer: &Issuer, server: &ServerTls, now: Timestamp) -> Result<(), TlsError> {
    let host = HostName::new("self-check").map_err(|e| TlsError::Rustls(e.to_string()))?;
    let sample = issuer.issue(&host, &HostKey::Ed25519([7; 32]), now)?;
    let chain = super::tls::trust_certificates(&[sample.chain_pem])?;
    server.verify(&chain, now).map_err(|error| {
        let reason = format!("what the issuing certificate signs is not believed here: {error}");
        TlsError::Rustls(reason)
    })
}
