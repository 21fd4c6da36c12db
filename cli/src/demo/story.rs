//! The story: a good release, a bad one, its fix, and a control plane that loses its memory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use wavegate_proto::ids::HostName;
use wavegate_proto::wire::operator::{RolloutDocument, RolloutState, Status};

use super::picture::Picture;
use super::processes::{
    ControlPlane, Process, control_plane_state, logs, start_agent, start_control_plane,
};
use super::scene::{Content, Scene, unexpected};
use super::view::View;
use crate::client::{ApiClient, Connection, Security};
use crate::exit::Failure;
use crate::release::publish::publish;

/// How long one step of the story may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often is looked.
const GLANCE: Duration = Duration::from_millis(150);

/// Everything the story needs.
pub(super) struct Story<'a> {
    control_plane: Option<ControlPlane>,
    agents: Vec<(HostName, Process)>,
    client: ApiClient,
    scene: Scene,
    view: View<'a>,
    url: String,
    status_url: String,
}

impl<'a> Story<'a> {
    /// Starts the control plane.
    pub(super) fn new(scene: Scene, view: View<'a>) -> Result<Self, Failure> {
        let control_plane = start_control_plane(&scene, "127.0.0.1:0", "127.0.0.1:0")?;
        let client = client(&scene.dir, &control_plane.url)?;
        let (url, status_url) = (control_plane.url.clone(), control_plane.status_url.clone());
        let control_plane = Some(control_plane);
        Ok(Self { control_plane, agents: Vec::new(), client, scene, view, url, status_url })
    }

    /// Tells it all; returns the summary.
    pub(super) async fn tell(&mut self) -> Result<String, Failure> {
        self.begin()?;
        self.good_release().await?;
        self.bad_release().await?;
        self.fix().await?;
        let recovered = self.lose_the_database().await?;
        let hosts = self.scene.hosts.len();
        Ok(format!("releases 3, hosts {hosts}, wipe recovered in {:.1} s", recovered.as_secs_f64()))
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let hosts = self.scene.hosts.len();
        let dir = self.scene.dir.display().to_string();
        self.view.say(&format!("Wavegate demo: one control plane and {hosts} agents, in {dir}"))?;
        self.view.say(&format!("   control plane {} (status {})", self.url, self.status_url))?;
        for host in self.scene.shuffled() {
            let agent = start_agent(&self.scene, &host, &self.url)?;
            self.agents.push((host, agent));
        }
        Ok(())
    }

    async fn good_release(&mut self) -> Result<(), Failure> {
        self.view
            .say("\n1. A good release: first the canary, then an early wave, then the rest.")?;
        self.publish(1, Content::Healthy).await?;
        self.watch("stable@r1", RolloutState::Terminal).await?;
        self.expect_files(1)?;
        self.view.say("   every host runs release 1")
    }

    async fn bad_release(&mut self) -> Result<(), Failure> {
        self.view.say("\n2. A bad release: its probe fails on the canary.")?;
        let before = self.files()?;
        self.publish(2, Content::Broken).await?;
        let rollout = self.watch("stable@r2", RolloutState::Reverted).await?;
        let canary = self.scene.canary().clone();
        let halt =
            rollout.halt.ok_or_else(|| unexpected("the rollout does not say why it halted"))?;
        if halt.host.as_ref() != Some(&canary) {
            return Err(unexpected(format!(
                "halted by {:?}, not by the canary {canary}",
                halt.host
            )));
        }
        self.view.say(&format!(
            "   {canary}: {}; it went back by itself, the rollout halted",
            halt.reason
        ))?;
        self.expect_files(1)?;
        let touched = self.touched_since(&before)?;
        if let Some(host) = touched.iter().find(|host| **host != canary) {
            return Err(unexpected(format!("{host} was touched by the bad release")));
        }
        if !touched.contains(&canary) {
            return Err(unexpected("the canary never had the bad release"));
        }
        let others = self.scene.hosts.len() - 1;
        self.view.say(&format!("   the other {others} hosts were never touched"))?;
        if self.client.get_all("/v1/quarantines", &[]).await?.is_empty() {
            return Err(unexpected("the bad closure is not quarantined"));
        }
        self.view.say("   the bad closure is quarantined on its channel")
    }

