//! Containers on a real Podman.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use wavegate_agent::resources::drift::Correction;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Drift, Operation};

use crate::machine::until;
use crate::podman::Podman;
use crate::world::{World, complete, failure};

fn sleeper(image: &str) -> Value {
    json!({"id": "app", "kind": "container", "name": "app", "image": image, "pull": "never",
        "command": ["/bin/sleep", "1000"]})
}

fn with(mut resource: Value, key: &str, value: Value) -> Value {
    resource[key] = value;
    resource
}

fn id(text: &str) -> ResourceId {
    ResourceId::new(text).unwrap()
}

fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_made_kept_replaced_and_taken_away() {
    let Some((world, podman)) = Podman::start() else { return };
    let port = free_port();
    std::fs::create_dir_all(world.path("/srv/www")).unwrap();
    world.write("/srv/www/index.html", "served", 0o644);
    let web = json!({"id": "app", "kind": "container", "name": "app", "image": podman.image, "pull": "never",
        "command": ["/bin/httpd", "-f", "-p", "80", "-h", "/www"], "env": {"STAGE": "2"},
        "mounts": [{"source": "/srv/www", "target": "/www", "read_only": true}],
        "ports": [{"host": port, "container": 80}],
        "restart": "always", "memory_bytes": 67_108_864, "cpus": "0.5"});
    assert_eq!(world.activate(json!([web])).await, complete(true));
    until("an answer", || get(port).filter(|answer| answer.contains("served")));
    assert_eq!(podman.inspect("app", "{{.HostConfig.Memory}}"), "67108864");
    assert_eq!(podman.inspect("app", "{{.HostConfig.RestartPolicy.Name}}"), "always");
    let first = podman.inspect("app", "{{.Id}}");
    let detail = world.status("app").detail;
    assert_eq!((&detail["id"], &detail["state"]), (&json!(first), &json!("running")));
    assert_eq!(world.activate(json!([web])).await, complete(false));
    assert_eq!(podman.inspect("app", "{{.Id}}"), first, "nothing differs, so it is left running");

    let other = podman.import("two");
    let next = with(web.clone(), "image", json!(other));
    assert_eq!(world.activate(json!([next])).await, complete(true));
    assert_ne!(podman.inspect("app", "{{.Id}}"), first);
    assert_eq!(podman.podman(&["exec", "app", "/bin/cat", "/mark"]), "two");
    assert_eq!(world.activate(json!([web])).await, complete(true));
    assert_eq!(podman.podman(&["exec", "app", "/bin/cat", "/mark"]), "one");
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert!(!podman.has("app"));
    assert_eq!(get(port), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_a_container_is_found_and_put_right() {
    let Some((world, podman)) = Podman::start() else { return };
    let app = json!([sleeper(&podman.image)]);
    assert_eq!(world.activate(app.clone()).await, complete(true));
    let (_, bundle) = world.bundle(app.clone());
    let ways: [(&[&str], Drift, Operation); 3] = [
        (&["stop", "-t", "0", "app"], Drift::Changed, Operation::Update),
        (&["pause", "app"], Drift::Changed, Operation::Update),
        (&["rm", "-f", "-t", "0", "app"], Drift::Missing, Operation::Create),
    ];
    for (words, drift, operation) in ways {
        podman.podman(words);
        let findings = world.activator.observe_all(&bundle).await;
        assert_eq!(findings[&id("app")].drift(), Some(drift), "{words:?}");
        let corrections = world.activator.correct(&bundle, &findings).await.unwrap();
        assert_eq!(corrections[&id("app")], Correction::Corrected { operation }, "{words:?}");
        assert_eq!(podman.inspect("app", "{{.State.Status}}"), "running");
    }
    assert_eq!(world.activate(app).await, complete(false));
}

/// D7: what was there before us is never lost.
#[tokio::test(flavor = "multi_thread")]
async fn d7_somebody_elses_container_is_put_aside_and_comes_back() {
    let Some((world, podman)) = Podman::start() else { return };
    podman.podman(&["run", "-d", "--name", "app", &podman.image, "/bin/sleep", "2000"]);
    let theirs = podman.inspect("app", "{{.Id}}");
    assert_eq!(world.activate(json!([sleeper(&podman.image)])).await, complete(true));
    assert_ne!(podman.inspect("app", "{{.Id}}"), theirs);
    assert_eq!(podman.inspect("app-before-wavegate", "{{.State.Status}}"), "exited");
    let world = world.restart_with_engine(podman.socket());
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(podman.inspect("app", "{{.Id}} {{.State.Status}}"), format!("{theirs} running"));
    assert!(!podman.has("app-before-wavegate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_as_wanted_already_is_adopted_and_stays_when_we_go() {
    let Some((world, podman)) = Podman::start() else { return };
    let words = ["run", "-d", "--name", "app", "--restart", "always", &podman.image];
    podman.podman(&[&words[..], &["/bin/sleep", "1000"]].concat());
    let theirs = podman.inspect("app", "{{.Id}}");
    let app = json!([sleeper(&podman.image)]);
    assert_eq!(world.activate(app.clone()).await, complete(false));
    podman.podman(&["stop", "-t", "0", "app"]);
    assert_eq!(world.activate(app).await, complete(true));
    assert_eq!(podman.inspect("app", "{{.Id}} {{.State.Status}}"), format!("{theirs} running"));
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(podman.inspect("app", "{{.Id}}"), theirs, "it was never ours");
    assert_eq!(podman.inspect("app", "{{.State.Status}}"), "exited", "as before our first change");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_or_made_leaves_the_old_one_running() {
    let Some((world, podman)) = Podman::start() else { return };
    let app = json!([sleeper(&podman.image)]);
    assert_eq!(world.activate(app.clone()).await, complete(true));
    let first = podman.inspect("app", "{{.Id}}");
    let absent = format!("localhost/none@sha256:{}", "0".repeat(64));
    let missing = json!([with(sleeper(&podman.image), "image", json!(absent))]);
    assert_eq!(failure(&world.activate(missing).await), ("image-missing".to_owned(), false));
    assert_eq!(podman.inspect("app", "{{.Id}} {{.State.Status}}"), format!("{first} running"));

    let broken = json!([with(sleeper(&podman.image), "command", json!(["/bin/nothing"]))]);
    assert_eq!(failure(&world.activate(broken).await), ("container-failed".to_owned(), true));
    assert_eq!(world.activate(app).await, complete(true));
    assert_eq!(podman.inspect("app", "{{.State.Status}}"), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_may_end_is_as_wanted_when_it_has_ended_well() {
    let Some((world, podman)) = Podman::start() else { return };
    let ends = with(sleeper(&podman.image), "command", json!(["/bin/sh", "-c", "exit 0"]));
    let once = json!([with(ends, "restart", json!("no"))]);
    assert_eq!(world.activate(once.clone()).await, complete(true));
    until("the end", || (podman.inspect("app", "{{.State.Status}}") == "exited").then_some(()));
    assert_eq!(world.activate(once).await, complete(false));
}

/// An engine that is away is waited for, and speaks against nobody's closure.
#[tokio::test(flavor = "multi_thread")]
async fn e18_an_engine_that_is_away_is_tried_again() {
    let Some((world, mut podman)) = Podman::start() else { return };
    let app = json!([sleeper(&podman.image)]);
    podman.stop_serving();
    let (outcome, ()) = tokio::join!(world.activate(app), async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        tokio::task::block_in_place(|| podman.serve());
    });
    assert_eq!(outcome, complete(true));
}

#[tokio::test]
async fn another_root_has_no_engine_unless_it_is_named() {
    let world = World::new();
    let image = format!("localhost/none@sha256:{}", "0".repeat(64));
    let outcome = world.activate(json!([sleeper(&image)])).await;
    assert_eq!(failure(&outcome), ("no-container-engine".to_owned(), false));
}
