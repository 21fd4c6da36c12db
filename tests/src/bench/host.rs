//! A host that speaks: its connection, its journal, and the requests it repeats.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustls::ClientConfig;
use wavegate_control_plane::clock::wall;
use wavegate_proto::canonical::chain_journal;
use wavegate_proto::event::{ActivationMethod, DeclaredProbe, Event, JournalEntry, ProbeOutcome};
use wavegate_proto::ids::{BootId, HostName, JournalId, Seq, Serial, Sha256Hash};
use wavegate_proto::record::{ProbeKind, ProbeMode};
use wavegate_proto::wire::agent::{
    Dispatch, EventsAnswer, EventsRequest, Heartbeat, HeartbeatAnswer, JournalHead, ProbeCounts,
    ResourceCounts,
};
use wavegate_proto::wire::resource::Drift;

use super::client::{Connection, request};
use super::scene::{ROLLOUT, Scene};

/// How long the control plane may take to verify and adopt the release of the whole fleet.
const ADOPTION_PATIENCE: Duration = Duration::from_secs(300);

/// How long a poll waits, in seconds.
const POLL_SECS: u64 = 20;

/// A host that speaks.
pub(super) struct Host {
    pub(super) name: HostName,
    connection: Connection,
    journal_id: JournalId,
    head: Sha256Hash,
    /// The last event that was acknowledged.
    pub(super) acknowledged: Seq,
}

impl Host {
    pub(super) async fn connect(
        (name, tls): (HostName, Arc<ClientConfig>),
        address: SocketAddr,
    ) -> Result<Self> {
        let connection = Connection::open(address, tls).await?;
        let journal_id = JournalId(uuid::Uuid::new_v4());
        Ok(Self { name, connection, journal_id, head: Sha256Hash::default(), acknowledged: Seq(0) })
    }

    /// Reports for the first time; again until the release is adopted.
    pub(super) async fn report(&mut self) -> Result<()> {
        let until = Instant::now() + ADOPTION_PATIENCE;
        loop {
            match self.send(&self.heartbeat_request()?).await? {
                200 => return Ok(()),
                503 if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                status => bail!("{status} to the first heartbeat: {}", self.answer()),
            }
        }
    }

    /// Takes its dispatch and reports that it runs what it should, its one probe known.
    pub(super) async fn activate(&mut self) -> Result<()> {
        let dispatch = self.dispatch().await?;
        let closure = dispatch.target_closure;
        let probe = DeclaredProbe {
            name: PROBE.parse().map_err(anyhow::Error::msg)?,
            kind: ProbeKind::Http,
            mode: ProbeMode::Enforce,
        };
        let events = [
            Event::DispatchAck { prior_closure: None, attempt: dispatch.attempt },
            Event::ActivationStarted { method: ActivationMethod::Switch },
            Event::ActivationComplete { closure, exit_code: 0, changed: true },
            Event::ProbeTopology { probes: vec![probe] },
        ];
        for event in events {
            let entry = self.next_entry(event);
            let status = self.send(&self.events_request(&entry)?).await?;
            ensure!(status == 200, "{status} to {entry:?}: {}", self.answer());
            self.keep(&entry);
        }
        Ok(())
    }

    /// Waits for a dispatch as long as the control plane lets it; says how that was answered.
    pub(super) async fn wait_for_dispatch(&mut self) -> Result<u16> {
        self.send(&request("GET", "/v1/agent/dispatch?wait_secs=120", b"")).await
    }

    /// Fetches a file of what it is to run: how many bytes came.
    pub(super) async fn fetch(&mut self, path: &str) -> Result<usize> {
        match self.connection.let_pass(&request("GET", path, b"")).await? {
            (200, bytes) => Ok(bytes),
            (status, _) => bail!("{status} to {path}"),
        }
    }

    async fn dispatch(&mut self) -> Result<Dispatch> {
        let poll = request("GET", &format!("/v1/agent/dispatch?wait_secs={POLL_SECS}"), b"");
        for _ in 0..3 {
            match self.send(&poll).await? {
                200 => return Ok(serde_json::from_slice(self.connection.body())?),
                204 => {}
                status => bail!("{status} to a poll: {}", self.answer()),
            }
        }
        bail!("{} gets no dispatch", self.name)
    }

    pub(super) async fn send(&mut self, request: &[u8]) -> Result<u16> {
        self.connection.send(request).await
    }

