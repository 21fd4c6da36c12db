//! Which steps that nothing undoes were begun on this host: a small durable list.
//!
//! A step enters the list before it begins, so a crash in the middle of it is remembered. It is open until
//! a closure has converged; while one is open there is no way back past it. After that it stays on the
//! list as long as the closure that runs names it, so that doing the same again opens nothing.
//! Not here: refusing to go back (the agent's core).

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use wavegate_proto::artifact::bundle::{Bundle, Resource};
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{ResourceId, Sha256Hash};
use wavegate_proto::time::Timestamp;
use wavegate_state_machine::agent::OneWay;

use super::durable::{self, Stored};
use super::error::{Doing as _, ResourceError};
use super::steps::Steps;

/// The version of the file.
const SCHEMA_VERSION: u32 = 1;

/// Whether a step still stands in the way of going back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    Open,
    Settled,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    resource: ResourceId,
    /// What the step does: the resource without what only orders it.
    content: Sha256Hash,
    begun_at: Timestamp,
    standing: Standing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Document {
    schema_version: u32,
    /// An earlier list was lost: there may be an open step that this one does not name.
    lost: bool,
    steps: Vec<Entry>,
}

/// The list.
#[derive(Debug)]
pub struct OneWaySteps {
    path: PathBuf,
    steps: Arc<dyn Steps>,
    document: Mutex<Document>,
    /// Those that entered the list in the pass that goes on.
    fresh: Mutex<BTreeSet<Sha256Hash>>,
}

impl OneWaySteps {
    /// Reads `one-way.json` of the state folder. One that cannot be understood is moved aside, and then
    /// there is no way back until a closure has converged.
    ///
    /// # Errors
    /// When it was written by a newer agent, or the file system refuses.
    pub fn open(state_dir: &Path, steps: Arc<dyn Steps>) -> io::Result<Self> {
        let path = state_dir.join("one-way.json");
        let mut document =
            Document { schema_version: SCHEMA_VERSION, lost: false, steps: Vec::new() };
        match durable::read_json::<serde_json::Value>(&path)? {
            Stored::Absent => {}
            Stored::Found(value) if newer(&value) => {
                return Err(io::Error::other("it was written by a newer agent"));
            }
            Stored::Found(value) => match serde_json::from_value(value) {
                Ok(found) => document = found,
                Err(error) => document.lost = move_aside(&path, &error.to_string())?,
            },
            Stored::Unreadable(why) => document.lost = move_aside(&path, &why)?,
        }
        if document.lost {
            durable::write_json(steps.as_ref(), &path, &document)?;
        }
        Ok(Self { path, steps, document: Mutex::new(document), fresh: Mutex::default() })
    }

    /// What stands in the way of going back.
    #[must_use]
    pub fn standing(&self) -> OneWay {
        let document = lock(&self.document);
        let open = document.steps.iter().filter(|step| step.standing == Standing::Open);
        let open: Vec<ResourceId> = open.map(|step| step.resource.clone()).collect();
        match (document.lost, open.is_empty()) {
            (true, _) => OneWay::Unknown,
            (false, true) => OneWay::Open,
            (false, false) => OneWay::Passed(open),
        }
    }

    /// A pass towards another closure begins.
    pub(crate) fn begin_pass(&self) {
        lock(&self.fresh).clear();
    }

    /// The pass has changed nothing on the host: what it was about to begin was not begun.
    pub(crate) fn nothing_was_begun(&self) -> io::Result<()> {
        let fresh = std::mem::take(&mut *lock(&self.fresh));
        if fresh.is_empty() {
            return Ok(());
        }
        self.rewrite(|document| document.steps.retain(|step| !fresh.contains(&step.content)))
    }

    /// The step of `resource` is about to begin. Nothing happens when the same step was begun before.
    pub(crate) fn begin(&self, resource: &Resource, now: Timestamp) -> Result<(), ResourceError> {
        let path = self.path.display().to_string();
        let act = ResourceError::io("write", &path);
        let content = content_of(resource).doing(act)?;
        if lock(&self.document).steps.iter().any(|step| step.content == content) {
            return Ok(());
        }
        let (resource, standing) = (resource.id.clone(), Standing::Open);
        let entry = Entry { resource, content, begun_at: now, standing };
        lock(&self.fresh).insert(content);
        self.rewrite(|document| document.steps.push(entry)).doing(act)
    }

    /// `bundle` has converged: going back leads to it from now on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn settle(&self, bundle: &Bundle) -> io::Result<()> {
        let named: Vec<Sha256Hash> =
            bundle.resources.iter().map(content_of).collect::<io::Result<_>>()?;
        self.rewrite(|document| {
            document.lost = false;
            document.steps.retain(|step| named.contains(&step.content));
            for step in &mut document.steps {
                step.standing = Standing::Settled;
            }
        })
    }

    fn rewrite(&self, change: impl FnOnce(&mut Document)) -> io::Result<()> {
        let mut document = lock(&self.document);
        let mut next = document.clone();
        change(&mut next);
        durable::write_json(self.steps.as_ref(), &self.path, &next)?;
        *document = next;
        Ok(())
    }
}

fn newer(document: &serde_json::Value) -> bool {
    document["schema_version"].as_u64().is_some_and(|found| found > u64::from(SCHEMA_VERSION))
}

fn move_aside(path: &Path, why: &str) -> io::Result<bool> {
    let aside = path.with_extension("json.bad");
    tracing::error!(why, aside = %aside.display(), "list of one-way steps unreadable");
    std::fs::rename(path, aside)?;
    Ok(true)
}

fn content_of(resource: &Resource) -> io::Result<Sha256Hash> {
    let mut keys = serde_json::to_value(resource)?;
    if let Some(keys) = keys.as_object_mut() {
        for order_only in ["depends_on", "health_gate", "on_drift", "one_way"] {
            keys.remove(order_only);
        }
    }
    Ok(Sha256Hash::of(&canonical_bytes(&keys)))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
