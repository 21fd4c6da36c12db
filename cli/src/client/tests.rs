//! Against a tiny HTTP server that gives fixed answers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::exit::{ExitReason, Failure};

/// Serves `answers` (status line and body) one after the other; returns its address, and the request
/// lines it saw at the end.
async fn serve(
    answers: Vec<(&'static str, String)>,
) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut seen = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                let mut part = [0; 4096];
                let count = stream.read(&mut part).await.unwrap();
                request.extend_from_slice(&part[..count]);
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.contains("wavegate-protocol: 1"), "{request}");
            let last_event_id = request.lines().find(|line| line.starts_with("last-event-id"));
            let first = request.lines().next().unwrap();
            seen.push(
                [Some(first), last_event_id].into_iter().flatten().collect::<Vec<_>>().join(", "),
            );
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        seen
    });
    (url, served)
}

fn client(url: &str) -> ApiClient {
    let args = ConnectionArgs { url: Some(url.to_owned()), ..ConnectionArgs::default() };
    ApiClient::new(&args.resolve(None).unwrap()).unwrap()
}

#[tokio::test]
async fn a_list_is_read_over_all_its_pages() {
    let page = |items: &str, next: &str| format!("{{\"items\":{items},\"next_cursor\":{next}}}");
    let (url, served) =
        serve(vec![("200 OK", page("[1,2]", "\"a b\"")), ("200 OK", page("[3]", "null"))]).await;
    let query = [("channel", Some("stable".to_owned())), ("tag", None)];
    let items = client(&url).get_all("/v1/hosts", &query).await.unwrap();
    assert_eq!(Value::from(items), serde_json::json!([1, 2, 3]));
    let seen = served.await.unwrap();
    assert_eq!(
        seen,
        [
            "GET /v1/hosts?channel=stable&limit=1000 HTTP/1.1",
            "GET /v1/hosts?channel=stable&limit=1000&cursor=a+b HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn problems_become_errors_with_code_and_hint() {
    let body = r#"{"type":"urn:wavegate:problem:unknown-host","title":"t","status":404,"detail":"no host web-9"}"#;
    let (url, served) = serve(vec![("404 Not Found", body.to_owned())]).await;
    let failure: Failure =
        client(&url).get::<Value>("/v1/hosts/web-9", &[]).await.unwrap_err().into();
    assert_eq!(failure.reason, ExitReason::Refused);
    insta::assert_snapshot!(failure, @"
    error: no host web-9 [unknown-host]
    hint: wavegate hosts lists them
    ");
    served.await.unwrap();
}

#[tokio::test]
async fn no_control_plane_there_is_unreachable_and_another_server_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&closed).get::<Value>("/v1/status", &[]).await.unwrap_err();
    assert_eq!(error.exit_reason(), ExitReason::Unreachable);
    let (url, served) = serve(vec![("200 OK", "<html>".to_owned())]).await;
    let error = client(&url).get::<Value>("/v1/status", &[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");
    served.await.unwrap();
}

/// A stream that ends is taken up after the last row that came; one that is refused is not.
#[tokio::test]
async fn a_followed_log_goes_on_after_the_last_row_that_was_printed() {
    let row = |seq: u64| {
        let row = serde_json::json!({
            "seq": seq, "at": "2026-11-21T09:00:00.000Z", "host": null, "rollout_id": null,
            "kind": "cp_started", "actor": "control-plane", "synthetic": false, "payload": {},
            "chain": "0".repeat(64),
        });
        format!("id: {seq}\nevent: cp_started\ndata: {row}\n\n")
    };
    let refused = r#"{"type":"urn:wavegate:problem:certificate-revoked","title":"t","status":401,"detail":"d"}"#;
    let stopping =
        r#"{"type":"urn:wavegate:problem:shutting-down","title":"t","status":503,"detail":"d"}"#;
    let (url, served) = serve(vec![
        ("200 OK", format!(":\n\n{}{}", row(5), row(6))),
        ("503 Service Unavailable", stopping.to_owned()),
        ("200 OK", row(9)),
        ("401 Unauthorized", refused.to_owned()),
    ])
    .await;
    let mut out = Vec::new();
    let query = [("kind", Some("cp_started".to_owned()))];
    let ended = crate::commands::events::follow(&client(&url), &query, 4, true, &mut out).await;
    assert!(ended.unwrap_err().message.contains("certificate-revoked"));
    let printed = String::from_utf8(out).unwrap();
    let seqs: Vec<u64> = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [5, 6, 9]);
    let asked =
        |after: u64| format!("GET /v1/stream?kind=cp_started HTTP/1.1, last-event-id: {after}");
    assert_eq!(served.await.unwrap(), [asked(4), asked(6), asked(6), asked(9)]);
}
