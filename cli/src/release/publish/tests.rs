//! Against a control plane that keeps blobs and asks for those it has not got.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::client::ConnectionArgs;
use crate::init::{InitOptions, init};

type Blobs = Arc<Mutex<BTreeSet<BlobId>>>;

/// Reads one request: its first line and its body.
async fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 16_384];
        let count = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..count]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            return (head.lines().next().unwrap().to_owned(), bytes[end + 4..].to_vec());
        }
    }
}

fn answer(line: &str, body: &[u8], blobs: &Blobs, wanted: &[BlobId]) -> (&'static str, Value) {
    let mut blobs = blobs.lock().unwrap();
    if let Some(rest) = line.strip_prefix("put /v1/blobs/") {
        let blob: BlobId = rest.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(blob, BlobId::of(body));
        blobs.insert(blob);
        return ("201 Created", json!({}));
    }
    assert!(line.starts_with("post /v1/releases "), "{line}");
    let request: PublishRequest = serde_json::from_slice(body).unwrap();
    let tables = request.rollouts.iter().map(|rollout| rollout.hosts_sha256);
    let missing: Vec<_> =
        tables.chain(wanted.iter().copied()).filter(|blob| !blobs.contains(blob)).collect();
    if missing.is_empty() {
        return (
            "201 Created",
            json!({"serial": 1, "rollouts_opened": ["stable@r1"], "unchanged": []}),
        );
    }
    let problem = json!({"type": "urn:wavegate:problem:missing-blobs", "title": "t", "status": 422,
                         "detail": "blobs are missing", "missing": missing});
    ("422 Unprocessable Content", problem)
}

async fn serve(blobs: Blobs, wanted: Vec<BlobId>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (line, body) = request(&mut stream).await;
            let (status, answer) = answer(&line, &body, &blobs, &wanted);
            let answer = answer.to_string();
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    url
}

fn client(url: &str) -> ApiClient {
    let args = ConnectionArgs { url: Some(url.to_owned()), ..ConnectionArgs::default() };
    ApiClient::new(&args.resolve(None).unwrap()).unwrap()
}

#[tokio::test]
async fn what_is_missing_is_uploaded_and_the_release_offered_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = InitOptions {
        dir: folder.path().join("fleet"),
        hosts: 2,
        fleet: "demo".parse().unwrap(),
        server_names: Vec::new(),
        now: std::time::SystemTime::now(),
    };
    init(&options).unwrap();
    let toml = options.dir.join("fleet.toml");
    let file = crate::fleet_toml::FleetFile::load(&toml, Default::default()).unwrap();
    let built = crate::release::build(&file, &Default::default()).unwrap();
    let out = folder.path().join("r1");
    crate::release::write_dir(&built, &out).unwrap();
    let closures: Vec<BlobId> = built.closures.keys().copied().collect();

    let blobs = Blobs::default();
    let first =
        publish(&out, &client(&serve(blobs.clone(), closures.clone()).await)).await.unwrap();
    assert_eq!((first.uploaded, first.answer.serial.0), (2, 1));
    let again = publish(&out, &client(&serve(blobs, closures).await)).await.unwrap();
    assert_eq!(again.uploaded, 0);

    let other = BlobId::of(b"of another release");
    let url = serve(Blobs::default(), vec![other]).await;
    let error = publish(&out, &client(&url)).await.unwrap_err();
    assert!(matches!(error, PublishError::NotHere(blob) if blob == other), "{error}");
}
