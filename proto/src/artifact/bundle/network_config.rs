//! `kind = "network-config"`: files of systemd-networkd.
//!
//! Not here: applying them, and going back when nobody is reached any more (the agent).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::artifact::bundle::file::MAX_INLINE_CONTENT_BYTES;
use crate::ids::Sha256Hash;

/// Where the administrator's files of systemd-networkd are.
const NETWORK_FOLDER: &str = "/etc/systemd/network";

/// The most files.
const MAX_FILES: usize = 256;

/// How long the control plane may stay out of reach before the change is taken back, in seconds: a connection
/// that has died is noticed after half a minute.
const REVERT_SECS: std::ops::RangeInclusive<u64> = 10..=3600;

/// The sections that each sort of file must have, by its suffix.
const REQUIRED: [(&str, &[&str]); 3] =
    [(".network", &["Match"]), (".netdev", &["NetDev"]), (".link", &["Match", "Link"])];

/// `kind = "network-config"`: all files of systemd-networkd that a bundle brings. There is one of it in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "NetworkKeys", into = "NetworkKeys")]
pub struct NetworkConfigSpec {
    /// Content by name, in `/etc/systemd/network`.
    pub files: BTreeMap<String, String>,
    /// How long the control plane may stay out of reach before the change is taken back, in seconds.
    pub revert_after_secs: u64,
}

impl NetworkConfigSpec {
    /// Its files, by path.
    pub fn paths(&self) -> impl Iterator<Item = (String, &str)> {
        let place = |(name, content)| (format!("{NETWORK_FOLDER}/{name}"), content);
        self.files.iter().map(|(name, content)| (name, content.as_str())).map(place)
    }

    /// The folder its files are in, with a slash at its end.
    #[must_use]
    pub fn folder() -> String {
        format!("{NETWORK_FOLDER}/")
    }

    /// All its files as a hash.
    #[must_use]
    pub fn content(&self) -> Sha256Hash {
        // A map of texts can be written.
        Sha256Hash::of(&serde_json::to_vec(&self.files).unwrap_or_default())
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkKeys {
    files: BTreeMap<String, String>,
    #[serde(default = "default_revert_after_secs")]
    revert_after_secs: u64,
}

fn default_revert_after_secs() -> u64 {
    60
}

impl TryFrom<NetworkKeys> for NetworkConfigSpec {
    type Error = String;

    fn try_from(keys: NetworkKeys) -> Result<Self, String> {
        let NetworkKeys { files, revert_after_secs } = keys;
        if files.is_empty() || files.len() > MAX_FILES {
            return Err(format!("files: 1 to {MAX_FILES}"));
        }
        if !REVERT_SECS.contains(&revert_after_secs) {
            let (from, to) = (REVERT_SECS.start(), REVERT_SECS.end());
            return Err(format!("revert_after_secs must be {from} to {to}"));
        }
        if files.values().map(String::len).sum::<usize>() > MAX_INLINE_CONTENT_BYTES {
            return Err(format!("content above {MAX_INLINE_CONTENT_BYTES} bytes"));
        }
        for (name, content) in &files {
            check_file(name, content).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(Self { files, revert_after_secs })
    }
}

impl From<NetworkConfigSpec> for NetworkKeys {
    fn from(spec: NetworkConfigSpec) -> Self {
        Self { files: spec.files, revert_after_secs: spec.revert_after_secs }
    }
}

/// networkd passes over a line it does not understand, and the host is then without that line. So what is
/// no section and no setting is refused here.
fn check_file(name: &str, content: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-@".contains(&b);
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let known = REQUIRED.iter().find(|(suffix, _)| name.ends_with(suffix));
    let Some((_, required)) = known.filter(|_| first && name.len() <= 128) else {
        return Err("must be a name that ends in .network, .netdev or .link".to_owned());
    };
    if !name.bytes().all(plain) {
        return Err("must match [A-Za-z0-9][A-Za-z0-9_.@-]*".to_owned());
    }
    let settings = settings(content)?;
    let has = |section: &str| settings.iter().any(|(found, _)| *found == section);
    if let Some(missing) = required.iter().find(|section| !has(section)) {
        return Err(format!("has no setting in [{missing}]"));
    }
    let keys: BTreeSet<_> = settings.into_iter().collect();
    let missing = ["Name", "Kind"].into_iter().find(|key| !keys.contains(&("NetDev", key)));
    match missing.filter(|_| name.ends_with(".netdev")) {
        Some(key) => Err(format!("[NetDev] has no {key}=")),
        None => Ok(()),
    }
}

/// Each setting with its section.
fn settings(content: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found = Vec::new();
    let mut section = None;
    let mut goes_on = false;
    for (number, line) in (1..).zip(content.lines()) {
        let line = line.trim();
        let is_rest = std::mem::replace(&mut goes_on, line.ends_with('\\'));
        if is_rest || line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(name);
            continue;
        }
        let key = line.split_once('=').map(|(key, _)| key.trim());
        let is_key = |key: &&str| {
            let mut bytes = key.bytes();
            bytes.next().is_some_and(|b| b.is_ascii_uppercase())
                && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        match (section, key.filter(is_key)) {
            (Some(section), Some(key)) => found.push((section, key)),
            (None, Some(_)) => return Err(format!("line {number} stands before any [Section]")),
            (_, None) => return Err(format!("line {number} is neither [Section] nor Key=value")),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, content: &str) -> Result<NetworkConfigSpec, serde_json::Error> {
        serde_json::from_value(json!({ "files": { name: content } }))
    }

    #[test]
    fn what_networkd_would_pass_over_is_refused() {
        for (name, content) in [
            ("eth0.conf", "[Match]\nName=eth0\n"),
            ("../eth0.network", "[Match]\nName=eth0\n"),
            ("eth0.network", ""),
            ("eth0.network", "[Match]\n[Network]\nDHCP=yes\n"),
            ("eth0.network", "Name=eth0\n[Match]\n"),
            ("eth0.network", "[Match]\nName eth0\n"),
            ("eth0.network", "[Match\nName=eth0\n"),
            ("v.netdev", "[NetDev]\nName=v\n"),
            ("v.link", "[Match]\nName=v\n"),
        ] {
            assert!(read(name, content).is_err(), "{name}: {content}");
        }
        let after = json!({"files": {"a.network": "[Match]\nName=a\n"}, "revert_after_secs": 1});
        assert!(serde_json::from_value::<NetworkConfigSpec>(after).is_err());
    }

    #[test]
    fn what_networkd_reads_is_taken() {
        let network =
            "# ours\n[Match]\nName=eth0\n\n[Network]\nDNS=10.0.0.1 \\\n  10.0.0.2\nDHCP = yes\n";
        let spec = read("10-eth0.network", network).unwrap();
        assert_eq!(spec.revert_after_secs, 60);
        let paths: Vec<_> = spec.paths().map(|(path, _)| path).collect();
        assert_eq!(paths, ["/etc/systemd/network/10-eth0.network"]);
        assert!(read("10-v.netdev", "[NetDev]\nName=v\nKind=dummy\n").is_ok());
        assert!(read("10-v.link", "[Match]\nName=v\n[Link]\nMTUBytes=1400\n").is_ok());
    }
}
