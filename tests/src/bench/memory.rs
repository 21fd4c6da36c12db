//! P7: how much memory the control plane takes for a fleet of which one rollout is open, and for each
//! connection that waits for a dispatch.
//!
//! Not here: the load of the other targets (see [`super::load`]).

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::figures::Figures;
use super::host::Host;
use super::load::Sides;
use super::options::Size;
use super::scene::Scene;

/// Until every request has been taken up, and what it needed in passing has been given back.
const SETTLED: Duration = Duration::from_secs(3);

pub(super) async fn measure(
    sides: &Sides,
    scene: &Scene,
    size: &Size,
    out: &mut Figures,
) -> Result<()> {
    let server = &sides.ours.server;
    let before = server.resident_bytes()?;
    let mut waiting = tokio::task::JoinSet::new();
    for client in scene.waiting_clients()? {
        let mut host = Host::connect(client, server.address).await?;
        waiting.spawn(async move { host.wait_for_dispatch().await });
    }
    tokio::time::sleep(SETTLED).await;
    let connections = waiting.len();
    if let Some(ended) = waiting.try_join_next() {
        anyhow::bail!("a poll ended at once: {:?}", ended?);
    }
    let grown = server.resident_bytes()?.saturating_sub(before);
    out.tell(&format!(
        "P7 resident_mb={} hosts={} bytes_per_waiting_connection={} connections={connections} target=400MB,40000",
        before / 1_000_000,
        size.hosts,
        grown / u64::try_from(connections)?.max(1),
    ))?;
    Ok(())
}

/// What a process holds in memory.
pub(super) fn resident_bytes(process: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
