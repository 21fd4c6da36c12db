//! Users and groups in the files of a private root.

use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt as _;
use wavegate_agent::activation::ActivationOutcome;
use wavegate_agent::resources::drift::Correction;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Drift, Operation};

use crate::world::{World, complete, failure};

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nold:x:500:500:An Older One,,,:/home/old:/bin/sh\n";
const GROUP: &str = "root:x:0:\nold:x:500:\nwww:x:33:old\nstaff:x:50:old,root\n";

fn host() -> World {
    let world = World::new();
    world.write("/etc/passwd", PASSWD, 0o644);
    world.write("/etc/shadow", "root:*:1::::::\nold:$6$secret:1::::::\n", 0o640);
    world.write("/etc/group", GROUP, 0o644);
    world.write("/etc/gshadow", "root:*::\nwww:!::old\n", 0o640);
    world.write("/etc/.pwd.lock", "", 0o600);
    world
}

fn app() -> Value {
    json!([
        {"id": "app-group", "kind": "group", "name": "app", "gid": 777},
        {"id": "app", "kind": "user", "name": "app", "gid": 777, "home": "/srv/app",
         "groups": ["www"], "depends_on": ["app-group"]},
        {"id": "old", "kind": "user", "name": "old", "shell": "/bin/false", "groups": ["staff"]},
    ])
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find(|line| line.starts_with(&format!("{name}:")))
}

#[tokio::test]
async fn accounts_are_made_changed_and_taken_back_byte_for_byte() {
    let world = host();
    let before = world.tree();
    assert_eq!(world.activate(app()).await, complete(true));
    let (passwd, group) = (world.read("/etc/passwd"), world.read("/etc/group"));
    assert_eq!(line(&passwd, "app"), Some("app:x:999:777::/srv/app:/usr/sbin/nologin"));
    assert_eq!(line(&passwd, "old"), Some("old:x:500:500:An Older One,,,:/home/old:/bin/false"));
    assert_eq!(line(&group, "www"), Some("www:x:33:app"));
    assert_eq!(line(&group, "staff"), Some("staff:x:50:old,root"));
    assert_eq!(line(&world.read("/etc/shadow"), "app"), Some("app:!*:::::::"));
    assert_eq!(line(&world.read("/etc/shadow"), "old"), Some("old:$6$secret:1::::::"));
    assert_eq!(line(&world.read("/etc/gshadow"), "www"), Some("www:!::app"));
    assert_eq!((world.mode("/etc/shadow"), world.mode("/etc/passwd")), (0o640, 0o644));
    assert_eq!(world.status("app").detail["uid"], json!(999));
    let inode = std::fs::metadata(world.path("/etc/passwd")).unwrap().ino();
    assert_eq!(world.activate(app()).await, complete(false));
    assert_eq!(std::fs::metadata(world.path("/etc/passwd")).unwrap().ino(), inode);
    let world = world.restart();
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn a_new_user_gets_a_group_of_its_own_and_owns_files_of_the_same_bundle() {
    let world = host();
    let owned = json!([
        {"id": "u", "kind": "user", "name": "fresh"},
        {"id": "f", "kind": "file", "path": "/etc/f", "content": "", "owner": "fresh", "group": "fresh",
         "depends_on": ["u"]},
    ]);
    assert_eq!(world.activate(owned).await, complete(true));
    let passwd = world.read("/etc/passwd");
    assert_eq!(line(&passwd, "fresh"), Some("fresh:x:999:999::/nonexistent:/usr/sbin/nologin"));
    if rustix::process::geteuid().is_root() {
        let meta = std::fs::metadata(world.path("/etc/f")).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (999, 999));
    }
    assert_eq!(world.activate(json!([])).await, complete(true));
    assert_eq!(world.read("/etc/passwd"), PASSWD);
    assert_eq!(line(&world.read("/etc/group"), "fresh"), None);
}

#[tokio::test]
async fn what_does_not_fit_the_host_is_named() {
    let world = host();
    let before = world.tree();
    for (resource, reason) in [
        (json!({"id": "a", "kind": "user", "name": "a", "uid": 500}), "account-conflict"),
        (json!({"id": "a", "kind": "group", "name": "a", "gid": 33}), "account-conflict"),
        (json!({"id": "a", "kind": "user", "name": "a", "groups": ["none"]}), "unknown-account"),
        (json!({"id": "a", "kind": "user", "name": "a", "gid": 4242}), "unknown-account"),
    ] {
        let outcome = world.activate(json!([resource])).await;
        assert_eq!(failure(&outcome), (reason.to_owned(), false));
    }
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn accounts_that_drift_are_put_right() {
    let world = host();
    world.activate(app()).await;
    let wanted = world.read("/etc/passwd");
    let (_, bundle) = world.bundle(app());
    world.write("/etc/passwd", &wanted.replace("/srv/app", "/elsewhere"), 0o644);
    world.write("/etc/group", &world.read("/etc/group").replace("app:x:777:\n", ""), 0o644);
    let id = |name: &str| ResourceId::new(name).unwrap();
    let findings = world.activator.observe_all(&bundle).await;
    assert_eq!(findings[&id("app")].drift(), Some(Drift::Changed));
    assert_eq!(findings[&id("app-group")].drift(), Some(Drift::Missing));
    let corrections = world.activator.correct(&bundle, &findings).await.unwrap();
    let corrected = |operation| Correction::Corrected { operation };
    assert_eq!(corrections[&id("app")], corrected(Operation::Update));
    assert_eq!(corrections[&id("app-group")], corrected(Operation::Create));
    assert_eq!(world.read("/etc/passwd"), wanted);
}

#[tokio::test]
async fn accounts_cut_off_anywhere_converge_and_go_back() {
    for cut in 0.. {
        let world = host();
        world.trouble.cut_after(cut);
        let first = world.activate(app()).await;
        let world = world.restart();
        let second = world.activate(app()).await;
        assert!(matches!(second, ActivationOutcome::Complete { .. }), "cut {cut}: {second:?}");
        let passwd = world.read("/etc/passwd");
        assert!(line(&passwd, "app").is_some_and(|line| line.contains(":777:")), "cut {cut}");
        assert_eq!(world.back_to_nothing().await, complete(true), "cut {cut}");
        assert_eq!(world.read("/etc/passwd"), PASSWD, "cut {cut}");
        assert_eq!(line(&world.read("/etc/group"), "app"), None, "cut {cut}");
        if first == complete(true) {
            assert!(cut > 20, "only {cut} steps were cut");
            break;
        }
    }
}
