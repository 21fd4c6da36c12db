//! Every decoder of bytes from outside, with inputs that it takes. A new decoder gets its line here.
//!
//! Not here: how the inputs are damaged (see `damage`), documents behind a signature (see `signed`).

use std::io;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, SanType};
use serde::de::DeserializeOwned;
use wavegate::bundle_toml::{BundleFile, SecretsPolicy};
use wavegate::fleet_toml::FleetFile;
use wavegate::fleet_toml::hosts_csv::HostsCsv;
use wavegate_agent::snapshot::{self, SNAPSHOT_FILE};
use wavegate_control_plane::server::identity::read_identity;
use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::json::{MAX_JSON_DEPTH, depth_within};
use wavegate_proto::signing::SignatureFile;
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::TrustFile;
use wavegate_proto::wire::agent::{Dispatch, EventsRequest, Heartbeat, HeartbeatAnswer};
use wavegate_proto::wire::enroll::{CertificateAnswer, EnrollRequest, RenewRequest};
use wavegate_proto::wire::problem::Problem;
use wavegate_proto::wire::publish::PublishRequest;
use wavegate_tests::doc_commands::workspace;

use crate::{joining, signed};

/// A decoder.
pub(crate) struct Decoder {
    pub(crate) name: &'static str,
    /// Inputs that it takes.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Whether it takes an input.
    pub(crate) decode: fn(&[u8]) -> bool,
}

const fn decoder(
    name: &'static str,
    seeds: fn() -> Vec<Vec<u8>>,
    decode: fn(&[u8]) -> bool,
) -> Decoder {
    Decoder { name, seeds, decode }
}

pub(crate) const DECODERS: &[Decoder] = &[
    decoder(
        "trust",
        || golden(&["trust-file", "trust-file-enroll"]),
        |bytes| TrustFile::parse(bytes).is_ok(),
    ),
    decoder("token", joining::tokens, joining::token),
    decoder("csr", joining::requests, joining::request),
    decoder("expired chain", joining::chains, joining::chain),
    decoder(
        "enroll",
        || golden(&["enroll-request", "enroll-request-expired"]),
        message::<EnrollRequest>,
    ),
    decoder("renew", || golden(&["renew-request"]), message::<RenewRequest>),
    decoder("issued", || golden(&["certificate-answer"]), message::<CertificateAnswer>),
    decoder(
        "signature",
        || golden(&["signature-file"]),
        |bytes| SignatureFile::parse(bytes).is_ok(),
    ),
    decoder("header", signed::header_seeds, signed::header),
    decoder("fleet", signed::fleet_seeds, signed::fleet),
    decoder("hosts", signed::hosts_seeds, signed::hosts),
    decoder("proof", signed::proof_seeds, signed::read_proof),
    decoder("bundle", || golden(&["bundle"]), |bytes| Bundle::parse(bytes).is_ok()),
    decoder(
        "cached bundle",
        || golden(&["bundle"]),
        |bytes| serde_json::from_slice::<Bundle>(bytes).is_ok(),
    ),
    decoder("heartbeat", || golden(&["heartbeat"]), message::<Heartbeat>),
    decoder("answer", || golden(&["heartbeat-answer"]), message::<HeartbeatAnswer>),
    decoder("dispatch", || golden(&["dispatch"]), message::<Dispatch>),
    decoder("events", events_seeds, message::<EventsRequest>),
    decoder(
        "problem",
        || golden(&["problem-event-refused", "problem-seq-gap"]),
        message::<Problem>,
    ),
    decoder(
        "publish",
        || golden(&["publish-request", "publish-request-by-hash"]),
        message::<PublishRequest>,
    ),
    decoder("certificate", certificates, |bytes| {
        read_identity(bytes, &"demo".parse().unwrap()).is_ok()
    }),
    decoder("fleet.toml", || vec![FLEET_TOML.into()], fleet_toml),
    decoder("bundle.toml", || vec![BUNDLE_TOML.into()], bundle_toml),
    decoder(
        "hosts.csv",
        || vec![HOSTS_CSV.into()],
        |bytes| HostsCsv::parse(Path::new("hosts.csv"), bytes).is_ok(),
    ),
    decoder("state.json", || vec![STATE_JSON.into()], state_json),
];

fn golden(names: &[&str]) -> Vec<Vec<u8>> {
    let read = |name: &&str| {
        let path = workspace().join(format!("proto/tests/golden/{name}.json"));
        std::fs::read(path).unwrap()
    };
    names.iter().map(read).collect()
}

