//! Programs: exit codes, environment, users, and that nothing is left running.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use wavegate_agent::probes::{CheckRunner as _, RootExec};

use crate::{ask, ask_within, checks, passes, reason};

fn exec(argv: Value) -> Value {
    json!({"kind": "exec", "argv": argv})
}

/// The processes that have `mark` in their environment.
fn processes_with(mark: &str) -> Vec<String> {
    let environ = |pid: &str| fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| String::from_utf8_lossy(&environ(pid)).contains(mark))
        .collect()
}

/// Waits until killed processes are gone from the process table.
async fn assert_all_gone(mark: &str) {
    let gone = async {
        while !processes_with(mark).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), gone).await;
    assert!(in_time.is_ok(), "still there: {:?}", processes_with(mark));
}

#[tokio::test]
async fn the_exit_code_decides() {
    assert!(passes(&ask(exec(json!(["true"]))).await));
    assert_eq!(reason(&ask(exec(json!(["false"]))).await), "exit code 1");
    let mut check = exec(json!(["sh", "-c", "echo it is broken >&2; exit 3"]));
    assert_eq!(reason(&ask(check.clone()).await), "exit code 3: it is broken");
    check["expect_exit"] = json!(3);
    assert!(passes(&ask(check).await));
    assert!(reason(&ask(exec(json!(["/no/such/program"]))).await).contains("start"));
    assert!(reason(&ask(exec(json!([]))).await).contains("argv is empty"));
}

#[tokio::test]
async fn the_environment_is_empty_but_for_what_is_declared() {
    let script = r#"test "$(env | cut -d= -f1 | grep -vE '^(PWD|SHLVL|_)$' | sort | tr '\n' ' ')" = "MINE PATH WAVEGATE_ROOT " &&
        test "$MINE$WAVEGATE_ROOT" = yes/the/root && test "$(pwd)" = /"#;
    let mut check = exec(json!(["sh", "-c", script]));
    check["env"] = json!({"MINE": "yes"});
    let result = ask(check).await;
    assert!(passes(&result), "{result:?}");
}

#[tokio::test]
async fn a7_timed_out_exec_probe_kills_its_process_group() {
    let mark = format!("WG_TEST_TIMEOUT={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let mut check = exec(json!(["sh", "-c", "sleep 1000 & sleep 1000"]));
    check["env"] = json!({name: value});
    let result = ask_within(check, Duration::from_millis(300)).await;
    assert_eq!(reason(&result), "no answer within 300 ms");
    assert_all_gone(&mark).await;
}

#[tokio::test]
async fn a7_what_a_probe_leaves_in_the_background_is_killed_and_does_not_hold_it_up() {
    let mark = format!("WG_TEST_BACKGROUND={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let mut check = exec(json!(["sh", "-c", "sleep 1000 & exit 0"]));
    check["env"] = json!({name: value});
    assert!(passes(&ask(check).await));
    assert_all_gone(&mark).await;
}

#[tokio::test]
async fn a7_a_probe_that_is_dropped_leaves_nothing() {
    let mark = format!("WG_TEST_DROPPED={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let mut check = exec(json!(["sh", "-c", "sleep 1000 & sleep 1000"]));
    check["env"] = json!({name: value});
    let run = tokio::spawn(ask(check));
    while processes_with(&mark).len() < 3 {
        tokio::task::yield_now().await;
    }
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    assert_all_gone(&mark).await;
}

#[tokio::test]
async fn a8_endless_output_is_bounded_and_does_not_hang() {
    let endless = ask_within(exec(json!(["yes"])), Duration::from_millis(500)).await;
    assert_eq!(reason(&endless), "no answer within 500 ms");
    let much = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 4";
    let result = ask(exec(json!(["sh", "-c", much]))).await;
    assert!(reason(&result).starts_with("exit code 4"), "{result:?}");
    assert!(reason(&result).len() < 1000);
}

#[tokio::test]
async fn a_program_runs_as_its_user_and_as_root_only_if_the_host_allows_it() {
    if !rustix::process::geteuid().is_root() {
        // Run as another user, the agent cannot choose: programs run as itself.
        let own = rustix::process::geteuid().as_raw().to_string();
        let check = exec(json!(["sh", "-c", format!("test $(id -u) = {own}")]));
        assert!(passes(&ask(check).await));
        return;
    }
    let nobody = exec(json!(["sh", "-c", "test \"$(id -un) $(id -G)\" = \"nobody $(id -g)\""]));
    let result = ask(nobody).await;
    assert!(passes(&result), "{result:?}");
    let mut check = exec(json!(["sh", "-c", "test $(id -u) = 0"]));
    check["user"] = json!("root");
    assert!(reason(&ask(check.clone()).await).contains("may not run as root"));
    let parsed = serde_json::from_value(check.clone()).unwrap();
    let allowed = checks(RootExec::Allowed).run(&parsed, Duration::from_secs(20)).await;
    assert!(passes(&allowed), "{allowed:?}");
    check["user"] = json!("no-such-user");
    assert!(reason(&ask(check).await).contains("no user named"));
}
