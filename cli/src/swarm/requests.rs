//! What a host of a swarm asks, and what comes of it.
//!
//! Not here: when it asks (see [`super::host`]).

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use wavegate_agent::client::{ClientError, ControlPlane};
use wavegate_proto::ids::{BlobId, ClosureId, RolloutId};
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::{
    Dispatch, EventsAnswer, EventsRequest, Heartbeat, HeartbeatAnswer, RolloutProof,
};

/// Something that has come about.
pub(super) enum Happened {
    Heartbeat {
        took: Duration,
        answer: Result<HeartbeatAnswer, ClientError>,
    },
    Poll {
        polled_at: Mono,
        answer: Result<Option<Dispatch>, ClientError>,
    },
    Events {
        took: Duration,
        request: EventsRequest,
        answer: Result<EventsAnswer, ClientError>,
    },
    Proof {
        dispatch: Box<Dispatch>,
        polled_at: Mono,
        answer: Result<RolloutProof, ClientError>,
    },
    /// The proof of a rollout that a snapshot told of, with the document of its closure.
    Bootstrap {
        rollout_id: RolloutId,
        answer: Result<(RolloutProof, Vec<u8>), ClientError>,
    },
    Closure {
        generation: u64,
        answer: Result<Vec<u8>, ClientError>,
    },
    Offered {
        rollout_id: RolloutId,
        answer: Result<(), ClientError>,
    },
    WorkDone {
        generation: u64,
    },
    ProbeDue {
        generation: u64,
        index: usize,
    },
}

/// Something under way.
pub(super) type Doing = BoxFuture<'static, Happened>;

/// The line to the control plane, with what is wrong with it.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) control_plane: ControlPlane,
    pub(super) latency: Duration,
    /// Whether the next request is lost.
    pub(super) loses: bool,
}

/// How long a poll may stay open, in seconds.
const WAIT_SECS: u64 = 55;

/// A request that is lost is missed after this time.
const LOST_AFTER: Duration = Duration::from_secs(3);

impl Line {
    async fn begin(&self) -> Result<(), ClientError> {
        tokio::time::sleep(self.latency).await;
        if self.loses {
            tokio::time::sleep(LOST_AFTER).await;
            return Err(ClientError::Unreachable("the request was lost".to_owned()));
        }
        Ok(())
    }

    pub(super) fn heartbeat(self, heartbeat: Heartbeat) -> Doing {
        async move {
            let sent = Instant::now();
            let answer = match self.begin().await {
                Ok(()) => self.control_plane.heartbeat(&heartbeat).await,
                Err(error) => Err(error),
            };
            Happened::Heartbeat { took: sent.elapsed(), answer }
        }
        .boxed()
    }

    pub(super) fn poll(self, polled_at: Mono) -> Doing {
        async move {
            let answer = match self.begin().await {
                Ok(()) => self.control_plane.poll_dispatch(WAIT_SECS).await,
                Err(error) => Err(error),
            };
            Happened::Poll { polled_at, answer }
        }
        .boxed()
    }

    pub(super) fn events(self, request: EventsRequest) -> Doing {
        async move {
            let sent = Instant::now();
            let answer = match self.begin().await {
                Ok(()) => self.control_plane.post_events(&request).await,
                Err(error) => Err(error),
            };
            Happened::Events { took: sent.elapsed(), request, answer }
        }
        .boxed()
    }

    pub(super) fn proof(self, dispatch: Box<Dispatch>, polled_at: Mono) -> Doing {
        async move {
            let answer = match self.begin().await {
                Ok(()) => self.control_plane.rollout_proof(&dispatch.rollout_id).await,
                Err(error) => Err(error),
            };
            Happened::Proof { dispatch, polled_at, answer }
        }
        .boxed()
    }

    pub(super) fn bootstrap(self, rollout_id: RolloutId) -> Doing {
        async move {
            let answer = self.proof_and_closure(&rollout_id).await;
            Happened::Bootstrap { rollout_id, answer }
        }
        .boxed()
    }

    async fn proof_and_closure(
        &self,
        rollout_id: &RolloutId,
    ) -> Result<(RolloutProof, Vec<u8>), ClientError> {
        self.begin().await?;
        let proof = self.control_plane.rollout_proof(rollout_id).await?;
        // Not verified yet: at worst a document is fetched that nobody wants.
        let closure = proof.entry.get("closure").and_then(|value| value.as_str());
        let document = match closure.and_then(|closure| closure.parse::<BlobId>().ok()) {
            Some(blob) => self.control_plane.closure(blob).await?,
            None => Vec::new(),
        };
        Ok((proof, document))
    }

    pub(super) fn closure(self, closure: BlobId, generation: u64) -> Doing {
        async move {
            let answer = match self.begin().await {
                Ok(()) => self.control_plane.closure(closure).await,
                Err(error) => Err(error),
            };
            Happened::Closure { generation, answer }
        }
        .boxed()
    }

    pub(super) fn offer(self, rollout_id: RolloutId, proof: RolloutProof) -> Doing {
        async move {
            let answer = match self.begin().await {
                Ok(()) => self.control_plane.offer_rollout(&proof).await,
                Err(error) => Err(error),
            };
            Happened::Offered { rollout_id, answer }
        }
        .boxed()
    }
}

/// What a host does to itself: it takes time, and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Work {
    Activating { rollout_id: RolloutId, closure: ClosureId },
    RollingBack { rollout_id: RolloutId, to: Option<ClosureId> },
}

/// `happened`, after some time.
pub(super) fn after(time: Duration, happened: Happened) -> Doing {
    async move {
        tokio::time::sleep(time).await;
        happened
    }
    .boxed()
}
