//! Benchmarks of the real server over mTLS, each beside a reference measured in the same run.
//!
//! Reading order: [`options`] is the command line; [`scene`] makes a fleet and its certificates;
//! [`server`] runs the control plane or the bare reference in a process of its own; [`client`],
//! [`host`] and [`load`] are the load, the same for both; [`rounds`] compares; [`heartbeats`] is P1,
//! [`durable_events`] is P2.
//!
//! Not here: the figures seen (see `docs/performance.md`).

mod child;
mod client;
mod durable_events;
mod heartbeats;
mod host;
mod load;
pub mod options;
mod rounds;
mod scene;
mod server;

use anyhow::{Context as _, Result};

use options::{Options, Target};
use scene::Scene;

/// Runs what the command line asks for.
///
/// # Errors
/// When a server cannot be started, when it does not do the work that is measured, or when something
/// that was acknowledged is not in the database.
pub fn run(options: &Options) -> Result<()> {
    server::install_crypto_provider();
    if let Some(role) = options.serve {
        return server::run(role, options);
    }
    let runtime = tokio::runtime::Runtime::new().context("start the load's runtime")?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<()> {
    let size = options.size();
    eprintln!(
        "a fleet of {} hosts, {} connections, {} rounds of {:.1} s for each side",
        size.hosts,
        size.connections,
        size.rounds,
        size.round.as_secs_f64()
    );
    let scene = Scene::make(&size)?;
    let mut sides = load::Sides::start(&scene, &size).await?;
    for target in options.targets() {
        match target {
            Target::P1 => heartbeats::measure(&mut sides, &size).await?,
            Target::P2 => durable_events::measure(&mut sides, &scene, &size).await?,
        }
    }
    sides.stop()
}
