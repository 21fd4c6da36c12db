//! A release that turned out to be wrong after it had converged: one command puts the channel back.

use crate::yard::Yard;

/// E10: going back dispatches, since it is a new rollout; G22: under a ref that was never there.
#[test]
fn e10_g22_a_channel_is_recalled_and_its_hosts_run_what_they_ran_before() {
    let (yard, _agents) = Yard::with_release();
    let before = yard.file("host-02");
    yard.say("something wrong that no check notices");
    yard.release(2, &[]);
    yard.ok(&["release", "publish", "releases/2"]);
    yard.until_rollout("stable@r2", "terminal");
    assert_ne!(yard.file("host-02"), before);

    let differs = yard.wavegate(&["release", "diff", "releases/1", "releases/2"]);
    assert_eq!(differs.status.code(), Some(1));
    let told = String::from_utf8(differs.stdout).unwrap();
    assert!(told.contains("~ host host-01, host-02: closure sha256:"), "{told}");
    assert!(told.ends_with("opens stable@r2\n"), "{told}");
    assert!(differs.stderr.is_empty(), "a difference is no error");

    let recall = ["release", "recall", "--previous", "releases/2", "--channel", "stable"];
    let told = yard.ok(&[&recall[..], &["--out", "releases/3"]].concat());
    assert!(told.starts_with("channel stable goes back to release 1 in "), "{told}");
    yard.sign(3);
    yard.ok(&["release", "publish", "releases/3"]);
    yard.until_rollout("stable@r3", "terminal");
    for host in ["host-01", "host-02"] {
        assert_eq!(yard.file(host), before, "{host}");
    }
    let same = ["release", "diff", "releases/3", "releases/3"];
    assert!(yard.ok(&same).contains("no difference"));
}
