//! `fleet.toml`: the file in which a person describes the fleet.
//!
//! Not here: bundle files (see [`crate::bundle_toml`]), turning both into a release
//! (see [`crate::release`]).

pub mod check;
pub mod enroll;
pub mod hosts_csv;
pub mod model;
pub mod policy;
pub mod scalar;
pub mod selector;
pub mod source;
pub mod window;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::bundle_toml::{BundleFile, SecretsPolicy};
use hosts_csv::HostsCsv;
use model::{FleetToml, HostsFrom};
use source::{Complaints, FileErrors, Listed, Source};

/// Reads a file beside `fleet.toml`; a test may give one that reads from memory.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// `fleet.toml` together with the bundle files it names.
#[derive(Debug, Clone)]
pub struct FleetFile {
    /// The text, for messages.
    pub source: Source,
    /// The keys.
    pub keys: FleetToml,
    /// The bundles by the path that `fleet.toml` writes.
    pub bundles: BTreeMap<String, BundleFile>,
    /// Whether content that looks like a private key is taken.
    pub secrets: SecretsPolicy,
}

impl FleetFile {
    /// Reads `fleet.toml` at `path`, and every bundle it names.
    ///
    /// # Errors
    /// With file, line and, where there is one, a suggestion.
    pub fn load(path: &Path, secrets: SecretsPolicy) -> Result<Self, FileErrors> {
        Self::load_with(path, secrets, &|path| std::fs::read(path))
    }

    /// The same, with every file read through `read`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(
        path: &Path,
        secrets: SecretsPolicy,
        read: ReadFile<'_>,
    ) -> Result<Self, FileErrors> {
        let text = read(path)
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|error| source::FileError::unreadable(path, &error))?;
        let source = Source::new(path, text);
        let mut keys: FleetToml = source.parse()?;
        let source = match list_hosts(&source, &mut keys, read)? {
            Some(listed) => source.with_listed(listed),
            None => source,
        };
        let mut complaints = Complaints::about(&source);
        let mut bundles = BTreeMap::new();
        for (written, place) in bundle_paths(&keys) {
            let place: Vec<&str> = place.iter().map(String::as_str).collect();
            let file = path.parent().unwrap_or(Path::new("")).join(&written);
            match BundleFile::load(&file, secrets, read) {
                Ok(bundle) => {
                    bundles.insert(written, bundle);
                }
                Err(BundleError::Missing(error)) => {
                    complaints.add(&place, format!("bundle {written:?} cannot be read: {error}"));
                }
                Err(BundleError::Bad(FileErrors(errors))) => {
                    errors.into_iter().for_each(|error| complaints.push(error));
                }
            }
        }
        complaints.check()?;
        Ok(Self { source, keys, bundles, secrets })
    }

    /// The folder that paths in it are relative to.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.source.path().parent().unwrap_or(Path::new("")).to_owned()
    }
}

/// Takes in the hosts of the file that `[hosts_from]` names.
fn list_hosts(
    source: &Source,
    keys: &mut FleetToml,
    read: ReadFile<'_>,
) -> Result<Option<Listed>, FileErrors> {
    let Some(HostsFrom { file }) = &keys.hosts_from else { return Ok(None) };
    let path = source.path().parent().unwrap_or(Path::new("")).join(file);
    let text = read(&path).map_err(|error| {
        source.error_at(&["hosts_from", "file"], format!("{file:?} cannot be read: {error}"))
    })?;
    let HostsCsv { hosts, listed } = HostsCsv::parse(&path, &text)?;
    let listed_source = source.clone().with_listed(listed.clone());
    let mut complaints = Complaints::about(&listed_source);
    for name in keys.hosts.keys().filter(|name| hosts.contains_key(*name)) {
        let message = format!("host {name} stands in fleet.toml as well");
        complaints.add(&["hosts", name.as_str()], message);
    }
    complaints.check()?;
    keys.hosts.extend(hosts);
    Ok(Some(listed))
}

/// Why a bundle file was not taken.
#[derive(Debug)]
pub enum BundleError {
    /// It could not be read: an error of the file that names it.
    Missing(io::Error),
    /// It is wrong.
    Bad(FileErrors),
}

/// Every bundle path with the first place that names it.
fn bundle_paths(keys: &FleetToml) -> BTreeMap<String, Vec<String>> {
    let channels = keys.channels.iter().map(|(name, c)| ("channels", name.to_string(), &c.bundle));
    let classes = keys.classes.iter().map(|(name, c)| ("classes", name.clone(), &c.bundle));
    let hosts = keys.hosts.iter().map(|(name, h)| ("hosts", name.to_string(), &h.bundle));
    let pins = keys.pins.iter().map(|(name, pin)| ("pins", name.to_string(), &pin.bundle));
    let mut paths = BTreeMap::new();
    for (section, name, bundle) in channels.chain(classes).chain(hosts).chain(pins) {
        let Some(path) = bundle else { continue };
        paths
            .entry(path.clone())
            .or_insert_with(|| vec![section.to_owned(), name, "bundle".to_owned()]);
    }
    paths
}
