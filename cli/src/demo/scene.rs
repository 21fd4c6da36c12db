//! The demo's folder: a fleet as `wavegate init` makes it, and three releases built from it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wavegate_proto::ids::{ChannelName, HostName, Ref};

use crate::bundle_toml::SecretsPolicy;
use crate::commands::reading::now;
use crate::exit::{ExitReason, Failure};
use crate::fleet_toml::FleetFile;
use crate::init::{InitOptions, init};
use crate::keys::release_key;
use crate::release::previous::PreviousRelease;
use crate::release::{self, BuildOptions};

/// The file that every host keeps, below its root.
pub(super) const APP_FILE: &str = "etc/wavegate-demo/app.conf";

/// What a release of the demo says in that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Healthy,
    Broken,
}

/// The demo's folder and what is in it.
pub(super) struct Scene {
    /// Removed when it goes, if it is a temporary one.
    temporary: Option<tempfile::TempDir>,
    pub(super) dir: PathBuf,
    pub(super) hosts: Vec<HostName>,
    seed: u64,
}

impl Scene {
    /// Makes keys, certificates and folders.
    pub(super) fn prepare(dir: Option<&Path>, hosts: u32, seed: u64) -> Result<Self, Failure> {
        let (dir, temporary) = match dir {
            Some(dir) => (dir.to_owned(), None),
            None => {
                // Probes run as nobody when the agent is root: they must be able to get in.
                let open = fs::Permissions::from_mode(0o755);
                let made = tempfile::Builder::new()
                    .prefix("wavegate-demo-")
                    .permissions(open)
                    .tempdir()?;
                (made.path().to_owned(), Some(made))
            }
        };
        let options = InitOptions {
            dir: dir.clone(),
            hosts,
            fleet: "demo".parse().map_err(Failure::usage)?,
            server_names: Vec::new(),
            now: SystemTime::now(),
        };
        let report = init(&options)?;
        let scene = Self { temporary, dir, hosts: report.hosts, seed };
        for host in &scene.hosts {
            fs::create_dir_all(scene.root(host))?;
        }
        fs::create_dir_all(scene.dir.join("state"))?;
        fs::create_dir_all(scene.dir.join("logs"))?;
        fs::write(scene.dir.join("fleet.toml"), scene.fleet_toml())?;
        Ok(scene)
    }

    pub(super) fn root(&self, host: &HostName) -> PathBuf {
        self.dir.join("roots").join(host.as_str())
    }

    pub(super) fn app_file(&self, host: &HostName) -> PathBuf {
        self.root(host).join(APP_FILE)
    }

    /// The host that goes first.
    pub(super) fn canary(&self) -> &HostName {
        &self.hosts[0]
    }

    /// The hosts in the order in which their agents start.
    pub(super) fn shuffled(&self) -> Vec<HostName> {
        let mut hosts = self.hosts.clone();
        fastrand::Rng::with_seed(self.seed).shuffle(&mut hosts);
        hosts
    }

    /// Three waves: one canary, a third of the rest, the rest. The figures are those of a story, not
    /// of a real fleet.
    fn fleet_toml(&self) -> String {
        let mut others: Vec<&HostName> = self.hosts[1..].iter().collect();
        fastrand::Rng::with_seed(self.seed).shuffle(&mut others);
        let early: Vec<String> = others
            .iter()
            .take(others.len().div_ceil(3))
            .map(|host| format!("\"{host}\""))
            .collect();
        let mut text = format!(
            r#"[fleet]
name = "demo"

[channels.stable]
rollout_policy = "story"
freshness_window = "24h"
bundle = "bundles/app.toml"

[rollout_policies.story]
on_health_failure = "rollback-and-halt"
failure_threshold = "2s"
waves = [
    {{ name = "canary", hosts = {{ hosts = ["{canary}"] }}, soak = "3s" }},
    {{ name = "early", hosts = {{ hosts = [{early}] }}, soak = "2s" }},
"#,
            canary = self.canary(),
            early = early.join(", "),
        );
        if others.len() > early.len() {
            text.push_str("    { name = \"rest\", hosts = \"all\", soak = \"2s\" },\n");
        }
        text.push_str("]\n");
        for host in &self.hosts {
            let _infallible = write!(text, "\n[hosts.{host}]\nchannel = \"stable\"\n");
        }
        text
    }

    /// Builds and signs release `number` and returns its folder.
    pub(super) fn release(&self, number: u64, content: Content) -> Result<PathBuf, Failure> {
        fs::write(self.dir.join("bundles/app.toml"), bundle_toml(number, content))?;
        let file = FleetFile::load(&self.dir.join("fleet.toml"), SecretsPolicy::Refuse)?;
        let folder = |number: u64| self.dir.join("releases").join(number.to_string());
        let previous = match number {
            1 => None,
            _ => Some(PreviousRelease::read(&folder(number - 1))?),
        };
        let channel: ChannelName = "stable".parse().map_err(Failure::usage)?;
        let reference: Ref = format!("r{number}").parse().map_err(Failure::usage)?;
        let options = BuildOptions {
            signed_at: now(),
            serial: None,
            refs: [(channel, reference)].into(),
            previous,
        };
        let built = release::build(&file, &options)?;
        fs::create_dir_all(self.dir.join("releases"))?;
        let out = folder(number);
        release::write_dir(&built, &out)?;
        let key = release_key::read(&self.dir.join("keys/release.key"))?;
        release::sign_dir(&out, &key)?;
        Ok(out)
    }

    /// Keeps the folder, also when it is a temporary one.
    pub(super) fn keep(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            self.dir = temporary.keep();
        }
    }
}

/// What release `number` puts on each host, and how the host finds out whether that is good.
fn bundle_toml(number: u64, content: Content) -> String {
    let status = match content {
        Content::Healthy => "healthy",
        Content::Broken => "broken",
    };
    format!(
        r#"[[resources]]
id = "app-conf"
kind = "file"
path = "/{APP_FILE}"
content = "release = {number}\nstatus = {status}\n"
create_parents = true

[[probes]]
name = "app"
kind = "exec"
argv = ["/bin/sh", "-c", "grep -q 'status = healthy' \"$WAVEGATE_ROOT/{APP_FILE}\""]
interval = "1s"
timeout = "1s"
"#
    )
}

/// What is wrong with a step of the story.
pub(super) fn unexpected(message: impl Into<String>) -> Failure {
    Failure::new(ExitReason::Refused, message.into())
}
