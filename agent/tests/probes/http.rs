//! HTTP and TCP against a small real server.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{ask, ask_within, passes, reason};

/// Answers every connection with `head` and then `body`, again and again if `endless`.
async fn serve(head: &'static str, body: &'static str, endless: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(head.as_bytes()).await;
                while socket.write_all(body.as_bytes()).await.is_ok() && endless {}
            });
        }
    });
    address
}

fn http(address: &str, more: Value) -> Value {
    let mut check = json!({"kind": "http", "url": format!("http://{address}/health")});
    check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    check
}

#[tokio::test]
async fn status_and_body_decide() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let address = serve(head, "all is well", false).await;
    assert!(passes(&ask(http(&address, json!({}))).await));
    assert!(passes(&ask(http(&address, json!({"body_contains": "is well"}))).await));
    let other = ask(http(&address, json!({"body_contains": "is bad"}))).await;
    assert!(reason(&other).contains("does not contain"));
    let status = ask(http(&address, json!({"expect_status": [204]}))).await;
    assert_eq!(reason(&status), "status 200");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let head = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\n\r\n";
    let address = serve(head, "", false).await;
    assert_eq!(reason(&ask(http(&address, json!({}))).await), "status 302");
    assert!(passes(&ask(http(&address, json!({"expect_status": [302]}))).await));
}

#[tokio::test]
async fn a8_an_endless_body_is_read_to_its_bound() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let address = serve(head, "no end in sight ", true).await;
    let result = ask(http(&address, json!({"body_contains": "the end"}))).await;
    assert!(reason(&result).contains("does not contain"), "{result:?}");
}

#[tokio::test]
async fn silence_and_refusal_are_failures() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let silent = ask_within(http(&address, json!({})), Duration::from_millis(50)).await;
    assert_eq!(reason(&silent), "no answer within 50 ms");
    let tcp = json!({"kind": "tcp", "address": address});
    assert!(passes(&ask(tcp.clone()).await));
    drop(listener);
    assert!(reason(&ask(tcp).await).contains("connect to"));
    assert!(reason(&ask(http(&address, json!({}))).await).contains("refused"));
}
