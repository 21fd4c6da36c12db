//! A control plane in this process, with clients of each role.
//!
//! Not here: the binary (see `process`).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Identity, Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use wavegate_control_plane::app::{self, Running};
use wavegate_control_plane::clock::wall;
use wavegate_control_plane::config::{
    DEFAULT_MAX_BLOB_BYTES, DEFAULT_RETAIN_SECS, IssuerSettings, Limits, Settings,
};
use wavegate_control_plane::server::tls::install_crypto_provider;

use crate::fleet::{Authority, Certificate, Plan, TestFleet};

/// A control plane that serves, and the fleet it serves.
pub(crate) struct TestPlane {
    pub(crate) fleet: TestFleet,
    pub(crate) dir: TempDir,
    pub(crate) running: Running,
}

/// Writes what a control plane needs into `dir`.
pub(crate) fn write_files(dir: &Path, fleet: &TestFleet) {
    let server = fleet.authority.issue(&[]);
    std::fs::write(dir.join("cp.pem"), server.chain).unwrap();
    std::fs::write(dir.join("cp.key"), server.key).unwrap();
    std::fs::set_permissions(dir.join("cp.key"), Permissions::from_mode(0o600)).unwrap();
    std::fs::write(dir.join("trust.json"), serde_json::to_vec(&fleet.trust()).unwrap()).unwrap();
}

pub(crate) fn settings(dir: &Path) -> Settings {
    Settings {
        state_dir: dir.join("state"),
        trust: dir.join("trust.json"),
        tls_cert: dir.join("cp.pem"),
        tls_key: dir.join("cp.key"),
        client_ca: None,
        issuer: None,
        renew_grace_secs: 0,
        listen: "127.0.0.1:0".parse().unwrap(),
        status_listen: Some("127.0.0.1:0".parse().unwrap()),
        release_source: Some(source(dir).display().to_string()),
        heartbeat_secs: 1,
        poll_secs: 1,
        max_blob_bytes: DEFAULT_MAX_BLOB_BYTES,
        retain_secs: DEFAULT_RETAIN_SECS,
        limits: Limits::default(),
    }
}

pub(crate) fn source(dir: &Path) -> PathBuf {
    dir.join("source")
}

impl TestPlane {
    /// One without a release.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        install_crypto_provider();
        let fleet = TestFleet::new();
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), &fleet);
        let mut settings = settings(dir.path());
        change(&mut settings);
        let running = app::start(&settings).await.unwrap();
        Self { fleet, dir, running }
    }

    /// One that issues certificates of hosts, with this release adopted from its source.
    pub(crate) async fn issuing(plan: &Plan) -> Self {
        let plane = Self::start().await.restart_issuing().await;
        plane.offer(plan).await;
        plane
    }

    /// Stops it, loses its database, and starts it again with an issuing authority.
    pub(crate) async fn restart_wiped(self) -> Self {
        let Self { fleet, dir, running } = self;
        running.stop().await.unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let _absent =
                std::fs::remove_file(dir.path().join(format!("state/wavegate.db{suffix}")));
        }
        let running = app::start(&settings(dir.path())).await.unwrap();
        Self { fleet, dir, running }.restart_issuing().await
    }

    /// Starts it again, with an issuing authority.
    pub(crate) async fn restart_issuing(self) -> Self {
        let (cert, key) = (self.dir.path().join("issuer.pem"), self.dir.path().join("issuer.key"));
        if !cert.exists() {
            let intermediate = self.fleet.authority.intermediate();
            std::fs::write(&cert, intermediate.chain).unwrap();
            std::fs::write(&key, intermediate.key).unwrap();
            std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        }
        self.restart_with(|settings| {
            settings.issuer = Some(IssuerSettings { cert, key, host_cert_secs: 3600 });
            settings.renew_grace_secs = 3600;
        })
        .await
    }

    /// One with this release adopted from its source.
    pub(crate) async fn with_release(plan: &Plan) -> Self {
        let plane = Self::start().await;
        plane.offer(plan).await;
        plane
    }

    /// Puts a release into the source and waits until it is adopted.
    pub(crate) async fn offer(&self, plan: &Plan) {
        self.fleet.write_release(&source(self.dir.path()), plan);
        self.running.look_again();
        let operator = self.client("operator/alice");
        let serial = plan.serial;
        self.until("the release is adopted", async || {
            self.get(&operator, "/v1/status").await["serial"] == serial
        })
        .await;
    }

    /// Stops it and starts it again on the same state.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let Self { fleet, dir, running } = self;
        running.stop().await.unwrap();
        let mut settings = settings(dir.path());
        change(&mut settings);
        let running = app::start(&settings).await.unwrap();
        Self { fleet, dir, running }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.running.https)
    }

    pub(crate) fn status_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.status.unwrap())
    }

    /// A client with the certificate of `host/…`, `operator/…` or `viewer/…`.
    pub(crate) fn client(&self, subject: &str) -> Client {
        let certificate = self.fleet.authority.issue(&[&format!("spiffe://demo/{subject}")]);
        client(&self.fleet.authority, Some(&certificate))
    }

    pub(crate) async fn get(&self, client: &Client, path: &str) -> Value {
        let response = client.get(self.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    pub(crate) async fn send(
        &self,
        client: &Client,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        client.request(method, self.url(path)).json(body).send().await.unwrap()
    }

    /// Waits for a condition, not for a time.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..400 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not within 10 s: {what}");
    }
}

pub(crate) fn client(authority: &Authority, certificate: Option<&Certificate>) -> Client {
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let mut builder = Client::builder().tls_certs_only([root]);
    if let Some(Certificate { chain, key }) = certificate {
        builder = builder.identity(Identity::from_pem(format!("{chain}{key}").as_bytes()).unwrap());
    }
    builder.build().unwrap()
}

/// The code of a problem document, after its form has been checked.
pub(crate) async fn problem(response: Response) -> String {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{status}");
    if status == 503 {
        assert!(response.headers().contains_key("retry-after"));
    }
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["status"], status);
    let code = document["type"].as_str().unwrap().strip_prefix("urn:wavegate:problem:").unwrap();
    code.to_owned()
}

/// A heartbeat of a host that has nothing yet.
pub(crate) fn heartbeat() -> Value {
    json!({
        "agent_version": "0.1.0", "boot_id": "00000000-0000-4000-8000-000000000001",
        "uptime_secs": 12, "at": wall(), "cp_epoch": null, "serial": 0, "current_closure": null,
    })
}
