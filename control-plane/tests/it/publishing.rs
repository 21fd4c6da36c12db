//! Releases: from the source, published, refused, and after a start.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use wavegate_proto::ids::BlobId;

use crate::fleet::{Plan, SignedRelease};
use crate::running::{TestPlane, problem, source};

fn request(release: &SignedRelease) -> Value {
    json!({
        "fleet": STANDARD.encode(&release.fleet), "fleet_sig": release.fleet_sig,
        "rollouts": [{
            "header": STANDARD.encode(&release.header), "sig": release.header_sig,
            "hosts_sha256": BlobId::of(&release.hosts),
        }],
    })
}

async fn put(plane: &TestPlane, client: &Client, id: BlobId, bytes: &[u8]) -> Response {
    client.put(plane.url(&format!("/v1/blobs/{id}"))).body(bytes.to_vec()).send().await.unwrap()
}

#[tokio::test]
async fn a_release_is_published_whole_or_not_at_all() {
    let plane = TestPlane::start().await;
    let operator = plane.client("operator/alice");
    let plan = Plan::new(1, "r1");
    let release = plane.fleet.sign(&plan);
    let body = request(&release);
    let publish = async || plane.send(&operator, "POST", "/v1/releases", &body).await;

    for (id, bytes) in [
        (BlobId::of(&release.hosts), release.hosts.clone()),
        (plan.closure_id(), plan.closure()),
        (plan.asset_id(), plan.content.as_bytes().to_vec()),
    ] {
        let missing = publish().await;
        assert_eq!(missing.status(), 422);
        let document: Value = missing.json().await.unwrap();
        assert_eq!(document["missing"], json!([id]));
        let wrong = put(&plane, &operator, id, b"other bytes").await;
        assert_eq!(
            (wrong.status().as_u16(), problem(wrong).await),
            (400, "hash-mismatch".to_owned())
        );
        assert_eq!(put(&plane, &operator, id, &bytes).await.status(), 201);
        assert_eq!(put(&plane, &operator, id, &bytes).await.status(), 200);
    }
    let adopted = publish().await;
    assert_eq!(adopted.status(), 201);
    let answer: Value = adopted.json().await.unwrap();
    assert_eq!(answer, json!({ "serial": 1, "rollouts_opened": ["stable@r1"], "unchanged": [] }));
    let again = publish().await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.unwrap(), answer);
}

#[tokio::test]
async fn a_release_that_breaks_a_rule_leaves_the_one_before() {
    let plane = TestPlane::with_release(&Plan::new(2, "r2")).await;
    let operator = plane.client("operator/alice");
    let upload = async |release: &SignedRelease, plan: &Plan| {
        put(&plane, &operator, BlobId::of(&release.hosts), &release.hosts).await;
        put(&plane, &operator, plan.closure_id(), &plan.closure()).await;
        put(&plane, &operator, plan.asset_id(), plan.content.as_bytes()).await;
    };
    let older = Plan::new(1, "r1");
    let unsigned = Plan::new(3, "r3");
    let conflict = Plan { content: "something else", ..Plan::new(4, "r2") };
    for (plan, signed, code) in [
        (&older, true, "serial-regressed"),
        (&unsigned, false, "signature-threshold"),
        (&conflict, true, "ref-conflict"),
    ] {
        let mut release = plane.fleet.sign(plan);
        if !signed {
            release.fleet_sig.signatures.clear();
        }
        upload(&release, plan).await;
        let refused = plane.send(&operator, "POST", "/v1/releases", &request(&release)).await;
        assert_eq!(refused.status(), 422);
        assert_eq!(problem(refused).await, code);
        assert_eq!(plane.get(&operator, "/v1/status").await["serial"], 2);
    }
    // And after a start too.
    let plane = plane.restart().await;
    assert_eq!(plane.get(&plane.client("operator/alice"), "/v1/status").await["serial"], 2);
}

