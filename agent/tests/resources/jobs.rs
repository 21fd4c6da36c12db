//! Shell jobs: once per content, bounded, and never again on their own after they were cut off.

use std::time::Duration;

use serde_json::{Value, json};
use wavegate_agent::activation::ActivationOutcome;
use wavegate_proto::wire::resource::{Decision, Drift, Operation, ResourceState};

use crate::world::{World, complete, failure};

fn job(id: &str, script: &str) -> Value {
    json!({"id": id, "kind": "shell-job", "argv": ["/bin/sh", "-c", script]})
}

fn ran(world: &World) -> usize {
    std::fs::read_to_string(world.path("/ran")).unwrap_or_default().lines().count()
}

const RUN: &str = "echo x >> $WAVEGATE_ROOT/ran";

#[tokio::test]
async fn a_job_runs_once_per_content_and_reports_how_it_ended() {
    let world = World::new();
    let script = format!("{RUN}; echo out; echo err >&2");
    assert_eq!(world.activate(json!([job("migrate", &script)])).await, complete(true));
    let status = world.status("migrate");
    assert_eq!((status.operation, &status.detail["exit_code"]), (Operation::Create, &json!(0)));
    assert_eq!(
        (&status.detail["stdout_tail"], &status.detail["stderr_tail"]),
        (&json!("out\n"), &json!("err\n"))
    );
    assert!(status.detail["started_at"].is_string() && status.detail["ended_at"].is_string());
    assert_eq!(world.activate(json!([job("migrate", &script)])).await, complete(false));
    assert_eq!(world.status("migrate").decision, Decision::Skip);
    assert_eq!(world.activate(json!([])).await, complete(false));
    let world = world.restart();
    let renamed = json!([job("renamed", &script)]);
    assert_eq!(world.activate(renamed).await, complete(false), "the same content is the same job");
    assert_eq!(ran(&world), 1);
    assert_eq!(
        world.activate(json!([job("migrate", &format!("{script};"))])).await,
        complete(true)
    );
    assert_eq!(ran(&world), 2);
}

#[tokio::test]
async fn without_the_hosts_permission_nothing_of_the_bundle_is_touched() {
    let world = World::without_jobs();
    let file = json!({"id": "f", "kind": "file", "path": "/etc/f", "content": "1"});
    let outcome = world.activate(json!([file, job("j", RUN)])).await;
    assert_eq!(failure(&outcome), ("shell-jobs-refused".to_owned(), false));
    assert!(!world.path("/etc/f").exists() && ran(&world) == 0);
}

#[tokio::test]
async fn a_job_that_failed_is_tried_again_by_the_next_activation() {
    let world = World::new();
    let script = format!("{RUN}; echo broken >&2; test -e $WAVEGATE_ROOT/repaired");
    let outcome = world.activate(json!([job("j", &script)])).await;
    assert_eq!(failure(&outcome), ("job-failed".to_owned(), true));
    assert_eq!(world.state_of("j"), ResourceState::Failed);
    assert!(world.status("j").error.unwrap().contains("broken"));
    world.write("/repaired", "", 0o600);
    assert_eq!(world.activate(json!([job("j", &script)])).await, complete(true));
    assert_eq!(ran(&world), 2);
    let missing = json!([{"id": "k", "kind": "shell-job", "argv": ["/no/such/program"]}]);
    let outcome = world.activate(missing.clone()).await;
    assert_eq!(failure(&outcome).0, "job-not-started");
    let outcome = world.activate(missing).await;
    assert_eq!(failure(&outcome).0, "job-not-started", "it never ran, so it was not cut off");
}

#[tokio::test]
async fn a7_a_job_that_takes_too_long_is_killed_with_its_children() {
    let world = World::new();
    let script = "sleep 1000 & echo $! > $WAVEGATE_ROOT/pid; sleep 1000";
    let mut slow = job("slow", script);
    slow["timeout_secs"] = json!(1);
    let outcome = world.activate(json!([slow])).await;
    assert_eq!(failure(&outcome), ("job-timeout".to_owned(), true));
    let child = format!("/proc/{}/stat", world.read("/pid").trim());
    // Killed, it may wait to be reaped by whoever took it over.
    let is_gone = || std::fs::read_to_string(&child).map_or(true, |stat| stat.contains(") Z "));
    let gone = async {
        while !is_gone() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn a8_the_output_of_a_job_is_bounded_and_its_end_is_kept() {
    let world = World::new();
    let mut loud = job("loud", "head -c 3000000 /dev/zero | tr '\\0' a; echo the end");
    loud["output_bytes"] = json!(1000);
    assert_eq!(world.activate(json!([loud])).await, complete(true));
    let tail = world.status("loud").detail["stdout_tail"].as_str().unwrap().to_owned();
    assert!(tail.ends_with("the end\n") && tail.len() == 1000, "{} bytes", tail.len());
}

/// The power is cut before every step: a job that may have run is never run again on its own.
#[tokio::test]
async fn a_job_that_was_cut_off_is_reported_and_not_run_again() {
    let (mut reported, mut ran_again) = (0, 0);
    for cut in 0.. {
        let world = World::new();
        world.trouble.cut_after(cut);
        let first = world.activate(json!([job("j", RUN)])).await;
        let before = ran(&world);
        let world = world.restart();
        let second = world.activate(json!([job("j", RUN)])).await;
        if let ActivationOutcome::Failed { reason, detail, .. } = &second {
            assert_eq!(reason, "job-interrupted", "cut {cut}");
            assert!(detail.contains("wavegate-agent reset j"), "{detail}");
            assert_eq!(ran(&world), before, "cut {cut}");
            let (_, bundle) = world.bundle(json!([job("j", RUN)]));
            let findings = world.activator.observe_all(&bundle).await;
            assert_eq!(findings.values().next().unwrap().drift(), Some(Drift::Changed));
            reported += 1;
        } else {
            assert_eq!(ran(&world), 1, "cut {cut}");
            ran_again += u32::from(before == 0);
        }
        if first == complete(true) {
            break;
        }
    }
    assert!(reported >= 2 && ran_again >= 2, "{reported} reported, {ran_again} run");
}
