//! The unit a NixOS system is switched in, on a real systemd: its exit code, its end by force, and an agent
//! that was away meanwhile.
//!
//! Needs what the tests of units need, see `systemd`. Nix itself is a stand-in here.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wavegate_agent::activation::{ActivationOutcome, Activator, NixosSettings, Setup, live_setup};
use wavegate_agent::cache::Cache;
use wavegate_agent::resources::engine::Limits;
use wavegate_agent::resources::shell_job::ShellJobs;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::ClosureId;

use crate::machine::{Machine, until};
use crate::world::{Answers, World, complete, settings};

/// A NixOS whose systemd is the container's.
struct Nixos {
    machine: Machine,
    world: World,
    root: PathBuf,
    programs: tempfile::TempDir,
}

const MOVE: &str = "ln -s $SYSTEM /run/next && mv -T /run/next /run/current-system";

impl Nixos {
    fn boot(name: &str) -> Option<Self> {
        let (world, machine) = World::boot(name)?;
        let root = PathBuf::from(format!("/proc/{}/root", machine.leader));
        let programs = tempfile::tempdir().unwrap();
        let this = Self { machine, world, root, programs };
        let inside = format!("nsenter -t {} -a", this.machine.leader);
        for program in ["systemd-run", "systemctl", "journalctl"] {
            // The agent works from outside: what it names lies below its root.
            let text = format!(
                "args=()\nfor word; do args+=(\"${{word#{}}}\"); done\nexec {inside} {program} \"${{args[@]}}\"",
                this.root.display()
            );
            this.program(program, &text);
        }
        this.program("nix", "exit 0");
        this.program("nix-store", "exit 0");
        this.program("nix-env", "mkdir -p \"$(dirname \"$2\")\"; ln -sfn \"$4\" \"$2\"");
        let first = this.system('a', MOVE);
        symlink(first.to_string(), this.root.join("run/current-system")).unwrap();
        Some(this)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.programs.path().join(name);
        fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A system that is switched to by this script.
    fn system(&self, mark: char, script: &str) -> ClosureId {
        let hash = String::from(mark).repeat(32);
        let system = format!("/nix/store/{hash}-nixos-system");
        let folder = self.root.join(system.trim_start_matches('/')).join("bin");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("switch-to-configuration");
        let text = format!("#!/bin/bash\nSYSTEM={system}\necho $1 >>/switches\n{script}\n");
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        system.parse().unwrap()
    }

    fn activator(&self) -> Activator {
        let state = self.world.state();
        let cache = Arc::new(Cache::open(&state, 1 << 30, Default::default()).unwrap());
        let answers = Arc::new(Answers::default());
        let nixos = Some(NixosSettings { programs: Some(self.programs.path().to_owned()) });
        let setup =
            live_setup(&self.root, &state, cache, answers, settings(ShellJobs::Refused, None));
        Activator::open(Setup { nixos, ..setup }).unwrap().0
    }

    async fn activate(&self, system: &ClosureId, secs: u64) -> ActivationOutcome {
        let activation = Duration::from_secs(secs);
        let limits = Limits { activation, awaiting: activation };
        self.activator().activate(system, None, limits).await
    }

    fn units(&self) -> String {
        self.machine.systemctl(&["list-units", "--all", "--plain", "--no-legend", "wavegate-*"])
    }
}

fn failure(outcome: &ActivationOutcome) -> (FailureClass, String, Option<i32>, String) {
    match outcome {
        ActivationOutcome::Failed { class, reason, exit_code, detail, .. } => {
            (*class, reason.clone(), *exit_code, detail.clone())
        }
        ActivationOutcome::Complete { .. }
        | ActivationOutcome::Deferred { .. }
        | ActivationOutcome::ForTheNext => {
            panic!("{outcome:?}")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_of_a_real_unit_says_how_the_switch_ended() {
    let Some(nixos) = Nixos::boot("switch") else { return };
    let system = nixos.system('b', MOVE);
    assert_eq!(nixos.activate(&system, 60).await, complete(true));
    assert_eq!(nixos.activate(&system, 60).await, complete(false));

    let fails = nixos.system('c', "echo unit web.service failed >&2; exit 4");
    let (class, reason, exit_code, detail) = failure(&nixos.activate(&fails, 60).await);
    assert_eq!((class, reason.as_str()), (FailureClass::Artifact, "switch-failed"));
    assert_eq!(exit_code, Some(4));
    assert!(detail.contains("unit web.service failed"), "{detail}");

    let dies = nixos.system('d', "kill -9 $$");
    let (class, reason, ..) = failure(&nixos.activate(&dies, 60).await);
    assert_eq!((class, reason.as_str()), (FailureClass::Host, "switch-killed"));

    let hangs = nixos.system('e', "trap '' TERM; sleep 1000 & wait; wait");
    let (class, reason, ..) = failure(&nixos.activate(&hangs, 2).await);
    assert_eq!((class, reason.as_str()), (FailureClass::Artifact, "switch-timeout"));
    // Gone back to at once: systemd may not have forgotten its first unit yet.
    assert_eq!(nixos.activate(&system, 60).await, complete(true));
    until("no unit is left behind", || nixos.units().is_empty().then_some(()));
}

/// A4: an agent that was away when the unit ended still learns how.
#[tokio::test(flavor = "multi_thread")]
async fn a4_a_real_unit_is_found_again_also_when_it_has_ended_meanwhile() {
    let Some(nixos) = Nixos::boot("again") else { return };
    for (mark, exit) in [('b', 0), ('c', 3)] {
        let script = format!("{MOVE}; while ! test -e /go; do sleep 0.1; done; exit {exit}");
        let system = nixos.system(mark, &script);
        let away = tokio::time::timeout(Duration::from_secs(5), nixos.activate(&system, 60)).await;
        assert!(away.is_err(), "it waits for the exit, not for the link");
        fs::write(nixos.root.join("go"), "").unwrap();
        until("the unit's end", || {
            let units = nixos.units();
            (units.contains("exited") || units.contains("failed")).then_some(())
        });
        let outcome = nixos.activate(&system, 60).await;
        if exit == 0 {
            assert_eq!(outcome, complete(true));
        } else {
            assert_eq!(failure(&outcome).2, Some(3));
        }
        fs::remove_file(nixos.root.join("go")).unwrap();
    }
    let switches = fs::read_to_string(nixos.root.join("switches")).unwrap();
    assert_eq!(switches.lines().count(), 2, "each was begun once");
}