#[tokio::test]
async fn a_release_survives_the_loss_of_the_database_and_of_the_source() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    std::fs::remove_dir_all(source(plane.dir.path())).unwrap();
    let plane = plane.restart().await;
    let viewer = plane.client("viewer/bob");
    let before = plane.get(&viewer, "/v1/status").await;
    let TestPlane { fleet, dir, running } = plane;
    running.stop().await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _absent = std::fs::remove_file(dir.path().join(format!("state/wavegate.db{suffix}")));
    }
    let settings = crate::running::settings(dir.path());
    let running = wavegate_control_plane::app::start(&settings).await.unwrap();
    let plane = TestPlane { fleet, dir, running };
    let after = plane.get(&plane.client("viewer/bob"), "/v1/status").await;
    assert_eq!(after["serial"], before["serial"]);
    assert_eq!(after["rollouts"], before["rollouts"]);
    assert_ne!(after["cp_epoch"], before["cp_epoch"]);
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let plane = TestPlane::start().await;
    let readyz = async |plane: &TestPlane| {
        let response = reqwest::get(plane.status_url("/readyz")).await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let none = json!({ "ready": false, "reasons": ["no-release"] });
    assert_eq!(readyz(&plane).await, (503, none));
    let plan = Plan::new(1, "r1");
    plane.offer(&plan).await;
    assert_eq!(readyz(&plane).await, (200, json!({ "ready": true, "reasons": [] })));

    let away = plane.dir.path().join("away");
    std::fs::rename(source(plane.dir.path()), &away).unwrap();
    let asset = plane.dir.path().join("state/blobs").join(plan.asset_id().file_name());
    std::fs::remove_file(asset).unwrap();
    let plane = plane.restart().await;
    let missing = json!({ "ready": false, "reasons": ["missing-blobs"] });
    assert_eq!(readyz(&plane).await, (503, missing));
    // The source has it: the same release makes good what is missing.
    std::fs::rename(&away, source(plane.dir.path())).unwrap();
    plane.running.look_again();
    plane.until("the blob is back", async || readyz(&plane).await.0 == 200).await;
}

#[tokio::test]
async fn a_blob_above_the_limit_is_refused_before_and_while_it_is_read() {
    let plane = TestPlane::start_with(|settings| settings.max_blob_bytes = 1000).await;
    let operator = plane.client("operator/alice");
    let bytes = vec![b'x'; 1001];
    let declared = put(&plane, &operator, BlobId::of(&bytes), &bytes).await;
    assert_eq!(problem(declared).await, "too-large");
    let pieces = vec![Ok::<_, std::io::Error>(bytes.clone())];
    let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let url = plane.url(&format!("/v1/blobs/{}", BlobId::of(&bytes)));
    let response = operator.put(url).body(streamed).send().await.unwrap();
    assert_eq!(problem(response).await, "too-large");
}

#[tokio::test]
async fn the_metrics_have_help_and_no_label_for_a_host() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let url = plane.status_url("/metrics");
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    for name in [
        "wavegate_hosts_online",
        "wavegate_rollouts",
        "wavegate_log_last_seq",
        "wavegate_heartbeats_total",
        "wavegate_commit_seconds",
        "wavegate_commit_batch_rows",
        "wavegate_queue_depth",
        "wavegate_overloaded_total",
        "wavegate_release_serial",
        "wavegate_release_fresh_seconds",
        "wavegate_certificate_expires_seconds",
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} in\n{text}");
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
    }
    assert!(!text.contains("host-0"), "{text}");
}

/// Planned with the rules of publishing, by viewers too; nothing is adopted, and no refusal is noted.
#[tokio::test]
async fn a_release_is_planned_without_being_adopted() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let (operator, viewer) = (plane.client("operator/alice"), plane.client("viewer/bob"));
    let plan = Plan { content: "something new", ..Plan::new(2, "r2") };
    let release = plane.fleet.sign(&plan);
    let ask = async |client: &Client, release: &SignedRelease| {
        plane.send(client, "POST", "/v1/releases/plan", &request(release)).await
    };
    assert_eq!(problem(ask(&viewer, &release).await).await, "missing-blobs");
    put(&plane, &operator, BlobId::of(&release.hosts), &release.hosts).await;
    put(&plane, &operator, plan.closure_id(), &plan.closure()).await;
    put(&plane, &operator, plan.asset_id(), plan.content.as_bytes()).await;
    let mut unsigned = plane.fleet.sign(&plan);
    unsigned.fleet_sig.signatures.clear();
    assert_eq!(problem(ask(&operator, &unsigned).await).await, "signature-threshold");

    let before = plane.get(&viewer, "/v1/status").await;
    let planned = ask(&viewer, &release).await;
    assert_eq!(planned.status(), 200);
    let document: Value = planned.json().await.unwrap();
    assert_eq!(document["rollouts"][0]["rollout_id"], "stable@r2");
    assert_eq!(document["rollouts"][0]["supersedes"], "stable@r1");
    assert_eq!(document["rollouts"][0]["waves"][0]["hosts"], plan.hosts.len());
    assert_eq!(document["ends"], Value::Null, "nobody has been heard from");
    assert_eq!(document["left_behind"], plan.hosts.len());
    let after = plane.get(&viewer, "/v1/status").await;
    assert_eq!((&after["serial"], &after["log"]), (&before["serial"], &before["log"]));

    let published = plane.send(&operator, "POST", "/v1/releases", &request(&release)).await;
    let answer: Value = published.json().await.unwrap();
    assert_eq!(answer["rollouts_opened"][0], document["rollouts"][0]["rollout_id"]);
}
