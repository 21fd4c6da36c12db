//! Adopting releases: the one worker that does it, for releases from the source and for published ones
//! alike, so that there is one order of them.
//!
//! [`adopt`] holds the steps, [`source`] says where files come from, [`folder`] keeps the adopted
//! release on disk, `artifacts` the signed files of every one.
//!
//! Not here: the rules (see `wavegate_proto::artifact`), what adopting opens (see [`crate::core`]).

pub mod adopt;
mod artifacts;
pub mod check;
pub mod folder;
pub mod rebuild;
mod rotate;
pub mod source;

pub use adopt::{AdoptError, Adopter, AdopterParts, Outcome, TryOut};
pub use source::Source;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wavegate_proto::artifact::release::ReleaseFiles;
use wavegate_proto::trust::chain::Followed;
use wavegate_proto::trust::rotation::SignedTrust;
use wavegate_proto::wire::plan::PlanDocument;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_proto::wire::publish::PublishAnswer;
use wavegate_proto::wire::trust::TrustPublished;

use crate::forecast::preview::preview;
use crate::heap;

/// How many releases may wait to be adopted.
const MAX_WAITING: usize = 4;

/// One release is tried out at a time: each takes as much memory as the fleet, and a processor.
const MAX_TRY_OUTS: usize = 1;

type Published = Result<(Outcome, PublishAnswer), AdoptError>;
type Rotated = Result<(Followed, TrustPublished), AdoptError>;

/// What the worker is asked.
#[derive(Debug)]
enum Job {
    Publish(Box<ReleaseFiles>, oneshot::Sender<Published>),
    Plan(Box<ReleaseFiles>, oneshot::Sender<Result<TryOut, AdoptError>>),
    Trust(Box<SignedTrust>, oneshot::Sender<Rotated>),
    /// Look at the source now.
    Poll,
}

/// Sends releases to the worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    jobs: mpsc::Sender<Job>,
    try_outs: Arc<Semaphore>,
}

/// The worker's end of a [`Publisher`].
#[derive(Debug)]
pub struct Jobs(mpsc::Receiver<Job>);

/// A publisher, and what the worker needs to hear it.
#[must_use]
pub fn channel() -> (Publisher, Jobs) {
    let (jobs, inbox) = mpsc::channel(MAX_WAITING);
    (Publisher { jobs, try_outs: Arc::new(Semaphore::new(MAX_TRY_OUTS)) }, Jobs(inbox))
}

impl Publisher {
    /// Adopts a release whose blobs have been uploaded.
    ///
    /// # Errors
    /// The rule it broke, what is missing, or that too many wait.
    pub async fn publish(&self, files: ReleaseFiles) -> Result<(Outcome, PublishAnswer), Problem> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Publish(Box::new(files), reply)).map_err(|problem| *problem)?;
        answer.await.map_err(|_| stopping())?.map_err(Problem::from)
    }

    /// Takes the next version of the trust file.
    ///
    /// # Errors
    /// Why it is not the next one, or that too many wait.
    pub async fn publish_trust(
        &self,
        offered: SignedTrust,
    ) -> Result<(Followed, TrustPublished), Problem> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Trust(Box::new(offered), reply)).map_err(|problem| *problem)?;
        answer.await.map_err(|_| stopping())?.map_err(Problem::from)
    }

    /// What adopting a release would do. The reducer is held up for as long as it takes to copy the model of
    /// the fleet, and not for the runs.
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub async fn plan(&self, files: ReleaseFiles) -> Result<PlanDocument, Problem> {
        let busy = || Problem::new(ProblemCode::Overloaded, "another release is being planned");
        let permit = Arc::clone(&self.try_outs).try_acquire_owned().map_err(|_| busy())?;
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Plan(Box::new(files), reply)).map_err(|problem| *problem)?;
        let TryOut { core, release, now } = answer.await.map_err(|_| stopping())??;
        let planned = tokio::task::spawn_blocking(move || {
            let _until_it_is_over = permit;
            let planned = preview(&core, &release, now);
            drop((core, release));
            heap::give_back();
            planned
        });
        planned.await.map_err(|_| Problem::new(ProblemCode::Internal, "the plan broke off"))
    }

    fn enqueue(&self, job: Job) -> Result<(), Box<Problem>> {
        let sent = self.jobs.try_send(job);
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                let detail = "other releases are being adopted";
                Box::new(Problem::new(ProblemCode::Overloaded, detail))
            }
            mpsc::error::TrySendError::Closed(_) => Box::new(stopping()),
        })
    }

    /// Looks at the source now instead of when it is due.
    pub fn poll_now(&self) {
        // With a full queue the source is looked at soon anyway.
        let _full = self.jobs.try_send(Job::Poll);
    }
}

fn stopping() -> Problem {
    Problem::new(ProblemCode::ShuttingDown, "the control plane is stopping")
}

/// Adopts what is published and what the source offers, until `stop`.
pub async fn run(
    mut adopter: Adopter,
    mut jobs: Jobs,
    source: Option<Source>,
    poll_every: Duration,
    stop: CancellationToken,
) {
    let mut due = tokio::time::interval(poll_every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let job = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            job = jobs.0.recv() => job,
            _ = due.tick() => Some(Job::Poll),
        };
        // A release that is being adopted when the process stops is adopted or not, as a whole: every
        // step can be repeated after a start.
        let work = async {
            match (job, &source) {
                (Some(Job::Publish(files, reply)), _) => {
                    // Whoever published may have gone away.
                    let _gone = reply.send(adopter.publish(*files).await);
                }
                (Some(Job::Plan(files, reply)), _) => {
                    let _gone = reply.send(adopter.try_out(*files).await);
                }
                (Some(Job::Trust(offered, reply)), _) => {
                    let _gone = reply.send(adopter.publish_trust(&offered).await);
                }
                (Some(Job::Poll), Some(source)) => adopter.poll(source).await,
                (Some(Job::Poll), None) => {}
                (None, _) => stop.cancelled().await,
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            () = stop.cancelled() => return,
        }
    }
}
