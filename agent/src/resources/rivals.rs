//! Who may be changing what we keep putting right: what can be seen of others on this host.
//!
//! A guess for a person to begin with, never a reason to do anything. Not here: when corrections become too
//! many (see `drift`).

use std::fs;
use std::path::Path;

use rustix::fs::Stat;
use wavegate_proto::artifact::bundle::Resource;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::resource::ResourceKind;

use super::host::Host;
use super::place::Found;

/// Programs that keep hosts in a state of their own, by the names the kernel has of them (15 bytes).
const KEEPERS: [&str; 15] = [
    "puppet",
    "chef-client",
    "cinc-client",
    "salt-minion",
    "cf-agent",
    "cf-execd",
    "ansible-playboo",
    "ansible-pull",
    "cloud-init",
    "NetworkManager",
    "systemd-tmpfile",
    "unattended-upgr",
    "dpkg",
    "apt-get",
    "wavegate-agent",
];

/// The most names that are told.
const MAX_TOLD: usize = 5;

/// A sentence about who may be at work on `resource` as well.
pub(crate) fn suspects(host: &Host, resource: &Resource) -> String {
    let mut seen = Vec::new();
    for holding in resource.spec.holdings() {
        if matches!(holding.kind, ResourceKind::File | ResourceKind::Directory) {
            seen.extend(last_change(host, &holding.name));
            seen.extend(holders(host, &holding.name));
        }
    }
    seen.extend(keepers());
    if seen.is_empty() {
        return "nobody can be seen at work on it: look with fuser or auditctl".to_owned();
    }
    seen.truncate(MAX_TOLD);
    seen.join("; ")
}

/// Whose it is now, and when it was last written.
fn last_change(host: &Host, path: &str) -> Option<String> {
    let stat: Box<Stat> = match host.root().place(path).ok()?.look().ok()? {
        Found::File(stat) | Found::Folder(stat) | Found::Link(stat) => stat,
        Found::Absent => return Some(format!("{path} was removed")),
        Found::Other => return None,
    };
    let at = Timestamp::from_unix_millis(stat.st_mtime.saturating_mul(1000));
    let owner = host.accounts().user_name(stat.st_uid);
    Some(format!("{path} was last written at {at} and is owned by {owner}"))
}

/// Processes that have the file open.
fn holders(host: &Host, path: &str) -> Vec<String> {
    let Ok(wanted) = fs::canonicalize(host.root().path().join(path.trim_start_matches('/'))) else {
        return Vec::new();
    };
    let holds = |process: &Path| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        open.into_iter().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == wanted))
    };
    processes(|process, _| holds(process)).map(|who| format!("open in {who}")).collect()
}

/// Programs at work that keep hosts in a state of their own.
fn keepers() -> Vec<String> {
    processes(|_, name| KEEPERS.contains(&name)).map(|who| format!("{who} runs")).collect()
}

/// Other processes that `is_one` takes, as name and number.
fn processes(is_one: impl Fn(&Path, &str) -> bool) -> impl Iterator<Item = String> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(move |entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let path = entry.path();
            let name = fs::read_to_string(path.join("comm")).ok()?;
            let name = name.trim_end();
            (pid != own && is_one(&path, name)).then(|| format!("{name} (pid {pid})"))
        })
        .take(MAX_TOLD)
}