    /// What was answered last, as text.
    pub(super) fn answer(&self) -> String {
        String::from_utf8_lossy(self.connection.body()).into_owned()
    }

    /// How long the last answer's body was, in bytes.
    pub(super) fn answer_bytes(&self) -> usize {
        self.connection.body().len()
    }

    /// The heartbeat of a host that has nothing new: what most of the fleet sends most of the time.
    pub(super) fn heartbeat_request(&self) -> Result<Vec<u8>> {
        let started = self.acknowledged > Seq(0);
        let head = JournalHead {
            journal_id: self.journal_id,
            first_seq: Seq(1),
            last_seq: self.acknowledged,
            head: self.head,
        };
        let rollout = ROLLOUT.parse().map_err(anyhow::Error::msg)?;
        let heartbeat = Heartbeat {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: BootId(self.journal_id.0),
            uptime_secs: 86_400,
            at: wall(),
            cp_epoch: None,
            checkpoint: None,
            serial: Serial(1),
            trust_version: Some(1),
            current_closure: if started { Some(Scene::closure()?) } else { None },
            marks_version: 0,
            marks: None,
            rollouts: started.then_some((rollout, head)).into_iter().collect(),
            rejected: Vec::new(),
            probes: ProbeCounts { pass: 1, fail: 0, unknown: 0 },
            resources: ResourceCounts { completed: 12, ..ResourceCounts::default() },
            awaiting: Vec::new(),
        };
        Ok(request("POST", "/v1/agent/heartbeat", &serde_json::to_vec(&heartbeat)?))
    }

    /// The control plane has everything the host has: nothing to send again, nothing to tell.
    pub(super) fn check_heartbeat_answer(&self) -> Result<()> {
        let answer: HeartbeatAnswer = serde_json::from_slice(self.connection.body())
            .with_context(|| format!("read {}", self.answer()))?;
        let quiet = answer.replay.is_empty()
            && answer.new_journal.is_empty()
            && answer.bootstrap.is_empty();
        ensure!(quiet, "the answer to a heartbeat of {} is {}", self.name, self.answer());
        Ok(())
    }

    /// The next event of a host that goes on reporting; every seq has its own, so that a request that
    /// is sent again is the same.
    pub(super) fn next_report(&self) -> Result<JournalEntry> {
        let id = || "app-conf".parse().map_err(anyhow::Error::msg);
        let result = |status, reason: Option<&str>| {
            Ok::<_, anyhow::Error>(Event::ProbeResult {
                name: PROBE.parse().map_err(anyhow::Error::msg)?,
                mode: ProbeMode::Enforce,
                status,
                reason: reason.map(str::to_owned),
                sub_results: Vec::new(),
            })
        };
        let event = match self.acknowledged.0 % 4 {
            0 => result(ProbeOutcome::Pass, None)?,
            1 => Event::DriftDetected {
                id: id()?,
                drift: Drift::Changed,
                detail: Some("content differs".to_owned()),
            },
            2 => Event::DriftCorrected { id: id()?, result: "written again".to_owned() },
            _ => result(ProbeOutcome::Fail, Some("expected 200, got 503"))?,
        };
        Ok(self.next_entry(event))
    }

    fn next_entry(&self, event: Event) -> JournalEntry {
        JournalEntry { seq: self.acknowledged.next(), at: wall(), event }
    }

    pub(super) fn events_request(&self, entry: &JournalEntry) -> Result<Vec<u8>> {
        let events = EventsRequest {
            rollout_id: ROLLOUT.parse().map_err(anyhow::Error::msg)?,
            journal_id: self.journal_id,
            replay: false,
            events: vec![entry.clone()],
        };
        Ok(request("POST", "/v1/agent/events", &serde_json::to_vec(&events)?))
    }

    /// Adds an entry that was acknowledged to the journal.
    pub(super) fn keep(&mut self, entry: &JournalEntry) {
        self.head = chain_journal(&self.head, entry);
        self.acknowledged = entry.seq;
    }

    /// Notes that a report was acknowledged. The head stays where it is: heartbeats are measured before
    /// reports.
    pub(super) fn took(&mut self, entry: &JournalEntry) {
        self.acknowledged = entry.seq;
    }

    /// What the answer to events acknowledges.
    pub(super) fn last_seq(&self) -> Result<Seq> {
        let answer: EventsAnswer = serde_json::from_slice(self.connection.body())?;
        Ok(answer.last_seq)
    }
}

const PROBE: &str = "http";
