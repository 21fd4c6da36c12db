//! A shell job and the real binary: killed in the middle of one, it is reported and not run again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::agent::Host;
use super::release::Release;

fn bundle() -> Value {
    let script = "echo x >> $WAVEGATE_ROOT/ran; test -e $WAVEGATE_ROOT/quick || sleep 1000";
    json!({"schema_version": 1, "resources": [
        {"id": "job", "kind": "shell-job", "argv": ["/bin/sh", "-c", script]},
    ]})
}

fn ran(host: &Host) -> usize {
    host.file("ran").unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_killed_in_the_middle_of_a_job_the_agent_reports_it_and_a_person_lets_it_run_again() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let signed = Release::new(1, bundle()).sign();
    control_plane.dispatch(&signed);
    let mut agent = host.spawn();
    let deadline = Instant::now() + Duration::from_secs(30);
    while ran(&host) == 0 {
        assert!(Instant::now() < deadline, "the job never started");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
    let mut agent = host.spawn();
    control_plane.until_event(&signed.rollout_id, "activation_failed").await;
    let journal = control_plane.journal(&signed.rollout_id);
    let failed = journal.event("activation_failed");
    assert_eq!((&failed["reason"], &failed["class"]), (&json!("job-interrupted"), &json!("host")));
    assert!(failed["stderr_tail"].as_str().unwrap().contains("wavegate-agent reset job"));
    assert_eq!(ran(&host), 1);
    agent.kill().unwrap();
    agent.wait().unwrap();

    std::fs::write(host.root().join("quick"), "").unwrap();
    let reset = host.ask(&["reset", "job"]);
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    assert!(String::from_utf8_lossy(&reset.stdout).contains("its job will run again"));
    control_plane.dispatch_again(&signed, 2);
    let mut agent = host.spawn();
    control_plane.until_event(&signed.rollout_id, "converged").await;
    assert_eq!(ran(&host), 2);
    agent.kill().unwrap();
    agent.wait().unwrap();
}
