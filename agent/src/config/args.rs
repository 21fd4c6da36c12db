//! The command line of `wavegate-agent`, also embedded as `wavegate agent …`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};
use wavegate_proto::ids::HostName;

/// The agent on each host: verifies, activates, probes and rolls back.
#[derive(Debug, Clone, Parser)]
#[command(name = "wavegate-agent", version)]
pub struct AgentArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AgentCommand,
}

/// What the agent can be asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum AgentCommand {
    /// Run the daemon.
    Run(Box<RunArgs>),
    /// Join the fleet by a token: fetch this host's certificate.
    Enroll(Box<EnrollArgs>),
    /// Print this host's public key, made when missing: a token can be bound to it.
    HostKey(Box<RunArgs>),
    /// Show where this host is in its rollouts.
    Status(ReadArgs),
    /// Show the resources of the closure that runs.
    Resources(ReadArgs),
    /// Show what the agent did, in order.
    Journal(JournalArgs),
    /// Say of each resource, or of one with its log, what is done about it and why not.
    Explain(ExplainArgs),
    /// Show how each resource differs from what it should be; exit code 1 when one does.
    Drift(HandArgs),
    /// Bring the resources of the closure that runs to their wanted state.
    Reconcile(ReconcileArgs),
    /// Start anew with a resource: its log, its failures, and the job it ran.
    Reset(ResourceArgs),
    /// Drop the record of a resource that is gone.
    Forget(ResourceArgs),
}

/// Arguments of `run`. Each is also a key of the configuration file, in `snake_case`.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct RunArgs {
    /// Where the agent keeps what must survive a restart.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// The trust file: which keys release to this fleet.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<PathBuf>,
    /// The control plane, `https://…`.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The root that the control plane's certificate chains to (PEM) [default: those of the trust file].
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// This host's certificate (PEM); it names the host [default: one in the state folder].
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key (PEM) [default: one in the state folder, made when missing].
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Use the SSH server's Ed25519 host key as this host's key.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_host_key: Option<PathBuf>,
    /// A file with the token to join the fleet by, when there is no certificate yet.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The name to join by, for a token that lets in several hosts [default: the machine's].
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<HostName>,
    /// Put every path of a bundle under this folder (for tests and demos).
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Let bundles run shell jobs on this host.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_shell_jobs: bool,
    /// Let exec probes run as root on this host.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_root_exec: bool,
    /// The D-Bus address of the systemd of another root than `/`.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd_bus: Option<String>,
    /// The socket of the container engine [default: Docker's or Podman's, if the root is `/`].
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_socket: Option<PathBuf>,
    /// This host is a NixOS system: run closures that are store paths, and no bundles.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nixos: bool,
    /// Where nix, nix-store, nix-env, systemd-run, systemctl and journalctl are [default: PATH].
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nixos_programs: Option<PathBuf>,
    /// How often to look for drift, such as `5m`.
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_interval: Option<String>,
    /// A TOML file with these same settings, keys in `snake_case`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// Arguments of `enroll`.
#[derive(Debug, Clone, Default, Args)]
pub struct EnrollArgs {
    /// The token; better in a file or in the variable, where no list of processes shows it.
    #[arg(long, value_name = "TOKEN", env = "WAVEGATE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// As for `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of the reading commands.
#[derive(Debug, Clone, Default, Args)]
pub struct ReadArgs {
    /// Where the agent keeps its state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `journal`.
#[derive(Debug, Clone, Default, Args)]
pub struct JournalArgs {
    /// Where and how.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Only this rollout, `channel@ref`.
    #[arg(long, value_name = "ID")]
    pub rollout: Option<String>,
}

/// Arguments of `explain`.
#[derive(Debug, Clone, Default, Args)]
pub struct ExplainArgs {
    /// Where and how.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Only this resource, with its log.
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}

/// Arguments of the commands that a running agent answers. What is said beside `--state-dir` is for the
/// case that none runs; say what that agent is run with.
#[derive(Debug, Clone, Default, Args)]
pub struct HandArgs {
    /// Where the agent keeps its state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Put every path of a bundle under this folder.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Let bundles run shell jobs on this host.
    #[arg(long)]
    pub allow_shell_jobs: bool,
    /// Let exec probes run as root on this host.
    #[arg(long)]
    pub allow_root_exec: bool,
    /// The D-Bus address of the systemd of another root than `/`.
    #[arg(long, value_name = "ADDRESS")]
    pub systemd_bus: Option<String>,
    /// The socket of the container engine [default: Docker's or Podman's, if the root is `/`].
    #[arg(long, value_name = "FILE")]
    pub container_socket: Option<PathBuf>,
    /// The agent's configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `reconcile`.
#[derive(Debug, Clone, Default, Args)]
pub struct ReconcileArgs {
    /// Where and how.
    #[command(flatten)]
    pub hand: HandArgs,
    /// Only this resource and what it needs.
    #[arg(long, value_name = "ID")]
    pub only: Option<String>,
    /// Show what would be done and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `reset` and `forget`.
#[derive(Debug, Clone, Default, Args)]
pub struct ResourceArgs {
    /// Where and how.
    #[command(flatten)]
    pub hand: HandArgs,
    /// The resource.
    #[arg(value_name = "ID")]
    pub id: String,
}
