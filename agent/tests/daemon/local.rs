//! What a person on the host can do to resources, with a running agent and without one.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::agent::Host;
use super::release::Release;

fn bundle() -> Value {
    let file = |id: &str, needs: Value| {
        json!({"id": id, "kind": "file", "path": format!("/etc/{id}"), "content": "one\ntwo\n",
               "depends_on": needs, "on_drift": "report"})
    };
    json!({"schema_version": 1, "resources": [
        file("base", json!([])), file("app", json!(["base"])), file("other", json!([])),
    ]})
}

fn document(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Asks until the agent is not busy looking for drift itself.
async fn ask(host: &Host, words: &[&str]) -> Output {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let output = tokio::task::block_in_place(|| host.ask(words));
        if !String::from_utf8_lossy(&output.stderr).contains("ask again") {
            return output;
        }
        assert!(Instant::now() < deadline, "always busy");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The whole conversation.
async fn converse(host: &Host) {
    let etc = |name: &str| host.root().join("etc").join(name);
    assert_eq!(code(&ask(host, &["drift"]).await), Some(0));
    std::fs::write(etc("app"), "one\nthree\n").unwrap();
    std::fs::remove_file(etc("base")).unwrap();
    std::fs::remove_file(etc("other")).unwrap();

    let drift = ask(host, &["drift", "--json"]).await;
    assert_eq!(code(&drift), Some(1));
    let document_of_drift = document(&drift);
    let of = |id: &str| {
        let items = document_of_drift.as_array().unwrap();
        items.iter().find(|item| item["id"] == id).unwrap()["drift"].clone()
    };
    assert_eq!((of("app"), of("base")), (json!("changed"), json!("missing")));

    let dry = ask(host, &["reconcile", "--dry-run", "--only", "app"]).await;
    let text = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert_eq!(code(&dry), Some(0), "{}", String::from_utf8_lossy(&dry.stderr));
    for part in
        ["create  prerequisite  base", "update  target        app", "-three", "+two", "2 to do"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert_eq!(host.file("etc/app").as_deref(), Some("one\nthree\n"), "a dry run touches nothing");
    assert_eq!(host.file("etc/base"), None);

    let done = ask(host, &["reconcile", "--only", "app", "--json"]).await;
    assert_eq!(code(&done), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(document(&done)["steps"][0]["role"], "prerequisite");
    assert_eq!(document(&done)["steps"][1]["status"], "completed");
    assert_eq!(host.file("etc/app").as_deref(), Some("one\ntwo\n"));
    assert!(host.file("etc/base").is_some());
    assert_eq!(host.file("etc/other"), None, "neither asked for nor needed");

    assert_eq!(code(&ask(host, &["reconcile"]).await), Some(0));
    assert!(host.file("etc/other").is_some());

    let wrong = ask(host, &["reconcile", "--only", "appp"]).await;
    assert_eq!(code(&wrong), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean app?"));
    assert_eq!(code(&ask(host, &["reset", "app"]).await), Some(0));
    let kept = ask(host, &["forget", "app"]).await;
    assert_eq!(code(&kept), Some(1));
    assert!(String::from_utf8_lossy(&kept.stderr).contains("the bundle that runs names it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_agent_looks_puts_right_and_forgets_when_asked() {
    let host = Host::new().await;
    let agent = host.start();
    let signed = Release::new(3, bundle()).sign();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "converged").await;
    converse(&host).await;
    agent.stop().await.unwrap();
    let explained = host.ask(&["explain", "app", "--json"]);
    let log = document(&explained)["log"].clone();
    assert_eq!((&log[0]["event"], &log[0]["source"]), (&json!("reset"), &json!("operator")));
    let all = host.ask(&["explain"]);
    assert!(String::from_utf8_lossy(&all.stdout).contains("as it should be"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_the_same_is_done_on_its_files() {
    let host = Host::new().await;
    let agent = host.start();
    let signed = Release::new(3, bundle()).sign();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "converged").await;
    agent.stop().await.unwrap();
    converse(&host).await;
}
