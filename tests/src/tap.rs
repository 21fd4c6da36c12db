//! A tap between the fleet and its control plane: it ends the TLS of each client, asks the control plane
//! in that client's name, and writes down what it saw and when.
//!
//! Clients cannot tell: it has the control plane's certificate. The control plane cannot tell either: the
//! tap has everybody's.
//!
//! Not here: judging (see [`crate::judge`]).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use wavegate_control_plane::server::tls::install_crypto_provider;

use crate::processes::folder::Folder;

const MAX_BODY_BYTES: usize = 64 << 20;

/// Passed on in both directions; everything else is the connection's own.
const HEADERS: [HeaderName; 3] =
    [CONTENT_TYPE, RETRY_AFTER, HeaderName::from_static("wavegate-protocol")];

/// The operator's name in what is written down, and in the fleet's folder.
const OPERATOR: (&str, &str) = ("operator", "operator-admin");

/// A tap that is listening.
pub struct Tap {
    /// Where it listens.
    pub url: String,
    seen: Seen,
    _runtime: tokio::runtime::Runtime,
}

/// One exchange a line, the answer filled in when it comes.
type Seen = Arc<Mutex<Vec<Value>>>;

#[derive(Clone)]
struct Wire {
    target: String,
    began: Instant,
    seen: Seen,
    /// A client in the name of each client.
    clients: Arc<BTreeMap<String, reqwest::Client>>,
}

impl Tap {
    /// Listens for the fleet of `folder`, and asks the control plane at `target`.
    pub fn start(folder: &Folder, target: &str) -> Self {
        install_crypto_provider();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let seen = Seen::default();
        let mut names: Vec<(String, String)> =
            folder.hosts.iter().map(|host| (host.to_string(), format!("host-{host}"))).collect();
        names.push((OPERATOR.0.to_owned(), OPERATOR.1.to_owned()));
        let clients = names.iter().map(|(name, file)| (name.clone(), client(folder, file)));
        let wire = Wire {
            target: target.to_owned(),
            began: Instant::now(),
            seen: Arc::clone(&seen),
            clients: Arc::new(clients.collect()),
        };
        let known: BTreeMap<Vec<u8>, String> = names
            .into_iter()
            .map(|(name, file)| {
                (certificate(&folder.path(format!("certs/{file}.pem"))).to_vec(), name)
            })
            .collect();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(folder)));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, known.clone(), wire.clone()));
            }
        });
        Self { url, seen, _runtime: runtime }
    }

    /// What was seen until now, a line each.
    pub fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(Value::to_string).collect()
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

fn server_config(folder: &Folder) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&folder.path("ca/ca.pem"))).unwrap();
    let verifier =
        WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().unwrap();
    let own = certificate(&folder.path("certs/control-plane.pem"));
    let key = PrivateKeyDer::from_pem_file(folder.path("certs/control-plane.key")).unwrap();
    let builder = ServerConfig::builder().with_client_cert_verifier(verifier);
    builder.with_single_cert(vec![own], key).unwrap()
}

fn client(folder: &Folder, name: &str) -> reqwest::Client {
    let read = |path: String| std::fs::read(folder.path(path)).unwrap();
    let identity = [read(format!("certs/{name}.pem")), read(format!("certs/{name}.key"))].concat();
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&read("ca/ca.pem".to_owned())).unwrap()])
        .identity(reqwest::Identity::from_pem(&identity).unwrap())
        .build()
        .unwrap()
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    known: BTreeMap<Vec<u8>, String>,
    wire: Wire,
) {
    // A client that is killed in the handshake.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let Some(who) = shown.and_then(|shown| known.get(shown.as_ref())) else { return };
    let router = Router::new().fallback(pass).layer(Extension(who.clone())).with_state(wire);
    let service = TowerToHyperService::new(router);
    let served = Builder::new(TokioExecutor::new());
    // The client went away.
    let _gone = served.serve_connection(TokioIo::new(stream), service).await;
}

/// A request goes on though its client is gone: the control plane may have it.
async fn pass(
    State(wire): State<Wire>,
    Extension(who): Extension<String>,
    request: Request,
) -> Response {
    tokio::spawn(async move { wire.exchange(who, request).await }).await.unwrap()
}

impl Wire {
    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    async fn exchange(&self, who: String, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        // Cut off before it was whole: nobody saw it.
        let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let number = self.note(json!({
            "sent": self.millis(), "answered": null, "who": who, "method": parts.method.as_str(),
            "path": path, "request": document(&body), "status": null, "answer": null,
        }));
        let url = format!("{}{path}", self.target);
        let mut asked = self.clients[&who].request(parts.method, url).body(body);
        for (name, value) in parts.headers.iter().filter(|(name, _)| HEADERS.contains(name)) {
            asked = asked.header(name, value);
        }
        let Ok(answer) = asked.send().await else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers().iter().filter(|(name, _)| HEADERS.contains(name)) {
            response = response.header(name, value);
        }
        let status = answer.status().as_u16();
        let Ok(body) = answer.bytes().await else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let mut seen = self.seen.lock().unwrap();
        seen[number]["answered"] = self.millis().into();
        seen[number]["status"] = status.into();
        seen[number]["answer"] = document(&body);
        response.body(Body::from(body)).unwrap()
    }

    fn note(&self, exchange: Value) -> usize {
        let mut seen = self.seen.lock().unwrap();
        seen.push(exchange);
        seen.len() - 1
    }
}

/// What is no JSON is of no interest.
fn document(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}
