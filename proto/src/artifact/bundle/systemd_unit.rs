//! `kind = "systemd-unit"`: a unit's content and drop-ins, whether it is enabled, and whether it runs.
//!
//! Not here: talking to systemd (the agent).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::bundle::file::MAX_INLINE_CONTENT_BYTES;
use crate::ids::ResourceId;

/// Where units of the host's administrator are.
const UNIT_FOLDER: &str = "/etc/systemd/system";

/// The longest name systemd takes.
const MAX_UNIT_NAME_BYTES: usize = 255;

/// The most drop-ins of a unit.
const MAX_DROP_INS: usize = 64;

/// The sorts of units that can be managed.
const SUFFIXES: [&str; 8] =
    [".service", ".socket", ".timer", ".target", ".path", ".mount", ".automount", ".slice"];

/// Whether a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// It does.
    Active,
    /// It does not.
    Inactive,
}

/// `kind = "systemd-unit"`. What is absent is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "UnitKeys", into = "UnitKeys")]
pub struct SystemdUnitSpec {
    /// The unit's name with its suffix.
    pub name: String,
    /// Its file in `/etc/systemd/system`.
    pub content: Option<String>,
    /// Drop-ins by name, each ending in `.conf`.
    pub drop_ins: BTreeMap<String, String>,
    /// Whether it starts with the host.
    pub enabled: Option<bool>,
    /// Whether it runs.
    pub state: Option<UnitState>,
    /// It is restarted when one of these has changed, and comes after them.
    pub restart_on: Vec<ResourceId>,
}

impl SystemdUnitSpec {
    /// Where its own file is.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{UNIT_FOLDER}/{}", self.name)
    }

    /// Where its drop-ins are.
    #[must_use]
    pub fn drop_in_folder(&self) -> String {
        format!("{UNIT_FOLDER}/{}.d", self.name)
    }

    /// Its files, by path.
    pub fn files(&self) -> impl Iterator<Item = (String, &str)> {
        let own = self.content.as_deref().map(|content| (self.path(), content));
        let folder = self.drop_in_folder();
        let drop_in = move |(name, content): (&String, _)| (format!("{folder}/{name}"), content);
        own.into_iter().chain(self.drop_ins.iter().map(|(k, v)| (k, v.as_str())).map(drop_in))
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitKeys {
    name: String,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    drop_ins: BTreeMap<String, String>,
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    state: Option<UnitState>,
    #[serde(default)]
    restart_on: Vec<ResourceId>,
}

impl TryFrom<UnitKeys> for SystemdUnitSpec {
    type Error = String;

    fn try_from(keys: UnitKeys) -> Result<Self, String> {
        let UnitKeys { name, content, drop_ins, enabled, state, restart_on } = keys;
        check_unit_name(&name)?;
        if name.contains("@.") && (enabled.is_some() || state.is_some()) {
            return Err(format!("{name} is a template: enable and start its instances"));
        }
        if drop_ins.len() > MAX_DROP_INS {
            return Err(format!("more than {MAX_DROP_INS} drop-ins"));
        }
        if let Some(bad) = drop_ins.keys().find(|name| !is_drop_in_name(name)) {
            return Err(format!("drop-in {bad:?} must match [A-Za-z0-9][A-Za-z0-9._-]*\\.conf"));
        }
        let bytes: usize = content.iter().chain(drop_ins.values()).map(String::len).sum();
        if bytes > MAX_INLINE_CONTENT_BYTES {
            return Err(format!("content above {MAX_INLINE_CONTENT_BYTES} bytes"));
        }
        if !restart_on.is_empty() && state == Some(UnitState::Inactive) {
            return Err("restart_on: a unit that should not run is not restarted".to_owned());
        }
        Ok(Self { name, content, drop_ins, enabled, state, restart_on })
    }
}

impl From<SystemdUnitSpec> for UnitKeys {
    fn from(spec: SystemdUnitSpec) -> Self {
        let SystemdUnitSpec { name, content, drop_ins, enabled, state, restart_on } = spec;
        Self { name, content, drop_ins, enabled, state, restart_on }
    }
}

fn check_unit_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    let stem = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    let fits = name.len() <= MAX_UNIT_NAME_BYTES && name.bytes().all(plain);
    if fits && stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.')) {
        return Ok(());
    }
    Err(format!(
        "name {name:?} is no name of a unit with one of the suffixes {}",
        SUFFIXES.join(" ")
    ))
}

fn is_drop_in_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first && name.len() <= 128 && name.ends_with(".conf") && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_that_lead_elsewhere_and_units_without_sense_are_refused() {
        for bad in [
            json!({"name": "app"}),
            json!({"name": ".service"}),
            json!({"name": "../app.service"}),
            json!({"name": "a/b.service"}),
            json!({"name": "app.service", "drop_ins": {"x": ""}}),
            json!({"name": "app.service", "drop_ins": {"../x.conf": ""}}),
            json!({"name": "app@.service", "enabled": true}),
            json!({"name": "app.service", "state": "failed"}),
            json!({"name": "app.service", "state": "inactive", "restart_on": ["x"]}),
        ] {
            assert!(serde_json::from_value::<SystemdUnitSpec>(bad.clone()).is_err(), "{bad}");
        }
        let good = json!({"name": "app@1.service", "content": "c", "drop_ins": {"10-x.conf": "d"}});
        let spec: SystemdUnitSpec = serde_json::from_value(good).unwrap();
        let paths: Vec<String> = spec.files().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            ["/etc/systemd/system/app@1.service", "/etc/systemd/system/app@1.service.d/10-x.conf"]
        );
    }
}
