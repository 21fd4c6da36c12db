//! Which jobs ran on this host, and how they ended: one small file a job, named by its content.
//!
//! A record is durable before its job starts and again when it has ended. One without an end means that
//! the agent or the host went down meanwhile: nobody knows how far the job came, so it is not run again
//! until a person has looked.
//! Not here: running jobs (see `shell_job`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wavegate_proto::ids::{ResourceId, Sha256Hash};
use wavegate_proto::time::Timestamp;

use super::durable::{self, Stored};
use super::error::{Doing as _, ResourceError};
use super::steps::Steps;

/// The version of the files.
const SCHEMA_VERSION: u32 = 1;

/// What is known about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    schema_version: u32,
    /// The resource it ran for.
    pub resource: ResourceId,
    /// When it was started.
    pub started_at: Timestamp,
    /// How it ended, once it has.
    pub end: Option<JobEnd>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// When.
    pub at: Timestamp,
    /// Its exit code; `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
    /// The end of its output.
    pub stdout_tail: String,
    /// The end of its complaints.
    pub stderr_tail: String,
}

impl JobRecord {
    /// A job that is about to start.
    #[must_use]
    pub fn begun(resource: ResourceId, started_at: Timestamp) -> Self {
        Self { schema_version: SCHEMA_VERSION, resource, started_at, end: None }
    }
}

/// The folder of records.
#[derive(Debug)]
pub struct Jobs {
    folder: PathBuf,
    steps: Arc<dyn Steps>,
}

impl Jobs {
    /// The records of a state folder.
    #[must_use]
    pub fn in_state_dir(state_dir: &Path, steps: Arc<dyn Steps>) -> Self {
        Self { folder: state_dir.join("jobs"), steps }
    }

    /// The record of a job; `None`: it never ran here.
    pub(crate) fn get(&self, content: &Sha256Hash) -> Result<Option<JobRecord>, ResourceError> {
        let path = self.path(content);
        let name = path.display().to_string();
        let act = ResourceError::io("read", &name);
        match durable::read_json::<JobRecord>(&path).doing(act)? {
            Stored::Absent => Ok(None),
            Stored::Found(record) if record.schema_version == SCHEMA_VERSION => Ok(Some(record)),
            Stored::Found(record) => {
                let found = record.schema_version;
                Err(act.refused(io::Error::other(format!("it has version {found}"))))
            }
            Stored::Unreadable(why) => Err(act.refused(io::Error::other(why))),
        }
    }

    /// Writes the record of a job, durably.
    pub(crate) fn put(
        &self,
        content: &Sha256Hash,
        record: &JobRecord,
    ) -> Result<(), ResourceError> {
        let path = self.path(content);
        let name = path.display().to_string();
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| durable::sync_folder_of(&self.folder))
            .and_then(|()| durable::write_json(self.steps.as_ref(), &path, record));
        written.doing(ResourceError::io("write", &name))
    }

    /// Forgets a job that never started.
    pub(crate) fn remove(&self, content: &Sha256Hash) -> Result<(), ResourceError> {
        let path = self.path(content);
        let name = path.display().to_string();
        durable::remove(self.steps.as_ref(), &path).doing(ResourceError::io("remove", &name))
    }

    /// Forgets what ran for `resource`, so that it runs again. How many jobs that were.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget_those_of(&self, resource: &ResourceId) -> io::Result<usize> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut forgotten = 0;
        for entry in entries {
            let path = entry?.path();
            if let Stored::Found(record) = durable::read_json::<JobRecord>(&path)?
                && record.resource == *resource
            {
                durable::remove(self.steps.as_ref(), &path)?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    fn path(&self, content: &Sha256Hash) -> PathBuf {
        self.folder.join(format!("{content}.json"))
    }
}
