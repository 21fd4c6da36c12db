//! P8 and P10: thousands of agents of `wavegate swarm` and the control plane as it is shipped, each in a process
//! of its own, on the same machine.
//!
//! P8 lets a release out of which some hosts fail, then cuts every connection, then kills the control plane and
//! deletes its database; at the end each host runs what it was told to, and every document is as it was before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::child::cpu_time;
use super::figures::Figures;
use super::memory::resident_bytes;
use crate::processes::control_plane::{ControlPlane, Start, delete_database};
use crate::processes::folder::{Content, Folder, Plan, Wave};
use crate::processes::reader::Reader;
use crate::processes::wait::until_every;

/// How long a rollout to everybody may take.
const LONGEST: Duration = Duration::from_secs(900);

/// How often the documents of a whole fleet are looked at.
const LOOK: Duration = Duration::from_secs(1);

const ROLLOUT: &str = "stable@r1";

/// How long things take, in seconds, and when they happen, in seconds since the swarm began.
pub(super) struct Times {
    heartbeat: u64,
    soak: u64,
    storm: u64,
    wipe: u64,
    end: u64,
}

impl Times {
    pub(super) fn of(quick: bool) -> Self {
        if quick {
            Self { heartbeat: 2, soak: 1, storm: 16, wipe: 20, end: 36 }
        } else {
            Self { heartbeat: 30, soak: 5, storm: 180, wipe: 330, end: 480 }
        }
    }
}

/// P10: a rollout without failures; how each wave takes up from the one before it.
pub(super) fn steps(hosts: usize, times: &Times, out: &mut Figures) -> Result<()> {
    let (hundredth, tenth) = (hosts.div_ceil(100), hosts.div_ceil(10));
    let folder = folder(hosts, &[hundredth, 2 * hundredth, tenth], times.soak);
    let mut control_plane = start(&folder, hosts, times);
    let figures = swarm(&folder, &control_plane.url, &["--until-settled", "--secs", "900"])?;
    let ends = ends(&control_plane.reader(), hosts)?;
    ensure!(ends.get("converged") == Some(&hosts), "not everybody converged: {ends:?}");
    let steps = figures["steps"].as_array().context("steps")?;
    let given: u64 = steps.iter().filter_map(|step| step["count"].as_u64()).sum();
    ensure!(given == (hosts - hundredth) as u64, "{given} dispatches were counted");
    for step in steps {
        out.tell(&format!(
            "P10 wave={} dispatches={} p50_ms={} p99_ms={} max_ms={} hosts={hosts} target=50",
            step["wave"], step["count"], step["p50_millis"], step["p99_millis"], step["max_millis"]
        ))?;
    }
    control_plane.stop();
    Ok(())
}

/// P8: a release of which some hosts fail, a storm, a lost database.
pub(super) fn storm(hosts: usize, times: &Times, out: &mut Figures) -> Result<()> {
    let folder = folder(hosts, &[hosts.div_ceil(100), hosts.div_ceil(10)], times.soak);
    let mut control_plane = start(&folder, hosts, times);
    let url = control_plane.url.clone();
    let begun = Instant::now();
    let at = |secs| (begun + Duration::from_secs(secs)).saturating_duration_since(Instant::now());
    let (storm, end) = (times.storm.to_string(), times.end.to_string());
    let options = ["--fail", "2%", "--activation-ms", "2000", "--storm", &storm, "--secs", &end];
    let (figures, settled, recovered) = std::thread::scope(|scope| -> Result<_> {
        let swarm = scope.spawn(|| swarm(&folder, &url, &options));
        let before = settle(&control_plane.reader(), hosts, LONGEST)?;
        let settled = begun.elapsed();
        ensure!(settled < Duration::from_secs(times.storm), "it had not settled before the storm");
        let (process, spent) = (control_plane.id(), cpu_time(control_plane.id()));
        eprintln!(
            "    settled after {:.0} s; the control plane has {} MB and took {:.0} s of a core",
            settled.as_secs_f64(),
            resident_bytes(&process.to_string())? / 1_000_000,
            spent.unwrap_or_default().as_secs_f64()
        );
        std::thread::sleep(at(times.wipe));
        control_plane.kill_9();
        delete_database(&folder.control_plane_state());
        control_plane.start_again();
        let (wiped, left) = (Instant::now(), at(times.end));
        control_plane.publish(1);
        let reader = control_plane.reader();
        until_every(LOOK, "everything to be as it was before", left, || {
            let now = documents(&reader)?;
            if now == before { Ok(()) } else { Err(difference(&now, &before)) }
        });
        let recovered = wiped.elapsed();
        let figures = swarm.join().map_err(|_| anyhow::anyhow!("the swarm's thread"))??;
        Ok((figures, settled, recovered))
    })?;
    let told = ends(&control_plane.reader(), hosts)?;
    let ended = &figures["ends"];
    for (state, count) in &told {
        ensure!(ended[state] == *count, "{count} are {state}, of the swarm {}", ended[state]);
    }
    let (again, after) = (&figures["storm"], &figures["after_storm"]);
    ensure!(again["count"] == hosts, "{} of {hosts} were heard after the storm", again["count"]);
    // No number where the swarm ended within the first minute.
    let mean = after["mean_per_sec"].as_f64().unwrap_or(f64::NAN);
    out.tell(&format!(
        "P8 served={}/{hosts} last_ms={} mean_per_s={mean:.1} peak_to_mean={:.2} settled_s={:.0} wipe_s={:.1} heartbeat_p99_ms={} \
         ends={ended} errors={} target=everyone,peak/mean<3",
        again["count"],
        again["max_millis"],
        after["peak_per_sec"].as_f64().unwrap_or_default() / mean,
        settled.as_secs_f64(),
        recovered.as_secs_f64(),
        figures["heartbeat"]["p99_millis"],
        figures["errors"]
    ))?;
    control_plane.check_log();
    control_plane.stop();
    Ok(())
}

