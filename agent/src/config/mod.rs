//! What the agent is told to do: the command line, over the configuration file, over defaults.
//!
//! Not here: the trust file (see `wavegate_proto::trust`).

mod args;
mod file;
mod hand;

pub use args::{
    AgentArgs, AgentCommand, EnrollArgs, ExplainArgs, HandArgs, JournalArgs, ReadArgs,
    ReconcileArgs, ResourceArgs, RunArgs,
};
pub use hand::HandSettings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use wavegate_proto::duration::parse_duration;
use wavegate_proto::ids::HostName;

use crate::activation::NixosSettings;
use crate::exit::{Exit, Failure};
use crate::own_program::Supervised;
use crate::resources::shell_job::ShellJobs;
use crate::resources::systemd::SYSTEM_BUS;

/// The folder of what an agent that joined by itself has, in its state folder.
const IDENTITY_FOLDER: &str = "identity";
const CERTIFICATE_FILE: &str = "host.pem";
const KEY_FILE: &str = "host.key";

/// Where Docker and Podman listen.
const ENGINE_SOCKETS: [&str; 2] = ["/run/docker.sock", "/run/podman/podman.sock"];

/// The longest interval of the drift check.
const MAX_DRIFT_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Everything `run` needs, complete and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the agent keeps what must survive a restart.
    pub state_dir: PathBuf,
    /// The trust file.
    pub trust: PathBuf,
    /// The control plane, `https://…`.
    pub url: String,
    /// The root that the control plane's certificate chains to, PEM; `None`: those of the trust file.
    pub ca: Option<PathBuf>,
    /// This host's certificate, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM, or an OpenSSH host key.
    pub key: PathBuf,
    /// Whether the key is made when it is missing.
    pub makes_its_key: bool,
    /// Whether the agent fetches its certificates itself; otherwise somebody puts them there.
    pub renews: bool,
    /// A file with the token to join by.
    pub token_file: Option<PathBuf>,
    /// The name to join by, where a token does not name one.
    pub host_name: Option<HostName>,
    /// Every path of a bundle is put under this folder.
    pub root: PathBuf,
    /// Whether bundles may run shell jobs here.
    pub shell_jobs: ShellJobs,
    /// Whether exec probes may run as root here.
    pub allow_root_exec: bool,
    /// The D-Bus address of the root's systemd.
    pub systemd_bus: Option<String>,
    /// Where the root's container engine may listen.
    pub container_sockets: Vec<PathBuf>,
    /// How this host is switched, if it is a NixOS system.
    pub nixos: Option<NixosSettings>,
    /// How often drift is looked for, before jitter.
    pub drift_interval: Duration,
    /// Who starts the agent again; `None`: nobody, or somebody who knows nothing of other programs.
    pub supervised: Option<Supervised>,
}

impl Settings {
    /// Puts the command line over the configuration file over the defaults.
    ///
    /// # Errors
    /// Exit code 2: an unreadable file, an unknown key, a missing or malformed value.
    pub fn resolve(args: &RunArgs) -> Result<Self, Failure> {
        let layered = file::layer(args)?;
        let drift_interval = layered.drift_interval.as_deref().unwrap_or("5m");
        let drift_interval = parse_duration(drift_interval)
            .map_err(|e| usage(format!("read drift-interval: {e}")))?
            .clamp(Duration::from_millis(100), MAX_DRIFT_INTERVAL);
        let place = key_place(&layered)?;
        let root = absolute(&layered.root.unwrap_or_else(|| PathBuf::from("/")))?;
        Ok(Self {
            systemd_bus: layered.systemd_bus.or_else(|| bus_of(&root)),
            container_sockets: sockets_of(&root, layered.container_socket),
            renews: layered.cert.is_none() || layered.token_file.is_some(),
            cert: layered.cert.unwrap_or_else(|| place.identity.join(CERTIFICATE_FILE)),
            key: place.key,
            makes_its_key: place.makes_its_key,
            token_file: layered.token_file,
            host_name: layered.host_name,
            state_dir: absolute(&layered.state_dir.unwrap_or_else(default_state_dir))?,
            trust: required(layered.trust, "trust")?,
            url: required(layered.url, "url")?,
            ca: layered.ca,
            root,
            shell_jobs: ShellJobs::allowed_if(layered.allow_shell_jobs),
            allow_root_exec: layered.allow_root_exec,
            nixos: layered.nixos.then_some(NixosSettings { programs: layered.nixos_programs }),
            drift_interval,
            supervised: None,
        })
    }

