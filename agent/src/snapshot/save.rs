//! Writing the snapshot: whole and durable, or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use wavegate_proto::ids::{ProbeName, ResourceId};
use wavegate_proto::time::Timestamp;

use super::{ProbeSample, ResourceEntry, SNAPSHOT_FILE, SNAPSHOT_VERSION, Snapshot};

/// Whether a save had to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// The file was written.
    Written,
    /// It already says so.
    Clean,
}

/// The file, and what it says.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    on_disk: Option<Snapshot>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u64,
    written_at: Timestamp,
    resources: &'a BTreeMap<ResourceId, ResourceEntry>,
    probes: &'a BTreeMap<ProbeName, Vec<ProbeSample>>,
}

impl SnapshotFile {
    /// The snapshot file of `state_dir`, which says `on_disk` (`None`: there is none).
    #[must_use]
    pub fn new(state_dir: &Path, on_disk: Option<Snapshot>) -> Self {
        Self { path: state_dir.join(SNAPSHOT_FILE), on_disk }
    }

    /// Writes `snapshot`, unless the file is there and says so already.
    ///
    /// # Errors
    /// Those of the file system; the old file is then still there.
    pub fn save(&mut self, snapshot: &Snapshot, now: Timestamp) -> io::Result<Saved> {
        if self.on_disk.as_ref() == Some(snapshot) && self.path.exists() {
            return Ok(Saved::Clean);
        }
        let document = Document {
            schema_version: SNAPSHOT_VERSION,
            written_at: now,
            resources: &snapshot.resources,
            probes: &snapshot.probes,
        };
        replace_durably(&self.path, &serde_json::to_vec_pretty(&document)?)?;
        self.on_disk = Some(snapshot.clone());
        Ok(Saved::Written)
    }
}

/// Temporary file, fsync, rename, fsync of the folder.
pub(crate) fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().ok_or_else(|| io::Error::other("the file has no folder"))?;
    File::open(folder)?.sync_all()
}
