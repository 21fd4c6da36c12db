//! Which names in which folders say something about a bundle.
//!
//! Of each path the folder it is in is watched for its name, so that it is also seen to be replaced, deleted and made
//! again; and each folder above for the next one on the way, which may be moved or deleted as a whole.
//! Not here: where the folders are (the root), watching them (see `files`).

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::artifact::bundle::{Bundle, FileContent, ResourceSpec};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::ResourceKind;

/// What of a name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Interest {
    /// That it comes and goes.
    Existence,
    /// Its mode and owner, too.
    Attributes,
    /// And what is in it.
    Content,
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) interest: Interest,
    /// Whom it concerns.
    pub(super) resources: BTreeSet<ResourceId>,
}

/// The names in one folder.
pub(super) type Names = BTreeMap<String, Name>;

/// By the folder's path as the bundle writes it.
pub(super) type Folders = BTreeMap<String, Names>;

/// What a bundle is about in the file system.
pub(super) fn folders_of(bundle: &Bundle) -> Folders {
    let mut folders = Folders::new();
    for resource in &bundle.resources {
        for holding in resource.spec.holdings() {
            let interest = match holding.kind {
                ResourceKind::File => Interest::Content,
                ResourceKind::Directory => Interest::Attributes,
                ResourceKind::SystemdUnit
                | ResourceKind::Container
                | ResourceKind::NetworkConfig
                | ResourceKind::Package
                | ResourceKind::User
                | ResourceKind::Group
                | ResourceKind::ShellJob
                | ResourceKind::Unknown => continue,
            };
            add(&mut folders, &holding.name, interest, &resource.id);
        }
        if let ResourceSpec::File(spec) = &resource.spec
            && let FileContent::HostFile(secret) = &spec.content
        {
            add(&mut folders, secret, Interest::Content, &resource.id);
        }
    }
    folders
}

fn add(folders: &mut Folders, path: &str, interest: Interest, id: &ResourceId) {
    let mut of_name = interest;
    let mut rest = path;
    while let Some((above, name)) = rest.rsplit_once('/') {
        let folder = if above.is_empty() { "/" } else { above };
        let names = folders.entry(folder.to_owned()).or_default();
        let known = names
            .entry(name.to_owned())
            .or_insert_with(|| Name { interest: of_name, resources: BTreeSet::new() });
        known.interest = known.interest.max(of_name);
        known.resources.insert(id.clone());
        (rest, of_name) = (above, Interest::Existence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(resources: &serde_json::Value) -> Vec<String> {
        let document = serde_json::json!({ "schema_version": 1, "resources": resources });
        let bundle: Bundle = serde_json::from_value(document).unwrap();
        let mut lines = Vec::new();
        for (folder, names) in folders_of(&bundle) {
            for (name, Name { interest, resources }) in names {
                let ids: Vec<String> = resources.iter().map(ToString::to_string).collect();
                lines.push(format!("{folder} {name} {interest:?} {}", ids.join(",")));
            }
        }
        lines
    }

    #[test]
    fn each_path_is_watched_in_its_folder_and_each_folder_above_for_the_next() {
        let found = watched(&serde_json::json!([
            {"id": "a", "kind": "file", "path": "/etc/app/a", "content": ""},
            {"id": "b", "kind": "directory", "path": "/etc/app"},
            {"id": "c", "kind": "file", "path": "/c", "content_from": {"host_file": "/root/secret"}},
        ]));
        let expected = [
            "/ c Content c",
            "/ etc Existence a,b",
            "/ root Existence c",
            "/etc app Attributes a,b",
            "/etc/app a Content a",
            "/root secret Content c",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn units_and_networks_are_watched_by_their_files_and_what_has_none_is_not() {
        let found = watched(&serde_json::json!([
            {"id": "u", "kind": "systemd-unit", "name": "u.service", "content": "[Service]\n",
             "drop_ins": {"1.conf": ""}},
            {"id": "n", "kind": "network-config", "files": {"10.network": "[Match]\nName=x\n"}, "revert_after_secs": 60},
            {"id": "p", "kind": "package", "name": "p"},
        ]));
        let expected = [
            "/ etc Existence n,u",
            "/etc systemd Existence n,u",
            "/etc/systemd network Existence n",
            "/etc/systemd system Existence u",
            "/etc/systemd/network 10.network Content n",
            "/etc/systemd/system u.service Content u",
            "/etc/systemd/system u.service.d Attributes u",
            "/etc/systemd/system/u.service.d 1.conf Content u",
        ];
        assert_eq!(found, expected);
    }
}
