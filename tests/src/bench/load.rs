//! The load: every connection sends its next request as soon as the last one is answered.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::child::Server;
use super::host::Host;
use super::options::{Role, Size};
use super::scene::Scene;

/// What every connection repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Heartbeats,
    Reports,
}

/// A server and the hosts that speak to it.
pub(super) struct Side {
    pub(super) server: Server,
    pub(super) hosts: Vec<Host>,
}

/// Both sides, under the same load by turns.
pub(super) struct Sides {
    pub(super) ours: Side,
    pub(super) reference: Side,
}

/// What one round came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Round {
    /// Requests answered with 200.
    pub(super) accepted: u64,
    /// Requests answered with anything else; they are sent again and do not count.
    pub(super) refused: u64,
    pub(super) elapsed: Duration,
    /// What the server's threads spent on a core meanwhile.
    pub(super) cpu: Option<Duration>,
}

impl Round {
    /// Accepted requests a second.
    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(super) fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// What the server spent on a request, in microseconds of a core.
    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(super) fn cpu_micros(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.accepted.max(1) as f64)
    }
}

impl Sides {
    /// Starts both servers, lets every host of ours take its dispatch, and learns from it how long the
    /// answers are.
    pub(super) async fn start(scene: &Scene, size: &Size) -> Result<Self> {
        let ours = Side::ours(scene, &[]).await?;
        let answer_bytes = ours.hosts.last().context("a host")?.answer_bytes();
        eprintln!(
            "{} hosts report, a heartbeat's answer has {answer_bytes} bytes",
            size.connections
        );
        let answers = ["--answer-bytes".to_owned(), answer_bytes.to_string()];
        let server = Server::start(Role::Reference, scene.dir(), &answers)?;
        let reference = Side::connect(server, scene).await?;
        Ok(Self { ours, reference })
    }

    pub(super) fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Ours => &mut self.ours,
            Role::Reference => &mut self.reference,
        }
    }

    /// Lets both servers stop in order.
    pub(super) fn stop(self) -> Result<()> {
        self.ours.server.stop()?;
        self.reference.server.stop()
    }
}

impl Side {
    /// The control plane, started with these further arguments, with every host that speaks soaking.
    pub(super) async fn ours(scene: &Scene, arguments: &[String]) -> Result<Self> {
        let server = Server::start(Role::Ours, scene.dir(), arguments)?;
        // The others connect when the release is adopted: idle connections are closed.
        let first = scene.clients()?.into_iter().next().context("a host")?;
        Host::connect(first, server.address).await?.report().await?;
        let mut ours = Self::connect(server, scene).await?;
        for host in &mut ours.hosts {
            host.report().await?;
        }
        for host in &mut ours.hosts {
            host.activate().await?;
        }
        for host in &mut ours.hosts {
            host.report().await?;
            host.check_heartbeat_answer()?;
        }
        Ok(ours)
    }

    async fn connect(server: Server, scene: &Scene) -> Result<Self> {
        let mut hosts = Vec::new();
        for client in scene.clients()? {
            hosts.push(Host::connect(client, server.address).await?);
        }
        Ok(Self { server, hosts })
    }

    /// One round of `work`.
    pub(super) async fn round(&mut self, work: Work, length: Duration) -> Result<Round> {
        let cpu_before = self.server.cpu_time();
        let begun = Instant::now();
        let until = begun + length;
        let running: Vec<_> = std::mem::take(&mut self.hosts)
            .into_iter()
            .map(|host| tokio::spawn(repeat(host, work, until)))
            .collect();
        let mut round = Round::default();
        for task in running {
            let (host, part) = task.await.context("a connection's task")??;
            round.accepted += part.accepted;
            round.refused += part.refused;
            self.hosts.push(host);
        }
        round.elapsed = begun.elapsed();
        let cpu_after = self.server.cpu_time();
        round.cpu = cpu_after.zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
        Ok(round)
    }
}

async fn repeat(mut host: Host, work: Work, until: Instant) -> Result<(Host, Round)> {
    let mut part = Round::default();
    let heartbeat = host.heartbeat_request()?;
    while Instant::now() < until {
        let status = match work {
            Work::Heartbeats => host.send(&heartbeat).await?,
            Work::Reports => {
                let entry = host.next_report()?;
                let status = host.send(&host.events_request(&entry)?).await?;
                if status == 200 {
                    host.took(&entry);
                }
                status
            }
        };
        match status {
            200 => part.accepted += 1,
            _ => part.refused += 1,
        }
    }
    Ok((host, part))
}
