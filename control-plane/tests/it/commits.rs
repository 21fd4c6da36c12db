//! A commit that fails.

use serde_json::json;
use wavegate_control_plane::store::DATABASE_FILE;

use crate::fleet::Plan;
use crate::running::{TestPlane, problem, settings};

/// Whatever refuses events in the log, the disk among it.
const NO_MORE_REFUSALS: &str = "CREATE TRIGGER full BEFORE INSERT ON event_log
    WHEN NEW.kind = 'event_refused' BEGIN SELECT RAISE(ABORT, 'no room'); END";

/// D1: an answer is a promise that what it tells is committed. Nobody is given one when the commit fails,
/// nothing is decided after that, and the process is told to stop.
#[tokio::test]
async fn d1_nobody_is_answered_when_the_commit_fails() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let host = plane.client("host/host-01");
    // Without a dispatch it is refused, and the refusal is a row of the log that the answer speaks of.
    let ack = |journal: u32| {
        json!({
            "rollout_id": "stable@r1", "replay": false,
            "journal_id": format!("00000000-0000-4000-8000-{journal:012}"),
            "events": [{ "seq": 1, "at": "2026-11-21T09:00:00.000Z",
                "event": { "kind": "dispatch_ack", "prior_closure": null, "attempt": 1 } }],
        })
    };
    let refused = plane.send(&host, "POST", "/v1/agent/events", &ack(1)).await;
    assert_eq!(problem(refused).await, "event-refused", "while commits succeed");

    let database = settings(plane.dir.path()).state_dir.join(DATABASE_FILE);
    rusqlite::Connection::open(database).unwrap().execute_batch(NO_MORE_REFUSALS).unwrap();
    let unanswered = plane.send(&host, "POST", "/v1/agent/events", &ack(2)).await;
    assert_eq!(problem(unanswered).await, "shutting-down");
    assert!(plane.running.failed().await.to_string().contains("no room"));
    let later = plane.send(&host, "POST", "/v1/agent/events", &ack(3)).await;
    assert_eq!(problem(later).await, "shutting-down", "it is not tried again");
}
