//! Hosts of the older system into `fleet.toml`: the state file names them and their machines. What they
//! run, and how they are, it does not: each is unknown until its agent has spoken.
//!
//! The file keeps its comments and its order (docs/decisions/0081).
//!
//! Not here: reading the arguments and printing (see [`crate::commands::import`]).

pub mod state;

use std::collections::BTreeMap;
use std::path::Path;

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, TomlError, Value, value};
use wavegate_proto::ids::{ChannelName, HostName, ProviderId};
use wavegate_proto::time::Timestamp;

use crate::bundle_toml::SecretsPolicy;
use crate::fleet_toml::FleetFile;
use crate::fleet_toml::source::FileErrors;
use crate::release::{self, BuildError, BuildOptions};
use crate::suggest;

/// Why hosts cannot be added to `fleet.toml`.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Some of them are in it.
    #[error("in fleet.toml already: {}", list(.0))]
    Existing(Vec<HostName>),
    /// There are several channels, and none was named.
    #[error("fleet.toml has the channels {}: which is it?", list(.0))]
    WhichChannel(Vec<ChannelName>),
    /// No such channel.
    #[error("fleet.toml has no channel {name}")]
    NoChannel {
        /// Which.
        name: ChannelName,
        /// What was meant, perhaps.
        hint: Option<String>,
    },
    /// `hosts` of the file is nothing that a host can be added to.
    #[error("cannot add to `hosts` of fleet.toml as it is written: add them by hand")]
    Unusual,
    /// The file is no TOML.
    #[error("edit fleet.toml: {0}")]
    Toml(#[from] TomlError),
    /// The file cannot be read, before or after.
    #[error(transparent)]
    Files(#[from] FileErrors),
    /// With them no release can be built from it.
    #[error("with these hosts no release can be built: {0}")]
    Build(#[from] BuildError),
}

fn list<T: std::fmt::Display>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// `fleet.toml` as it is, into which hosts are to come.
#[derive(Debug)]
pub struct Target<'a> {
    path: &'a Path,
    text: &'a str,
    file: FleetFile,
}

impl<'a> Target<'a> {
    /// The file at `path` with this text, and the files beside it.
    ///
    /// # Errors
    /// When it is wrong already.
    pub fn read(path: &'a Path, text: &'a str) -> Result<Self, ImportError> {
        Ok(Self { path, text, file: load(path, text)? })
    }

    /// The channel that new hosts come to: the one that is named, or the only one.
    ///
    /// # Errors
    /// When there is no such channel, or it is not clear which.
    pub fn channel(&self, named: Option<&ChannelName>) -> Result<ChannelName, ImportError> {
        let channels = &self.file.keys.channels;
        if let Some(name) = named {
            let known: Vec<&str> = channels.keys().map(ChannelName::as_str).collect();
            let hint = suggest::hint(name.as_str(), &known);
            let no_channel = || ImportError::NoChannel { name: name.clone(), hint };
            return channels.contains_key(name).then(|| name.clone()).ok_or_else(no_channel);
        }
        let mut names = channels.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only.clone()),
            (_, _) => Err(ImportError::WhichChannel(channels.keys().cloned().collect())),
        }
    }

    /// The text of the file with these hosts on `channel`. A release can be built from it.
    ///
    /// # Errors
    /// When one of them is in it already, or a release cannot be built with them.
    pub fn with_hosts(
        &self,
        channel: &ChannelName,
        hosts: &BTreeMap<HostName, ProviderId>,
        now: Timestamp,
    ) -> Result<String, ImportError> {
        let known = &self.file.keys.hosts;
        let existing = hosts.keys().filter(|name| known.contains_key(*name));
        let existing: Vec<HostName> = existing.cloned().collect();
        if !existing.is_empty() {
            return Err(ImportError::Existing(existing));
        }
        let text = add_hosts(self.text, channel, hosts)?;
        let options = BuildOptions { signed_at: now, ..BuildOptions::default() };
        release::build(&load(self.path, &text)?, &options)?;
        Ok(text)
    }
}

/// Reads the file as if it had this text. What its bundles hold is none of our business here.
fn load(path: &Path, text: &str) -> Result<FleetFile, FileErrors> {
    FleetFile::load_with(path, SecretsPolicy::Allow, &|wanted| {
        if wanted == path { Ok(text.as_bytes().to_vec()) } else { std::fs::read(wanted) }
    })
}

/// `text` with a section for each host; everything else stays as it is written.
///
/// # Errors
/// When `text` is no TOML, or its `hosts` is no table.
pub fn add_hosts(
    text: &str,
    channel: &ChannelName,
    hosts: &BTreeMap<HostName, ProviderId>,
) -> Result<String, ImportError> {
    let mut document: DocumentMut = text.parse()?;
    let sections = document.entry("hosts").or_insert_with(|| {
        let mut sections = Table::new();
        sections.set_implicit(true);
        Item::Table(sections)
    });
    for (host, id) in hosts {
        match sections {
            Item::Table(sections) => {
                let mut section = Table::new();
                fill(&mut section, channel, id);
                sections.insert(host.as_str(), Item::Table(section));
            }
            Item::Value(Value::InlineTable(sections)) => {
                let mut section = InlineTable::new();
                fill(&mut section, channel, id);
                sections.insert(host.as_str(), Value::InlineTable(section));
            }
            Item::None | Item::Value(_) | Item::ArrayOfTables(_) => {
                return Err(ImportError::Unusual);
            }
        }
    }
    Ok(document.to_string())
}

fn fill(section: &mut dyn TableLike, channel: &ChannelName, id: &ProviderId) {
    section.insert("channel", value(channel.as_str()));
    section.insert("provider_id", value(id.as_str()));
}

#[cfg(test)]
mod tests;
