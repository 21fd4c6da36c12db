//! `kind = "user"`: an account with its ids, shell, home folder and groups.
//!
//! A new account has no password and cannot log in with one. Its home folder is neither made nor
//! removed: that is for a resource of its own. Processes and files of an account that goes are left.
//! Not here: the files (see `account_files`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wavegate_proto::artifact::bundle::{Holding, UserSpec};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Operation, ResourceKind};

use super::account_files::{AccountFiles, AccountLock, free_id};
use super::difference::Difference;
use super::error::ResourceError;
use super::host::Host;
use super::kind::{Kind, Observed, Removal, on_thread};
use super::original::Original;
use super::owned::OwnedEntry;

/// The shell of a new account.
const NO_SHELL: &str = "/usr/sbin/nologin";

/// The home folder of a new account.
const NO_HOME: &str = "/nonexistent";

/// The kind.
#[derive(Debug)]
pub struct User;

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    name: String,
    /// Its line of `passwd`.
    passwd: Option<String>,
    groups: Vec<String>,
    /// Whether there was a group of its name.
    own_group: bool,
}

impl Kind for User {
    type Spec = UserSpec;

    async fn observe(host: Arc<Host>, spec: UserSpec) -> Result<Observed, ResourceError> {
        on_thread(move || observe(&host, &spec)).await
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        spec: UserSpec,
    ) -> Result<Operation, ResourceError> {
        on_thread(move || reconcile(&host, &id, &spec)).await
    }

    async fn delete(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
        on_thread(move || delete(&host, &entry)).await
    }
}

/// A line of `passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    password: String,
    uid: u32,
    gid: u32,
    comment: String,
    home: String,
    shell: String,
}

impl Account {
    fn of(files: &AccountFiles, name: &str) -> Option<Self> {
        let fields = files.passwd.row(name)?;
        let [_, password, uid, gid, comment, home, shell] = fields[..] else { return None };
        Some(Self {
            password: password.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            comment: comment.to_owned(),
            home: home.to_owned(),
            shell: shell.to_owned(),
        })
    }

    fn line(&self, name: &str) -> String {
        let Self { password, uid, gid, comment, home, shell } = self;
        format!("{name}:{password}:{uid}:{gid}:{comment}:{home}:{shell}")
    }
}

fn observe(host: &Host, spec: &UserSpec) -> Result<Observed, ResourceError> {
    let files = match AccountFiles::read(host) {
        Ok(files) => files,
        Err(ResourceError::NoAccountFile { .. }) => return Ok(Observed::missing()),
        Err(error) => return Err(error),
    };
    let Some(is) = Account::of(&files, &spec.name) else { return Ok(Observed::missing()) };
    let groups = files.groups_of(&spec.name);
    let id = |key, is: u32, wanted: Option<u32>| {
        Difference::between(key, &is.to_string(), &wanted.unwrap_or(is).to_string())
    };
    let text = |key, is: &str, wanted: &Option<String>| {
        Difference::between(key, is, wanted.as_deref().unwrap_or(is))
    };
    let wanted_groups = spec.groups.as_ref().unwrap_or(&groups);
    let differs = [
        id("uid", is.uid, spec.uid),
        id("gid", is.gid, spec.gid),
        text("home", &is.home, &spec.home),
        text("shell", &is.shell, &spec.shell),
        Difference::between("groups", &groups.join(","), &wanted_groups.join(",")),
        (!has_shadow(&files, &spec.name))
            .then(|| Difference::new("shadow", None, Some("a line without a password".to_owned()))),
    ];
    let detail = json!({
        "uid": is.uid, "gid": is.gid, "home": is.home, "shell": is.shell, "groups": groups,
    });
    Ok(Observed::compared(differs.into_iter().flatten().collect(), detail))
}

fn has_shadow(files: &AccountFiles, name: &str) -> bool {
    files.shadow.as_ref().is_none_or(|shadow| shadow.row(name).is_some())
}

