//! One release, two channels, real processes: the second channel begins when the first has ended, also when
//! the database is deleted in between.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;

use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::processes::agents::Agents;
use wavegate_tests::processes::control_plane::{ControlPlane, delete_database};
use wavegate_tests::processes::folder::{Content, Folder};
use wavegate_tests::processes::wait::{PATIENCE, until};

const FLEET: &str = r#"
[fleet]
name = "demo"

[channels.edge]
rollout_policy = "test"
bundle = "bundles/app.toml"

[channels.stable]
rollout_policy = "test"
bundle = "bundles/app.toml"

[[channel_edges]]
before = "edge"
after = "stable"

[rollout_policies.test]
on_health_failure = "rollback-and-halt"
failure_threshold = "1s"
waves = [{ name = "all", hosts = "all", soak = "5s" }]

[hosts.host-01]
channel = "edge"

[hosts.host-02]
channel = "stable"
"#;

/// Builds and signs release `number`, which opens a rollout on both channels.
fn release(folder: &Folder, number: u64) {
    folder.bundle(number, Content::Healthy);
    let out = format!("fleet/releases/{number}");
    let before = format!("fleet/releases/{}", number - 1);
    let (edge, stable) = (format!("edge=r{number}"), format!("stable=r{number}"));
    let mut build = vec!["release", "build", "fleet/fleet.toml", "--out", &out];
    build.extend(["--ref", &edge, "--ref", &stable]);
    if number > 1 {
        build.extend(["--previous", &before]);
    }
    folder.succeeds(&build);
    folder.succeeds(&["release", "sign", &out, "--key", "fleet/keys/release.key"]);
}

#[test]
fn e14_e15_two_channels_of_one_release_go_out_one_after_the_other_also_over_a_wipe() {
    let folder = Folder::new(2);
    fs::write(folder.path("fleet.toml"), FLEET).unwrap();
    let mut control_plane = ControlPlane::start(&folder);
    let mut agents = Agents::start(&folder, &control_plane.url);
    for number in [1, 2] {
        release(&folder, number);
        control_plane.publish(number);
        let (edge, stable) = (format!("edge@r{number}"), format!("stable@r{number}"));
        until("the first channel to soak", PATIENCE, || {
            let rollout = control_plane.reader().rollout(&edge)?;
            let soaking = rollout.waves[0].by_state.get(&HostState::Soaking);
            soaking.map(|_| ()).ok_or_else(|| format!("{rollout:?}"))
        });
        assert_eq!(folder.runs(&folder.hosts[1]), number - 1, "the second channel has begun");
        if number == 2 {
            control_plane.kill_9();
            delete_database(&folder.control_plane_state());
            control_plane.start_again();
        }
        for rollout in [&edge, &stable] {
            until(&format!("{rollout} to end"), PATIENCE, || {
                let found = control_plane.reader().rollout(rollout)?;
                let ended = found.state == RolloutState::Terminal;
                ended.then_some(()).ok_or_else(|| format!("{found:?}"))
            });
        }
        assert_eq!(folder.runs(&folder.hosts[1]), number);
    }
    agents.expect_running();
    control_plane.check_log();
}
