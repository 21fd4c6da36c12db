//! The backend for `/nix/store` closures: realise, set the profile, switch or stage for the next boot.
//!
//! ```text
//! realise, signatures checked -> profile, by path -> a critical component differs? -> stage for boot: deferred
//!                                                                                 \-> switch: a unit of its own
//! ```
//! The switch runs in a unit that survives this agent, and only that unit's exit says how it ended. What runs
//! is read from the system, never remembered.
//! Not here: rebooting, which is for the host's own people or timers.

mod components;
mod programs;
mod record;
mod store;
mod switch;
mod system;
mod unit;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::ClosureId;

use super::backend::{Backend, Brought, Failure, Order};
use crate::resources::engine::Direction;
use crate::resources::error::{Doing as _, ResourceError};
use crate::resources::host::Host;
use crate::resources::steps::Steps;
use programs::Programs;
use record::SwitchRecord;
use switch::Switching;
use system::{StorePath, System};
use unit::Verb;

/// What the backend for store paths needs to know of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NixosSettings {
    /// The folder of `nix`, `nix-store`, `nix-env`, `systemd-run`, `systemctl` and `journalctl`; `None`:
    /// those of `PATH`.
    pub programs: Option<PathBuf>,
}

/// A host that is a NixOS system.
#[derive(Debug)]
pub(super) struct Nixos {
    system: System,
    programs: Programs,
    record: SwitchRecord,
}

impl Nixos {
    pub(super) fn new(
        settings: &NixosSettings,
        root: &Path,
        state_dir: &Path,
        steps: Arc<dyn Steps>,
    ) -> Self {
        Self {
            system: System::below(root),
            programs: Programs::new(settings.programs.clone(), root),
            record: SwitchRecord::in_state_dir(state_dir, steps),
        }
    }

    /// The system that runs. While a switch is under way that is the one it comes from: the link moves
    /// early in a switch.
    ///
    /// # Errors
    /// When that cannot be known; also when the link leads out of the store.
    pub(super) fn current(&self) -> io::Result<ClosureId> {
        let left = self.record.of_this_boot()?;
        let path = match left.filter(|left| left.verb == Verb::Switch) {
            Some(left) => left.from,
            None => self.system.current()?,
        };
        Ok(path.into())
    }
}

/// The backend at work on one closure.
pub(super) struct NixosBackend<'a> {
    pub(super) nixos: &'a Nixos,
    pub(super) host: &'a Host,
    pub(super) target: &'a ClosureId,
}

impl Backend for NixosBackend<'_> {
    async fn bring_about(&self, order: Order) -> Result<Brought, Failure> {
        let deadline = Instant::now() + order.limits.activation;
        let target = StorePath::of(self.target)?;
        let Nixos { system, programs, record } = self.nixos;
        let switching = Switching { system, programs, record, host: self.host };
        let (verb, ended) =
            match switching.await_earlier(&target, order.direction, deadline).await? {
                Some(earlier) => (earlier.verb, earlier.ended),
                None if self.runs_already(&target)? => return Ok(Brought::Running),
                None => {
                    store::realise(programs, &target, deadline).await?;
                    system.require_system(&target)?;
                    self.set_profile(&target).await?;
                    let verb = self.verb(&target, order.direction)?;
                    (verb, switching.run(verb, &target, deadline).await?)
                }
            };
        let component = match switching.conclude(verb, &target, ended)? {
            Concluded::Switched => return Ok(Brought::Running),
            Concluded::Staged => components::first_changed(system, &target)?,
            Concluded::NeedsReboot => {
                let ended = switching.run(Verb::Boot, &target, deadline).await?;
                switching.conclude(Verb::Boot, &target, ended)?;
                None
            }
        };
        staged(&target, component.unwrap_or("init"), order.direction)
    }
}

/// How a unit that ended well has left the system.
enum Concluded {
    Switched,
    Staged,
    /// The new system itself says that it cannot be switched to.
    NeedsReboot,
}

impl NixosBackend<'_> {
    /// Nothing to do: it runs, boots next, and nobody was cut off in the middle of changing that.
    fn runs_already(&self, target: &StorePath) -> Result<bool, Failure> {
        let act = ResourceError::io("read", "what runs and what boots next");
        let system = &self.nixos.system;
        let runs = system.current().doing(act)? == *target;
        let boots = system.profile().doing(act)?.as_ref() == Some(target);
        Ok(runs && boots && !self.host.mark().changed())
    }

    /// Whether to switch now. Going back does what can be done at once: an old kernel comes with the next
    /// boot, everything else now.
    fn verb(&self, target: &StorePath, direction: Direction) -> Result<Verb, Failure> {
        let changed = match direction {
            Direction::Forward => components::first_changed(&self.nixos.system, target)?,
            Direction::Back => None,
        };
        Ok(if changed.is_some() { Verb::Boot } else { Verb::Switch })
    }

    async fn set_profile(&self, target: &StorePath) -> Result<(), Failure> {
        self.host.intend_change()?;
        let profile = self.nixos.system.profile_link();
        let words = [
            "-p".to_owned(),
            profile.display().to_string(),
            "--set".to_owned(),
            target.to_string(),
        ];
        let ended = self.nixos.programs.run("nix-env", &words).await?;
        self.host.note_change();
        let set = self.nixos.system.profile();
        if ended.is_success() && set.is_ok_and(|set| set.as_ref() == Some(target)) {
            return Ok(());
        }
        Err(Failure {
            class: FailureClass::Host,
            reason: "profile-not-set".to_owned(),
            detail: format!("{} does not lead to {target}: {}", profile.display(), ended.tail()),
            exit_code: ended.code(),
        })
    }
}

/// On the way back only what runs counts.
fn staged(target: &StorePath, component: &str, direction: Direction) -> Result<Brought, Failure> {
    match direction {
        Direction::Forward => Ok(Brought::Staged { component: component.to_owned() }),
        Direction::Back => Err(Failure {
            class: FailureClass::Host,
            reason: "reboot-needed".to_owned(),
            detail: format!("{target} boots next; {component} cannot be changed while it runs"),
            exit_code: None,
        }),
    }
}
