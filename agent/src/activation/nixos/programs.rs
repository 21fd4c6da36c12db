//! Nix's and systemd's programs: arguments as they are, never through a shell.
//!
//! Not here: what to ask of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wavegate_proto::event::FailureClass;

use super::super::backend::Failure;
use crate::process::{self, Program};

/// How long a program that only asks or sets something may take.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// How many of the last bytes of each output are kept.
const KEEP_BYTES: usize = 4 * 1024;

/// What Nix takes from the agent's own environment, which the host's owner has set.
const PASSED_ON: [&str; 3] = ["PATH", "NIX_REMOTE", "NIX_SSL_CERT_FILE"];

/// Where the programs are, and how they are run.
#[derive(Debug)]
pub(super) struct Programs {
    folders: Vec<PathBuf>,
    env: BTreeMap<String, String>,
    root: PathBuf,
}

/// How a program ended.
pub(super) struct Ended(process::Ended);

impl Ended {
    pub(super) fn is_success(&self) -> bool {
        self.0.status.is_some_and(|status| status.success())
    }

    /// `None`: its time was over, or a signal ended it.
    pub(super) fn code(&self) -> Option<i32> {
        self.0.status.and_then(|status| status.code())
    }

    pub(super) fn stdout(&self) -> &str {
        &self.0.stdout
    }

    pub(super) fn stderr(&self) -> &str {
        &self.0.stderr
    }

    /// For a person: its last words, or that it was too slow to have any.
    pub(super) fn tail(&self) -> String {
        match self.0.status {
            Some(_) => self.0.last_words(),
            None => "it took too long".to_owned(),
        }
    }
}

impl Programs {
    /// Those of `folder`, else those of the agent's own `PATH`.
    pub(super) fn new(folder: Option<PathBuf>, root: &std::path::Path) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = match folder {
            Some(folder) => vec![folder],
            None => std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect(),
        };
        let passed = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
        let env = PASSED_ON.into_iter().filter_map(passed).collect();
        Self { folders, env, root: root.to_owned() }
    }

    /// Runs a program that only asks or sets something.
    pub(super) async fn run(&self, name: &str, words: &[String]) -> Result<Ended, Failure> {
        self.run_within(ANSWER_TIME, name, words).await
    }

    /// Runs a program for at most `timeout`.
    pub(super) async fn run_within(
        &self,
        timeout: Duration,
        name: &str,
        words: &[String],
    ) -> Result<Ended, Failure> {
        let missing = |why: String| Failure {
            class: FailureClass::Host,
            reason: "program-missing".to_owned(),
            detail: format!("{name} could not be run: {why}"),
            exit_code: None,
        };
        let found = self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        let Some(path) = found else {
            return Err(missing("it is not in PATH or in --nixos-programs".to_owned()));
        };
        let mut argv = vec![path.display().to_string()];
        argv.extend_from_slice(words);
        let program = Program {
            argv: &argv,
            env: &self.env,
            root: &self.root,
            user: None,
            timeout,
            keep_bytes: KEEP_BYTES,
        };
        process::run(program).await.map(Ended).map_err(|error| missing(error.to_string()))
    }
}
