//! How long heartbeats and events take while content goes out to everybody (O6, G14): first with nothing else going
//! on, then while hosts fetch a file over and over, as fast as they get it. Once with the bound on bytes a second that
//! the control plane has when nothing is said, once without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustls::ClientConfig;
use tokio::runtime::Runtime;
use tokio::time::MissedTickBehavior;
use wavegate_control_plane::config::Limits;
use wavegate_proto::ids::HostName;

use super::figures::Figures;
use super::host::Host;
use super::load::Side;
use super::options::Size;
use super::scale::quantile;
use super::scene::Scene;

/// How many hosts fetch at once.
const FETCHERS: usize = 64;

/// What each of them fetches.
const ASSET_BYTES: usize = 8 * 1024 * 1024;

/// A host that speaks sends a heartbeat and an event this often.
const PACE: Duration = Duration::from_millis(100);

/// So many rounds of the other targets are one of this.
const ROUNDS: u32 = 3;

/// No bound on bytes a second.
const UNBOUNDED: u32 = 0;

/// How long requests took.
#[derive(Default)]
struct Times {
    heartbeats: Vec<Duration>,
    events: Vec<Duration>,
}

/// What was seen with one bound.
struct Seen {
    quiet: Times,
    busy: Times,
    /// What was fetched, and in what time.
    bytes: usize,
    elapsed: Duration,
}

pub(super) fn measure(size: Size, out: &mut Figures) -> Result<()> {
    let size = Size { waiting: size.waiting.min(FETCHERS), asset_bytes: ASSET_BYTES, ..size };
    let shipped = Limits::default().download_bytes_per_second;
    for bound in [shipped, UNBOUNDED] {
        let Seen { mut quiet, mut busy, bytes, elapsed } = with_bound(&size, bound)?;
        let pair = |of: fn(&mut Times) -> &mut Vec<Duration>, share, times: [&mut Times; 2]| {
            times
                .map(|times| format!("{:.1}", quantile(of(times), share).as_secs_f64() * 1e3))
                .join("/")
        };
        out.tell(&format!(
            "downloads bound_mb_per_s={} heartbeat_p50_ms={} heartbeat_p99_ms={} event_p50_ms={} event_p99_ms={} mb_per_s={} fetchers={} hosts={}",
            if bound == UNBOUNDED { "none".to_owned() } else { (bound / 1_000_000).to_string() },
            pair(|times| &mut times.heartbeats, 0.5, [&mut quiet, &mut busy]),
            pair(|times| &mut times.heartbeats, 0.99, [&mut quiet, &mut busy]),
            pair(|times| &mut times.events, 0.5, [&mut quiet, &mut busy]),
            pair(|times| &mut times.events, 0.99, [&mut quiet, &mut busy]),
            bytes as u128 / elapsed.as_micros(),
            size.waiting,
            size.hosts,
        ))?;
    }
    Ok(())
}

fn with_bound(size: &Size, bytes_per_second: u32) -> Result<Seen> {
    let scene = Scene::make(size)?;
    // Apart, so that those who speak do not wait for those who fetch on this side.
    let (speaking, fetching) = (Runtime::new()?, Runtime::new()?);
    let bound = ["--download-bytes-per-second".to_owned(), bytes_per_second.to_string()];
    let mut ours = speaking.block_on(Side::ours(&scene, &bound))?;
    let quiet = speaking.block_on(speak(&mut ours, size.round * ROUNDS))?;
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let mut fetchers = Vec::new();
    for client in scene.waiting_clients()? {
        fetchers.push(fetching.spawn(fetch(client, ours.server.address, stop.clone())));
    }
    let busy = speaking.block_on(speak(&mut ours, size.round * ROUNDS))?;
    stop.store(true, Ordering::Relaxed);
    let mut bytes = 0;
    for fetcher in fetchers {
        let fetched = fetching.block_on(fetcher).context("a task that fetches")??;
        ensure!(fetched > 0 && fetched.is_multiple_of(ASSET_BYTES), "{fetched} bytes came");
        bytes += fetched;
    }
    let elapsed = begun.elapsed();
    ours.server.stop()?;
    Ok(Seen { quiet, busy, bytes, elapsed })
}

/// Each host sends a heartbeat and an event in turn, at its pace; the hosts one after the other.
async fn speak(side: &mut Side, length: Duration) -> Result<Times> {
    let until = Instant::now() + length;
    let hosts = std::mem::take(&mut side.hosts);
    let apart = PACE / u32::try_from(hosts.len())?.max(1);
    let mut running = Vec::new();
    for (host, number) in hosts.into_iter().zip(0..) {
        running.push(tokio::spawn(speak_alone(host, apart * number, until)));
    }
    let mut all = Times::default();
    for task in running {
        let (host, times) = task.await.context("a host's task")??;
        all.heartbeats.extend(times.heartbeats);
        all.events.extend(times.events);
        side.hosts.push(host);
    }
    Ok(all)
}

async fn speak_alone(mut host: Host, after: Duration, until: Instant) -> Result<(Host, Times)> {
    let mut times = Times::default();
    let mut pace = tokio::time::interval_at((Instant::now() + after).into(), PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        pace.tick().await;
        let request = host.heartbeat_request()?;
        let begun = Instant::now();
        let status = host.send(&request).await?;
        times.heartbeats.push(begun.elapsed());
        ensure!(status == 200, "{status} to a heartbeat: {}", host.answer());
        host.check_heartbeat_answer()?;
        let entry = host.next_report()?;
        let request = host.events_request(&entry)?;
        let begun = Instant::now();
        let status = host.send(&request).await?;
        times.events.push(begun.elapsed());
        ensure!(status == 200, "{status} to an event: {}", host.answer());
        host.keep(&entry);
    }
    Ok((host, times))
}

/// Fetches until it is told to stop; how many bytes came.
async fn fetch(
    client: (HostName, Arc<ClientConfig>),
    address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
) -> Result<usize> {
    let mut host = Host::connect(client, address).await?;
    let path = Scene::asset_path(ASSET_BYTES);
    let mut bytes = 0;
    while !stop.load(Ordering::Relaxed) || bytes == 0 {
        bytes += host.fetch(&path).await?;
    }
    Ok(bytes)
}