    /// Where this host's key is; nothing else need be configured.
    ///
    /// # Errors
    /// As [`Settings::resolve`].
    pub fn key_place(args: &RunArgs) -> Result<KeyPlace, Failure> {
        key_place(&file::layer(args)?)
    }
}

/// Where this host's key is.
#[derive(Debug, Clone)]
pub struct KeyPlace {
    /// The folder of what the agent made itself.
    pub identity: PathBuf,
    /// The key.
    pub key: PathBuf,
    /// Whether it is made when it is missing.
    pub makes_its_key: bool,
}

/// The SSH server's key is never made here. Any other is, by an agent that joins by itself.
fn key_place(layered: &RunArgs) -> Result<KeyPlace, Failure> {
    let state_dir = layered.state_dir.clone().unwrap_or_else(default_state_dir);
    let identity = absolute(&state_dir)?.join(IDENTITY_FOLDER);
    let own = layered.key.clone().unwrap_or_else(|| identity.join(KEY_FILE));
    let key = layered.ssh_host_key.clone().unwrap_or(own);
    let joins = layered.key.is_none() || layered.token_file.is_some();
    Ok(KeyPlace { identity, key, makes_its_key: joins && layered.ssh_host_key.is_none() })
}

/// `/var/lib/wavegate-agent` for root, else below the user's own state folder (XDG).
#[must_use]
pub fn default_state_dir() -> PathBuf {
    const NAME: &str = "wavegate-agent";
    if rustix::process::geteuid().is_root() {
        return Path::new("/var/lib").join(NAME);
    }
    if let Some(state_home) = std::env::var_os("XDG_STATE_HOME") {
        return PathBuf::from(state_home).join(NAME);
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    home.join(".local/state").join(NAME)
}

/// The machine's systemd manages the machine's root and no other.
fn bus_of(root: &Path) -> Option<String> {
    (root == Path::new("/")).then(|| SYSTEM_BUS.to_owned())
}

/// The machine's container engine serves the machine's root and no other.
fn sockets_of(root: &Path, named: Option<PathBuf>) -> Vec<PathBuf> {
    match named {
        Some(socket) => vec![socket],
        None if root == Path::new("/") => ENGINE_SOCKETS.map(PathBuf::from).to_vec(),
        None => Vec::new(),
    }
}

/// The path from `/`: checks get the root in their environment and run with `/` as their folder, where
/// a relative one would lead elsewhere.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| usage(format!("read {}: {error}", path.display())))
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

fn required<T>(value: Option<T>, flag: &str) -> Result<T, Failure> {
    value.ok_or_else(|| {
        usage(format!("start: --{flag} is missing"))
            .hint("give it on the command line or in the file named by --config")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(config: &str) -> (tempfile::TempDir, RunArgs) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, config).unwrap();
        (dir, RunArgs { config: Some(path), ..RunArgs::default() })
    }

    const COMPLETE: &str =
        "trust = \"t\"\nurl = \"https://cp\"\nca = \"c\"\ncert = \"x\"\nkey = \"k\"\n";

    #[test]
    fn the_command_line_wins_over_the_file() {
        let (_dir, mut args) = args(&format!("{COMPLETE}allow_shell_jobs = true\n"));
        args.url = Some("https://other".to_owned());
        let settings = Settings::resolve(&args).unwrap();
        assert_eq!(settings.url, "https://other");
        assert_eq!(settings.trust, PathBuf::from("t"));
        assert_eq!(settings.shell_jobs, ShellJobs::Allowed);
        assert_eq!(settings.drift_interval, Duration::from_secs(300));
    }

    #[test]
    fn relative_folders_are_taken_from_where_the_agent_is_started() {
        let (_dir, args) = args(&format!("{COMPLETE}root = \"roots/a\"\nstate_dir = \"s\"\n"));
        let settings = Settings::resolve(&args).unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!((settings.root, settings.state_dir), (here.join("roots/a"), here.join("s")));
    }

    #[test]
    fn o5_an_unknown_key_is_refused_with_a_suggestion() {
        let (_dir, args) = args(&format!("{COMPLETE}drift_intervall = \"5m\"\n"));
        let failure = Settings::resolve(&args).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("did you mean \"drift_interval\"?"), "{failure}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let failure = Settings::resolve(&RunArgs::default()).unwrap_err();
        assert!(failure.message.contains("--trust"), "{failure}");
    }
}
