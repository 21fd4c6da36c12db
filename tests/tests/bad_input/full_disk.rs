//! The disk of a host is full while a release goes out.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use wavegate_tests::processes::program::Process;

use crate::yard::Yard;

/// Mounts a small tmpfs over the state folder, in name spaces of its own, and becomes the agent.
const ON_SMALL_DISK: &str = "mount -t tmpfs -o size=1m,mode=0700 tmpfs \"$0\" && exec \"$@\"";

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
}

#[test]
fn a_host_with_a_full_disk_begins_nothing_and_goes_on_when_there_is_room() {
    let yard = Yard::open();
    // No check: in the name space of this agent there is no user `nobody` to run one as.
    let bundle = yard.path("bundles/app.toml");
    let text = std::fs::read_to_string(&bundle).unwrap();
    std::fs::write(&bundle, text.split("[[probes]]").next().unwrap()).unwrap();
    let state = yard.path("state/host-01");
    std::fs::create_dir_all(&state).unwrap();
    let agent = yard.agent("host-01");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_SMALL_DISK]);
    command.arg(&state).arg(agent.get_program()).args(agent.get_args());
    let log = std::fs::File::create(yard.path("host-01.log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    let agent = Process::start("the agent on a small disk", &mut command);
    let _other = yard.start_agent("host-02");

    yard.release(1, &[]);
    yard.ok(&["release", "publish", "releases/1"]);
    yard.until_rollout("stable@r1", "terminal");
    let before = yard.file("host-01");
    assert!(before.is_some());

    let inside = PathBuf::from(format!("/proc/{}/root", agent.id()));
    let ballast = inside.join(state.strip_prefix("/").unwrap()).join("ballast");
    fill(&ballast);
    yard.say("on a full disk");
    yard.release(2, &[]);
    yard.ok(&["release", "publish", "releases/2"]);
    let says_so = || yard.log("host-01").contains("degraded: the disk is full");
    yard.until("the agent says that its disk is full", says_so);
    assert_eq!(yard.file("host-01"), before, "nothing half-done");
    assert_eq!(yard.file("host-02"), before, "wave 1 waits for wave 0");

    std::fs::remove_file(&ballast).unwrap();
    yard.until_rollout("stable@r2", "terminal");
    for host in ["host-01", "host-02"] {
        assert_eq!(yard.file(host).as_deref(), Some("hello on a full disk\n"));
    }
    // It was held back, not failed: the first attempt is the one that converged.
    let hosts = yard.ok(&["rollout", "hosts", "stable@r2", "--json"]);
    let hosts: serde_json::Value = serde_json::from_str(&hosts).unwrap();
    assert_eq!((&hosts[0]["state"], &hosts[0]["attempt"]), (&"converged".into(), &1.into()));
}
