//! Signals that something of a bundle may have changed: of the kernel about files, of systemd about units.
//!
//! They say where to look and when, nothing about what is there. One that is missed costs time only: whoever listens
//! also looks now and then without being told. What cannot be watched is said once.
//! Not here: looking (see [`super::drift`]), when to (the daemon's schedule).

mod files;
mod paths;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use wavegate_proto::artifact::bundle::{Bundle, ResourceSpec};
use wavegate_proto::ids::ResourceId;

use self::files::FileWatch;
use self::paths::{Folders, Names, folders_of};
use self::units::{UnitNames, UnitWatch};
use super::error::ResourceError;
use super::host::Host;
use super::kind::on_thread;

/// What a signal was about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// Nobody can say what: signals were lost.
    Everything,
    /// This resource.
    Resource(ResourceId),
}

/// Where signals come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Files,
    Units,
}

impl Origin {
    fn describe(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Units => "units",
        }
    }
}

/// The signals about what one bundle names.
pub struct Signals {
    host: Arc<Host>,
    files: Option<FileWatch>,
    units: Option<(UnitNames, UnitWatch)>,
    /// Of what is not watched the reason was told.
    complained: BTreeMap<Origin, String>,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("complained", &self.complained).finish_non_exhaustive()
    }
}

impl Signals {
    /// None yet.
    #[must_use]
    pub(crate) fn on(host: Arc<Host>) -> Self {
        Self { host, files: None, units: None, complained: BTreeMap::new() }
    }

    /// Listens for what concerns `bundle`, and for nothing else. Said again, it finds the folders that have come since,
    /// and takes up again what had ended.
    pub async fn follow(&mut self, bundle: &Bundle) {
        let followed = self.follow_files(folders_of(bundle)).await;
        self.complain(Origin::Files, followed.err());
        let followed = self.follow_units(units_of(bundle)).await;
        self.complain(Origin::Units, followed.err());
    }

    /// Listens for nothing any more.
    pub fn end(&mut self) {
        self.files = None;
        self.units = None;
    }

    /// Waits for the next signals. Stopped before it is done, it has lost none.
    pub async fn next(&mut self) -> BTreeSet<Touched> {
        let files = async {
            match &mut self.files {
                Some(files) => files.changed().await.map_err(|error| error.to_string()),
                None => std::future::pending().await,
            }
        };
        let units = async {
            match &mut self.units {
                Some((_, units)) => units.changed().await.ok_or("the connection ended".to_owned()),
                None => std::future::pending().await,
            }
        };
        let (origin, ended) = tokio::select! {
            touched = files => match touched {
                Ok(touched) => return touched,
                Err(why) => (Origin::Files, why),
            },
            touched = units => match touched {
                Ok(touched) => return touched,
                Err(why) => (Origin::Units, why),
            },
        };
        match origin {
            Origin::Files => self.files = None,
            Origin::Units => self.units = None,
        }
        self.complain(origin, Some(ended));
        BTreeSet::from([Touched::Everything])
    }

    async fn follow_files(&mut self, folders: Folders) -> Result<(), String> {
        if folders.is_empty() {
            self.files = None;
            return Ok(());
        }
        if self.files.is_none() {
            self.files = Some(FileWatch::new().map_err(|error| error.to_string())?);
        }
        let host = Arc::clone(&self.host);
        let found = on_thread(move || Ok(open(&host, folders))).await;
        let found = found.map_err(|error| error.to_string())?;
        let Some(files) = &mut self.files else { return Ok(()) };
        files.follow(found).map_err(|error| error.to_string())
    }

    async fn follow_units(&mut self, names: UnitNames) -> Result<(), String> {
        if self.units.as_ref().is_some_and(|(followed, _)| *followed == names) {
            return Ok(());
        }
        self.units = None;
        if names.is_empty() {
            return Ok(());
        }
        let started: Result<_, ResourceError> = async {
            let systemd = self.host.systemd().await?;
            UnitWatch::start(&systemd, &names).await
        }
        .await;
        self.units = Some((names, started.map_err(|error| error.to_string())?));
        Ok(())
    }

    fn complain(&mut self, origin: Origin, error: Option<String>) {
        let Some(error) = error else {
            self.complained.remove(&origin);
            return;
        };
        if self.complained.get(&origin) != Some(&error) {
            let of = origin.describe();
            tracing::warn!(
                of,
                error,
                "degraded: no signals of changes, drift is found when it is looked for"
            );
            self.complained.insert(origin, error);
        }
    }
}

/// The folders that are there, held open. One that is not is seen to come by the folder above it.
fn open(host: &Host, folders: Folders) -> Vec<(OwnedFd, Names)> {
    let found = folders.into_iter().map(|(path, names)| (host.root().folder(&path), names));
    found.filter_map(|(folder, names)| Some((folder.ok().flatten()?, names))).collect()
}

fn units_of(bundle: &Bundle) -> UnitNames {
    let mut names = UnitNames::new();
    for resource in &bundle.resources {
        if let ResourceSpec::SystemdUnit(spec) = &resource.spec {
            names.entry(spec.name.clone()).or_default().insert(resource.id.clone());
        }
    }
    names
}
