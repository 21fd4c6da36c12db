//! The configuration file: TOML, keys as the flags, unknown keys refused (O5).

use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};

use super::args::RunArgs;
use super::usage;
use crate::exit::Failure;

/// The keys of the file.
const KEYS: [&str; 17] = [
    "state_dir",
    "trust",
    "url",
    "ca",
    "cert",
    "key",
    "ssh_host_key",
    "token_file",
    "host_name",
    "root",
    "allow_shell_jobs",
    "allow_root_exec",
    "systemd_bus",
    "container_socket",
    "nixos",
    "nixos_programs",
    "drift_interval",
];

/// The arguments with what only the file says filled in.
pub(super) fn layer(args: &RunArgs) -> Result<RunArgs, Failure> {
    let mut figment = Figment::new();
    if let Some(path) = &args.config {
        let text = std::fs::read_to_string(path)
            .map_err(|e| usage(format!("read {}: {e}", path.display())))?;
        refuse_unknown_keys(&text).map_err(|e| usage(format!("read {}: {e}", path.display())))?;
        figment = figment.merge(Toml::string(&text));
    }
    figment
        .merge(Serialized::defaults(args))
        .extract()
        .map_err(|e| usage(format!("read the configuration: {e}")))
}

fn refuse_unknown_keys(text: &str) -> Result<(), String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) else {
        return Ok(());
    };
    let line = text.lines().position(|l| l.trim_start().starts_with(unknown.as_str()));
    let line = line.map_or(String::new(), |index| format!("line {}: ", index + 1));
    let near = KEYS.iter().max_by(|a, b| {
        strsim::jaro_winkler(a, unknown).total_cmp(&strsim::jaro_winkler(b, unknown))
    });
    match near.filter(|key| strsim::jaro_winkler(key, unknown) > 0.8) {
        Some(key) => Err(format!("{line}unknown key {unknown:?}, did you mean {key:?}?")),
        None => Err(format!("{line}unknown key {unknown:?}")),
    }
}
