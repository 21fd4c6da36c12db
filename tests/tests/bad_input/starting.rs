//! Starting a second control plane beside one that runs: refused, and the first goes on.

use crate::yard::{Yard, control_plane, refusal};

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
