//! A small control plane for one host over real mutual TLS. Honest unless told otherwise.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use wavegate_agent::clock;
use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{Attempt, CpEpoch, JournalId, RolloutId, Seq, Sha256Hash, WaveIndex};
use wavegate_proto::record::HostRecord;
use wavegate_proto::trust::rotation::SignedTrust;
use wavegate_proto::wire::agent::{
    Dispatch, EventsAnswer, EventsRequest, Heartbeat, HeartbeatAnswer, RolloutProof,
};
use wavegate_proto::wire::enroll::{CertificateAnswer, EnrollRequest, RenewRequest};
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_proto::wire::trust::TrustAnswer;
use wavegate_state_machine::host::{Lease, Origin, fold};

use super::lies::{Lie, problem};
use super::pki::Ca;
use super::release::{FLEET, HOST, Signed};

/// What it knows, and how it misbehaves.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) dispatch: Option<Dispatch>,
    pub(crate) releases: BTreeMap<RolloutId, Signed>,
    pub(crate) journals: BTreeMap<RolloutId, Journal>,
    pub(crate) heartbeats: Vec<Heartbeat>,
    pub(crate) offered: Vec<RolloutProof>,
    pub(crate) epoch: Option<CpEpoch>,
    /// Asked for in the next heartbeat answer.
    pub(crate) replay: BTreeMap<RolloutId, Seq>,
    /// Changes each heartbeat answer.
    pub(crate) edit: Option<Edit>,
    /// Answered instead of what was asked for, by route.
    pub(crate) lies: BTreeMap<&'static str, Lie>,
    /// The versions of the trust file that it shows, whatever was asked for, and the version it claims.
    pub(crate) trust: (u64, Vec<SignedTrust>),
    /// How often it was asked for them.
    pub(crate) trust_requests: usize,
    /// How often a blob was asked for.
    pub(crate) blob_requests: usize,
    /// The parts of blobs that were asked for.
    pub(crate) ranges: Vec<String>,
    /// Each request: its path, and the hash of the certificate of its connection, if it had one.
    pub(crate) requests: Vec<(String, Option<Sha256Hash>)>,
    /// Requests for certificates that were answered, by route.
    pub(crate) issued: Vec<&'static str>,
    /// Tokens that were shown.
    pub(crate) tokens: Vec<String>,
    /// Refused so many times, with this code, before a token is taken.
    pub(crate) refuse_joining: Option<(ProblemCode, usize)>,
    /// What a renewal with the certificate is answered.
    pub(crate) refuse_renewing: Option<ProblemCode>,
    /// How many dispatches were handed out.
    pub(crate) dispatches_served: usize,
    /// How many requests met a lie.
    pub(crate) lies_told: usize,
    /// How often a journal was sent again.
    pub(crate) replays: usize,
}

/// What is done to a heartbeat answer before it is sent.
pub(crate) type Edit = Box<dyn FnMut(&mut HeartbeatAnswer) + Send>;

/// The journal it was sent for one rollout.
#[derive(Default, Clone)]
pub(crate) struct Journal {
    pub(crate) id: Option<JournalId>,
    pub(crate) entries: Vec<JournalEntry>,
    pub(crate) replayed: bool,
    pub(crate) record: Option<HostRecord>,
}

impl Journal {
    /// Folds with the real machine: an agent that reports what it does not allow fails its test.
    fn fold(&mut self, signed: &Signed, entry: &JournalEntry, replay: bool) {
        let attempt = if let Event::DispatchAck { attempt, .. } = entry.event {
            attempt
        } else if matches!(entry.event, Event::DispatchReject { .. }) {
            Attempt(1)
        } else {
            return self.fold_leased(signed, entry, replay, Lease::None);
        };
        let lease = Lease::Open { attempt, no_change: false, issued_at: entry.at };
        self.fold_leased(signed, entry, replay, lease);
    }

    fn fold_leased(&mut self, signed: &Signed, entry: &JournalEntry, replay: bool, lease: Lease) {
        let record = self.record.get_or_insert_with(|| signed.pending_record());
        // A journal that begins anew brings its record along.
        let brings_record = matches!(entry.event, Event::JournalOpened { .. });
        let origin = if replay || brings_record { Origin::Replay } else { Origin::Live };
        fold(record, &signed.fold_context(lease, origin), entry.at, &entry.event)
            .unwrap_or_else(|refusal| panic!("{entry:?} is refused: {refusal}"));
    }

    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.entries.iter().map(|entry| entry.event.kind()).collect()
    }

    /// The first event of this kind, as it was sent.
    pub(crate) fn event(&self, kind: &str) -> serde_json::Value {
        let found = self.entries.iter().find(|entry| entry.event.kind() == kind).unwrap();
        serde_json::to_value(&found.event).unwrap()
    }

    pub(crate) fn has(&self, kind: &str) -> bool {
        self.kinds().contains(&kind)
    }
}

