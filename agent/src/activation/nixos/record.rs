//! Which unit was started to switch, durable before it is started: an agent that comes back finds it again.
//!
//! Not here: how that unit is doing (see `unit`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wavegate_proto::ids::BootId;

use super::system::StorePath;
use super::unit::Verb;
use crate::clock;
use crate::resources::durable::{self, Stored};
use crate::resources::steps::Steps;

/// A switch that has not been seen to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnderWay {
    schema_version: u32,
    boot_id: BootId,
    /// The unit.
    pub(super) unit: String,
    /// What is done.
    pub(super) verb: Verb,
    /// What ran before.
    pub(super) from: StorePath,
    /// What is to run, or to boot next.
    pub(super) to: StorePath,
}

/// The file `switching.json` of the state folder.
#[derive(Debug)]
pub(super) struct SwitchRecord {
    path: PathBuf,
    steps: Arc<dyn Steps>,
}

impl SwitchRecord {
    pub(super) fn in_state_dir(state_dir: &Path, steps: Arc<dyn Steps>) -> Self {
        Self { path: state_dir.join("switching.json"), steps }
    }

    /// What was under way in this boot. A reboot ends every unit, so what an earlier boot began is over.
    ///
    /// # Errors
    /// When it cannot be read: whether a switch is under way is then not known.
    pub(super) fn of_this_boot(&self) -> io::Result<Option<UnderWay>> {
        let boot_id = clock::boot_id()?;
        match durable::read_json::<UnderWay>(&self.path)? {
            Stored::Absent => Ok(None),
            Stored::Found(left) => Ok(Some(left).filter(|left| left.boot_id == boot_id)),
            Stored::Unreadable(why) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {why}", self.path.display()),
            )),
        }
    }

    /// A unit is about to be started.
    pub(super) fn open(
        &self,
        unit: &str,
        verb: Verb,
        from: StorePath,
        to: StorePath,
    ) -> io::Result<()> {
        let (boot_id, unit) = (clock::boot_id()?, unit.to_owned());
        let record = UnderWay { schema_version: 1, boot_id, unit, verb, from, to };
        durable::write_json(self.steps.as_ref(), &self.path, &record)
    }

    /// Its end has been seen.
    pub(super) fn close(&self) -> io::Result<()> {
        durable::remove(self.steps.as_ref(), &self.path)
    }
}