    async fn fix(&mut self) -> Result<(), Failure> {
        self.view.say("\n3. The fix.")?;
        self.publish(3, Content::Healthy).await?;
        self.watch("stable@r3", RolloutState::Terminal).await?;
        self.expect_files(3)?;
        self.view.say("   every host runs release 3")
    }

    /// `kill -9`, the database deleted, started again: nobody does anything else.
    async fn lose_the_database(&mut self) -> Result<Duration, Failure> {
        self.view.say("\n4. The control plane is killed (SIGKILL) and its database is deleted.")?;
        let before = Picture::take(&self.client).await?;
        let files = self.files()?;
        let epoch = self.status().await?.cp_epoch;
        if let Some(control_plane) = self.control_plane.take() {
            control_plane.process.kill_9()?;
        }
        let deleted = delete_database(&control_plane_state(&self.scene.dir))?;
        self.view.say(&format!("   deleted {}; starting it again", deleted.join(", ")))?;
        let started = Instant::now();
        let (listen, status) = (authority(&self.url), authority(&self.status_url));
        self.control_plane = Some(start_control_plane(&self.scene, listen, status)?);
        let held = [("stable@r2".to_owned(), self.scene.canary().to_string())];
        let recovered = self.same_picture(&before, &held, started).await?;
        if self.status().await?.cp_epoch == epoch {
            return Err(unexpected("the database is not a new one"));
        }
        let query = [("kind", Some("dispatch_issued".to_owned()))];
        if !self.client.get_all("/v1/events", &query).await?.is_empty() {
            return Err(unexpected("a host was dispatched after the wipe"));
        }
        if let Some(host) = self.touched_since(&files)?.first() {
            return Err(unexpected(format!("{host} was touched by the recovery")));
        }
        let (hosts, quarantines) = (before.hosts(), before.quarantines());
        self.view.say(&format!(
            "   {:.1} s later: {hosts} hosts, their rollouts and {quarantines} quarantine as before, from \
             what the hosts know; no host was touched",
            recovered.as_secs_f64()
        ))?;
        Ok(recovered)
    }

    async fn same_picture(
        &mut self,
        before: &Picture,
        held: &[(String, String)],
        started: Instant,
    ) -> Result<Duration, Failure> {
        loop {
            let difference = match Picture::take(&self.client).await {
                Ok(picture) => picture.difference(before, held),
                Err(failure) => Some(failure.message),
            };
            let Some(difference) = difference else { return Ok(started.elapsed()) };
            if started.elapsed() > PATIENCE {
                return Err(unexpected(format!("the picture is not the same: {difference}")));
            }
            self.pause().await?;
        }
    }

    async fn publish(&mut self, number: u64, content: Content) -> Result<(), Failure> {
        let folder = self.scene.release(number, content)?;
        let published = publish(&folder, &self.client).await?;
        let opened: Vec<String> =
            published.answer.rollouts_opened.iter().map(ToString::to_string).collect();
        self.view
            .say(&format!("   release {number} is signed and published: {}", opened.join(", ")))
    }

    /// Shows a rollout until it is in `wanted`.
    async fn watch(&mut self, id: &str, wanted: RolloutState) -> Result<RolloutDocument, Failure> {
        let begun = Instant::now();
        loop {
            let rollout: RolloutDocument =
                self.client.get(&format!("/v1/rollouts/{id}"), &[]).await?;
            self.view.rollout(&rollout)?;
            if rollout.state == wanted {
                return Ok(rollout);
            }
            let over = matches!(rollout.state, RolloutState::Terminal | RolloutState::Reverted);
            if over || begun.elapsed() > PATIENCE {
                let logs = logs(&self.scene.dir);
                return Err(unexpected(format!(
                    "{id} is {}, not {wanted}: see {logs}",
                    rollout.state
                )));
            }
            self.pause().await?;
        }
    }

