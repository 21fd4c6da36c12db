//! P9: what an agent costs that has nothing to do: its program on disk, its memory, its share of a core.
//!
//! It is the real agent, converged on a bundle of files, with the ordinary heartbeat and a probe every half minute.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::child::cpu_time;
use super::figures::Figures;
use super::memory::resident_bytes;
use super::options::Options;
use crate::processes::agents::Agents;
use crate::processes::control_plane::{ControlPlane, Start};
use crate::processes::folder::{Content, Folder, Plan, Wave};
use crate::processes::program;
use crate::processes::wait::{PATIENCE, until};
use crate::release_kit::host_name;

/// The ordinary pace of heartbeats.
const HEARTBEAT_SECS: u64 = 30;

pub(super) fn measure(options: &Options, out: &mut Figures) -> Result<()> {
    let agent = options.agent.clone().unwrap_or_else(|| program::folder().join("wavegate-agent"));
    let (host, folder) = (host_name(1), Folder::new(1));
    let waves = vec![Wave { name: "all", hosts: Vec::new(), soak_secs: 1 }];
    folder.plan(&Plan { waves, ..Plan::default() });
    folder.bundle(1, Content::Healthy);
    let bundle = folder.path("bundles/app.toml");
    let often = std::fs::read_to_string(&bundle)?;
    std::fs::write(&bundle, often.replace("interval = \"1s\"", "interval = \"30s\""))?;
    folder.build(1);
    let how = Start { heartbeat_secs: HEARTBEAT_SECS, ..Start::default() };
    let mut control_plane = ControlPlane::start_as(&folder, how);
    control_plane.publish(1);
    let mut agents = Agents::start_program(&folder, &control_plane.url, agent.clone());
    let reader = control_plane.reader();
    until("the host to converge", PATIENCE, || {
        let state = reader.rollout("stable@r1")?.state.to_string();
        if state == "terminal" { Ok(()) } else { Err(state) }
    });
    let process = agents.id(&host);
    let time = Duration::from_secs(if options.quick { 2 } else { 180 });
    let cpu_time = || cpu_time(process).context("the agent's time on a core");
    let before = cpu_time()?;
    std::thread::sleep(time);
    let spent = cpu_time()?.saturating_sub(before);
    agents.expect_running();
    out.tell(&format!(
        "P9 resident_mb={:.1} core_percent={:.3} program_mb={:.1} secs={} target=15MB,0.1%,12MB",
        megabytes(resident_bytes(&process.to_string())?),
        spent.as_secs_f64() / time.as_secs_f64() * 100.0,
        megabytes(std::fs::metadata(&agent).context("the agent's program")?.len()),
        time.as_secs(),
    ))?;
    drop(agents);
    control_plane.stop();
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
