//! The event list.

use serde_json::Value;

use crate::fleet::Plan;
use crate::running::{TestPlane, problem};

async fn seqs(plane: &TestPlane, query: &str) -> (Vec<u64>, Option<String>) {
    let page = plane.get(&plane.client("viewer/bob"), &format!("/v1/events?{query}")).await;
    let seqs =
        page["items"].as_array().unwrap().iter().map(|i| i["seq"].as_u64().unwrap()).collect();
    (seqs, page["next_cursor"].as_str().map(str::to_owned))
}

/// O3: the newest rows can be reached, and every row by following the cursor, from either end.
#[tokio::test]
async fn o3_the_log_is_read_from_both_ends_with_a_cursor() {
    let mut plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    for (serial, reference) in [(2, "r2"), (3, "r3")] {
        plane.offer(&Plan::new(serial, reference)).await;
    }
    plane = plane.restart().await;
    let (all, end) = seqs(&plane, "limit=1000").await;
    assert_eq!(end, None);
    assert!(all.len() >= 6, "{all:?}");
    assert!(all.iter().copied().eq(1..=all.len() as u64), "{all:?}");

    for order in ["asc", "desc"] {
        let mut walked = Vec::new();
        let mut cursor = String::new();
        loop {
            let (page, next) = seqs(&plane, &format!("order={order}&limit=2{cursor}")).await;
            assert!(page.len() <= 2);
            walked.extend(page);
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
        }
        if order == "desc" {
            walked.reverse();
        }
        assert_eq!(walked, all, "{order}");
    }
    assert_eq!(seqs(&plane, "after_seq=2&limit=1").await.0, [3]);
    assert_eq!(seqs(&plane, "order=desc&before_seq=3").await.0, [2, 1]);
    let past = seqs(&plane, "after_seq=100000").await;
    assert_eq!(past, (Vec::new(), None));
}

#[tokio::test]
async fn events_are_found_by_rollout_and_kind() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let viewer = plane.client("viewer/bob");
    let page = plane.get(&viewer, "/v1/rollouts/stable@r1/events").await;
    let items = page["items"].as_array().unwrap();
    assert!(!items.is_empty());
    assert!(items.iter().all(|item| item["rollout_id"] == "stable@r1"));
    let page = plane.get(&viewer, "/v1/events?kind=release_adopted").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let none: &Vec<Value> = &Vec::new();
    let page = plane.get(&viewer, "/v1/events?host=host-99").await;
    assert_eq!(page["items"].as_array().unwrap(), none);
    let response = viewer.get(plane.url("/v1/events?host=NO")).send().await.unwrap();
    assert_eq!(problem(response).await, "bad-request");
}
