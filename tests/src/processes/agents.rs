//! The agents of a fleet.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use wavegate_proto::ids::HostName;

use super::folder::Folder;
use super::program::{Process, dies_with_us, wavegate};

/// Where Debian puts it.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// What agents begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credentials {
    /// The certificates that `wavegate init` made.
    Certificates,
    /// A token each; the rest they make or fetch.
    Tokens,
}

/// One agent a host.
pub struct Agents<'a> {
    folder: &'a Folder,
    url: String,
    credentials: Credentials,
    /// A program of the agent in a place of its own.
    program: Option<PathBuf>,
    running: BTreeMap<HostName, Process>,
}

impl<'a> Agents<'a> {
    /// Starts the agent of every host.
    pub fn start(folder: &'a Folder, url: &str) -> Self {
        Self::start_with(folder, url, Credentials::Certificates, None)
    }

    /// The same, of this program.
    pub fn start_program(folder: &'a Folder, url: &str, program: PathBuf) -> Self {
        Self::start_with(folder, url, Credentials::Certificates, Some(program))
    }

    /// Starts the agent of every host with nothing but the trust file and a token.
    pub fn start_by_tokens(folder: &'a Folder, url: &str) -> Self {
        for host in &folder.hosts {
            folder.mint(host);
        }
        Self::start_with(folder, url, Credentials::Tokens, None)
    }

    fn start_with(
        folder: &'a Folder,
        url: &str,
        credentials: Credentials,
        program: Option<PathBuf>,
    ) -> Self {
        let (url, running) = (url.to_owned(), BTreeMap::new());
        let mut agents = Self { folder, url, credentials, program, running };
        for host in &folder.hosts {
            agents.start_again(host);
        }
        agents
    }

    pub fn start_again(&mut self, host: &HostName) {
        self.launch(host, |_| {});
    }

    /// Starts the agent of a host whose clock is off by `offset`, such as `-2y` or `+90d`.
    ///
    /// # Panics
    /// Without libfaketime, a package of Debian.
    pub fn start_with_clock(&mut self, host: &HostName, offset: &str) {
        let library = FAKETIME.iter().find(|path| std::path::Path::new(path).exists());
        let library = library.expect("libfaketime: apt-get install libfaketime");
        self.launch(host, |command| {
            // Only the wall clock: the one that counts timeouts stays as it is.
            command.env("LD_PRELOAD", library).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            command.env("FAKETIME", offset);
        });
    }

    fn launch(&mut self, host: &HostName, change: impl FnOnce(&mut Command)) {
        let folder = self.folder;
        let log = folder.path("logs").join(format!("{host}.log"));
        let said = File::options().create(true).append(true).open(log).unwrap();
        let mut command = match &self.program {
            Some(program) => dies_with_us(Command::new(program)),
            None => {
                let mut command = wavegate();
                command.arg("agent");
                command
            }
        };
        command.args(["run", "--url", &self.url]);
        for (flag, path) in [
            ("--state-dir", folder.agent_state(host)),
            ("--root", folder.root(host)),
            ("--trust", folder.path("trust.json")),
        ] {
            command.arg(flag).arg(path);
        }
        match self.credentials {
            Credentials::Certificates => {
                command.arg("--ca").arg(folder.path("ca/ca.pem"));
                command.arg("--cert").arg(folder.path(format!("certs/host-{host}.pem")));
                command.arg("--key").arg(folder.path(format!("certs/host-{host}.key")));
            }
            Credentials::Tokens => {
                command.arg("--token-file").arg(folder.token(host));
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        change(&mut command);
        let process = Process::start(format!("the agent of {host}"), &mut command);
        self.running.insert(host.clone(), process);
    }

    /// The process of a host's agent.
    pub fn id(&self, host: &HostName) -> u32 {
        self.running[host].id()
    }

    /// `kill -9`.
    pub fn kill_9(&mut self, host: &HostName) {
        self.running.remove(host).unwrap().kill_9();
    }

    /// Every agent runs.
    ///
    /// # Panics
    /// When one has ended by itself.
    pub fn expect_running(&mut self) {
        for (host, process) in &mut self.running {
            if let Some(status) = process.ended() {
                let log = self.folder.path("logs").join(format!("{host}.log"));
                let said = std::fs::read_to_string(log).unwrap_or_default();
                panic!("the agent of {host} ended: {status}\n{said}");
            }
        }
    }
}
