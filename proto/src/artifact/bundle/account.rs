//! `kind = "user"` and the accounts among `kind = "group"`.
//!
//! Not here: groups of resources (see [`super::ResourceGroupSpec`]), changing accounts (the agent).

use serde::{Deserialize, Serialize};

use crate::artifact::bundle::path::check_path;

/// The longest name of a user or group; what `utmp` has room for.
const MAX_ACCOUNT_NAME_BYTES: usize = 32;

/// The highest id of a user or group. The two above it mean "none" to the kernel.
const MAX_ACCOUNT_ID: u32 = u32::MAX - 2;

/// The most supplementary groups of a user.
const MAX_GROUPS: usize = 256;

/// `kind = "user"`. What is absent is left alone; a new account gets what is said at each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "UserKeys", into = "UserKeys")]
pub struct UserSpec {
    /// The account's name.
    pub name: String,
    /// Its id; a new one gets the highest free one below 1000.
    pub uid: Option<u32>,
    /// The id of its primary group; a new one gets a group of its own name.
    pub gid: Option<u32>,
    /// Its shell; a new one gets `/usr/sbin/nologin`.
    pub shell: Option<String>,
    /// Its home folder, which is not made; a new one gets `/nonexistent`.
    pub home: Option<String>,
    /// Its supplementary groups, exactly these.
    pub groups: Option<Vec<String>>,
}

/// `kind = "group"` with a `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "GroupKeys", into = "GroupKeys")]
pub struct AccountGroupSpec {
    /// The group's name.
    pub name: String,
    /// Its id; left alone when absent, a new one gets the highest free one below 1000.
    pub gid: Option<u32>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserKeys {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shell: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupKeys {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
}

impl TryFrom<UserKeys> for UserSpec {
    type Error = String;

    fn try_from(keys: UserKeys) -> Result<Self, String> {
        let UserKeys { name, uid, gid, shell, home, groups } = keys;
        check_name(&name)?;
        [uid, gid].into_iter().flatten().try_for_each(check_id)?;
        if uid == Some(0) || name == "root" {
            return Err("root is not managed".to_owned());
        }
        [&shell, &home].into_iter().flatten().try_for_each(|path| check_field_path(path))?;
        let mut groups = groups;
        if let Some(groups) = &mut groups {
            if groups.len() > MAX_GROUPS {
                return Err(format!("more than {MAX_GROUPS} groups"));
            }
            groups.iter().try_for_each(|group| check_name(group))?;
            groups.sort_unstable();
            groups.dedup();
        }
        Ok(Self { name, uid, gid, shell, home, groups })
    }
}

impl From<UserSpec> for UserKeys {
    fn from(spec: UserSpec) -> Self {
        let UserSpec { name, uid, gid, shell, home, groups } = spec;
        Self { name, uid, gid, shell, home, groups }
    }
}

impl TryFrom<GroupKeys> for AccountGroupSpec {
    type Error = String;

    fn try_from(keys: GroupKeys) -> Result<Self, String> {
        check_name(&keys.name)?;
        keys.gid.into_iter().try_for_each(check_id)?;
        if keys.gid == Some(0) || keys.name == "root" {
            return Err("root is not managed".to_owned());
        }
        Ok(Self { name: keys.name, gid: keys.gid })
    }
}

impl From<AccountGroupSpec> for GroupKeys {
    fn from(spec: AccountGroupSpec) -> Self {
        Self { name: spec.name, gid: spec.gid }
    }
}

/// The names that every tool of a Linux host takes.
fn check_name(name: &str) -> Result<(), String> {
    let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let rest = |b: u8| first(b) || b.is_ascii_digit() || b == b'-';
    let bytes = name.as_bytes();
    let plain = bytes.first().copied().is_some_and(first) && bytes.iter().copied().all(rest);
    if plain && bytes.len() <= MAX_ACCOUNT_NAME_BYTES {
        Ok(())
    } else {
        Err(format!("name {name:?} must match [a-z_][a-z0-9_-]{{0,31}}"))
    }
}

fn check_id(id: u32) -> Result<(), String> {
    if id <= MAX_ACCOUNT_ID { Ok(()) } else { Err(format!("id {id} is not usable")) }
}

/// A path that can stand in a line whose fields a colon ends.
fn check_field_path(path: &str) -> Result<(), String> {
    check_path(path)?;
    if path.bytes().any(|b| b == b':' || b.is_ascii_control()) {
        return Err(format!("path {path:?} has a colon or a control character in it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_line_of_passwd_is_refused() {
        for bad in [
            r#"{"name":"a:b"}"#,
            r#"{"name":"-a"}"#,
            r#"{"name":""}"#,
            r#"{"name":"a","home":"/x:0:0"}"#,
            r#"{"name":"a","shell":"/x\n"}"#,
            r#"{"name":"a","shell":"bash"}"#,
            r#"{"name":"a","uid":4294967295}"#,
            r#"{"name":"a","groups":["x,y"]}"#,
            r#"{"name":"root","shell":"/bin/false"}"#,
            r#"{"name":"toor","uid":0}"#,
        ] {
            assert!(serde_json::from_str::<UserSpec>(bad).is_err(), "{bad}");
        }
        let groups = r#"{"name":"a","groups":["y","x","y"]}"#;
        let spec: UserSpec = serde_json::from_str(groups).unwrap();
        assert_eq!(spec.groups.unwrap(), ["x", "y"]);
    }
}
