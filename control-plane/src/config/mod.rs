//! What the control plane is told to do: the command line, over the configuration files, over defaults.
//!
//! Not here: the trust file (see `wavegate_proto::trust`).

mod args;
mod file;
mod limits;

pub use args::{Args, CheckArgs, Command, RebuildArgs, ServeArgs};
pub use limits::{LimitArgs, Limits, Rate};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use wavegate_proto::duration::parse_duration;

use crate::exit::{Exit, Failure};

/// Where the control plane listens when not told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:8443";

/// The most bytes of a blob when not told otherwise: 1 GiB.
pub const DEFAULT_MAX_BLOB_BYTES: u64 = 1024 * 1024 * 1024;

/// For how long rollouts that are over are kept when not told otherwise.
const DEFAULT_RETAIN: &str = "90d";

/// Rollouts that are over are kept for an hour at least.
const MIN_RETAIN_SECS: u64 = 3600;

/// And for a hundred years at most.
const MAX_RETAIN_SECS: u64 = 100 * 365 * 86_400;

/// For how long certificates of hosts are issued when not told otherwise, and how long after that they
/// can be renewed.
const DEFAULT_HOST_CERT: &str = "30d";

/// Certificates of hosts live for ten seconds at least: fleets in tests renew in the middle of things.
const MIN_HOST_CERT_SECS: u64 = 10;

/// And for a year at most.
const MAX_HOST_CERT_SECS: u64 = 366 * 86_400;

/// The same in seconds, for those who do not read a command line.
pub const DEFAULT_RETAIN_SECS: u64 = 90 * 86_400;

/// Everything `serve` needs, complete and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything that must survive a restart is kept.
    pub state_dir: PathBuf,
    /// The trust file.
    pub trust: PathBuf,
    /// The server's certificate chain, PEM.
    pub tls_cert: PathBuf,
    /// Its private key, PEM.
    pub tls_key: PathBuf,
    /// The roots that client certificates chain to, PEM; `None`: those of the trust file.
    pub client_ca: Option<PathBuf>,
    /// What certificates of hosts are issued by; `None`: none are.
    pub issuer: Option<IssuerSettings>,
    /// For how long after its end a certificate can be renewed, in seconds.
    pub renew_grace_secs: u64,
    /// The mTLS listener.
    pub listen: SocketAddr,
    /// The plain, read-only listener.
    pub status_listen: Option<SocketAddr>,
    /// Where releases come from: a folder or an `https://` URL.
    pub release_source: Option<String>,
    /// How often agents send heartbeats, in seconds.
    pub heartbeat_secs: u64,
    /// How often the release source is looked at, in seconds.
    pub poll_secs: u64,
    /// The most bytes of a blob.
    pub max_blob_bytes: u64,
    /// For how long rollouts that are over are kept, in seconds.
    pub retain_secs: u64,
    /// What bounds one caller, and all of them.
    pub limits: Limits,
}

/// What certificates of hosts are issued by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The certificate, with its chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// For how long certificates are issued, in seconds.
    pub host_cert_secs: u64,
}

impl Settings {
    /// How often the release source is looked at.
    #[must_use]
    pub fn poll_every(&self) -> Duration {
        Duration::from_secs(self.poll_secs)
    }

    /// Puts the command line over the configuration files over the defaults.
    ///
    /// # Errors
    /// Exit code 2: an unreadable file, an unknown key, a missing or malformed value.
    pub fn resolve(args: &ServeArgs) -> Result<Self, Failure> {
        let layered = file::layer(args)?;
        let listen = layered.listen.as_deref().unwrap_or(DEFAULT_LISTEN);
        let status_listen = layered
            .status_listen
            .as_deref()
            .map(|text| address("status-listen", text))
            .transpose()?
            .map(|addr| loopback_only(addr, layered.status_allow_remote))
            .transpose()?;
        let issuer = issuer(&layered)?;
        Ok(Self {
            issuer,
            renew_grace_secs: seconds("renew-grace", layered.renew_grace.as_deref(), 0)?,
            state_dir: required(layered.state_dir, "state-dir")?,
            trust: required(layered.trust, "trust")?,
            tls_cert: required(layered.tls_cert, "tls-cert")?,
            tls_key: required(layered.tls_key, "tls-key")?,
            client_ca: layered.client_ca,
            listen: address("listen", listen)?,
            status_listen,
            release_source: layered.release_source,
            heartbeat_secs: bounded(
                layered.heartbeat_secs.unwrap_or(60),
                1,
                600,
                "heartbeat-secs",
            )?,
            poll_secs: bounded(layered.poll_secs.unwrap_or(30), 1, 86_400, "poll-secs")?,
            max_blob_bytes: layered.max_blob_bytes.unwrap_or(DEFAULT_MAX_BLOB_BYTES),
            retain_secs: retain_secs(layered.retain.as_deref().unwrap_or(DEFAULT_RETAIN))?,
            limits: layered.limits.resolve(),
        })
    }
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

fn address(flag: &str, text: &str) -> Result<SocketAddr, Failure> {
    text.parse().map_err(|_| {
        usage(format!("read --{flag}: {text:?} is not an address"))
            .hint("write an IP address and a port, such as 127.0.0.1:8443 or [::]:8443")
    })
}

fn bounded(value: u64, min: u64, max: u64, flag: &str) -> Result<u64, Failure> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(usage(format!("read --{flag}: {value} is not within {min} and {max}")))
}

