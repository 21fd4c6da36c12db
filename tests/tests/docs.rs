//! The pages for people, typed in by a machine: every command of README.md and docs/operations.md, in
//! order, in an empty folder. Each must end well and print what the page says it prints.
//!
//! The pages use fixed ports. Where this process may make a network of its own it does so; elsewhere the
//! ports have to be free, and the test says so when they are not.
//!
//! Not here: which lines are commands, and how outputs are compared (`wavegate_tests::doc_commands`).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wavegate_tests::doc_commands::{DocCommand, PAGES, first_not_printed, of_page};
use wavegate_tests::processes::program;
use wavegate_tests::processes::terminal::Terminal;

/// The ports of the pages.
const PORTS: [u16; 2] = [8443, 9443];

/// How long a command may take: some wait for a rollout.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long something in the background may take to print what the page shows.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(30);

/// Set in the run of this test that has a network of its own.
const OWN_NETWORK: &str = "WAVEGATE_TEST_OWN_NETWORK";

/// A network of its own, and processes of its own: all of them end with the test, however it ends.
const OWN: [&str; 4] = ["--net", "--pid", "--fork", "--kill-child"];

#[test]
fn every_command_of_the_pages_ends_well_and_prints_what_they_say() {
    if std::env::var_os(OWN_NETWORK).is_none() && may_make_networks() {
        let name = "every_command_of_the_pages_ends_well_and_prints_what_they_say";
        let test = std::env::current_exe().unwrap();
        let mut again = Command::new("unshare");
        again.args(OWN).args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(test);
        let status = again.args(["--exact", name, "--nocapture"]).env(OWN_NETWORK, "1").status();
        assert!(status.unwrap().success(), "see above");
        return;
    }
    for port in PORTS {
        let free = TcpListener::bind(("127.0.0.1", port));
        assert!(free.is_ok(), "the pages use port {port}; stop what listens there, then try again");
    }
    let folder = tempfile::Builder::new()
        .prefix("wavegate-pages-")
        // Probes run as nobody when this is root: they must be able to get in.
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    for page in PAGES {
        let commands = of_page(page);
        let desk = folder.path().join(page.replace(['/', '.'], "-"));
        std::fs::create_dir_all(desk.join("wavegate")).unwrap();
        type_in(&commands, &desk);
    }
}

/// Whether this process may make a network of its own without changing who it is: checks run as another
/// user when the agent is root, which a name space of users would not have.
fn may_make_networks() -> bool {
    let tried = Command::new("unshare").args(OWN).args(["ip", "link", "set", "lo", "up"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Types the commands of one page, each in its terminal.
fn type_in(commands: &[DocCommand], desk: &Path) {
    let environment = environment(desk);
    let mut terminals: BTreeMap<u32, Terminal> = BTreeMap::new();
    for command in commands.iter().filter(|command| command.runs_elsewhere().is_none()) {
        let place = format!("{}:{}: $ {}", command.page, command.line, command.command);
        if command.command.starts_with("curl ") && !is_here("curl") {
            println!("{place}\n    not typed: there is no curl on this machine");
            continue;
        }
        let begun = Instant::now();
        let open = || Terminal::open(&desk.join("wavegate"), &environment);
        let terminal = terminals.entry(command.terminal).or_insert_with(open);
        let mut done = terminal.run(&command.command, PATIENCE);
        if command.command.ends_with('&')
            && first_not_printed(&command.output, &done.printed).is_some()
        {
            let enough = |more: &str| first_not_printed(&command.output, more).is_none();
            done.printed.push_str(&terminal.read_until(enough, BACKGROUND_PATIENCE));
        }
        println!("{place}\n{}    ({:.1} s)", done.printed, begun.elapsed().as_secs_f64());
        assert_eq!(done.code, 0, "{place}\nends with {}:\n{}", done.code, done.printed);
        if let Some(line) = first_not_printed(&command.output, &done.printed) {
            panic!("{place}\nthe page says {line:?}, printed was\n{}", done.printed);
        }
    }
}

fn is_here(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// The variables of somebody who has just logged in, with the programs found first.
fn environment(home: &Path) -> BTreeMap<String, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program::folder().display());
    let home = home.display().to_string();
    BTreeMap::from([("PATH", path), ("HOME", home)].map(|(name, value)| (name.to_owned(), value)))
}