#[derive(Clone)]
pub(crate) struct ControlPlane {
    world: Arc<Mutex<World>>,
    changed: Arc<Notify>,
    ca: Arc<Ca>,
    pub(crate) address: SocketAddr,
}

impl ControlPlane {
    pub(crate) async fn start(ca: &Arc<Ca>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = World { epoch: Some(CpEpoch(uuid::Uuid::from_u128(1))), ..World::default() };
        let this = Self {
            world: Arc::new(Mutex::new(world)),
            changed: Arc::new(Notify::new()),
            ca: ca.clone(),
            address,
        };
        let acceptor = TlsAcceptor::from(Arc::new(ca.server_config()));
        tokio::spawn(serve(listener, acceptor, this.clone()));
        this
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Offers a rollout again, as the next attempt.
    pub(crate) fn dispatch_again(&self, signed: &Signed, attempt: u32) {
        self.dispatch_as(signed, |dispatch| dispatch.attempt = Attempt(attempt));
    }

    /// Publishes `signed` and offers it to the host, as attempt 1, with a lease of a minute.
    pub(crate) fn dispatch(&self, signed: &Signed) {
        self.dispatch_as(signed, |_| {});
    }

    pub(crate) fn dispatch_for(&self, signed: &Signed, lease_secs: u64) {
        self.dispatch_as(signed, |d| d.expires_at = d.issued_at.plus_secs(lease_secs));
    }

    /// As [`Self::dispatch`], with a dispatch that was changed.
    pub(crate) fn dispatch_as(&self, signed: &Signed, change: impl FnOnce(&mut Dispatch)) {
        let issued_at = clock::wall();
        let mut dispatch = Dispatch {
            rollout_id: signed.rollout_id.clone(),
            channel: signed.rollout_id.channel.clone(),
            wave: WaveIndex(0),
            target_closure: signed.closure.clone(),
            no_change: false,
            attempt: Attempt(1),
            issued_at,
            expires_at: issued_at.plus_secs(60),
        };
        change(&mut dispatch);
        let mut world = self.world();
        world.releases.insert(signed.rollout_id.clone(), signed.clone());
        world.dispatch = Some(dispatch);
        drop(world);
        self.changed.notify_waiters();
    }

    /// Changes each heartbeat answer from now on.
    pub(crate) fn edit_answers(&self, edit: impl FnMut(&mut HeartbeatAnswer) + Send + 'static) {
        self.world().edit = Some(Box::new(edit));
    }

    pub(crate) fn lie(&self, route: &'static str, lie: Lie) {
        self.world().lies.insert(route, lie);
    }

    pub(crate) fn journal(&self, rollout: &RolloutId) -> Journal {
        self.world().journals.get(rollout).cloned().unwrap_or_default()
    }

    /// Forgets everything, as a wiped database does.
    pub(crate) fn wipe(&self) {
        let mut world = self.world();
        world.journals.clear();
        world.dispatch = None;
        world.epoch = Some(CpEpoch(uuid::Uuid::from_u128(2)));
    }

    /// Waits until `condition` holds, at most 60 s.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&World) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let changed = self.changed.notified();
            if condition(&self.world()) {
                return;
            }
            let tick = tokio::time::Instant::now() + Duration::from_millis(200);
            let _either = tokio::time::timeout_at(tick.min(deadline), changed).await;
            assert!(tokio::time::Instant::now() < deadline, "never: {what}; {}", self.picture());
        }
    }

    /// Waits until the host has reported an event of this kind.
    pub(crate) async fn until_event(&self, rollout: &RolloutId, kind: &str) {
        self.until(kind, |world| world.journals.get(rollout).is_some_and(|j| j.has(kind))).await;
    }

    fn picture(&self) -> String {
        let world = self.world();
        let journals: Vec<_> = world.journals.iter().map(|(id, j)| (id, &j.entries)).collect();
        format!("heartbeats {}, journals {journals:#?}", world.heartbeats.len())
    }

    fn routes(&self) -> Router {
        Router::new()
            .route("/v1/enroll", post(enroll))
            .route("/v1/agent/renew", post(renew))
            .route("/v1/agent/heartbeat", post(heartbeat))
            .route("/v1/agent/dispatch", get(dispatch))
            .route("/v1/agent/events", post(events))
            .route("/v1/agent/rollouts", post(offer))
            .route("/v1/agent/rollouts/{id}", get(proof))
            .route("/v1/agent/trust", get(trust))
            .route("/v1/closures/{id}", get(closure))
            .route("/v1/assets/{id}", get(asset))
            .with_state(self.clone())
    }

    fn issue(&self, route: &'static str, csr_pem: &str) -> Response {
        let chain_pem = self.ca.sign(FLEET, HOST, csr_pem);
        self.world().issued.push(route);
        self.changed.notify_waiters();
        let (now, host) = (clock::wall(), HOST.parse().unwrap());
        json(&CertificateAnswer {
            host,
            chain_pem,
            not_before: now,
            not_after: now.plus_secs(3600),
        })
    }

    /// What the route answers instead of the truth.
    async fn lie_of(&self, route: &str) -> Option<Response> {
        let lie = self.world().lies.get(route).cloned()?;
        if let Some(Lie::Busy(left @ 1..)) = self.world().lies.get_mut(route) {
            *left -= 1;
        }
        self.world().lies_told += 1;
        self.changed.notify_waiters();
        lie.response().await
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, control_plane: ControlPlane) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (acceptor, control_plane) = (acceptor.clone(), control_plane.clone());
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(socket).await else { return };
            let chain = tls.get_ref().1.peer_certificates();
            let leaf = chain.map(|chain| Sha256Hash::of(&chain[0]));
            let world = control_plane.world.clone();
            let note = move |request: Request, next: Next| {
                let path = request.uri().path().to_owned();
                world.lock().unwrap().requests.push((path, leaf));
                next.run(request)
            };
            let routes = control_plane.routes().layer(axum::middleware::from_fn(note));
            let service = hyper_util::service::TowerToHyperService::new(routes);
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // An agent that is killed cuts its connections; that is no failure of the test.
            let _cut = builder.serve_connection(TokioIo::new(tls), service).await;
        });
    }
}

