//! The swarm against a real control plane: thousands of agents in small.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use serde_json::Value;
use wavegate_tests::processes::control_plane::ControlPlane;
use wavegate_tests::processes::folder::{Content, Folder, Plan, Wave};

const HOSTS: usize = 40;

struct Scene<'a> {
    folder: &'a Folder,
    url: String,
}

impl Scene<'_> {
    /// Runs a swarm of the whole fleet until nothing is under way; its figures.
    fn swarm(&self, release: u64, options: &[&str]) -> Value {
        let (agents, release) = (HOSTS.to_string(), format!("fleet/releases/{release}"));
        let fleet = ["--release", &release, "--ca-dir", "fleet/ca", "--trust", "fleet/trust.json"];
        let swarm = ["swarm", "--agents", &agents, "--url", &self.url, "--json"];
        let said = self.folder.succeeds(&[&swarm[..], &fleet, options].concat());
        println!("{said}");
        serde_json::from_str(&said).unwrap()
    }
}

#[test]
fn a_swarm_takes_a_release_fails_where_it_is_told_to_and_goes_on_after_a_storm() {
    let folder = Folder::new(HOSTS);
    let wave = |name, hosts| Wave { name, hosts, soak_secs: 1 };
    let waves = vec![wave("canary", (1..=10).collect()), wave("rest", Vec::new())];
    folder.plan(&Plan { waves, ..Plan::default() });
    for release in 1..=2 {
        folder.release(release, Content::Healthy);
    }
    let mut control_plane = ControlPlane::start(&folder);
    let scene = Scene { folder: &folder, url: control_plane.url.clone() };

    let state = |id: &str| control_plane.reader().rollout(id).unwrap().state.to_string();

    control_plane.publish(1);
    let bad = scene.swarm(1, &["--until-settled", "--secs", "120", "--fail", "100%"]);
    assert_eq!(bad["ends"]["reverted"], 10, "the canaries go back");
    assert_eq!(bad["ends"]["untouched"], HOSTS - 10);
    assert_eq!(state("stable@r1"), "reverted");

    control_plane.publish(2);
    let good = scene.swarm(2, &["--until-settled", "--secs", "120"]);
    assert_eq!(good["ends"]["converged"], HOSTS);
    assert_eq!(good["step"]["count"], HOSTS - 10, "the second wave is measured from the first");
    assert_eq!(state("stable@r2"), "terminal");

    // The same hosts again: they go on where the control plane knows them to be.
    let storm = ["--storm", "2", "--restart-every-secs", "4", "--loss", "5%", "--secs", "15"];
    let stormy = scene.swarm(2, &storm);
    assert_eq!(stormy["ends"]["converged"], HOSTS);
    assert_eq!(stormy["storm"]["count"], HOSTS, "everybody is heard again");
    assert!(stormy["restarts"].as_u64().unwrap() > 0);
    control_plane.check_log();
    control_plane.stop();
}
