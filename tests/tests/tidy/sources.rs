//! Every Rust file of the workspace, read and parsed.
//!
//! Not here: what is checked of them.

use std::collections::BTreeSet;
use std::path::Path;

use syn::visit::Visit;
use wavegate_tests::doc_commands::workspace;

/// The folders that hold Rust files.
const CRATES: [&str; 9] = [
    "agent",
    "cli",
    "control-plane",
    "migrations",
    "proto",
    "reconciler",
    "state-machine",
    "tests",
    "xtask",
];

pub(crate) struct Source {
    /// From the folder of the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) lines: usize,
    pub(crate) syntax: syn::File,
}

/// Every file, by path.
pub(crate) fn all() -> Vec<Source> {
    let root = workspace();
    let folders = CRATES.iter().map(|folder| root.join(folder));
    let mut all: Vec<Source> = folders.flat_map(|folder| of_folder(&root, &folder)).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

fn of_folder(root: &Path, folder: &Path) -> Vec<Source> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != "target")
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| read(root, &path))
        .collect()
}

fn read(root: &Path, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let syntax =
        syn::parse_file(&text).unwrap_or_else(|error| panic!("cannot parse {path}: {error}"));
    Source { lines: text.lines().count(), path, text, syntax }
}

/// The names of all functions and methods.
pub(crate) fn function_names() -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_signature(&mut self, signature: &'ast syn::Signature) {
            self.0.insert(signature.ident.to_string());
        }
    }
    let mut names = Names(BTreeSet::new());
    all().iter().for_each(|source| names.visit_file(&source.syntax));
    names.0
}

/// Fails with every finding, one a line.
pub(crate) fn expect_none(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}:\n  {}", findings.join("\n  "));
}

#[test]
fn the_list_of_crates_is_the_one_of_the_workspace() {
    let manifest: toml::Table =
        std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let mut members: Vec<&str> = members.iter().map(|member| member.as_str().unwrap()).collect();
    members.sort_unstable();
    assert_eq!(members, CRATES);
}
