//! A host waits for a resource of another, through the real programs: it goes on when that resource is
//! completed and its gate has passed, and not before; a control plane that is killed meanwhile forgets nothing.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;

use wavegate_proto::wire::operator::{Outcome, RolloutState};
use wavegate_tests::processes::agents::Agents;
use wavegate_tests::processes::control_plane::ControlPlane;
use wavegate_tests::processes::folder::Folder;
use wavegate_tests::processes::wait::{PATIENCE, until};

const FLEET: &str = r#"
[fleet]
name = "demo"
[channels.stable]
rollout_policy = "test"
[rollout_policies.test]
on_health_failure = "rollback-and-halt"
failure_threshold = "1s"
waves = [ { name = "all", hosts = "all", soak = "1s" } ]
[hosts.host-01]
channel = "stable"
bundle = "bundles/db.toml"
[hosts.host-02]
channel = "stable"
bundle = "bundles/app.toml"
"#;

/// The schema is there once a person says so; the server is not for long after that.
const DB: &str = r#"
[[resources]]
id = "schema"
kind = "file"
path = "/schema"
content = "1"
[resources.health_gate]
kind = "exec"
argv = ["/bin/sh", "-c", "test -e \"$WAVEGATE_ROOT/schema-is-there\""]
retries = 60
timeout = "60s"
[[resources]]
id = "server"
kind = "file"
path = "/server"
content = "1"
depends_on = ["schema"]
[resources.health_gate]
kind = "exec"
argv = ["/bin/sh", "-c", "test -e \"$WAVEGATE_ROOT/server-is-there\""]
retries = 60
timeout = "60s"
"#;

const APP: &str = r#"
[[resources]]
id = "before"
kind = "file"
path = "/before"
content = "1"
[[resources]]
id = "app"
kind = "file"
path = "/app"
content = "1"
depends_on = ["before", { host = "host-01", resource = "schema" }]
"#;

#[test]
fn a_host_goes_on_when_the_resource_of_another_is_there() {
    let folder = Folder::new(2);
    for (name, text) in [("fleet.toml", FLEET), ("bundles/db.toml", DB), ("bundles/app.toml", APP)]
    {
        fs::write(folder.path(name), text).unwrap();
    }
    let out = "fleet/releases/1";
    folder.succeeds(&["release", "build", "fleet/fleet.toml", "--out", out, "--ref", "stable=r1"]);
    folder.succeeds(&["release", "sign", out, "--key", "fleet/keys/release.key"]);
    let mut control_plane = ControlPlane::start(&folder);
    let agents = Agents::start(&folder, &control_plane.url);
    control_plane.publish(1);
    let (db, app) = (folder.root(&folder.hosts[0]), folder.root(&folder.hosts[1]));
    until("both to come as far as they can", PATIENCE, || {
        let here = db.join("schema").exists() && app.join("before").exists();
        if here { Ok(()) } else { Err("not yet".to_owned()) }
    });
    let reader = control_plane.reader();
    let waits = |_: ()| -> Result<(), String> {
        let resources = reader.all("/v1/hosts/host-02/resources")?;
        let app = resources.iter().find(|r| r["id"] == "app").ok_or("no app")?;
        if app["blocker"] == "host-01/schema" { Ok(()) } else { Err(app.to_string()) }
    };
    until("the app to wait", PATIENCE, || waits(()));
    assert!(!app.join("app").exists());
    fs::write(db.join("schema-is-there"), "").unwrap();
    until("the app to go on", PATIENCE, || {
        if app.join("app").exists() { Ok(()) } else { Err("it waits".to_owned()) }
    });
    // The other host activates still: what it completed is told one by one, also by the next process.
    let state = reader.get::<serde_json::Value>("/v1/hosts/host-01").unwrap();
    assert_eq!(state["state"], "activating");
    control_plane.kill_9();
    control_plane.start_again();
    fs::write(db.join("server-is-there"), "").unwrap();
    let reader = control_plane.reader();
    until("the rollout to end", PATIENCE, || {
        let rollout = reader.rollout("stable@r1")?;
        let over = rollout.state == RolloutState::Terminal;
        if over && rollout.outcome == Some(Outcome::Complete) {
            Ok(())
        } else {
            Err(format!("{rollout:?}"))
        }
    });
    drop(agents);
}
