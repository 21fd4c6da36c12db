//! The disk of a host is full while a release goes out; the disk of the control plane nearly is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wavegate_tests::processes::program::Process;

use crate::yard::{Yard, control_plane};

/// Mounts a small tmpfs over the state folder, in name spaces of its own, and becomes the program.
const ON_SMALL_DISK: &str =
    "mount -t tmpfs -o size=$0,mode=0700 tmpfs \"$1\" && shift && exec \"$@\"";

/// `program` with its state folder on a disk of this size.
fn on_small_disk(size: &str, state: &Path, program: &Command) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_SMALL_DISK, size]);
    command.arg(state).arg(program.get_program()).args(program.get_args()).process_group(0);
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = program.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// A file in the state folder, as the process sees it.
fn inside(process: &Process, state: &Path, name: &str) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", process.id()));
    root.join(state.strip_prefix("/").unwrap()).join(name)
}

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
    let mut command = on_small_disk("1m", &state, &agent);
    let log = std::fs::File::create(yard.path("host-01.log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let agent = Process::start("the agent on a small disk", &mut command);
    let _other = yard.start_agent("host-02");

    yard.release(1, &[]);
    yard.ok(&["release", "publish", "releases/1"]);
    yard.until_rollout("stable@r1", "terminal");
    let before = yard.file("host-01");
    assert!(before.is_some());

    let ballast = inside(&agent, &state, "ballast");
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

/// G14: the last twentieth of the control plane's disk is for operators: hosts' events and uploads are sent away.
#[test]
fn g14_on_a_nearly_full_disk_operators_act_and_uploads_wait() {
    let mut yard = Yard::open();
    let state = yard.path("state/small");
    std::fs::create_dir_all(&state).unwrap();
    let program = control_plane(&yard.path(""), "state/small", "127.0.0.1:0");
    let mut command = on_small_disk("64m", &state, &program);
    let log = std::fs::File::create(yard.path("small.log")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut small = Process::start("the control plane on a small disk", &mut command);
    let mut line = String::new();
    BufReader::new(small.stdout()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening ").expect("it did not start");
    yard.url = url.replace("127.0.0.1", "localhost");
    yard.release(1, &[]);
    yard.ok(&["release", "publish", "releases/1"]);

    let ballast = inside(&small, &state, "ballast");
    std::fs::write(&ballast, vec![0; 61 * 1024 * 1024]).unwrap();
    // The answer of the file system is good for a second: meanwhile uploads are still taken.
    let refused = (2..200).find(|number| {
        yard.say(&format!("on a nearly full disk, {number}"));
        yard.release(*number, &[]);
        !yard.wavegate(&["release", "publish", &format!("releases/{number}")]).status.success()
    });
    let release = format!("releases/{}", refused.expect("every upload was taken"));
    yard.refused(&["release", "publish", &release], 1, "nearly full");
    assert!(std::fs::read_to_string(yard.path("small.log")).unwrap().contains("nearly full"));
    let held = yard.ok(&["host", "hold", "host-01", "--reason", "the disk", "--json"]);
    assert!(held.contains("the disk"), "{held}");

    std::fs::remove_file(&ballast).unwrap();
    yard.until("uploads are taken again", || {
        yard.wavegate(&["release", "publish", &release]).status.success()
    });
}
