//! What a person on the host can ask, while the agent runs and when it does not.

use std::process::Command;

use serde_json::Value;

use super::agent::Host;
use super::happy::bundle;
use super::release::Release;

fn ask(host: &Host, question: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate-agent"));
    command.args([question, "--json", "--state-dir"]).arg(host.state_dir());
    let answer = command.output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    serde_json::from_slice(&answer.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_journal_and_resources_are_read_from_the_files() {
    let host = Host::new().await;
    let agent = host.start();
    let signed = Release::new(3, bundle("one", "one")).sign();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "converged").await;
    let status = ask(&host, "status");
    assert_eq!(status["current_closure"], signed.closure.to_string());
    assert_eq!(
        (&status["serial"], &status["rollouts"][0]["rollout_id"]),
        (&Value::from(3), &Value::from("stable@r3"),)
    );
    agent.stop().await.unwrap();
    let journal = ask(&host, "journal");
    assert_eq!(journal[0]["event"]["kind"], "dispatch_ack");
    let resources = ask(&host, "resources");
    assert_eq!(
        (&resources[0]["id"], &resources[0]["status"]),
        (&Value::from("hello"), &Value::from("completed"),)
    );
}
