//! What it costs the control plane when a host connects: with a whole handshake, and with a ticket of the connection
//! before (TLS resumption). By turns, every host once each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustls::{ClientConfig, HandshakeKind};
use tokio::task::JoinSet;

use super::child::Server;
use super::client::{Connection, request};
use super::figures::Figures;
use super::load::Sides;
use super::options::Size;
use super::scene::Scene;

/// How many connect at once.
const AT_ONCE: usize = 32;

/// Connections of one kind.
#[derive(Default)]
struct Tally {
    connections: u32,
    elapsed: Duration,
    cpu: Duration,
}

pub(super) async fn measure(
    sides: &Sides,
    scene: &Scene,
    size: &Size,
    out: &mut Figures,
) -> Result<()> {
    let server = &sides.ours.server;
    let (mut full, mut resumed) = (Tally::default(), Tally::default());
    for _ in 0..size.rounds {
        // Their configurations are new, and have no ticket.
        let clients: Vec<_> = scene.waiting_clients()?.into_iter().map(|(_, tls)| tls).collect();
        full.connect(server, &clients, HandshakeKind::Full).await?;
        resumed.connect(server, &clients, HandshakeKind::Resumed).await?;
    }
    out.tell(&format!(
        "handshakes cpu_us={:.0}/{:.0} per_second={:.0}/{:.0} connections={} hosts={}",
        full.cpu_micros(),
        resumed.cpu_micros(),
        full.rate(),
        resumed.rate(),
        full.connections,
        size.waiting,
    ))
}

impl Tally {
    async fn connect(
        &mut self,
        server: &Server,
        clients: &[Arc<ClientConfig>],
        kind: HandshakeKind,
    ) -> Result<()> {
        let cpu_before = server.cpu_time();
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for part in clients.chunks(clients.len().div_ceil(AT_ONCE)) {
            running.spawn(one_after_the_other(server.address, part.to_vec()));
        }
        let parts: Result<Vec<_>> = running.join_all().await.into_iter().collect();
        let kinds = parts?.concat();
        self.elapsed += begun.elapsed();
        let cpu =
            server.cpu_time().zip(cpu_before).context("the kernel tells no time of a core")?;
        self.cpu += cpu.0.saturating_sub(cpu.1);
        self.connections += u32::try_from(kinds.len())?;
        let others = kinds.iter().filter(|seen| **seen != kind).count();
        ensure!(others == 0, "{others} of {} handshakes were not {kind:?}", kinds.len());
        Ok(())
    }

    /// What one costs the server, in microseconds of a core.
    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.connections)
    }

    fn rate(&self) -> f64 {
        f64::from(self.connections) / self.elapsed.as_secs_f64()
    }
}

async fn one_after_the_other(
    address: SocketAddr,
    clients: Vec<Arc<ClientConfig>>,
) -> Result<Vec<HandshakeKind>> {
    let mut kinds = Vec::new();
    for tls in clients {
        kinds.push(connect(address, tls).await?);
    }
    Ok(kinds)
}

/// Connects, asks the smallest question there is, and goes: tickets come after the handshake.
async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> Result<HandshakeKind> {
    let mut connection = Connection::open(address, tls).await?;
    let status = connection.send(&request("GET", "/healthz", b"")).await?;
    ensure!(status == 200, "{status} to /healthz");
    connection.handshake_kind().context("a connection without a handshake")
}
