//! Units on a real systemd (see `machine`).

use std::path::PathBuf;

use serde_json::{Value, json};
use wavegate_agent::resources::drift::Correction;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Drift, Operation};

use crate::world::{World, complete, failure};

const UNIT: &str =
    "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

fn app(conf: &str) -> Value {
    json!([
        {"id": "conf", "kind": "file", "path": "/etc/app.conf", "content": conf},
        {"id": "app", "kind": "systemd-unit", "name": "app.service", "content": UNIT, "enabled": true,
         "state": "active", "restart_on": ["conf"],
         "drop_ins": {"10-env.conf": "[Service]\nEnvironment=STAGE=2\n"}},
    ])
}

/// The files that are anybody's to configure.
fn configured(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = world.path("/etc/systemd/system");
    let tree = world.tree();
    let below = tree.into_iter().filter(|(path, _)| path.starts_with(&folder));
    below.map(|(path, (_, _, _, content))| (path, content)).collect()
}

fn id(text: &str) -> ResourceId {
    ResourceId::new(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_started_kept_restarted_for_its_files_and_taken_away() {
    let Some((world, machine)) = World::boot("app") else { return };
    let before = configured(&world);
    assert_eq!(world.activate(app("1")).await, complete(true));
    assert_eq!(machine.systemctl(&["is-enabled", "app.service"]).trim(), "enabled");
    assert_eq!(machine.show("app.service", "Environment"), "STAGE=2");
    let first = machine.show("app.service", "MainPID");
    assert_ne!(first, "0");
    assert_eq!(world.status("app").detail["active"], "active");
    assert_eq!(world.activate(app("1")).await, complete(false));
    assert_eq!(
        machine.show("app.service", "MainPID"),
        first,
        "nothing differs, so it is left running"
    );

    assert_eq!(world.activate(app("2")).await, complete(true));
    let second = machine.show("app.service", "MainPID");
    assert_ne!(second, first, "what it follows has changed");
    let mut without = app("2");
    without[1]["drop_ins"] = json!({});
    assert_eq!(world.activate(without).await, complete(true));
    assert_eq!(machine.show("app.service", "Environment"), "");
    assert_ne!(machine.show("app.service", "MainPID"), second);

    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(machine.show("app.service", "ActiveState"), "inactive");
    assert_eq!(machine.show("app.service", "LoadState"), "not-found");
    assert_eq!(configured(&world), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_a_unit_is_found_and_put_right() {
    let Some((world, machine)) = World::boot("drift") else { return };
    assert_eq!(world.activate(app("1")).await, complete(true));
    let (_, bundle) = world.bundle(app("1"));
    for (words, key) in
        [(["stop", "app.service"], "state"), (["disable", "app.service"], "enabled")]
    {
        machine.systemctl(&words);
        let findings = world.activator.observe_all(&bundle).await;
        assert_eq!(findings[&id("app")].drift(), Some(Drift::Changed), "{key}");
        let planned = world.activator.plan(&bundle, None).await.unwrap();
        let differs = &planned.iter().find(|one| one.id == id("app")).unwrap().differs;
        assert!(differs.iter().any(|one| one.key == key), "{differs:?}");
        let corrections = world.activator.correct(&bundle, &findings).await.unwrap();
        let updated = Correction::Corrected { operation: Operation::Update };
        assert_eq!(corrections[&id("app")], updated);
    }
    assert_eq!(machine.systemctl(&["is-enabled", "app.service"]).trim(), "enabled");
    assert_eq!(machine.show("app.service", "ActiveState"), "active");
    assert_eq!(world.activate(app("1")).await, complete(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_was_there_comes_back_as_it_was() {
    let Some((world, machine)) = World::boot("old") else { return };
    world.write("/etc/systemd/system/old.service", UNIT, 0o644);
    machine.systemctl(&["daemon-reload"]);
    machine.systemctl(&["enable", "--now", "old.service"]);
    assert_eq!(machine.show("old.service", "ActiveState"), "active");
    let before = configured(&world);
    let ours = UNIT.replace("infinity", "100000");
    let stopped = json!([{"id": "old", "kind": "systemd-unit", "name": "old.service", "content": ours,
        "enabled": false, "state": "inactive"}]);
    assert_eq!(world.activate(stopped.clone()).await, complete(true));
    assert_eq!(machine.show("old.service", "ActiveState"), "inactive");
    assert_eq!(machine.systemctl(&["is-enabled", "old.service"]).trim(), "disabled");
    assert_eq!(world.activate(stopped).await, complete(false));
    let world = world.restart_with_systemd(&machine.bus());
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(machine.show("old.service", "ActiveState"), "active");
    assert_eq!(machine.systemctl(&["is-enabled", "old.service"]).trim(), "enabled");
    assert_eq!(configured(&world), before);

    let broken = json!([{"id": "bad", "kind": "systemd-unit", "name": "bad.service", "state": "active",
        "content": "[Service]\nType=oneshot\nExecStart=/bin/false\n"}]);
    let outcome = world.activate(broken).await;
    assert_eq!(failure(&outcome), ("unit-failed".to_owned(), true));
    assert!(world.status("bad").error.unwrap().contains("journalctl -u bad.service"));
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(configured(&world), before);
}

#[tokio::test]
async fn another_root_has_no_systemd_unless_it_is_named() {
    let world = World::new();
    let before = world.tree();
    let outcome = world.activate(app("1")).await;
    assert_eq!(failure(&outcome).0, "no-systemd");
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(world.tree(), before, "the machine's own systemd was not asked");
}
