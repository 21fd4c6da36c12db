//! `wavegate demo`: the story a newcomer sees, from the outside.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use wavegate::client::Security;
use wavegate_tests::processes::program::{Process, wavegate};
use wavegate_tests::processes::reader::Reader;
use wavegate_tests::processes::wait::until;

/// From the signal to the last process gone.
const END: Duration = Duration::from_secs(20);

fn demo(args: &[&str], dir: &Path) -> Command {
    let mut command = wavegate();
    command.arg("demo").args(args).arg("--dir").arg(dir).stdin(Stdio::null());
    command
}

/// The same, ended by SIGINT as in a terminal: where tests run in the background that may be ignored, and
/// children take it over.
fn in_the_foreground(command: &Command) -> Command {
    let mut env = Command::new("env");
    env.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => env.env(name, value),
            None => env.env_remove(name),
        };
    }
    env.stdin(Stdio::null());
    env
}

/// A folder that probes can enter, which run as nobody when the test is root.
fn open_folder() -> tempfile::TempDir {
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    tempfile::Builder::new().prefix("wavegate-").permissions(open).tempdir().unwrap()
}

/// Processes that have `dir` on their command line.
fn processes_of(dir: &Path) -> Vec<u32> {
    let dir = dir.as_os_str().as_encoded_bytes();
    let names = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let with_dir = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(dir.len()).any(|part| part == dir)
    };
    names.filter_map(|name| name.parse().ok()).filter(with_dir).collect()
}

fn expect_nothing_left(dir: &Path) {
    until("every process of the demo to be gone", END, || match processes_of(dir) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

#[test]
fn the_demo_tells_its_story_and_ends_well() {
    let temp = open_folder();
    let dir = temp.path().join("demo");
    let output = demo(&["--hosts", "6", "--seed", "7"], &dir).output().unwrap();
    let story = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{story}\n{}", String::from_utf8_lossy(&output.stderr));
    let mut rest = story.as_str();
    for milestone in [
        "one control plane and 6 agents",
        "1. A good release",
        "release 1 is signed and published: stable@r1",
        "wave canary: 1 converged",
        "wave early: 2 converged",
        "wave rest: 3 converged",
        "every host runs release 1",
        "2. A bad release",
        "stable@r2",
        "wave canary: 1 reverted",
        "host-01: probes failing: app; it went back by itself, the rollout halted",
        "the other 5 hosts were never touched",
        "the bad closure is quarantined on its channel",
        "3. The fix",
        "every host runs release 3",
        "SIGKILL",
        "deleted wavegate.db",
        "no host was touched",
    ] {
        let Some((_, after)) = rest.split_once(milestone) else {
            panic!("{milestone:?} is missing, or not in its place:\n{story}")
        };
        rest = after;
    }
    let last = story.lines().last().unwrap();
    let took = last.strip_prefix("demo: ok (releases 3, hosts 6, wipe recovered in ");
    let took = took.and_then(|took| took.strip_suffix(" s)")).unwrap_or_else(|| panic!("{last}"));
    assert!(took.parse::<f64>().unwrap() < 60.0, "{last}");
    expect_nothing_left(&dir);
}

#[test]
fn a_kept_demo_answers_the_lines_it_prints_and_sigint_ends_it() {
    let temp = open_folder();
    let dir = temp.path().join("demo");
    let mut command = demo(&["--hosts", "3", "--keep"], &dir);
    let mut process = Process::start("the demo", command.stdout(Stdio::piped()));
    let mut curls = Vec::new();
    for line in BufReader::new(process.stdout()).lines() {
        let line = line.unwrap();
        curls.extend(line.trim().strip_prefix("curl ").map(str::to_owned));
        if line.starts_with("Ctrl-C") {
            break;
        }
    }
    assert!(curls.len() >= 4, "{curls:?}");
    for curl in &curls {
        assert!(!get(curl).is_empty(), "{curl}");
    }
    assert!(!processes_of(&dir).is_empty());
    process.signal(Signal::INT);
    assert_eq!(process.end(END).code(), Some(0));
    expect_nothing_left(&dir);
}

/// Does what `curl` with these words does: with curl where there is one, else with our client.
fn get(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    if let Ok(output) =
        Command::new("curl").args(["--silent", "--show-error", "--fail"]).args(&words).output()
    {
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        return String::from_utf8(output.stdout).unwrap();
    }
    let after = |flag: &str| {
        let at = words.iter().position(|word| *word == flag)?;
        Some(PathBuf::from(words[at + 1]))
    };
    let (url, _) = words.last().unwrap().split_once("/v1").unwrap_or((words.last().unwrap(), ""));
    let url = url.trim_end_matches("/metrics");
    let security = match after("--cacert") {
        None => Security::Plain,
        Some(ca) => Security::Tls { ca, identity: after("--cert").zip(after("--key")) },
    };
    Reader::with(url, security).text(words.last().unwrap().strip_prefix(url).unwrap()).unwrap()
}

#[test]
fn a_demo_that_is_ended_in_the_middle_leaves_no_process_behind() {
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let temp = open_folder();
        let dir = temp.path().join("demo");
        let mut command = in_the_foreground(&demo(&["--hosts", "3"], &dir));
        let mut process = Process::start("the demo", command.stdout(Stdio::piped()));
        // Kept open to the end: a demo that finds it closed ends well, without any signal.
        let mut lines = BufReader::new(process.stdout()).lines().map(Result::unwrap);
        let begun = lines.by_ref().take_while(|line| !line.contains("release 1 is signed")).count();
        assert!(begun > 0);
        assert!(processes_of(&dir).len() >= 4, "a control plane and three agents");
        process.signal(signal);
        assert!(!process.end(END).success());
        drop(lines);
        expect_nothing_left(&dir);
    }
}

/// Refused with exit code 1, with the reason on the last line.
fn fails(output: &Output, reason: &str) {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    let (said, errors) = (String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{errors}");
    let last = said.lines().last().unwrap_or_else(|| panic!("nothing on stdout: {errors}"));
    assert!(last.starts_with("demo: FAILED: ") && last.contains(reason), "{said}{errors}");
}

#[test]
fn a_demo_that_cannot_succeed_says_why() {
    let temp = open_folder();
    let full = temp.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine.txt"), "mine").unwrap();
    let output = demo(&[], &full).output().unwrap();
    fails(&output, "not empty");
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: "), "{output:?}");
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1, "nothing was written there");
    // Root may write everywhere, but not below a file.
    let below = full.join("mine.txt/demo");
    fails(&demo(&[], &below).output().unwrap(), "mine.txt");
    for hosts in ["0", "1", "201"] {
        let output = demo(&["--hosts", hosts], &full).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--hosts"), "{output:?}");
    }
}
