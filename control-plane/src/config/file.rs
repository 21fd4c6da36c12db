//! The configuration files: TOML, keys as the flags; unknown keys and other suffixes are refused (O5).
//!
//! Not here: what the values mean (see [`super::Settings`]).

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};

use super::args::ServeArgs;
use super::usage;
use crate::exit::Failure;

/// The folder beside the file.
const DROP_INS: &str = "conf.d";

/// The keys of the files.
pub(super) const KEYS: [&str; 28] = [
    "state_dir",
    "trust",
    "tls_cert",
    "tls_key",
    "client_ca",
    "issuer_cert",
    "issuer_key",
    "host_cert_ttl",
    "renew_grace",
    "listen",
    "status_listen",
    "status_allow_remote",
    "release_source",
    "heartbeat_secs",
    "poll_secs",
    "max_blob_bytes",
    "retain",
    "connections",
    "connections_per_address",
    "connections_per_identity",
    "requests_per_second",
    "events_per_second",
    "event_bytes_per_day",
    "blob_store_bytes",
    "downloads",
    "downloads_per_identity",
    "download_bytes_per_second",
    "reserve_bytes",
];

/// The arguments with what only the files say filled in.
pub(super) fn layer(args: &ServeArgs) -> Result<ServeArgs, Failure> {
    let mut figment = Figment::new();
    for path in files(args.config.as_deref())? {
        let text = read(&path)?;
        figment = figment.merge(Toml::string(&text));
    }
    figment
        .merge(Serialized::defaults(args))
        .extract()
        .map_err(|e| usage(format!("read the configuration: {e}")))
}

/// The file, then its drop-ins by name.
fn files(config: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    let Some(config) = config else { return Ok(Vec::new()) };
    let mut files = vec![config.to_owned()];
    let folder = config.with_file_name(DROP_INS);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(usage(format!("read {}: {error}", folder.display()))),
    };
    let mut drop_ins = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| usage(format!("read {}: {e}", folder.display())))?.path();
        if path.extension().is_none_or(|suffix| suffix != "toml") {
            return Err(usage(format!("read {}: it does not end in .toml", path.display()))
                .hint("rename it, or move it out of conf.d: nothing there is ignored"));
        }
        drop_ins.push(path);
    }
    drop_ins.sort();
    files.extend(drop_ins);
    Ok(files)
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |e: &dyn std::fmt::Display| usage(format!("read {}: {e}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
    refuse_unknown_keys(&text).map_err(|e| failed(&e))?;
    Ok(text)
}

fn refuse_unknown_keys(text: &str) -> Result<(), String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) else {
        return Ok(());
    };
    let line = text.lines().position(|l| l.trim_start().starts_with(unknown.as_str()));
    let line = line.map_or(String::new(), |index| format!("line {}: ", index + 1));
    let likeness = |key: &&&str| strsim::jaro_winkler(key, unknown);
    let near = KEYS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match near.filter(|key| likeness(key) > 0.8) {
        Some(key) => Err(format!("{line}unknown key {unknown:?}, did you mean {key:?}?")),
        None => Err(format!("{line}unknown key {unknown:?}, known are {}", KEYS.join(", "))),
    }
}
