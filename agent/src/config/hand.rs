//! What the commands on a host need to know of the agent's configuration.
//!
//! Not here: what only the daemon needs (see [`super::Settings`]).

use std::path::{Path, PathBuf};

use super::args::{HandArgs, RunArgs};
use super::{absolute, bus_of, default_state_dir, file, sockets_of};
use crate::exit::Failure;
use crate::probes::RootExec;
use crate::resources::shell_job::ShellJobs;

/// Where the agent works, and what its host lets bundles do.
#[derive(Debug, Clone)]
pub struct HandSettings {
    /// Where the agent keeps what must survive a restart.
    pub state_dir: PathBuf,
    /// Every path of a bundle is put under this folder.
    pub root: PathBuf,
    /// Whether bundles may run shell jobs here.
    pub shell_jobs: ShellJobs,
    /// The D-Bus address of the root's systemd.
    pub systemd_bus: Option<String>,
    /// Where the root's container engine may listen.
    pub container_sockets: Vec<PathBuf>,
    /// Whether exec probes may run as root here.
    pub root_exec: RootExec,
}

impl HandSettings {
    /// Puts the command line over the configuration file over the defaults.
    ///
    /// # Errors
    /// Exit code 2: an unreadable file, an unknown key, a malformed value.
    pub fn resolve(args: &HandArgs) -> Result<Self, Failure> {
        let layered = file::layer(&RunArgs {
            state_dir: args.state_dir.clone(),
            root: args.root.clone(),
            allow_shell_jobs: args.allow_shell_jobs,
            allow_root_exec: args.allow_root_exec,
            systemd_bus: args.systemd_bus.clone(),
            container_socket: args.container_socket.clone(),
            config: args.config.clone(),
            ..RunArgs::default()
        })?;
        let root = absolute(layered.root.as_deref().unwrap_or(Path::new("/")))?;
        Ok(Self {
            systemd_bus: layered.systemd_bus.or_else(|| bus_of(&root)),
            container_sockets: sockets_of(&root, layered.container_socket),
            state_dir: absolute(&layered.state_dir.unwrap_or_else(default_state_dir))?,
            root,
            shell_jobs: ShellJobs::allowed_if(layered.allow_shell_jobs),
            root_exec: if layered.allow_root_exec { RootExec::Allowed } else { RootExec::Refused },
        })
    }
}
