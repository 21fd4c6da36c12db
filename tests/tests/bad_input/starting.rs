//! Starting a second control plane beside one that runs: refused, and the first goes on.

use std::os::unix::fs::PermissionsExt as _;

use crate::yard::{Yard, control_plane, refusal};

#[test]
fn a_private_key_that_others_may_read_is_not_used() {
    let yard = Yard::open();
    yard.release(1, &[]);
    let expose = |name: &str| {
        let path = yard.path(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        format!("chmod 600 {}", path.display())
    };
    let hint = expose("certs/host-host-01.key");
    let agent = yard.agent("host-01").status().unwrap();
    let log = yard.log("host-01");
    assert_eq!(agent.code(), Some(2), "{log}");
    assert!(log.contains("its mode is 0644") && log.contains(&hint), "{log}");

    // The command line names its files as it was given them.
    expose("certs/operator-admin.key");
    refusal(
        &yard.wavegate_as("operator-admin", &["status"]),
        2,
        "chmod 600 certs/operator-admin.key",
    );
    expose("keys/release.key");
    let sign = yard.wavegate_as(
        "viewer-read",
        &["release", "sign", "releases/1", "--key", "keys/release.key"],
    );
    refusal(&sign, 2, "chmod 600 keys/release.key");
    expose("certs/control-plane.key");
    let fleet = yard.path("");
    let second = control_plane(&fleet, "state/second", "127.0.0.1:0").output().unwrap();
    refusal(&second, 2, "chmod 600 certs/control-plane.key");
}

#[test]
fn a_port_or_a_state_folder_in_use_is_refused_and_the_one_that_runs_goes_on() {
    let (yard, _agents) = Yard::with_release();
    let before = yard.picture();
    let fleet = yard.path("");
    let address = yard.url.replace("https://localhost", "127.0.0.1");
    let second = control_plane(&fleet, "state/second", &address).output().unwrap();
    refusal(&second, 4, &address);
    let second = control_plane(&fleet, "state/control-plane", "127.0.0.1:0").output().unwrap();
    refusal(&second, 5, "another control plane");
    let second = yard.agent("host-01").arg("--drift-interval").arg("5m").status().unwrap();
    assert_eq!(second.code(), Some(5), "{}", yard.log("host-01"));
    assert_eq!(yard.picture(), before);

    yard.say("still there");
    yard.release(2, &[]);
    yard.ok(&["release", "publish", "releases/2"]);
    yard.until_rollout("stable@r2", "terminal");
}