fn seconds(flag: &str, text: Option<&str>, min: u64) -> Result<u64, Failure> {
    let duration = parse_duration(text.unwrap_or(DEFAULT_HOST_CERT))
        .map_err(|error| usage(format!("read --{flag}: {error}")))?;
    bounded(duration.as_secs(), min, MAX_HOST_CERT_SECS, &format!("{flag}, in seconds"))
}

fn issuer(layered: &ServeArgs) -> Result<Option<IssuerSettings>, Failure> {
    let host_cert_secs =
        seconds("host-cert-ttl", layered.host_cert_ttl.as_deref(), MIN_HOST_CERT_SECS)?;
    match (layered.issuer_cert.clone(), layered.issuer_key.clone()) {
        (Some(cert), Some(key)) => Ok(Some(IssuerSettings { cert, key, host_cert_secs })),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => {
            Err(usage("start: --issuer-cert and --issuer-key go together".to_owned()))
        }
    }
}

fn retain_secs(text: &str) -> Result<u64, Failure> {
    let retain = parse_duration(text).map_err(|error| usage(format!("read --retain: {error}")))?;
    bounded(retain.as_secs(), MIN_RETAIN_SECS, MAX_RETAIN_SECS, "retain, in seconds")
}

fn loopback_only(addr: SocketAddr, allow_remote: bool) -> Result<SocketAddr, Failure> {
    if addr.ip().is_loopback() || allow_remote {
        return Ok(addr);
    }
    Err(usage(format!("listen on {addr}: the status listener has neither TLS nor roles"))
        .hint("use a loopback address, or give --status-allow-remote"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = "state_dir = \"s\"\ntrust = \"t\"\ntls_cert = \"c\"\ntls_key = \"k\"\n";

    fn args(config: &str) -> (tempfile::TempDir, ServeArgs) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cp.toml");
        std::fs::write(&path, config).unwrap();
        (dir, ServeArgs { config: Some(path), ..ServeArgs::default() })
    }

    #[test]
    fn the_command_line_wins_over_conf_d_and_that_over_the_file() {
        let (dir, mut args) = args(&format!("{COMPLETE}poll_secs = 5\nheartbeat_secs = 7\n"));
        std::fs::create_dir(dir.path().join("conf.d")).unwrap();
        let drop_in = "heartbeat_secs = 8\nmax_blob_bytes = 9\ntrust = \"u\"\n";
        std::fs::write(dir.path().join("conf.d/10-site.toml"), drop_in).unwrap();
        args.trust = Some("v".into());
        let settings = Settings::resolve(&args).unwrap();
        assert_eq!((settings.poll_secs, settings.heartbeat_secs), (5, 8));
        assert_eq!((settings.max_blob_bytes, settings.trust), (9, PathBuf::from("v")));
    }

    #[test]
    fn o5_an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
        let (_dir, args) = args(&format!("{COMPLETE}pol_secs = 5\n"));
        let failure = Settings::resolve(&args).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("line 5"), "{failure}");
        assert!(failure.message.contains("did you mean \"poll_secs\"?"), "{failure}");
    }

    #[test]
    fn o5_another_suffix_in_conf_d_is_refused() {
        let (dir, args) = args(COMPLETE);
        std::fs::create_dir(dir.path().join("conf.d")).unwrap();
        std::fs::write(dir.path().join("conf.d/site.tml"), "poll_secs = 5\n").unwrap();
        let failure = Settings::resolve(&args).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("site.tml"), "{failure}");
    }

    #[test]
    fn every_flag_is_a_key() {
        let flags = <ServeArgs as clap::Args>::augment_args(clap::Command::new("serve"));
        for flag in flags.get_arguments().filter_map(clap::Arg::get_long) {
            let key = flag.replace('-', "_");
            let known = file::KEYS.contains(&key.as_str());
            assert_eq!(known, key != "config", "{key}");
        }
        let (_dir, args) = args(&format!("{COMPLETE}retain = \"2d\"\nevents_per_second = 0\n"));
        let settings = Settings::resolve(&args).unwrap();
        assert_eq!((settings.retain_secs, settings.limits.events.burst), (2 * 86_400, 0));
    }

    #[test]
    fn rollouts_are_kept_for_ninety_days_unless_told_otherwise() {
        let (_dir, mut args) = args(COMPLETE);
        assert_eq!(Settings::resolve(&args).unwrap().retain_secs, DEFAULT_RETAIN_SECS);
        args.retain = Some("400d".to_owned());
        assert_eq!(Settings::resolve(&args).unwrap().retain_secs, 400 * 86_400);
        for bad in ["59m", "90", "forever", "99999d"] {
            args.retain = Some(bad.to_owned());
            assert_eq!(Settings::resolve(&args).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn the_status_listener_stays_on_this_machine_unless_told_otherwise() {
        let (_dir, mut args) = args(COMPLETE);
        args.status_listen = Some("0.0.0.0:9443".to_owned());
        assert_eq!(Settings::resolve(&args).unwrap_err().exit, Exit::Usage);
        args.status_allow_remote = true;
        assert!(Settings::resolve(&args).is_ok());
    }
}
