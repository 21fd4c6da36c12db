//! What both servers and the load need, in one temporary folder: an authority, certificates, the trust
//! file, a signed release of the whole fleet.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tempfile::TempDir;
use wavegate_control_plane::clock::wall;
use wavegate_proto::artifact::release::ReleaseFiles;
use wavegate_proto::artifact::release_dir;
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{BlobId, ClosureId, HostName, WaveIndex};
use wavegate_proto::signing::SignatureFile;

use super::options::Size;
use crate::release_kit::{Kit, host_name, policy, stable};

/// The rollout that the speaking hosts are in.
pub(super) const ROLLOUT: &str = "stable@r1";

/// The closure that everybody is to run: a store path, so that there is no blob to fetch.
const CLOSURE: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-bench";

/// Longer than any run: the speaking hosts stay in the state in which they report.
const SOAK_SECS: u64 = 7 * 86_400;

/// The folder, and the certificates of the hosts that speak.
pub(super) struct Scene {
    dir: TempDir,
    roots: RootCertStore,
    hosts: Vec<(HostName, CertificateDer<'static>, PrivateKeyDer<'static>)>,
    /// How many of them speak; the others only wait.
    speakers: usize,
}

/// The paths in the folder.
#[derive(Debug, Clone)]
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(super) fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    pub(super) fn source(&self) -> PathBuf {
        self.0.join("source")
    }

    pub(super) fn trust(&self) -> PathBuf {
        self.0.join("trust.json")
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.0.join("cp.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.0.join("cp.key")
    }

    /// The reference's database.
    pub(super) fn reference_database(&self) -> PathBuf {
        self.0.join("reference.db")
    }
}

impl Scene {
    /// Makes everything.
    pub(super) fn make(size: &Size) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a temporary folder")?;
        let files = Files::new(dir.path());
        let (issuer, authority_pem) = authority()?;
        let (server, server_key) = certificate(&issuer, None)?;
        std::fs::write(files.certificate(), server.pem())?;
        std::fs::write(files.key(), server_key.serialize_pem())?;
        std::fs::set_permissions(files.key(), Permissions::from_mode(0o600))?;
        let mut kit = Kit::default();
        kit.trust.ca_pem = vec![authority_pem.clone()];
        std::fs::write(files.trust(), serde_json::to_vec(&kit.trust)?)?;
        write_release(&kit, &files.source(), size)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes())?)?;
        let mut hosts = Vec::new();
        for number in 1..=size.connections + size.waiting {
            let host = host_name(number);
            let (certificate, key) = certificate(&issuer, Some(&host))?;
            let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
            hosts.push((host, certificate.der().clone(), key));
        }
        Ok(Self { dir, roots, hosts, speakers: size.connections })
    }

    pub(super) fn files(&self) -> Files {
        Files::new(self.dir.path())
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What those who wait are to have, by its path on the server.
    pub(super) fn asset_path(bytes: usize) -> String {
        format!("/v1/assets/{}", BlobId::of(&asset(bytes)))
    }

    /// What everybody is to run who speaks.
    pub(super) fn closure() -> Result<ClosureId> {
        CLOSURE.parse().map_err(anyhow::Error::msg)
    }

    /// Each speaking host with its client side of TLS.
    pub(super) fn clients(&self) -> Result<Vec<(HostName, Arc<ClientConfig>)>> {
        self.clients_of(&self.hosts[..self.speakers])
    }

    /// The same for each host that only waits.
    pub(super) fn waiting_clients(&self) -> Result<Vec<(HostName, Arc<ClientConfig>)>> {
        self.clients_of(&self.hosts[self.speakers..])
    }

    fn clients_of(
        &self,
        hosts: &[(HostName, CertificateDer<'static>, PrivateKeyDer<'static>)],
    ) -> Result<Vec<(HostName, Arc<ClientConfig>)>> {
        let client = |(host, certificate, key): &(
            HostName,
            CertificateDer<'static>,
            PrivateKeyDer<'static>,
        )| {
            let mut config = ClientConfig::builder()
                .with_root_certificates(self.roots.clone())
                .with_client_auth_cert(vec![certificate.clone()], key.clone_key())?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok((host.clone(), Arc::new(config)))
        };
        hosts.iter().map(client).collect()
    }
}

fn authority() -> Result<(Issuer<'static, KeyPair>, String)> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

/// A certificate of the server, or of a host.
fn certificate(
    issuer: &Issuer<'static, KeyPair>,
    host: Option<&HostName>,
) -> Result<(rcgen::Certificate, KeyPair)> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse()?));
    if let Some(host) = host {
        let uri = format!("spiffe://demo/host/{host}");
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
    }
    params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?, key))
}

/// The speaking hosts are the first wave; the rest of the fleet waits behind them.
fn write_release(kit: &Kit, folder: &Path, size: &Size) -> Result<()> {
    let waves = [size.connections, size.hosts - size.connections];
    let mut spec = stable("r1", &Scene::closure()?, &waves, policy(&[SOAK_SECS, 60]));
    if size.asset_bytes > 0 {
        let closure = write_closure(folder, &asset(size.asset_bytes))?;
        for entry in spec.entries.iter_mut().filter(|entry| entry.wave > WaveIndex(0)) {
            entry.closure = ClosureId::Bundle(closure);
        }
    }
    let signed_at = wall().truncated_to_secs();
    let ReleaseFiles { fleet, fleet_sig, rollouts } = kit.files(1, signed_at, &[spec]);
    let put = |path: &str, bytes: &[u8]| put(folder, path, bytes);
    let signatures = |file: &SignatureFile| serde_json::to_vec(file);
    put(&release_dir::signature_of(release_dir::FLEET), &signatures(&fleet_sig)?)?;
    put(release_dir::FLEET, &fleet)?;
    let id = ROLLOUT.parse().map_err(anyhow::Error::msg)?;
    for rollout in rollouts {
        let header = release_dir::header(&id);
        put(&release_dir::signature_of(&header), &signatures(&rollout.sig)?)?;
        put(&header, &rollout.header)?;
        put(&release_dir::hosts(&id), &rollout.hosts)?;
    }
    Ok(())
}

/// One file of so many bytes.
fn asset(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}

/// A closure with that file, and the file.
fn write_closure(folder: &Path, asset: &[u8]) -> Result<BlobId> {
    let id = BlobId::of(asset);
    let closure = canonical_bytes(&json!({
        "schema_version": 1, "profile": "", "max_parallel": 4, "probes": [],
        "resources": [{
            "id": "content", "kind": "file", "path": "/srv/content", "mode": "0644",
            "create_parents": false, "on_drift": "correct", "depends_on": [], "one_way": false,
            "owner": null, "group": null, "health_gate": null, "asset": id, "size": asset.len(),
        }],
    }));
    put(folder, &release_dir::asset(id), asset)?;
    put(folder, &release_dir::closure(BlobId::of(&closure)), &closure)?;
    Ok(BlobId::of(&closure))
}

fn put(folder: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().context("a path in a folder")?)?;
    Ok(std::fs::write(path, bytes)?)
}