fn json<T: Serialize>(value: &T) -> Response {
    axum::Json(value).into_response()
}

async fn enroll(State(cp): State<ControlPlane>, body: Bytes) -> Response {
    let request: EnrollRequest = serde_json::from_slice(&body).unwrap();
    cp.world().tokens.extend(request.token.map(|token| token.0));
    let refusal = cp.world().refuse_joining.take();
    if let Some((code, left)) = refusal {
        if left > 1 {
            cp.world().refuse_joining = Some((code, left - 1));
        }
        return problem(&Problem::new(code, "not now"));
    }
    let route = if request.expired_chain_pem.is_some() { "expired" } else { "enroll" };
    cp.issue(route, &request.csr_pem)
}

async fn renew(State(cp): State<ControlPlane>, body: Bytes) -> Response {
    let refusal = cp.world().refuse_renewing;
    if let Some(code) = refusal {
        return problem(&Problem::new(code, "not with this"));
    }
    let request: RenewRequest = serde_json::from_slice(&body).unwrap();
    // Answered when there is something that a renewal could disturb.
    let polls = |world: &World| world.requests.iter().any(|(path, _)| path == "/v1/agent/dispatch");
    cp.until("a poll is parked", polls).await;
    cp.issue("renew", &request.csr_pem)
}

async fn heartbeat(State(cp): State<ControlPlane>, body: Bytes) -> Response {
    if let Some(lie) = cp.lie_of("heartbeat").await {
        return lie;
    }
    let heartbeat: Heartbeat = serde_json::from_slice(&body).unwrap();
    let answer = {
        let mut world = cp.world();
        world.heartbeats.push(heartbeat);
        let mut answer = HeartbeatAnswer {
            cp_epoch: world.epoch.unwrap(),
            now: clock::wall(),
            next_heartbeat_secs: 1,
            replay: std::mem::take(&mut world.replay),
            new_journal: Vec::new(),
            cleared: Vec::new(),
            marks: None,
            bootstrap: Vec::new(),
            satisfied: Vec::new(),
            checkpoint: None,
            trust_version: Some(world.trust.0),
        };
        if let Some(edit) = &mut world.edit {
            edit(&mut answer);
        }
        answer
    };
    cp.changed.notify_waiters();
    json(&answer)
}

