//! `kind = "group"` with a `name`: a group of accounts and its id.
//!
//! Its members are the business of users. A group that is some user's primary one is not taken away.
//! Not here: the files (see `account_files`), groups of resources (see `resource_group`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wavegate_proto::artifact::bundle::{AccountGroupSpec, Holding};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Operation, ResourceKind};

use super::account_files::{AccountFiles, AccountLock, Table, free_id};
use super::difference::Difference;
use super::error::ResourceError;
use super::host::Host;
use super::kind::{Kind, Observed, Removal, on_thread};
use super::original::Original;
use super::owned::OwnedEntry;

/// The kind.
#[derive(Debug)]
pub struct AccountGroup;

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    name: String,
    gid: Option<u32>,
}

impl Kind for AccountGroup {
    type Spec = AccountGroupSpec;

    async fn observe(host: Arc<Host>, spec: AccountGroupSpec) -> Result<Observed, ResourceError> {
        on_thread(move || observe(&host, &spec)).await
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        spec: AccountGroupSpec,
    ) -> Result<Operation, ResourceError> {
        on_thread(move || reconcile(&host, &id, &spec)).await
    }

    async fn delete(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
        on_thread(move || delete(&host, &entry)).await
    }
}

fn observe(host: &Host, spec: &AccountGroupSpec) -> Result<Observed, ResourceError> {
    let Some(group) = Table::read(host, "/etc/group")? else { return Ok(Observed::missing()) };
    let Some(fields) = group.row(&spec.name) else { return Ok(Observed::missing()) };
    let gid = fields.get(2).copied().unwrap_or_default();
    let wanted = spec.gid.map_or_else(|| gid.to_owned(), |gid| gid.to_string());
    let differs = Difference::between("gid", gid, &wanted).into_iter().collect();
    Ok(Observed::compared(differs, json!({ "name": spec.name, "gid": gid.parse::<u32>().ok() })))
}

fn reconcile(
    host: &Host,
    id: &ResourceId,
    spec: &AccountGroupSpec,
) -> Result<Operation, ResourceError> {
    let _alone = AccountLock::take(host)?;
    let mut files = AccountFiles::read(host)?;
    let found = files.gid(&spec.name);
    let taken = |gid| files.group.ids(2).any(|id| id == gid);
    let gid = match (spec.gid, found) {
        (Some(wanted), Some(is)) if wanted == is => is,
        (Some(wanted), _) if taken(wanted) => {
            return Err(ResourceError::AccountConflict { what: "group", id: wanted });
        }
        (Some(wanted), _) => wanted,
        (None, Some(is)) => is,
        (None, None) => free_id(taken).ok_or(ResourceError::NoFreeId)?,
    };
    let operation = match found {
        Some(is) if is == gid => {
            files.write(host)?;
            return Ok(Operation::None);
        }
        Some(_) => Operation::Update,
        None => Operation::Create,
    };
    let before = Before { name: spec.name.clone(), gid: found };
    let holding = Holding::named(ResourceKind::Group, &spec.name);
    host.owned().claim(id, holding.kind, &holding.name, |_| Original::kept(&before))?;
    set_gid(&mut files, &spec.name, gid);
    files.write(host)?;
    Ok(operation)
}

fn set_gid(files: &mut AccountFiles, name: &str, gid: u32) {
    match files.group.row(name) {
        Some(mut fields) if fields.len() == 4 => {
            let text = gid.to_string();
            fields[2] = &text;
            let line = fields.join(":");
            files.group.set(name, Some(&line));
        }
        Some(_) | None => files.add_group(name, gid),
    }
}

fn delete(host: &Host, entry: &OwnedEntry) -> Result<Removal, ResourceError> {
    let before: Before = entry.original.read_kept(&entry.path)?;
    let _alone = AccountLock::take(host)?;
    let mut files = AccountFiles::read(host)?;
    let done = match (before.gid, files.gid(&before.name)) {
        (None, None) => Removal::AlreadyDone,
        (None, Some(gid)) if files.is_primary(gid) => {
            return Ok(Removal::LeftInPlace { why: "it is the primary group of a user" });
        }
        (None, Some(_)) => {
            files.remove_group(&before.name);
            Removal::Removed
        }
        (Some(was), _) => {
            set_gid(&mut files, &before.name, was);
            Removal::PutBack
        }
    };
    if files.write(host)? { Ok(done) } else { Ok(Removal::AlreadyDone) }
}
