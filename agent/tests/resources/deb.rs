//! Debian packages and a repository of them, made by the test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use wavegate_proto::ids::Sha256Hash;

/// A package of one file.
pub(crate) struct Deb<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// Further lines of its control file, such as `Depends: …\n`.
    pub(crate) more: &'a str,
    /// Where its file goes.
    pub(crate) path: &'a str,
    pub(crate) content: &'a str,
}

/// Builds the packages into `folder`, which becomes a repository.
pub(crate) fn repository(folder: &Path, packages: &[Deb<'_>]) {
    fs::create_dir_all(folder).unwrap();
    let entries: Vec<String> = packages.iter().map(|deb| build(folder, deb)).collect();
    fs::write(folder.join("Packages"), entries.concat()).unwrap();
}

/// The line of `sources.list` for a repository that apt finds in this folder.
pub(crate) fn source(folder: &Path) -> String {
    format!("deb [trusted=yes] file:{} ./\n", folder.display())
}

/// Its entry in the list of the repository.
fn build(folder: &Path, deb: &Deb<'_>) -> String {
    let Deb { name, version, more, path, content } = deb;
    let tree = folder.join(format!("{name}-{version}"));
    let file = tree.join(path.trim_start_matches('/'));
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a test <a@test>\n{more}Description: x\n"
    );
    fs::write(tree.join("DEBIAN/control"), &control).unwrap();
    let archive = format!("{name}_{version}.deb");
    let mut dpkg_deb = Command::new("dpkg-deb");
    dpkg_deb.args(["--root-owner-group", "-b"]).arg(&tree).arg(folder.join(&archive));
    let output = dpkg_deb.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = fs::read(folder.join(&archive)).unwrap();
    let (size, hash) = (bytes.len(), Sha256Hash::of(&bytes));
    format!("{control}Filename: ./{archive}\nSize: {size}\nSHA256: {hash}\n\n")
}
