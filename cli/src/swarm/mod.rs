//! Many agents in one process, to see what a control plane bears: each has a certificate of its own, speaks
//! the real protocol over mutual TLS, verifies what is signed, and decides with the agent's own core. What
//! it activates does not run: how that goes is an option.
//!
//! Not here: the figures of the project itself (see `docs/performance.md`), a fleet of real agents
//! (see [`crate::demo`]).

mod behaviour;
mod host;
mod identities;
mod limits;
mod report;
mod requests;

pub use behaviour::Behaviour;
pub use limits::LimitError;
pub use report::{Arrivals, Latency, Report, Step};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use wavegate_agent::client::ClientError;
use wavegate_proto::ids::HostName;
use wavegate_proto::trust::TrustFile;

use crate::keys::ca::{CaError, CertificateAuthority};
use host::Host;
use report::Figures;

/// What a swarm is told.
pub struct Swarm {
    /// The control plane.
    pub url: String,
    /// Whom the hosts believe the control plane to be issued by, PEM.
    pub roots_pem: String,
    /// Issues the hosts' certificates.
    pub authority: CertificateAuthority,
    /// Whom the hosts believe.
    pub trust: TrustFile,
    /// Which hosts there are.
    pub hosts: Vec<HostName>,
    /// What they do.
    pub behaviour: Behaviour,
    /// For how long.
    pub length: Length,
}

/// When a swarm ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// After this time.
    Time(Duration),
    /// Once nothing has changed on any host for five seconds and each has been dispatched; after this time at
    /// the latest.
    Settled(Duration),
}

/// Why there is no swarm.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// The system does not let one process have so many connections.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// No certificate for a host.
    #[error(transparent)]
    Certificate(#[from] CaError),
    /// No client for a host.
    #[error("connect {0}: {1}")]
    Client(HostName, ClientError),
    /// The threads could not be started.
    #[error("start the threads: {0}")]
    Threads(std::io::Error),
}

/// What hosts share.
struct Shared {
    trust: TrustFile,
    behaviour: Behaviour,
    figures: Figures,
}

/// What every host is told at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    GoOn,
    /// The connections are cut, as after an outage.
    Storm,
    Stop,
}

/// For how long nothing may change before a swarm counts as settled.
const QUIET: Duration = Duration::from_secs(5);

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs a swarm to its end.
///
/// # Errors
/// When it cannot begin; what goes wrong on the way is in the report.
pub fn run(swarm: Swarm) -> Result<Report, SwarmError> {
    limits::expect_files(swarm.hosts.len())?;
    wavegate_agent::client::install_crypto_provider();
    let runtime = tokio::runtime::Runtime::new().map_err(SwarmError::Threads)?;
    runtime.block_on(swarm.run())
}

impl Swarm {
    async fn run(self) -> Result<Report, SwarmError> {
        let credentials = identities::issue(&self.authority, &self.roots_pem, &self.hosts)?;
        let shared = Arc::new(Shared {
            trust: self.trust,
            behaviour: self.behaviour,
            figures: Figures::new(self.hosts.len()),
        });
        let (tell, told) = watch::channel(Word::GoOn);
        let mut running = Vec::new();
        for (number, (name, credentials)) in self.hosts.into_iter().zip(credentials).enumerate() {
            if shared.behaviour.is_offline(&name) {
                shared.figures.stays_offline();
                continue;
            }
            let host = Host::new(Arc::clone(&shared), name.clone(), number, &self.url, credentials)
                .map_err(|error| SwarmError::Client(name, error))?;
            running.push(tokio::spawn(host.run(told.clone())));
        }
        wait(&shared, &tell, self.length).await;
        tell.send_replace(Word::Stop);
        let mut ends = Vec::new();
        for host in running {
            // A host that panicked is missing among the ends, and the report says so.
            ends.extend(host.await.ok());
        }
        Ok(shared.figures.report(ends))
    }
}

/// Lets the swarm work for its time, with a storm in it where one is wanted.
async fn wait(shared: &Shared, tell: &watch::Sender<Word>, length: Length) {
    let begun = tokio::time::Instant::now();
    let (Length::Time(most) | Length::Settled(most)) = length;
    let mut storm = shared.behaviour.storm_after;
    while begun.elapsed() < most {
        tokio::time::sleep(LOOK_EVERY.min(most.saturating_sub(begun.elapsed()))).await;
        if storm.is_some_and(|after| begun.elapsed() >= after) {
            storm = None;
            shared.figures.storm_begins();
            tell.send_replace(Word::Storm);
        }
        let may_end = matches!(length, Length::Settled(_)) && storm.is_none();
        if may_end && shared.figures.is_settled(QUIET) {
            return;
        }
    }
}
