//! P3: how the cost of a heartbeat and of an event grows with the fleet, in instructions, counted by
//! callgrind: figures that do not depend on what else the machine does.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use wavegate_control_plane::core::{Core, Input, Output, Token};
use wavegate_proto::ids::HostName;
use wavegate_proto::time::Now;

use super::super::figures::Figures;
use super::super::options::Counted;
use super::fleet::{Fleet, Shape};

/// Hosts of the first wave, which soak throughout: as many speak at once.
const SPEAKERS: usize = 64;

/// How many requests are counted.
const REQUESTS: usize = 640;

/// The sizes of the fleets that are compared.
const SIZES: [usize; 2] = [1_000, 100_000];

/// The function below that is counted, and nothing else.
const COUNTED: &str = "*growth*counted*";

pub(in super::super) fn measure(quick: bool, out: &mut Figures) -> Result<()> {
    let sizes = if quick { [100, 400] } else { SIZES };
    for (name, what) in [("heartbeat", Counted::Heartbeats), ("event", Counted::Events)] {
        let [small, large] = sizes;
        let (few, many) = (instructions(what, small)?, instructions(what, large)?);
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let ratio = many as f64 / few as f64;
        out.tell(&format!(
            "P3 {name} ratio={ratio:.2} instructions={}/{} hosts={small}/{large} target=1.25",
            few / REQUESTS as u64,
            many / REQUESTS as u64,
        ))?;
    }
    Ok(())
}

/// Runs this program under callgrind with a fleet of this size.
fn instructions(what: Counted, hosts: usize) -> Result<u64> {
    let program = std::env::current_exe().context("find this program")?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no"]);
    command.arg(format!("--toggle-collect={COUNTED}"));
    command.arg(format!("--callgrind-out-file={}", folder.path().join("out").display()));
    command.arg(program).args(["--count", what.as_str(), "--hosts", &hosts.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start valgrind (apt-get install valgrind)")?;
    let stderr = child.stderr.take().context("its stderr")?;
    let (mut found, mut said) = (None, String::new());
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        if let Some((_, figure)) = line.split_once("Collected : ") {
            found = figure.trim().parse().ok();
        }
        said.push_str(&line);
        said.push('\n');
    }
    if !child.wait()?.success() {
        bail!("callgrind failed: {said}");
    }
    found.filter(|count| *count > 0).with_context(|| format!("a count in: {said}"))
}

/// What runs under callgrind.
pub(in super::super) fn count(what: Counted, hosts: usize) -> Result<()> {
    let speakers = SPEAKERS.min(hosts / 2);
    let sizes = [speakers, hosts - speakers];
    let shape = Shape { channels: 1, sizes: &sizes, soak_secs: 7 * 86_400 };
    let mut fleet = Fleet::new(&shape.channels("r1", "first"))?;
    fleet.everybody_reports()?;
    fleet.everybody_polls()?;
    let soaking = fleet.activate()?;
    ensure!(soaking.len() == speakers, "{} hosts were dispatched", soaking.len());
    let everybody: Vec<HostName> = fleet.hosts.keys().cloned().collect();
    for number in 0..REQUESTS {
        let now = fleet.now();
        let input = match what {
            Counted::Heartbeats => {
                let host = everybody[number * everybody.len() / REQUESTS].clone();
                let heartbeat = Box::new(fleet.hosts[&host].heartbeat(now.wall));
                let reply = Token(u64::MAX);
                Input::Heartbeat { host, heartbeat, cert_expires_at: None, reply }
            }
            Counted::Events => {
                let (host, rollout) = soaking[number % soaking.len()].clone();
                let request = fleet.hosts.get_mut(&host).unwrap().probe(&rollout, now.wall);
                Input::Events { host, request: Box::new(request), reply: Token(u64::MAX) }
            }
        };
        let outputs = counted(&mut fleet.core, now, input);
        let answered = outputs.iter().any(|output| matches!(output, Output::Reply { .. }));
        ensure!(answered, "a request was not answered");
    }
    Ok(())
}

/// One request, planned for as if it were alone in its batch.
#[inline(never)]
fn counted(core: &mut Core, now: Now, input: Input) -> Vec<Output> {
    let mut outputs = core.handle(now, input);
    outputs.extend(core.plan(now));
    outputs
}