/// A fleet of so many, and its first release: waves that end with these hosts, and the rest.
fn folder(hosts: usize, ends: &[usize], soak_secs: u64) -> Folder {
    let folder = Folder::of_a_swarm(hosts);
    let mut waves = Vec::new();
    let mut first = 1;
    for (name, end) in ["canary", "second", "third"].into_iter().zip(ends) {
        waves.push(Wave { name, hosts: (first..=*end).collect(), soak_secs });
        first = end + 1;
    }
    waves.push(Wave { name: "rest", hosts: Vec::new(), soak_secs });
    folder.plan(&Plan { waves, max_failures: Some("50%"), ..Plan::default() });
    folder.release(1, Content::Healthy);
    folder
}

fn start<'a>(folder: &'a Folder, hosts: usize, times: &Times) -> ControlPlane<'a> {
    let connections = Some(hosts + hosts / 4 + 100);
    let how = Start { heartbeat_secs: times.heartbeat, connections, ..Start::default() };
    let control_plane = ControlPlane::start_as(folder, how);
    control_plane.publish(1);
    control_plane
}

/// Runs a swarm to its end; its figures.
fn swarm(folder: &Folder, url: &str, options: &[&str]) -> Result<Value> {
    let agents = folder.hosts.len().to_string();
    let swarm = ["swarm", "--agents", &agents, "--url", url, "--json"];
    let fleet = ["--release", "fleet/releases/1", "--ca-dir", "fleet/ca", "--trust"];
    let said = folder.wavegate(&[&swarm[..], &fleet, &["fleet/trust.json"], options].concat());
    if !said.status.success() {
        bail!("the swarm: {}", String::from_utf8_lossy(&said.stderr));
    }
    serde_json::from_slice(&said.stdout).context("the swarm's figures")
}

/// Each host's record as the control plane shows it, and the quarantines.
type Documents = BTreeMap<String, Value>;

/// What must be the same after the database was lost: all that hosts are told, and what was found out.
fn documents(reader: &Reader) -> Result<Documents, String> {
    let mut documents = Documents::new();
    for record in reader.all(&format!("/v1/rollouts/{ROLLOUT}/hosts"))? {
        let kept = ["state", "attempt", "failure", "prior_closure", "target_closure", "wave"];
        let kept = kept.map(|field| (field.to_owned(), record[field].clone()));
        let host = record["host"].as_str().unwrap_or_default().to_owned();
        documents.insert(host, Value::Object(kept.into_iter().collect()));
    }
    let rollout = reader.rollout(ROLLOUT)?;
    documents.insert("the rollout".to_owned(), rollout.state.to_string().into());
    let bad = reader.all("/v1/quarantines")?;
    let bad = bad.iter().map(|quarantine| quarantine["closure"].clone()).collect();
    documents.insert("the quarantines".to_owned(), Value::Array(bad));
    Ok(documents)
}

/// The documents once the rollout is over and nobody is under way.
fn settle(reader: &Reader, hosts: usize, patience: Duration) -> Result<Documents> {
    until_every(LOOK, "the rollout to be over", patience, || {
        let ends = ends(reader, hosts).map_err(|error| error.to_string())?;
        let over: usize = ["converged", "reverted"].iter().filter_map(|end| ends.get(*end)).sum();
        if over == hosts { Ok(()) } else { Err(format!("{ends:?}")) }
    });
    documents(reader).map_err(anyhow::Error::msg)
}

/// How many hosts are in each state.
fn ends(reader: &Reader, hosts: usize) -> Result<BTreeMap<String, usize>> {
    let records =
        reader.all(&format!("/v1/rollouts/{ROLLOUT}/hosts")).map_err(anyhow::Error::msg)?;
    ensure!(records.len() == hosts, "{} hosts are in the rollout", records.len());
    let mut ends = BTreeMap::new();
    for record in records {
        *ends.entry(record["state"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(ends)
}

fn difference(now: &Documents, before: &Documents) -> String {
    let differ = before.iter().filter(|(name, document)| now.get(*name) != Some(document));
    let differ: Vec<_> = differ.collect();
    let first =
        differ.first().map(|(name, was)| format!("{name}: {:?}, was {was}", now.get(*name)));
    format!("{} documents differ; {}", differ.len(), first.unwrap_or_default())
}
