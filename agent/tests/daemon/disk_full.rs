//! The agent's disk is full: it says so, goes on breathing, touches nothing, and goes on later.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::agent::Host;
use super::control_plane::World;
use super::happy::bundle;
use super::release::Release;

/// Mounts a small tmpfs over the state folder, in name spaces of its own, and becomes the agent.
const ON_SMALL_DISK: &str = "mount -t tmpfs -o size=1m,mode=0700 tmpfs \"$0\" && exec \"$@\"";

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_everything_back_until_there_is_room() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    std::fs::create_dir(host.state_dir()).unwrap();
    let agent = host.command();
    let log = std::fs::File::create(host.path("agent.log")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_SMALL_DISK]);
    command.arg(host.state_dir()).arg(agent.get_program()).args(agent.get_args());
    command.stdout(Stdio::null()).stderr(log).process_group(0);
    let mut agent = command.spawn().unwrap();
    let seen = |world: &World| !world.heartbeats.is_empty();
    control_plane.until("a heartbeat", seen).await;

    let inside = PathBuf::from(format!("/proc/{}/root", agent.id()));
    let state_dir = inside.join(host.state_dir().strip_prefix("/").unwrap());
    let ballast = state_dir.join("ballast");
    fill(&ballast);
    let signed = Release::new(1, bundle("one", "one")).sign();
    control_plane.dispatch(&signed);
    let says_so = || std::fs::read_to_string(host.path("agent.log")).unwrap().contains("degraded");
    control_plane.until("the log says that the disk is full", |_| says_so()).await;
    let seen = control_plane.world().heartbeats.len();
    control_plane.until("more heartbeats", |w| w.heartbeats.len() > seen + 1).await;
    assert_eq!(host.file("etc/hello"), None);

    std::fs::remove_file(&ballast).unwrap();
    control_plane.until_event(&signed.rollout_id, "converged").await;
    assert_eq!(host.file("etc/hello").as_deref(), Some("one"));
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    assert!(agent.wait().unwrap().success());
}
