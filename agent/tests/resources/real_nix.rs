//! Store paths with a real Nix: what is signed comes, what is not does not, and the profile is set by path.
//!
//! Needs Debian's `nix-bin`. Where it is missing, the test says so and ends; with `WAVEGATE_REAL_NIX=required`, as in CI,
//! it fails. The units are those of a stand-in for systemd here, see `real_switch`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use wavegate_agent::activation::{ActivationOutcome, Activator, NixosSettings, Setup, live_setup};
use wavegate_agent::cache::Cache;
use wavegate_agent::resources::shell_job::ShellJobs;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::ClosureId;

use crate::machine::run;
use crate::world::{Answers, LIMITS, complete, settings};

/// A host's store below a root, a store where systems are made, and caches between them.
struct Nix {
    folder: tempfile::TempDir,
    key: String,
}

impl Nix {
    fn new() -> Option<Self> {
        if !Path::new("/usr/bin/nix-store").exists() {
            let required = std::env::var("WAVEGATE_REAL_NIX").is_ok_and(|v| v == "required");
            assert!(!required, "needs nix-bin: run .ci/setup");
            eprintln!("not run: needs nix-bin");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut this = Self { folder, key: String::new() };
        for name in ["root/run", "root/nix/var/nix/profiles", "state", "bin", "bin/units", "home"] {
            fs::create_dir_all(this.path(name)).unwrap();
        }
        let (secret, public) = (this.path("secret.key"), this.path("public.key"));
        let mut make = this.nix("nix-store");
        run(make.args(["--generate-binary-cache-key", "cache-1"]).arg(secret).arg(&public));
        this.key = fs::read_to_string(public).unwrap();
        let options = format!(
            "build-users-group =\nsandbox = false\ntrusted-public-keys = {}\nsubstituters = file://{}\n",
            this.key,
            this.path("cache").display()
        );
        fs::write(this.path("nix.conf"), options).unwrap();
        this.programs();
        Some(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn nix(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.path("home")).env("NIX_CONF_DIR", self.folder.path());
        if program == "nix" {
            command.args(["--extra-experimental-features", "nix-command"]);
        }
        command
    }

    /// The real programs of Nix on the host's own store, and a stand-in for systemd.
    fn programs(&self) {
        let stand_ins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/fake-nixos");
        for program in ["systemd-run", "systemctl", "journalctl"] {
            fs::copy(stand_ins.join(program), self.path("bin").join(program)).unwrap();
        }
        for program in ["nix", "nix-store", "nix-env"] {
            let text = format!(
                "#!/bin/sh\nexport HOME={0}/home NIX_CONF_DIR={0}\nexec /usr/bin/{program} --store {0}/root \"$@\"\n",
                self.folder.path().display()
            );
            let path = self.path("bin").join(program);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// A system in the store where systems are made.
    fn system(&self, name: &str) -> ClosureId {
        let folder = self.path(&format!("nixos-system-{name}"));
        fs::create_dir_all(folder.join("bin")).unwrap();
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/daemon/fake-nixos/switch-to-configuration");
        fs::copy(stand_in, folder.join("bin/switch-to-configuration")).unwrap();
        fs::write(folder.join("trouble"), "none").unwrap();
        let mut add = self.nix("nix");
        let add = add.arg("--store").arg(self.path("made")).args(["store", "add-path"]).arg(folder);
        run(add).trim().parse().unwrap()
    }

    /// Puts a system into the cache, signed with this key or not at all.
    fn publish(&self, system: &ClosureId, signed: bool) {
        let cache = self.path("cache");
        let key = format!("?secret-key={}", self.path("secret.key").display());
        let to = format!("file://{}{}", cache.display(), if signed { key.as_str() } else { "" });
        let mut copy = self.nix("nix");
        let copy = copy.arg("--store").arg(self.path("made")).args(["copy", "--to", &to]);
        run(copy.arg(system.to_string()));
        // A path that is named by its content needs no signature; that of a system is not.
        for entry in fs::read_dir(cache).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "narinfo") {
                let text = fs::read_to_string(&path).unwrap();
                let kept: Vec<_> = text.lines().filter(|line| !line.starts_with("CA:")).collect();
                fs::write(path, kept.join("\n") + "\n").unwrap();
            }
        }
    }

    async fn activate(&self, system: &ClosureId) -> ActivationOutcome {
        let (root, state) = (self.path("root"), self.path("state"));
        let cache = Arc::new(Cache::open(&state, 1 << 30, Default::default()).unwrap());
        let nixos = Some(NixosSettings { programs: Some(self.path("bin")) });
        let own = settings(ShellJobs::Refused, None);
        let setup = live_setup(&root, &state, cache, Arc::new(Answers::default()), own);
        let activator = Activator::open(Setup { nixos, ..setup }).unwrap().0;
        activator.activate(system, None, LIMITS).await
    }

    fn link(&self, link: &str) -> String {
        let link = self.path("root").join(link);
        let target = fs::read_link(&link).unwrap();
        let next = fs::read_link(link.with_file_name("").join(&target));
        next.unwrap_or(target).to_str().unwrap().to_owned()
    }
}

fn refused(outcome: &ActivationOutcome) -> Option<(FailureClass, &str, bool)> {
    match outcome {
        ActivationOutcome::Failed { class, reason, changed, .. } => {
            Some((*class, reason.as_str(), *changed))
        }
        ActivationOutcome::Complete { .. }
        | ActivationOutcome::Deferred { .. }
        | ActivationOutcome::ForTheNext => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_nix_brings_what_is_signed_and_nothing_else() {
    let Some(nix) = Nix::new() else { return };
    let (first, good, bad) = (nix.system("first"), nix.system("good"), nix.system("bad"));
    symlink(first.to_string(), nix.path("root/run/current-system")).unwrap();
    nix.publish(&good, true);
    assert_eq!(nix.activate(&good).await, complete(true));
    assert_eq!(nix.link("run/current-system"), good.to_string());
    assert_eq!(nix.link("nix/var/nix/profiles/system"), good.to_string());
    assert_eq!(nix.activate(&good).await, complete(false));

    let untrusted = Some((FailureClass::Policy, "untrusted-closure", false));
    nix.publish(&bad, false);
    let outcome = nix.activate(&bad).await;
    assert_eq!(refused(&outcome), untrusted, "{outcome:?}");
    // Somebody lets it in by hand: it is in the store then, and still nobody has signed it.
    let mut force = Command::new(nix.path("bin/nix-store"));
    run(force.args(["--option", "require-sigs", "false", "--realise", &bad.to_string()]));
    let outcome = nix.activate(&bad).await;
    assert_eq!(refused(&outcome), untrusted, "{outcome:?}");
    assert_eq!(nix.link("nix/var/nix/profiles/system"), good.to_string());
}