fn reconcile(host: &Host, id: &ResourceId, spec: &UserSpec) -> Result<Operation, ResourceError> {
    let _alone = AccountLock::take(host)?;
    let mut files = AccountFiles::read(host)?;
    let found = Account::of(&files, &spec.name);
    let uid = wanted_uid(&files, spec, found.as_ref())?;
    let own_group = files.gid(&spec.name);
    let gid = match (spec.gid, found.as_ref(), own_group) {
        (Some(gid), _, _) => gid,
        (None, Some(is), _) => is.gid,
        (None, None, Some(own)) => own,
        (None, None, None) => {
            let taken = |gid| files.group.ids(2).any(|id| id == gid);
            let own = if taken(uid) { free_id(taken) } else { Some(uid) };
            own.ok_or(ResourceError::NoFreeId)?
        }
    };
    for group in spec.groups.iter().flatten() {
        if files.gid(group).is_none() {
            return Err(ResourceError::UnknownAccount { what: "group", name: group.clone() });
        }
    }
    let before = Before {
        name: spec.name.clone(),
        passwd: files.passwd.row(&spec.name).map(|fields| fields.join(":")),
        groups: files.groups_of(&spec.name),
        own_group: own_group.is_some(),
    };
    let was = |part: fn(&Account) -> &String, new: &str| {
        found.as_ref().map_or_else(|| new.to_owned(), |is| part(is).clone())
    };
    let wanted = Account {
        password: was(|is| &is.password, "x"),
        uid,
        gid,
        comment: was(|is| &is.comment, ""),
        home: spec.home.clone().unwrap_or_else(|| was(|is| &is.home, NO_HOME)),
        shell: spec.shell.clone().unwrap_or_else(|| was(|is| &is.shell, NO_SHELL)),
    };
    if found.is_none() && spec.gid.is_none() && own_group.is_none() {
        files.add_group(&spec.name, gid);
    }
    if !files.group.ids(2).any(|id| id == gid) {
        let name = gid.to_string();
        return Err(ResourceError::UnknownAccount { what: "group", name });
    }
    if found.as_ref() != Some(&wanted) {
        files.passwd.set(&spec.name, Some(&wanted.line(&spec.name)));
    }
    add_shadow(&mut files, &spec.name);
    if let Some(groups) = &spec.groups {
        files.set_groups(&spec.name, groups);
    }
    let operation = if found.is_some() { Operation::Update } else { Operation::Create };
    if files.is_changed() {
        let holding = Holding::named(ResourceKind::User, &spec.name);
        host.owned().claim(id, holding.kind, &holding.name, |_| Original::kept(&before))?;
    }
    if files.write(host)? { Ok(operation) } else { Ok(Operation::None) }
}

fn wanted_uid(
    files: &AccountFiles,
    spec: &UserSpec,
    found: Option<&Account>,
) -> Result<u32, ResourceError> {
    let taken = |uid| files.passwd.ids(2).any(|id| id == uid);
    let taken_by_any = |id| taken(id) || files.group.ids(2).any(|gid| gid == id);
    match (spec.uid, found) {
        (Some(wanted), Some(is)) if is.uid == wanted => Ok(wanted),
        (Some(wanted), _) if taken(wanted) => {
            Err(ResourceError::AccountConflict { what: "user", id: wanted })
        }
        (Some(wanted), _) => Ok(wanted),
        (None, Some(is)) => Ok(is.uid),
        (None, None) => free_id(taken_by_any).ok_or(ResourceError::NoFreeId),
    }
}

/// A line in `shadow` for an account that has none: no password fits it.
fn add_shadow(files: &mut AccountFiles, name: &str) {
    if !has_shadow(files, name)
        && let Some(shadow) = &mut files.shadow
    {
        shadow.set(name, Some(&format!("{name}:!*:::::::")));
    }
}

fn delete(host: &Host, entry: &OwnedEntry) -> Result<Removal, ResourceError> {
    let before: Before = entry.original.read_kept(&entry.path)?;
    let _alone = AccountLock::take(host)?;
    let mut files = AccountFiles::read(host)?;
    let done = match &before.passwd {
        Some(line) => {
            files.passwd.set(&before.name, Some(line));
            add_shadow(&mut files, &before.name);
            Removal::PutBack
        }
        None => {
            files.passwd.set(&before.name, None);
            if let Some(shadow) = &mut files.shadow {
                shadow.set(&before.name, None);
            }
            Removal::Removed
        }
    };
    files.set_groups(&before.name, &before.groups);
    if let Some(own) = files.gid(&before.name)
        && before.passwd.is_none()
        && !before.own_group
        && !files.is_primary(own)
    {
        files.remove_group(&before.name);
    }
    if files.write(host)? { Ok(done) } else { Ok(Removal::AlreadyDone) }
}
