//! `kill -9` of the real agent at random moments while it works on 200 resources in a random order of
//! dependencies, a rollback now and then among them.
//!
//! `WAVEGATE_KILL_COUNT` says how often, `WAVEGATE_KILL_SEED` when; `cargo xtask kill` is the long one.
#![allow(clippy::print_stdout, reason = "the figures of the long run")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use wavegate_proto::event::Event;
use wavegate_proto::record::{HostRecord, HostState, Rollback};
use wavegate_proto::wire::resource::{ResourceKind, ResourceState};

use super::agent::Host;
use super::control_plane::World;
use super::release::{Release, Signed};

/// Resources of each bundle.
const RESOURCES: usize = 200;

/// Kills before a release is left to come to its end.
const KILLS_A_RELEASE: u32 = 12;

/// What a bundle should leave on the host: permission bits and content by path; no content, a folder.
type Wanted = BTreeMap<String, (u32, Option<String>)>;

struct Bundle {
    document: Value,
    wanted: Wanted,
    jobs: Vec<String>,
}

/// 200 files, folders and jobs; each needs up to three earlier ones.
fn bundle(number: u64, rng: &mut Rng) -> Bundle {
    let (mut resources, mut wanted, mut jobs) = (Vec::new(), Wanted::new(), Vec::new());
    let mut folders = vec![("root".to_owned(), "/data".to_owned())];
    resources.push(json!({"id": "root", "kind": "directory", "path": "/data"}));
    wanted.insert("/data".to_owned(), (0o755, None));
    for index in 1..RESOURCES {
        // The ids of the last release name other things in this one.
        let id = format!("r{}", (index as u64 + number) % RESOURCES as u64);
        let mut needs: Vec<String> = Vec::new();
        for _ in 0..rng.usize(..4) {
            let need: &Value = &resources[rng.usize(..resources.len())];
            needs.push(need["id"].as_str().unwrap().to_owned());
        }
        let (above, folder) = folders[rng.usize(..folders.len())].clone();
        let mut resource = match rng.u8(..20) {
            0..3 => {
                let script = format!("echo x >> \"$WAVEGATE_ROOT/ran/{id}-{number}\"; sleep 0.02");
                jobs.push(id.clone());
                json!({"kind": "shell-job", "argv": ["/bin/sh", "-c", script]})
            }
            3..5 => {
                let path = format!("{folder}/d{}", rng.u8(..40));
                if wanted.contains_key(&path) {
                    continue;
                }
                folders.push((id.clone(), path.clone()));
                needs.push(above);
                wanted.insert(path.clone(), (0o750, None));
                json!({"kind": "directory", "path": path, "mode": "0750"})
            }
            kind => {
                let path = format!("{folder}/f{}", rng.u8(..200));
                if wanted.contains_key(&path) {
                    continue;
                }
                let (mode, bits) = if kind % 2 == 0 { ("0644", 0o644) } else { ("0600", 0o600) };
                let content = format!("{id} of release {number}").repeat(rng.usize(1..50));
                needs.push(above);
                wanted.insert(path.clone(), (bits, Some(content.clone())));
                json!({"kind": "file", "path": path, "content": content, "mode": mode})
            }
        };
        needs.sort_unstable();
        needs.dedup();
        resource["id"] = json!(id);
        resource["depends_on"] = json!(needs);
        resources.push(resource);
    }
    let document = json!({"schema_version": 1, "max_parallel": 8, "resources": resources});
    Bundle { document, wanted, jobs }
}

/// Everything below `/data`, temporary files of a crash among it.
fn listing(root: &Path) -> Wanted {
    let mut found = Wanted::new();
    let mut open = vec!["/data".to_owned()];
    while let Some(path) = open.pop() {
        let at = root.join(&path[1..]);
        let Ok(meta) = fs::symlink_metadata(&at) else { continue };
        let content = meta.is_file().then(|| fs::read_to_string(&at).unwrap());
        if meta.is_dir() {
            let names = fs::read_dir(&at).unwrap();
            open.extend(names.map(|n| format!("{path}/{}", n.unwrap().file_name().display())));
        }
        found.insert(path, (meta.permissions().mode() & 0o7777, content));
    }
    found
}

struct Trial {
    host: Host,
    rng: Rng,
    kills_left: u32,
    killed: u32,
    resources: usize,
    jobs: usize,
    reported: u32,
    rolled_back: u32,
}

