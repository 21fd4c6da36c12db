//! The command line of `wavegate-cp`, also embedded as `wavegate cp …`.
//!
//! Not here: defaults and checks (see [`super::Settings`]).

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

use super::limits::LimitArgs;

/// The control plane: verifies releases, plans them, tells hosts when they may act.
#[derive(Debug, Clone, Parser)]
#[command(name = "wavegate-cp", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the control plane can be asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run the control plane.
    Serve(Box<ServeArgs>),
    /// Verify the database, its chain, the release and the blobs, changing nothing.
    Check(CheckArgs),
    /// Make the database anew from the log of the one in the state folder, which stays as it is.
    Rebuild(RebuildArgs),
}

/// Arguments of `serve`. Each is also a key of the configuration file, in `snake_case`.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct ServeArgs {
    /// Where everything that must survive a restart is kept.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// The trust file: which keys release to this fleet.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<PathBuf>,
    /// The server's certificate chain (PEM).
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The roots that client certificates chain to (PEM); default: those of the trust file.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// The certificate that hosts' certificates are issued by, with its chain (PEM); without it none are.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_key: Option<PathBuf>,
    /// For how long the certificates of hosts are issued [default: 30d].
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_cert_ttl: Option<String>,
    /// For how long after its end a host's certificate can still be renewed by its key [default: 30d].
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_grace: Option<String>,
    /// Where to listen for agents and operators [default: 127.0.0.1:8443]; port 0 picks one.
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Where to answer reads over plain HTTP; not at all by default.
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_listen: Option<String>,
    /// Let the status listener bind an address that other machines reach.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub status_allow_remote: bool,
    /// Where releases come from: a folder or an https:// URL.
    #[arg(long, value_name = "DIR|URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_source: Option<String>,
    /// How often agents send heartbeats [default: 60].
    #[arg(long, value_name = "SECS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_secs: Option<u64>,
    /// How often the release source is looked at [default: 30].
    #[arg(long, value_name = "SECS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_secs: Option<u64>,
    /// The most bytes of an uploaded blob [default: 1 GiB].
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_blob_bytes: Option<u64>,
    /// For how long rollouts that are over are kept, with their events [default: 90d].
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<String>,
    /// What bounds one caller, and all of them.
    #[command(flatten)]
    #[serde(flatten)]
    pub limits: LimitArgs,
    /// A TOML file with these same settings, keys in `snake_case`; `conf.d/*.toml` beside it is read
    /// after it, in the order of the names.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CheckArgs {
    /// The state folder.
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// The trust file; without it the release's signatures are not verified.
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
}

/// Arguments of `rebuild`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RebuildArgs {
    /// The state folder.
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// The database to make; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub into: PathBuf,
}