    /// Waits a moment, and notices when a process is gone that should not be.
    async fn pause(&mut self) -> Result<(), Failure> {
        tokio::time::sleep(GLANCE).await;
        for (host, agent) in &mut self.agents {
            if let Some(status) = agent.ended() {
                let logs = logs(&self.scene.dir);
                return Err(unexpected(format!(
                    "the agent of {host} ended ({status}): see {logs}"
                )));
            }
        }
        Ok(())
    }

    async fn status(&self) -> Result<Status, Failure> {
        Ok(self.client.get("/v1/status", &[]).await?)
    }

    fn expect_files(&self, release: u64) -> Result<(), Failure> {
        let wanted = format!("release = {release}\nstatus = healthy\n");
        for host in &self.scene.hosts {
            let found = fs::read_to_string(self.scene.app_file(host)).unwrap_or_default();
            if found != wanted {
                return Err(unexpected(format!("{host} has {found:?} instead of {wanted:?}")));
            }
        }
        Ok(())
    }

    /// The identity of each host's file: an atomic replacement changes it.
    fn files(&self) -> Result<BTreeMap<HostName, (u64, i64, i64)>, Failure> {
        let mut files = BTreeMap::new();
        for host in &self.scene.hosts {
            let meta = fs::metadata(self.scene.app_file(host))?;
            files.insert(host.clone(), (meta.ino(), meta.mtime(), meta.mtime_nsec()));
        }
        Ok(files)
    }

    fn touched_since(
        &self,
        before: &BTreeMap<HostName, (u64, i64, i64)>,
    ) -> Result<Vec<HostName>, Failure> {
        let now = self.files()?;
        let touched = now.into_iter().filter(|(host, file)| before.get(host) != Some(file));
        Ok(touched.map(|(host, _)| host).collect())
    }

    /// Leaves everything running until Ctrl-C, and says how to look at it.
    pub(super) async fn keep(&mut self) -> Result<(), Failure> {
        let (dir, url, status) = (self.scene.dir.display(), &self.url, &self.status_url);
        let lines = format!(
            "\nEverything is still running. Try:\n\
             \x20  curl {status}/v1/status\n\
             \x20  curl {status}/v1/hosts/{canary}/explain\n\
             \x20  curl {status}/metrics\n\
             \x20  curl --cacert {dir}/ca/ca.pem --cert {dir}/certs/operator-admin.pem \
             --key {dir}/certs/operator-admin.key {url}/v1/rollouts\n\
             Ctrl-C ends it.",
            canary = self.scene.canary(),
        );
        self.view.say(&lines)?;
        Ok(tokio::signal::ctrl_c().await?)
    }

    /// Ends every process; keeps the folder unless it is to be cleared away.
    pub(super) async fn end(mut self, clear: bool) {
        self.agents.clear();
        self.control_plane = None;
        if !clear {
            self.scene.keep();
        }
    }
}

fn client(dir: &Path, url: &str) -> Result<ApiClient, Failure> {
    let certs = dir.join("certs");
    let identity = (certs.join("operator-admin.pem"), certs.join("operator-admin.key"));
    let url = url.parse().map_err(|e| unexpected(format!("{url}: {e}")))?;
    let security = Security::Tls { ca: dir.join("ca/ca.pem"), identity: Some(identity) };
    Ok(ApiClient::new(&Connection { url, security })?)
}

/// `127.0.0.1:41231` of `https://127.0.0.1:41231`.
fn authority(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, authority)| authority)
}

/// Deletes `wavegate.db` and what belongs to it; returns the names.
fn delete_database(state_dir: &Path) -> Result<Vec<String>, Failure> {
    let mut deleted = Vec::new();
    for entry in fs::read_dir(state_dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("wavegate.db") {
            fs::remove_file(entry.path())?;
            deleted.push(name);
        }
    }
    deleted.sort();
    if deleted.is_empty() {
        return Err(unexpected("there was no database to delete"));
    }
    Ok(deleted)
}