impl Trial {
    /// One release, killed a few times on its way, to its end.
    async fn release(&mut self, number: u64) {
        let bundle = bundle(number, &mut self.rng);
        let release = Release {
            activation_timeout_secs: 120,
            ..Release::new(number, bundle.document.clone())
        };
        let signed = release.sign();
        self.host.control_plane.dispatch(&signed);
        let mut attempt = 1;
        // How often the job of a resource was said to have been cut off.
        let mut cut_off: BTreeMap<String, u32> = BTreeMap::new();
        let mut left = KILLS_A_RELEASE;
        while self.state(&signed) != Some(HostState::Converged) {
            let mut agent = self.host.spawn();
            if left > 0 && self.kills_left > 0 {
                tokio::time::sleep(Duration::from_millis(self.rng.u64(20..1200))).await;
                (left, self.kills_left, self.killed) =
                    (left - 1, self.kills_left - 1, self.killed + 1);
            } else {
                let over = |world: &World| {
                    record(world, &signed).is_some_and(|record| is_over(record, attempt))
                };
                self.host.control_plane.until("the release is over", over).await;
            }
            agent.kill().unwrap();
            agent.wait().unwrap();
            let is_back = self
                .record(&signed)
                .is_some_and(|r| r.state == HostState::Reverted && r.attempt.0 == attempt);
            if is_back {
                self.rolled_back += 1;
                for id in self.said_to_be_cut_off(&signed, attempt) {
                    *cut_off.entry(id.clone()).or_default() += 1;
                    self.reported += 1;
                    let reset = self.host.ask(&["reset", &id]);
                    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
                }
                attempt += 1;
                self.host.control_plane.dispatch_again(&signed, attempt);
            }
        }
        self.expect(number, &bundle, &cut_off);
    }

    fn expect(&mut self, number: u64, bundle: &Bundle, cut_off: &BTreeMap<String, u32>) {
        let found = listing(&self.host.root());
        for (path, wanted) in &bundle.wanted {
            assert_eq!(found.get(path), Some(wanted), "release {number}: {path}");
        }
        let more: Vec<_> = found.keys().filter(|p| !bundle.wanted.contains_key(*p)).collect();
        assert!(more.is_empty(), "release {number}: left over {more:?}");
        for id in &bundle.jobs {
            let ran = self.host.file(&format!("ran/{id}-{number}")).unwrap_or_default();
            let reported = cut_off.get(id).copied().unwrap_or_default() as usize;
            let ran = ran.lines().count();
            assert!((1..=1 + reported).contains(&ran), "{id}: ran {ran}, reported {reported}");
        }
        self.resources += bundle.wanted.len() + bundle.jobs.len();
        self.jobs += bundle.jobs.len();
    }

    /// The resources whose job was cut off, by what the host reported in this attempt.
    fn said_to_be_cut_off(&self, signed: &Signed, attempt: u32) -> Vec<String> {
        let journal = self.host.control_plane.journal(&signed.rollout_id);
        let begins = journal.entries.iter().rposition(
            |entry| matches!(&entry.event, Event::DispatchAck { attempt: a, .. } if a.0 == attempt),
        );
        let mut said: Vec<String> = journal.entries[begins.unwrap_or(0)..]
            .iter()
            .filter_map(|entry| {
                let Event::ResourceChanged { id, resource_kind: ResourceKind::ShellJob, status } =
                    &entry.event
                else {
                    return None;
                };
                let error = status.error.as_deref().unwrap_or_default();
                let failed = status.status == ResourceState::Failed;
                assert!(!failed || error.contains("was cut off"), "{id}: {error}");
                failed.then(|| id.to_string())
            })
            .collect();
        said.sort_unstable();
        said.dedup();
        said
    }

    fn record(&self, signed: &Signed) -> Option<HostRecord> {
        record(&self.host.control_plane.world(), signed).cloned()
    }

    fn state(&self, signed: &Signed) -> Option<HostState> {
        self.record(signed).map(|record| record.state)
    }
}

fn record<'a>(world: &'a World, signed: &Signed) -> Option<&'a HostRecord> {
    world.journals.get(&signed.rollout_id).and_then(|journal| journal.record.as_ref())
}

fn is_over(record: &HostRecord, attempt: u32) -> bool {
    let failure = record.failure.as_ref().map(|failure| failure.rollback);
    assert_ne!(failure, Some(Rollback::Failed), "{record:?}");
    record.attempt.0 == attempt
        && matches!(record.state, HostState::Converged | HostState::Reverted)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_an_agent_with_200_resources_leaves_each_as_it_should_be_and_no_job_ran_twice() {
    let count = std::env::var("WAVEGATE_KILL_COUNT").map_or(24, |count| count.parse().unwrap());
    let seed = std::env::var("WAVEGATE_KILL_SEED").map_or(1, |seed| seed.parse().unwrap());
    let host = Host::new().await;
    fs::create_dir(host.root().join("ran")).unwrap();
    let mut trial = Trial {
        host,
        rng: Rng::with_seed(seed),
        kills_left: count,
        killed: 0,
        resources: 0,
        jobs: 0,
        reported: 0,
        rolled_back: 0,
    };
    let mut number = 0;
    while trial.kills_left > 0 {
        number += 1;
        trial.release(number).await;
    }
    let Trial { killed, resources, jobs, reported, rolled_back, .. } = trial;
    println!(
        "seed {seed}: {killed} kills in {number} releases, {resources} resources as they should be, \
         {jobs} jobs, {reported} reported as cut off, {rolled_back} activations taken back"
    );
    assert_eq!(killed, count);
}