async fn trust(State(cp): State<ControlPlane>) -> Response {
    if let Some(lie) = cp.lie_of("trust").await {
        cp.world().trust_requests += 1;
        return lie;
    }
    let mut world = cp.world();
    world.trust_requests += 1;
    let (current, items) = world.trust.clone();
    json(&TrustAnswer { current, items })
}

async fn dispatch(State(cp): State<ControlPlane>) -> Response {
    if let Some(lie) = cp.lie_of("dispatch").await {
        return lie;
    }
    let wait = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let changed = cp.changed.notified();
        let found = cp.world().dispatch.clone();
        if let Some(dispatch) = found {
            cp.world().dispatches_served += 1;
            return json(&dispatch);
        }
        if tokio::time::timeout_at(wait, changed).await.is_err() {
            return StatusCode::NO_CONTENT.into_response();
        }
    }
}

async fn events(State(cp): State<ControlPlane>, body: Bytes) -> Response {
    if let Some(lie) = cp.lie_of("events").await {
        return lie;
    }
    let request: EventsRequest = serde_json::from_slice(&body).unwrap();
    let answer = cp.world().take(&request);
    cp.changed.notify_waiters();
    match answer {
        Ok(answer) => json(&answer),
        Err(refusal) => problem(&refusal),
    }
}

impl World {
    fn take(&mut self, request: &EventsRequest) -> Result<EventsAnswer, Box<Problem>> {
        let journal = self.journals.entry(request.rollout_id.clone()).or_default();
        if journal.id != Some(request.journal_id) {
            *journal = Journal { id: Some(request.journal_id), ..Journal::default() };
        }
        journal.replayed |= request.replay;
        self.replays += usize::from(request.replay);
        for entry in &request.events {
            let expected = Seq(journal.entries.len() as u64 + 1);
            if entry.seq > expected {
                let mut gap = Problem::new(ProblemCode::SeqGap, "entries are missing");
                gap.expected_seq = Some(expected);
                return Err(Box::new(gap));
            }
            if entry.seq == expected {
                let signed = &self.releases[&request.rollout_id];
                journal.fold(signed, entry, request.replay);
                journal.entries.push(entry.clone());
            }
            if matches!(entry.event, Event::DispatchAck { .. } | Event::DispatchReject { .. }) {
                self.dispatch = None;
            }
        }
        Ok(EventsAnswer { last_seq: Seq(journal.entries.len() as u64) })
    }
}

async fn offer(State(cp): State<ControlPlane>, body: Bytes) -> Response {
    cp.world().offered.push(serde_json::from_slice(&body).unwrap());
    cp.changed.notify_waiters();
    json(&serde_json::json!({}))
}

async fn proof(State(cp): State<ControlPlane>, Path(id): Path<String>) -> Response {
    if let Some(lie) = cp.lie_of("proof").await {
        return lie;
    }
    let id: RolloutId = id.parse().unwrap();
    match cp.world().releases.get(&id) {
        Some(signed) => json(&signed.proof),
        None => problem(&Problem::new(ProblemCode::UnknownRollout, "not published")),
    }
}

async fn closure(State(cp): State<ControlPlane>, Path(id): Path<String>) -> Response {
    blob(&cp, "blob", &id, None).await
}

async fn asset(
    State(cp): State<ControlPlane>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let range = headers.get(header::RANGE).map(|value| value.to_str().unwrap().to_owned());
    blob(&cp, "asset", &id, range).await
}

async fn blob(cp: &ControlPlane, route: &str, id: &str, range: Option<String>) -> Response {
    cp.world().blob_requests += 1;
    cp.world().ranges.extend(range.clone());
    if let Some(lie) = cp.lie_of(route).await {
        return lie;
    }
    let id = id.parse().unwrap();
    match cp.world().releases.values().find_map(|signed| signed.blobs.get(&id)) {
        Some(bytes) => part_of(bytes, range.as_deref()),
        None => problem(&Problem::new(ProblemCode::UnknownBlob, "not published")),
    }
}

fn part_of(bytes: &[u8], range: Option<&str>) -> Response {
    let Some(first) = range else { return bytes.to_vec().into_response() };
    let first = first.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap();
    let first: usize = first.parse().unwrap();
    let told = format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len());
    let headers = [(header::CONTENT_RANGE, told)];
    (StatusCode::PARTIAL_CONTENT, headers, bytes[first..].to_vec()).into_response()
}
