//! Benchmarks: of the real server over mTLS, beside a reference measured in the same run, and of its core and
//! store alone.
//!
//! Reading order: [`options`] is the command line; [`scene`] makes a fleet and its certificates;
//! [`server`] runs the control plane or the bare reference in a process of its own; [`client`],
//! [`host`] and [`load`] are the load, the same for both; [`rounds`] compares; [`heartbeats`] is P1,
//! [`durable_events`] is P2, [`memory`] P7, [`handshakes`] what a connection costs, [`downloads`] what content that goes out does to P1 and P2;
//! [`swarm`] P8 and P10, [`idle`] P9; [`scale`] has the rest.
//!
//! Not here: the figures seen (see `docs/performance.md`).

mod child;
mod client;
mod cores;
mod downloads;
mod durable_events;
mod figures;
mod handshakes;
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

use figures::Figures;
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
    cores::keep_to(options.cores)?;
    let (over_tls, alone): (Vec<_>, Vec<_>) =
        options.targets().into_iter().partition(|target| target.needs_servers());
    let mut out = Figures::open(options.json.as_deref())?;
    if !over_tls.is_empty() {
        let runtime = tokio::runtime::Runtime::new().context("start the load's runtime")?;
        runtime.block_on(measure(options, &over_tls, &mut out))?;
    }
    alone.into_iter().try_for_each(|target| measure_alone(options, target, &mut out))
}

/// What needs no server.
fn measure_alone(options: &Options, target: Target, out: &mut Figures) -> Result<()> {
    let hosts = options.size().hosts;
    match target {
        Target::P3 => scale::growth::measure(options.quick, out),
        Target::P4 => scale::planning::measure(hosts, out),
        Target::P5 => scale::recovery::measure(hosts, out),
        Target::P6 => scale::starting::measure(hosts, out),
        Target::P8 => swarm::storm(options.swarm(15_000), &swarm::Times::of(options.quick), out),
        Target::P9 => idle::measure(options, out),
        Target::P10 => swarm::steps(options.swarm(10_000), &swarm::Times::of(options.quick), out),
        Target::Growth => scale::table::measure(&options.sizes(), options.plot.as_deref(), out),
        Target::Downloads => downloads::measure(options.size(), out),
        Target::P1 | Target::P2 | Target::P7 | Target::Handshakes => Ok(()),
    }
}

async fn measure(options: &Options, targets: &[Target], out: &mut Figures) -> Result<()> {
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
            Target::P1 => heartbeats::measure(&mut sides, &size, out).await?,
            Target::P2 => durable_events::measure(&mut sides, &scene, &size, out).await?,
            Target::P7 => memory::measure(&sides, &scene, &size, out).await?,
            Target::Handshakes => handshakes::measure(&sides, &scene, &size, out).await?,
            Target::Downloads
            | Target::P3
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
