//! Hosts whose clock is years off: one that is behind goes on, one that is ahead says what is wrong and goes on
//! trying. Real agents, with a wall clock that lies to them.
#![allow(clippy::unwrap_used, reason = "test code")]

use serde_json::Value;
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::operator::{HostDocument, Status};
use wavegate_tests::processes::agents::Agents;
use wavegate_tests::processes::control_plane::ControlPlane;
use wavegate_tests::processes::folder::{Content, Folder, Plan, Wave};
use wavegate_tests::processes::reader::Reader;
use wavegate_tests::processes::wait::{PATIENCE, until};

const YEAR_SECS: i64 = 365 * 86_400;

fn agent_status(folder: &Folder, host: &HostName) -> Value {
    let state = folder.agent_state(host).display().to_string();
    let shown = folder.succeeds(&["agent", "status", "--state-dir", &state, "--json"]);
    serde_json::from_str(&shown).unwrap()
}

fn expect_converged(reader: &Reader, folder: &Folder, host: &HostName, number: u64) {
    until(&format!("{host} to run release {number}"), PATIENCE, || {
        let found: HostDocument = reader.get(&format!("/v1/hosts/{host}"))?;
        let there = folder.runs(host) == number
            && found
                .rollout_id
                .as_ref()
                .is_some_and(|id| id.to_string() == format!("stable@r{number}"))
            && found.state == Some(wavegate_proto::record::HostState::Converged);
        there.then_some(()).ok_or_else(|| format!("{found:?}"))
    });
}

fn skew_of(reader: &Reader, host: &HostName) -> i64 {
    let found: HostDocument = reader.get(&format!("/v1/hosts/{host}")).unwrap();
    found.clock_skew_secs.unwrap()
}

#[test]
fn a_clock_two_years_off_is_explained_and_the_agent_lives() {
    let folder = Folder::new(1);
    let host = folder.hosts[0].clone();
    let waves = vec![Wave { name: "all", hosts: Vec::new(), soak_secs: 1 }];
    folder.plan(&Plan { waves, ..Plan::default() });
    let control_plane = ControlPlane::start(&folder);
    let mut agents = Agents::start(&folder, &control_plane.url);
    let reader = control_plane.reader();
    folder.release(1, Content::Healthy);
    control_plane.publish(1);
    expect_converged(&reader, &folder, &host, 1);

    // Behind: what is known to have been stands for the clock. Certificates have begun, releases are judged.
    agents.kill_9(&host);
    agents.start_with_clock(&host, "-2y");
    folder.release(2, Content::Healthy);
    control_plane.publish(2);
    expect_converged(&reader, &folder, &host, 2);
    assert!((skew_of(&reader, &host) + 2 * YEAR_SECS).abs() < 300);
    let status: Status = reader.get("/v1/status").unwrap();
    assert_eq!(status.alarms.clock_skewed, 1);
    let shown = agent_status(&folder, &host);
    assert_eq!(shown["contact"]["reached"], true);
    let detail = shown["contact"]["detail"].as_str().unwrap();
    assert!(detail.contains("s behind that of the control plane"), "{detail}");

    // Ahead: every certificate has expired by it. It says so, with the time it knows, and does not end.
    agents.kill_9(&host);
    agents.start_with_clock(&host, "+2y");
    let detail = until("the explanation", PATIENCE, || {
        let contact = agent_status(&folder, &host)["contact"].take();
        let detail = contact["detail"].as_str().filter(|_| contact["reached"] == false);
        detail.map(str::to_owned).ok_or_else(|| contact.to_string())
    });
    for part in ["this host's clock shows", "is known to have been", "Set the clock if it is wrong"]
    {
        assert!(detail.contains(part), "{detail}");
    }
    folder.release(3, Content::Healthy);
    control_plane.publish(3);
    agents.expect_running();
    assert_eq!(folder.runs(&host), 2, "what ran keeps running");

    // With the clock set, nothing else is needed: running ahead has raised no floor.
    agents.kill_9(&host);
    agents.start_again(&host);
    expect_converged(&reader, &folder, &host, 3);
    assert_eq!(agent_status(&folder, &host)["contact"]["detail"], Value::Null);
    let status: Status = reader.get("/v1/status").unwrap();
    assert_eq!(status.alarms.clock_skewed, 0);
    assert!(skew_of(&reader, &host).abs() < 60);
}
