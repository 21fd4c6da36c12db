//! Benchmarks: of the real server over mTLS, beside a reference measured in the same run, and of its core and
//! store alone.
//!
//! Reading order: [`options`] is the command line; [`scene`] makes a fleet and its certificates;
//! [`server`] runs the control plane or the bare reference in a process of its own; [`client`],
//! [`host`] and [`load`] are the load, the same for both; [`rounds`] compares; [`heartbeats`] is P1,
//! [`durable_events`] is P2, [`memory`] P7; [`swarm`] P8 and P10, [`idle`] P9; [`scale`] has the rest.
//!
//! Not here: the figures seen (see `docs/performance.md`).

mod child;
mod client;
mod durable_events;
mod heartbeats;
mod host;
mod idle;
mod load;
mod memory;
pub mod options;
mod rounds;
mod scale;
mod scene;
mod server;
mod swarm;

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
    if let Some(what) = options.count {
        return scale::growth::count(what, options.size().hosts);
    }
    let (over_tls, alone): (Vec<_>, Vec<_>) =
        options.targets().into_iter().partition(|target| target.needs_servers());
    if !over_tls.is_empty() {
        let runtime = tokio::runtime::Runtime::new().context("start the load's runtime")?;
        runtime.block_on(measure(options, &over_tls))?;
    }
    alone.into_iter().try_for_each(|target| measure_alone(options, target))
}

/// What needs no server.
fn measure_alone(options: &Options, target: Target) -> Result<()> {
    let hosts = options.size().hosts;
    match target {
        Target::P3 => scale::growth::measure(options.quick),
        Target::P4 => scale::planning::measure(hosts),
        Target::P5 => scale::recovery::measure(hosts),
        Target::P6 => scale::starting::measure(hosts),
        Target::P8 => swarm::storm(options.swarm(15_000), &swarm::Times::of(options.quick)),
        Target::P9 => idle::measure(options),
        Target::P10 => swarm::steps(options.swarm(10_000), &swarm::Times::of(options.quick)),
        Target::Growth => scale::table::measure(&options.sizes(), options.plot.as_deref()),
        Target::P1 | Target::P2 | Target::P7 => Ok(()),
    }
}

async fn measure(options: &Options, targets: &[Target]) -> Result<()> {
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
    for target in targets {
        match target {
            Target::P1 => heartbeats::measure(&mut sides, &size).await?,
            Target::P2 => durable_events::measure(&mut sides, &scene, &size).await?,
            Target::P7 => memory::measure(&sides, &scene, &size).await?,
            Target::P3
            | Target::P4
            | Target::P5
            | Target::P6
            | Target::P8
            | Target::P9
            | Target::P10
            | Target::Growth => {}
        }
    }
    sides.stop()
}