/// One request for each kind of event there is a golden file of.
fn events_seeds() -> Vec<Vec<u8>> {
    let request: serde_json::Value =
        serde_json::from_slice(&golden(&["events-request"])[0]).unwrap();
    let folder = workspace().join("proto/tests/golden");
    let mut seeds = vec![serde_json::to_vec(&request).unwrap()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("event-") && name != "event-item.json" {
            let event: serde_json::Value =
                serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let mut request = request.clone();
            let entry = if event.get("event").is_some() {
                event
            } else {
                serde_json::json!({ "seq": 1, "at": "2026-11-21T09:00:00.000Z", "event": event })
            };
            request["events"] = serde_json::json!([entry]);
            seeds.push(serde_json::to_vec(&request).unwrap());
        }
    }
    seeds.sort();
    seeds
}

/// As both sides read messages: depth first, then the type.
fn message<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    depth_within(bytes, MAX_JSON_DEPTH) && serde_json::from_slice::<T>(bytes).is_ok()
}

fn certificates() -> Vec<Vec<u8>> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI("spiffe://demo/host/web-01".try_into().unwrap()));
    vec![params.self_signed(&key).unwrap().der().to_vec()]
}

fn fleet_toml(bytes: &[u8]) -> bool {
    let read = |path: &Path| match path.extension().and_then(|suffix| suffix.to_str()) {
        _ if path == Path::new("fleet.toml") => Ok(bytes.to_vec()),
        Some("toml") => Ok(BUNDLE_TOML.into()),
        Some("csv") => Ok(HOSTS_CSV.into()),
        Some(_) | None => Err(io::ErrorKind::NotFound.into()),
    };
    FleetFile::load_with(Path::new("fleet.toml"), SecretsPolicy::Refuse, &read).is_ok()
}

fn bundle_toml(bytes: &[u8]) -> bool {
    let read = |path: &Path| {
        if path == Path::new("app.toml") { Ok(bytes.to_vec()) } else { Ok(b"content".to_vec()) }
    };
    BundleFile::load(Path::new("app.toml"), SecretsPolicy::Refuse, &read).is_ok()
}

/// It takes what it can of a file and complains about the rest.
fn state_json(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(SNAPSHOT_FILE), bytes).unwrap();
    snapshot::load(folder.path(), Timestamp::default())
        .is_ok_and(|loaded| loaded.complaints.is_empty())
}

const FLEET_TOML: &str = r#"[fleet]
name = "demo"
[channels.stable]
rollout_policy = "canary"
bundle = "app.toml"
freshness_window = "24h"
[rollout_policies.canary]
waves = [ { name = "canary", hosts = { tags = ["canary"] }, soak = "30m" },
          { name = "rest", hosts = "all", soak = "5m" } ]
[hosts.web-01]
channel = "stable"
tags = ["web", "canary"]
[hosts.db-1]
channel = "stable"
tags = ["db"]
[[edges]]
before = { hosts = ["db-1"] }
after = { tags = ["web"] }
reason = "schema first"
[[disruption_budgets]]
id = "web"
hosts = { tags_any = ["web"] }
max_in_flight_pct = 50
[[health_checks]]
name = "http"
kind = "http"
url = "http://127.0.0.1/health"
mode = "enforce"
interval = "15s"
[[revoked]]
subject = "host/web-01"
not_before = 2026-11-21T09:00:00Z
"#;

const BUNDLE_TOML: &str = r#"max_parallel = 2
[[resources]]
id = "app-conf"
kind = "file"
path = "/etc/app.conf"
content = "hello"
mode = "0644"
[resources.health_gate]
kind = "tcp"
address = "127.0.0.1:80"
retries = 3
timeout = "10s"
[[resources]]
id = "folder"
kind = "directory"
path = "/var/lib/app"
depends_on = ["app-conf", { host = "db-1", resource = "postgres" }]
[[probes]]
name = "up"
kind = "exec"
argv = ["/bin/true"]
interval = "5s"
timeout = "1s"
"#;

const HOSTS_CSV: &str = "host,channel,tags\nweb-03,stable,web\nweb-04,stable,web canary\n";

const STATE_JSON: &str =
    r#"{"schema_version":1,"written_at":"2026-11-21T09:00:00.000Z","resources":{},"probes":{}}"#;
