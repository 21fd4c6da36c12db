//! Closure documents: the bundle of each host with its health checks merged in. Hosts that end up
//! with the same document share it.
//!
//! Not here: reading bundle files (see [`crate::bundle_toml`]).

use std::collections::BTreeMap;

use serde_json::Value;
use wavegate_proto::artifact::bundle::{Bundle, MAX_CLOSURE_BYTES};
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{BlobId, ClosureId, HostName};

use super::checks;
use super::resolve::{ResolvedHost, ResolvedHosts, Runs};
use crate::bundle_toml::secrets::{self, SecretsPolicy};
use crate::fleet_toml::source::Complaints;

/// What a host's signed entry names.
#[derive(Debug, Clone)]
pub(super) struct HostClosure {
    pub(super) closure: ClosureId,
    pub(super) checks: Option<BlobId>,
}

/// The documents of a release, and what each host's entry names.
#[derive(Debug, Default)]
pub(super) struct Closures {
    pub(super) of: BTreeMap<HostName, HostClosure>,
    pub(super) documents: BTreeMap<BlobId, Vec<u8>>,
    pub(super) assets: BTreeMap<BlobId, Vec<u8>>,
    secrets: SecretsPolicy,
}

/// Makes the documents of all hosts.
pub(super) fn make(
    hosts: &ResolvedHosts<'_>,
    policy: SecretsPolicy,
    complaints: &mut Complaints<'_>,
) -> Closures {
    let mut closures = Closures { secrets: policy, ..Closures::default() };
    for (name, host) in hosts {
        match closures.add(name, host) {
            Ok(()) => {}
            Err(message) => complaints.add(&["hosts", name.as_str()], message),
        }
    }
    closures
}

impl Closures {
    fn add(&mut self, name: &HostName, host: &ResolvedHost<'_>) -> Result<(), String> {
        let made = match host.runs {
            Runs::Bundle(_, file) => {
                let mut bundle = file.bundle.clone();
                bundle.probes = checks::over(&bundle.probes, &host.checks);
                self.assets.extend(file.assets.clone());
                let blob = self.add_document(&bundle)?;
                HostClosure { closure: ClosureId::Bundle(blob), checks: None }
            }
            Runs::StorePath(path) => {
                let probes = checks::over(&[], &host.checks);
                let checks = if probes.is_empty() {
                    None
                } else {
                    let only_probes = Bundle {
                        schema_version: 1,
                        profile: String::new(),
                        max_parallel: 4,
                        resources: Vec::new(),
                        probes,
                    };
                    Some(self.add_document(&only_probes)?)
                };
                HostClosure { closure: path.clone(), checks }
            }
        };
        self.of.insert(name.clone(), made);
        Ok(())
    }

    fn add_document(&mut self, bundle: &Bundle) -> Result<BlobId, String> {
        let value: Value = serde_json::to_value(bundle).map_err(|error| error.to_string())?;
        let bytes = canonical_bytes(&value);
        if bytes.len() > MAX_CLOSURE_BYTES {
            let mib = MAX_CLOSURE_BYTES / 1024 / 1024;
            return Err(format!("its closure document is larger than {mib} MiB; use `source`"));
        }
        if self.secrets.refuses(&bytes) {
            return Err(format!("what it runs {}", secrets::REFUSED));
        }
        // Held to the same rules as on the agent, so that nothing goes out that no agent would read.
        Bundle::parse(&bytes).map_err(|error| error.to_string())?;
        let blob = BlobId::of(&bytes);
        self.documents.insert(blob, bytes);
        Ok(blob)
    }
}
