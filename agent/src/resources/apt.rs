//! `apt-get`, `apt-mark` and `dpkg-query` below the root.
//!
//! Every change is simulated first, and one that would remove something else is refused. Another root has
//! its own sources, lists and status.
//! Not here: what should be installed (see `package`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ResourceError;
use crate::process::{self, Ended, Program};

/// The longest an installation may take.
const INSTALL_TIME: Duration = Duration::from_secs(30 * 60);

/// More is never printed by a query or a simulation that matters.
const KEPT_BYTES: usize = 1024 * 1024;

/// Words of apt that mean: the same may work soon.
const PASSING: [&str; 7] = [
    "Could not get lock",
    "Unable to lock",
    "Unable to acquire the dpkg frontend lock",
    "Temporary failure resolving",
    "Failed to fetch",
    "Could not connect",
    "Connection timed out",
];

/// Words of apt that mean: this package, or this version, is in none of the lists.
const UNKNOWN: [&str; 3] =
    ["Unable to locate package", "was not found", "has no installation candidate"];

/// How a package is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackageSeen {
    pub(crate) version: String,
    pub(crate) hold: bool,
}

/// What to do with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackageJob<'a> {
    /// Install it, in this version or in the best one.
    Install(Option<&'a str>),
    /// Remove it; its configuration stays.
    Remove,
}

/// apt of one root.
#[derive(Debug)]
pub(crate) struct Apt {
    root: PathBuf,
}

impl Apt {
    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Looks at a package; `None`: it is not installed.
    pub(crate) async fn look(&self, name: &str) -> Result<Option<PackageSeen>, ResourceError> {
        let mut argv = vec!["dpkg-query".to_owned()];
        argv.push(format!("--admindir={}", self.root.join("var/lib/dpkg").display()));
        argv.push("-W".to_owned());
        argv.push("-f=${db:Status-Want}\\t${db:Status-Status}\\t${Version}\\n".to_owned());
        argv.push(name.to_owned());
        let ended = self.run(&argv).await?;
        if !ended.status.is_some_and(|status| status.success()) {
            if ended.stderr.contains("no packages found") {
                return Ok(None);
            }
            return Err(failed(name, &ended));
        }
        let seen = ended.stdout.lines().find_map(|line| {
            let [want, "installed", version] = line.split('\t').collect::<Vec<_>>()[..] else {
                return None;
            };
            Some(PackageSeen { version: version.to_owned(), hold: want == "hold" })
        });
        Ok(seen)
    }

    /// Installs or removes a package, after having simulated it.
    pub(crate) async fn change(
        &self,
        job: PackageJob<'_>,
        name: &str,
    ) -> Result<(), ResourceError> {
        let mut simulated = self.run(&self.apt_get(job, name, true)).await?;
        if contains_any(&simulated.stderr, &UNKNOWN) {
            let updated = self.run(&self.with_options("apt-get", &["-q", "update"])).await?;
            check(name, &updated)?;
            simulated = self.run(&self.apt_get(job, name, true)).await?;
        }
        check(name, &simulated)?;
        let removed = simulated.stdout.lines().filter_map(|line| line.strip_prefix("Remv "));
        let removed = removed.filter_map(|rest| rest.split(' ').next());
        let others: Vec<&str> =
            removed.filter(|other| job != PackageJob::Remove || *other != name).collect();
        if !others.is_empty() {
            let others = others.join(", ");
            return Err(ResourceError::WouldRemove { package: name.to_owned(), others });
        }
        check(name, &self.run(&self.apt_get(job, name, false)).await?)
    }

    /// Holds a package, or lets upgrades have it.
    pub(crate) async fn hold(&self, name: &str, hold: bool) -> Result<(), ResourceError> {
        let word = if hold { "hold" } else { "unhold" };
        check(name, &self.run(&self.with_options("apt-mark", &[word, name])).await?)
    }

    fn apt_get(&self, job: PackageJob<'_>, name: &str, simulate: bool) -> Vec<String> {
        let mut words = vec!["-q", "-y", "--allow-change-held-packages"];
        if simulate {
            words.push("-s");
        }
        let exact;
        match job {
            PackageJob::Install(Some(version)) => {
                exact = format!("{name}={version}");
                words.extend(["--allow-downgrades", "install", &exact]);
            }
            PackageJob::Install(None) => words.extend(["install", name]),
            PackageJob::Remove => words.extend(["remove", name]),
        }
        self.with_options("apt-get", &words)
    }

    fn with_options(&self, program: &str, words: &[&str]) -> Vec<String> {
        let mut options = vec![
            // Nobody answers questions: what a person has changed stays.
            "DPkg::Options::=--force-confdef".to_owned(),
            "DPkg::Options::=--force-confold".to_owned(),
        ];
        if self.root != Path::new("/") {
            let root = self.root.display();
            options.push(format!("Dir={root}"));
            options.push(format!("Dir::State::status={root}/var/lib/dpkg/status"));
            options.push(format!("DPkg::Options::=--root={root}"));
        }
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]);
        let words = words.iter().map(|word| (*word).to_owned());
        [program.to_owned()].into_iter().chain(options).chain(words).collect()
    }

    async fn run(&self, argv: &[String]) -> Result<Ended, ResourceError> {
        let variables = [("DEBIAN_FRONTEND", "noninteractive"), ("LC_ALL", "C")];
        let env: BTreeMap<String, String> =
            variables.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let program = Program {
            argv,
            env: &env,
            root: &self.root,
            user: None,
            timeout: INSTALL_TIME,
            keep_bytes: KEPT_BYTES,
        };
        let started = process::run(program).await;
        started.map_err(|error| ResourceError::NoApt { why: format!("{}: {error}", argv[0]) })
    }
}

fn contains_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

fn check(name: &str, ended: &Ended) -> Result<(), ResourceError> {
    if ended.status.is_some_and(|status| status.success()) {
        Ok(())
    } else {
        Err(failed(name, ended))
    }
}

fn failed(name: &str, ended: &Ended) -> ResourceError {
    let package = name.to_owned();
    let why = match ended.status {
        Some(_) => ended.last_words(),
        None => "it took too long".to_owned(),
    };
    if contains_any(&ended.stderr, &PASSING) {
        return ResourceError::AptBusy { package, why };
    }
    ResourceError::AptFailed { package, why }
}
