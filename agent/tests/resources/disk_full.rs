//! A full disk: class host, the old file whole, nothing left lying about.

use std::io::ErrorKind;
use std::process::Command;

use serde_json::json;
use wavegate_agent::activation::ActivationOutcome;
use wavegate_agent::resources::steps::Step;
use wavegate_proto::event::FailureClass;

use crate::world::{World, complete};

fn assert_disk_full(outcome: &ActivationOutcome) {
    let ActivationOutcome::Failed { class, reason, changed, .. } = outcome else {
        panic!("{outcome:?}")
    };
    let seen = (*class, reason.as_str(), *changed);
    assert_eq!(seen, (FailureClass::Host, "disk-full", false));
}

#[tokio::test]
async fn a_write_without_space_leaves_the_old_file() {
    let steps = [Step::SaveOriginal, Step::WriteState, Step::CreateTemp, Step::WriteTemp];
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        for step in steps {
            let world = World::new();
            world.write("/etc/f", "old", 0o640);
            let before = world.tree();
            world.trouble.fail(step, kind, 1);
            let file = json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": "new"}]);
            assert_disk_full(&world.activate(file.clone()).await);
            assert_eq!(world.tree(), before, "{step:?}");
            assert_eq!(world.activate(file).await, complete(true), "{step:?}");
        }
    }
}

/// Unmounts when the test ends, however it ends.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_real_small_disk_runs_full() {
    if !rustix::process::geteuid().is_root() {
        // Only root may mount; the same is shown above with injected errors.
        return;
    }
    let world = World::new();
    let disk = world.path("/disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
    let mounted = Command::new("mount").args(mount).arg(&disk).status().unwrap();
    assert!(mounted.success(), "as root this test needs to mount a tmpfs, and cannot");
    let _mounted = Mounted(disk.clone());
    world.write("/disk/f", "old", 0o640);
    let before = world.tree();
    let large = vec![1; 1024 * 1024];
    let asset = world.asset(&large);
    let file = json!([{"id": "f", "kind": "file", "path": "/disk/f", "asset": asset.to_string(), "size": large.len()}]);
    assert_disk_full(&world.activate(file).await);
    assert_eq!(world.tree(), before);
    assert_eq!(world.back_to_nothing().await, complete(false));
    assert_eq!(world.tree(), before);
}
