//! The log as it grows, as server-sent events.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use wavegate_proto::wire::operator::MAX_PAGE_LIMIT;

use crate::fleet::Plan;
use crate::running::{TestPlane, heartbeat, problem};

/// A stream that is being read.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(plane: &TestPlane, query: &str, last_event_id: Option<u64>) -> Self {
        let mut request = plane.client("viewer/bob").get(plane.url(&format!("/v1/stream{query}")));
        if let Some(seq) = last_event_id {
            request = request.header("last-event-id", seq.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event: its id, its name, its data; `None`: the stream has ended.
    async fn next(&mut self) -> Option<(u64, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                if let Some(id) = field("id") {
                    let data = serde_json::from_str(field("data").unwrap()).unwrap();
                    return Some((id.parse().unwrap(), field("event").unwrap().to_owned(), data));
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk());
            let chunk = chunk.await.expect("a row or an end within 10 s").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut items = Vec::new();
        for _ in 0..count {
            let (id, kind, item) = self.next().await.unwrap();
            assert_eq!((json!(id), json!(kind)), (item["seq"].clone(), item["kind"].clone()));
            items.push(item);
        }
        items
    }
}

async fn listed(plane: &TestPlane, query: &str) -> Vec<Value> {
    let page = plane.get(&plane.client("viewer/bob"), &format!("/v1/events{query}")).await;
    page["items"].as_array().unwrap().clone()
}

async fn hosts_report(plane: &TestPlane) {
    for host in ["host-01", "host-02"] {
        let client = plane.client(&format!("host/{host}"));
        let answer = plane.send(&client, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn a_stream_gives_the_rows_of_the_list_and_goes_on_as_the_log_grows() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let before = listed(&plane, "").await;
    let mut all = Stream::open(&plane, "?after_seq=0", None).await;
    assert_eq!(all.take(before.len()).await, before);
    let mut new = Stream::open(&plane, "", None).await;
    let mut dispatches = Stream::open(&plane, "?kind=dispatch_issued&host=host-02", None).await;
    hosts_report(&plane).await;
    plane
        .until("both are dispatched", async || {
            listed(&plane, "?kind=dispatch_issued").await.len() == 2
        })
        .await;
    let after = listed(&plane, &format!("?after_seq={}", before.len())).await;
    assert_eq!(all.take(after.len()).await, after);
    assert_eq!(new.take(after.len()).await, after, "without a position, what comes from now on");
    let only = listed(&plane, "?kind=dispatch_issued&host=host-02").await;
    assert_eq!(dispatches.take(1).await, only);
}

#[tokio::test]
async fn a_stream_is_resumed_after_the_last_event_that_was_read() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let rows = listed(&plane, "").await;
    let mut first = Stream::open(&plane, "?after_seq=0", None).await;
    let mut read = first.take(2).await;
    drop(first);
    plane.offer(&Plan::new(2, "r2")).await;
    let plane = plane.restart().await;
    // The header wins over the query, as browsers send both.
    let mut second = Stream::open(&plane, "?after_seq=0", Some(2)).await;
    let rest = listed(&plane, "?after_seq=2").await;
    assert!(rest.len() + 2 > rows.len(), "the log has grown");
    read.extend(second.take(rest.len()).await);
    assert_eq!(read, listed(&plane, "").await, "every row once");
    let response = plane.client("viewer/bob").get(plane.url("/v1/stream"));
    let response = response.header("last-event-id", "abc").send().await.unwrap();
    assert_eq!(problem(response).await, "bad-request");
}

/// O4: many hosts are listed once, a bounded page at a time; from then on what changes is told, and nothing else.
#[tokio::test]
async fn o4_who_watches_many_hosts_is_sent_what_changes_and_never_the_list_again() {
    let names = (0..2_400).map(|number| &*format!("host-{number:04}").leak());
    let hosts: Vec<&'static str> = names.collect();
    let plane = TestPlane::with_release(&Plan { hosts: hosts.clone(), ..Plan::new(1, "r1") }).await;
    let (viewer, operator) = (plane.client("viewer/bob"), plane.client("operator/alice"));
    let mut stream = Stream::open(&plane, "", None).await;
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = plane.get(&viewer, &format!("/v1/hosts?limit=100000{cursor}")).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= MAX_PAGE_LIMIT, "{} hosts in one page", items.len());
        listed.extend(items.iter().map(|item| item["host"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, hosts);
    for host in ["host-0007", "host-2399"] {
        let body = json!({ "reason": "a look at it", "until": null });
        let path = format!("/v1/hosts/{host}/hold");
        assert_eq!(plane.send(&operator, "PUT", &path, &body).await.status(), 200);
    }
    let told: Vec<Value> =
        stream.take(2).await.into_iter().map(|row| row["host"].clone()).collect();
    assert_eq!(told, ["host-0007", "host-2399"], "one row for each host that changed");
}

#[tokio::test]
async fn streams_end_when_the_process_stops() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let rows = listed(&plane, "").await.len();
    let mut stream = Stream::open(&plane, "?after_seq=0", None).await;
    stream.take(rows).await;
    let begun = std::time::Instant::now();
    plane.running.stop().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "the stop waited for the stream");
    while stream.next().await.is_some() {}
}

/// A reader whose certificate a release revokes reads nothing more.
#[tokio::test]
async fn a_stream_ends_when_its_reader_is_revoked() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let mut stream = Stream::open(&plane, "", None).await;
    let revoked = json!([{
        "subject": "viewer/bob", "not_before": "2099-01-01T00:00:00Z", "reason": "left",
    }]);
    plane.offer(&Plan { revoked, ..Plan::new(2, "r2") }).await;
    hosts_report(&plane).await;
    while let Some((_, kind, _)) = stream.next().await {
        assert_ne!(kind, "dispatch_issued", "written after the revocation");
    }
}

/// G27: at most 64 streams on the status listener; the next one is told to come back.
#[tokio::test]
async fn g27_the_status_listener_takes_sixty_four_streams() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let client = reqwest::Client::new();
    let open = async || client.get(plane.status_url("/v1/stream")).send().await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..64 {
        let response = open().await;
        assert_eq!(response.status(), 200);
        streams.push(response);
    }
    assert_eq!(problem(open().await).await, "overloaded");
    streams.pop();
    plane.until("a place is free", async || open().await.status() == 200).await;
}
