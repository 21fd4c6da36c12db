//! `kind = "package"`: a package of the host's distribution.
//!
//! Not here: installing it (the agent).

use serde::{Deserialize, Serialize};

/// `kind = "package"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "PackageKeys", into = "PackageKeys")]
pub struct PackageSpec {
    /// The package's name, with `:architecture` for a foreign one.
    pub name: String,
    /// Exactly this version; any that is installed when absent.
    pub version: Option<String>,
    /// Whether upgrades leave it alone; left as it is when absent.
    pub hold: Option<bool>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackageKeys {
    name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    hold: Option<bool>,
}

impl TryFrom<PackageKeys> for PackageSpec {
    type Error = String;

    fn try_from(keys: PackageKeys) -> Result<Self, String> {
        let first = |text: &str| text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.:".contains(&b);
        let PackageKeys { name, version, hold } = keys;
        // A name that ends so means "remove" and "install" to apt.
        let ends_plain = !name.ends_with(['-', '+']) || name.ends_with("++");
        if !first(&name) || !name.bytes().all(in_name) || name.len() > 128 || !ends_plain {
            return Err(format!("name {name:?} is no name of a package"));
        }
        let in_version = |b: u8| b.is_ascii_alphanumeric() || b".+-:~".contains(&b);
        let fits = |v: &String| first(v) && v.bytes().all(in_version) && v.len() <= 128;
        if let Some(bad) = version.as_ref().filter(|version| !fits(version)) {
            return Err(format!("version {bad:?} is no version of a package"));
        }
        Ok(Self { name, version, hold })
    }
}

impl From<PackageSpec> for PackageKeys {
    fn from(spec: PackageSpec) -> Self {
        Self { name: spec.name, version: spec.version, hold: spec.hold }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_apt_would_read_otherwise_is_refused() {
        for bad in ["", "-s", "nginx-", "nginx+", "a b", "a=1", "../a", "A"] {
            let keys = json!({"name": bad});
            assert!(serde_json::from_value::<PackageSpec>(keys).is_err(), "{bad}");
        }
        for bad in ["", "-1", "1 2", "1*", "1/stable"] {
            let keys = json!({"name": "a", "version": bad});
            assert!(serde_json::from_value::<PackageSpec>(keys).is_err(), "{bad}");
        }
        for good in ["nginx", "g++", "libc6:amd64", "python3.11"] {
            let keys = json!({"name": good, "version": "1:2.36-9+deb12u14~x"});
            assert!(serde_json::from_value::<PackageSpec>(keys).is_ok(), "{good}");
        }
    }
}
