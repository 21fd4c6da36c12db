//! Network configuration on a real systemd-networkd, and a control plane that goes out of reach.
//!
//! Needs what the tests of units need, see `systemd`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wavegate_agent::resources::host::HostSettings;
use wavegate_agent::resources::reach::{Reach, Reaching};
use wavegate_agent::resources::shell_job::ShellJobs;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::Drift;

use crate::machine::{Machine, until};
use crate::world::{LIMITS, World, complete, failure, settings};

/// A control plane that can be reached, until it cannot.
#[derive(Debug, Default)]
struct ControlPlane {
    /// Out of reach while a file of the network says so.
    cut_off_by: Option<std::path::PathBuf>,
    away: AtomicBool,
    asked: AtomicU32,
}

impl Reach for ControlPlane {
    fn control_plane(&self) -> Reaching<'_> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let written = |path: &std::path::PathBuf| {
                std::fs::read_to_string(path).is_ok_and(|text| text.contains("10.9.8.66"))
            };
            let is_cut_off = self.cut_off_by.as_ref().is_some_and(written);
            !self.away.load(Ordering::SeqCst) && !is_cut_off
        })
    }
}

const DEVICE: &str = "[NetDev]\nName=wgt0\nKind=bridge\n";

fn network(address: &str) -> Value {
    let link = format!(
        "[Match]\nName=wgt0\n\n[Network]\nAddress={address}/24\nConfigureWithoutCarrier=yes\n"
    );
    json!([{"id": "net", "kind": "network-config", "revert_after_secs": 10,
        "files": {"10-wgt.netdev": DEVICE, "20-wgt.network": link}}])
}

struct Net {
    world: World,
    machine: Machine,
    control_plane: Arc<ControlPlane>,
}

impl Net {
    fn boot(name: &str) -> Option<Self> {
        let (world, machine) = World::boot(name)?;
        machine.systemctl(&["start", "systemd-networkd.service"]);
        assert_eq!(machine.show("systemd-networkd.service", "ActiveState"), "active");
        let cut_off_by = Some(world.path("/etc/systemd/network/20-wgt.network"));
        let control_plane = Arc::new(ControlPlane { cut_off_by, ..ControlPlane::default() });
        let world = world.restart_with(allows(&machine, &control_plane));
        Some(Self { world, machine, control_plane })
    }

    fn restart(self) -> Self {
        let Self { world, machine, control_plane } = self;
        let world = world.restart_with(allows(&machine, &control_plane));
        Self { world, machine, control_plane }
    }

    /// The device has this address.
    fn has(&self, address: &str) -> bool {
        let trie = format!("/proc/{}/net/fib_trie", self.machine.leader);
        std::fs::read_to_string(trie).unwrap().contains(&format!("|-- {address}\n"))
    }

    fn files(&self) -> Vec<String> {
        let folder = self.world.path("/etc/systemd/network");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn allows(machine: &Machine, control_plane: &Arc<ControlPlane>) -> HostSettings {
    let reach = Some(Arc::clone(control_plane) as Arc<dyn Reach>);
    HostSettings { reach, ..settings(ShellJobs::Refused, Some(machine.bus())) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_set_up_by_a_real_networkd_kept_and_taken_away() {
    let Some(net) = Net::boot("net") else { return };
    assert_eq!(net.world.activate(network("10.9.8.7")).await, complete(true));
    until("the address", || net.has("10.9.8.7").then_some(()));
    assert_eq!(net.world.activate(network("10.9.8.7")).await, complete(false));
    let (_, bundle) = net.world.bundle(network("10.9.8.7"));
    net.world.write("/etc/systemd/network/20-wgt.network", "[Match]\nName=none\n", 0o644);
    let findings = net.world.activator.observe_all(&bundle).await;
    let id = ResourceId::new("net").unwrap();
    assert_eq!(findings[&id].drift(), Some(Drift::Changed));
    net.control_plane.away.store(true, Ordering::SeqCst);
    net.world.activator.correct(&bundle, &findings).await.unwrap();
    assert!(net.world.read("/etc/systemd/network/20-wgt.network").contains("10.9.8.7"), "proven");
    assert_eq!(net.world.back_to_nothing().await, complete(true));
    assert_eq!(net.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cuts_the_host_off_is_taken_back() {
    let Some(net) = Net::boot("cut") else { return };
    assert_eq!(net.world.activate(network("10.9.8.7")).await, complete(true));
    until("the address", || net.has("10.9.8.7").then_some(()));
    let outcome = net.world.activate(network("10.9.8.66")).await;
    assert_eq!(failure(&outcome).0, "network-reverted");
    assert!(net.world.read("/etc/systemd/network/20-wgt.network").contains("10.9.8.7/"));
    until("the old address", || (net.has("10.9.8.7") && !net.has("10.9.8.66")).then_some(()));
    assert_eq!(net.world.activate(network("10.9.8.7")).await, complete(true), "what runs");
}

/// E18: a control plane that is away says nothing about a network; without one nothing new is tried.
#[tokio::test(flavor = "multi_thread")]
async fn e18_nothing_new_is_tried_while_nobody_could_see_that_it_works() {
    let Some(net) = Net::boot("away") else { return };
    net.control_plane.away.store(true, Ordering::SeqCst);
    let (closure, bundle) = net.world.bundle(network("10.9.8.7"));
    let limits =
        wavegate_agent::resources::engine::Limits { activation: Duration::from_secs(3), ..LIMITS };
    let outcome = net.world.activator.activate(&closure, Some(bundle), limits).await;
    let (_, changed) = failure(&outcome);
    assert!(!changed, "{outcome:?}");
    assert_eq!(net.files(), Vec::<String>::new());
    assert!(net.control_plane.asked.load(Ordering::SeqCst) > 1, "tried again");
}

/// A4: an agent that ended in the middle of a trial comes back to it.
#[tokio::test(flavor = "multi_thread")]
async fn a4_a_trial_that_was_cut_off_is_brought_to_its_end() {
    let Some(net) = Net::boot("trial") else { return };
    assert_eq!(net.world.activate(network("10.9.8.7")).await, complete(true));
    // As a crash right after the change leaves it: the trial is open, the files are written.
    let record = net.world.state().join("network.json");
    let proven = std::fs::read_to_string(&record).unwrap();
    let before = net.control_plane.asked.load(Ordering::SeqCst);
    let world = &net.world;
    let cut = async {
        let opened = || std::fs::read_to_string(&record).is_ok_and(|text| text.contains("content"));
        while net.control_plane.asked.load(Ordering::SeqCst) < before + 3 || !opened() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::fs::read_to_string(&record).unwrap()
    };
    let (outcome, open) = tokio::join!(world.activate(network("10.9.8.66")), cut);
    assert_eq!(failure(&outcome).0, "network-reverted");
    std::fs::write(&record, open).unwrap();
    let bad = network("10.9.8.66")[0]["files"]["20-wgt.network"].as_str().unwrap().to_owned();
    net.world.write("/etc/systemd/network/20-wgt.network", &bad, 0o644);

    let net = net.restart();
    let outcome = net.world.activate(network("10.9.8.66")).await;
    assert_eq!(failure(&outcome).0, "network-reverted", "found, tried again, taken back");
    assert!(net.world.read("/etc/systemd/network/20-wgt.network").contains("10.9.8.7/"));
    assert_eq!(std::fs::read_to_string(&record).unwrap(), proven);
}
