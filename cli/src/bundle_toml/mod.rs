//! Bundle files: what a person writes about the resources and probes of a host, turned into the
//! document of the release with every default written out.
//!
//! Not here: health checks of `fleet.toml` (see [`crate::release::checks`]).

mod order;
mod resource;
pub mod secrets;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use wavegate_proto::artifact::bundle::{Bundle, Holding, Probe, Resource};
use wavegate_proto::ids::BlobId;

use crate::fleet_toml::source::{Complaints, FileErrors, Source};
use crate::fleet_toml::{BundleError, ReadFile, check};
use resource::Written;
pub use secrets::SecretsPolicy;

/// A bundle file that was read, with what it brings along.
#[derive(Debug, Clone)]
pub struct BundleFile {
    /// The text, for messages.
    pub source: Source,
    /// The document, before health checks of `fleet.toml` are merged in.
    pub bundle: Bundle,
    /// Files too large to stand in the document.
    pub assets: BTreeMap<BlobId, Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleKeys {
    #[serde(default)]
    profile: String,
    #[serde(default = "four")]
    max_parallel: u32,
    #[serde(default)]
    resources: Vec<Map<String, Value>>,
    #[serde(default)]
    probes: Vec<Map<String, Value>>,
}

fn four() -> u32 {
    4
}

impl BundleFile {
    /// Reads the bundle file at `path` and the files it names.
    ///
    /// # Errors
    /// With file, line and, where there is one, a suggestion.
    pub fn load(
        path: &Path,
        secrets: SecretsPolicy,
        read: ReadFile<'_>,
    ) -> Result<Self, BundleError> {
        let text = read(path)
            .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other))
            .map_err(BundleError::Missing)?;
        Self::parse(Source::new(path, text), secrets, read).map_err(BundleError::Bad)
    }

    fn parse(
        source: Source,
        secrets: SecretsPolicy,
        read: ReadFile<'_>,
    ) -> Result<Self, FileErrors> {
        let keys: BundleKeys = source.parse()?;
        let mut complaints = Complaints::about(&source);
        if !(1..=256).contains(&keys.max_parallel) {
            complaints.add(&["max_parallel"], "max_parallel must be 1 to 256");
        }
        let folder = source.path().parent().unwrap_or(Path::new("")).to_owned();
        let mut assets = BTreeMap::new();
        let mut resources = Vec::new();
        for (index, keys) in keys.resources.into_iter().enumerate() {
            let position = index.to_string();
            let place = ["resources", position.as_str()];
            match resource::read(keys, &folder, secrets, read) {
                Ok(Written { resource, asset }) => {
                    assets.extend(asset.map(|bytes| (BlobId::of(&bytes), bytes)));
                    resources.push(resource);
                }
                Err(message) => complaints.push(source.explain_at(&place, &message)),
            }
        }
        let probes = read_probes(keys.probes, &source, secrets, &mut complaints);
        complaints.check()?;
        refuse_doubles(&resources, &probes, &mut complaints);
        order::check(&resources, &mut complaints);
        complaints.check()?;
        let bundle = Bundle {
            schema_version: 1,
            profile: keys.profile,
            max_parallel: keys.max_parallel,
            resources,
            probes,
        };
        if let Err(error) = bundle.check() {
            complaints.add(&["resources"], error.to_string());
        }
        complaints.check()?;
        Ok(Self { source, bundle, assets })
    }
}

fn read_probes(
    written: Vec<Map<String, Value>>,
    source: &Source,
    secrets: SecretsPolicy,
    complaints: &mut Complaints<'_>,
) -> Vec<Probe> {
    let mut probes = Vec::new();
    for (index, keys) in written.into_iter().enumerate() {
        let position = index.to_string();
        let place = ["probes", position.as_str()];
        let secret = secrets.refuses(Value::Object(keys.clone()).to_string().as_bytes());
        match check::read_probe(keys) {
            Ok(_) if secret => complaints.add(&place, secrets::REFUSED),
            Ok(probe) => probes.push(probe),
            Err(message) => complaints.push(source.explain_at(&place, &message)),
        }
    }
    probes
}

fn refuse_doubles(resources: &[Resource], probes: &[Probe], complaints: &mut Complaints<'_>) {
    let mut ids = BTreeMap::new();
    let mut holdings = BTreeMap::new();
    for (index, resource) in resources.iter().enumerate() {
        let place = index.to_string();
        if ids.insert(&resource.id, index).is_some() {
            complaints
                .add(&["resources", &place, "id"], format!("a second resource {}", resource.id));
        }
        for Holding { name, .. } in resource.spec.holdings() {
            let message = format!("a second resource that keeps {name:?}");
            if holdings.insert(name, index).is_some() {
                complaints.add(&["resources", &place], message);
            }
        }
    }
    let mut names = BTreeMap::new();
    for (index, probe) in probes.iter().enumerate() {
        if names.insert(&probe.name, index).is_some() {
            let place = index.to_string();
            complaints.add(&["probes", &place, "name"], format!("a second probe {}", probe.name));
        }
    }
}

#[cfg(test)]
mod tests;
