//! What the control plane is compared with: a bare axum router behind the same TLS set-up, which parses
//! the same bodies and answers the same sizes; events are inserted as one row of 260 bytes a request,
//! every transaction as many of them as wait.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use wavegate_control_plane::server::tls::ServerTls;
use wavegate_proto::trust::TrustFile;
use wavegate_proto::wire::agent::{EventsRequest, Heartbeat};

use super::super::scene::Files;
use super::{announce, until_stdin_ends};

/// What a row holds beside its number.
const ROW: [u8; 260] = [b'x'; 260];

/// As many requests may wait as the control plane lets wait.
const QUEUE_LENGTH: usize = wavegate_control_plane::service::QUEUE_LENGTH;

/// What both handlers have at hand.
#[derive(Clone)]
struct Shared {
    answer: Arc<[u8]>,
    rows: mpsc::Sender<oneshot::Sender<i64>>,
}

pub(super) async fn serve(files: &Files, answer_bytes: usize) -> Result<()> {
    let trust = TrustFile::parse(&std::fs::read(files.trust())?)?;
    let tls = ServerTls::read(&files.certificate(), &files.key(), None, &trust.ca_pem)?;
    let (rows, waiting) = mpsc::channel(QUEUE_LENGTH);
    let database = open(files)?;
    let committer = std::thread::spawn(move || commit(database, waiting));
    let answer: Arc<[u8]> = vec![b' '; answer_bytes].into();
    let router = Router::new()
        .route("/v1/agent/heartbeat", post(heartbeat))
        .route("/v1/agent/events", post(events))
        .with_state(Shared { answer, rows });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?)?;
    let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(tls.config), router));
    until_stdin_ends().await?;
    if committer.is_finished() {
        committer.join().map_err(|_| anyhow::anyhow!("the commit thread panicked"))??;
    }
    accepting.abort();
    Ok(())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, router: Router) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, acceptor.clone(), router.clone()));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let service = TowerToHyperService::new(router);
    let builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1_only()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(|error| anyhow::anyhow!(error))
}

async fn heartbeat(State(shared): State<Shared>, Json(heartbeat): Json<Heartbeat>) -> Response {
    black_box(heartbeat);
    ([(header::CONTENT_TYPE, "application/json")], shared.answer.to_vec()).into_response()
}

async fn events(State(shared): State<Shared>, Json(request): Json<EventsRequest>) -> Response {
    black_box(request);
    let (reply, committed) = oneshot::channel();
    if shared.rows.send(reply).await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    match committed.await {
        Ok(last_seq) => {
            let body = format!("{{\"last_seq\":{last_seq}}}");
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The same durability as the control plane's.
fn open(files: &Files) -> Result<rusqlite::Connection> {
    let database = rusqlite::Connection::open(files.reference_database())?;
    database.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update_and_check(None, "wal_autocheckpoint", 10_000, |_| Ok(()))?;
    database.execute_batch("CREATE TABLE log (seq INTEGER PRIMARY KEY, row BLOB NOT NULL)")?;
    Ok(database)
}

/// Commits everything that waits in one transaction, then answers.
fn commit(
    mut database: rusqlite::Connection,
    mut waiting: mpsc::Receiver<oneshot::Sender<i64>>,
) -> Result<()> {
    let mut replies = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        let mut next = Some(first);
        let transaction = database.transaction()?;
        while let Some(reply) = next {
            transaction
                .prepare_cached("INSERT INTO log (row) VALUES (?1)")?
                .execute([&ROW[..]])
                .context("insert a row")?;
            replies.push((reply, transaction.last_insert_rowid()));
            next = waiting.try_recv().ok();
        }
        transaction.commit()?;
        for (reply, seq) in replies.drain(..) {
            // Whoever asked may have gone away.
            let _gone = reply.send(seq);
        }
    }
    Ok(())
}
