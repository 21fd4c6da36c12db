//! Everything the outside must do. Writes are committed, in order and together, before any of the
//! replies of the same batch is released.

use wavegate_proto::ids::{BlobId, ClosureId, HostName};
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::{Dispatch, EventsAnswer, HeartbeatAnswer, RolloutProof};
use wavegate_proto::wire::operator::Status;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_proto::wire::publish::PublishAnswer;

use super::input::Token;
use super::rows::{LogEnd, Write};

/// One thing the outside must do.
#[derive(Debug, Clone)]
pub enum Output {
    /// Commit this.
    Write(Box<Write>),
    /// Then answer this request.
    Reply {
        /// Which.
        to: Token,
        /// With what.
        answer: Answer,
    },
    /// Is the row with this number still the one that the host was shown? If not, the core wants an
    /// [`Input::LogWentBack`](super::Input::LogWentBack); nobody waits for it.
    CompareLog {
        /// Which host was shown it.
        host: HostName,
        /// What it was shown.
        end: LogEnd,
    },
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To a heartbeat.
    Heartbeat(Box<HeartbeatAnswer>),
    /// To a poll; `None`: nothing to do (204).
    Dispatch(Option<Box<Dispatch>>),
    /// To events.
    Events(EventsAnswer),
    /// To an offered header.
    Offered,
    /// The host may be given a certificate.
    MayIssue,
    /// A release could be adopted.
    ReleaseAcceptable,
    /// To [`Input::Preview`](super::Input::Preview): the core as it stands, to try the release out on.
    Fork {
        /// The core.
        core: Box<super::Core>,
        /// When it stood so.
        now: Now,
    },
    /// A release was adopted; the same one again answers the same.
    Adopted(PublishAnswer),
    /// To a version of the trust file that holds.
    TrustHeld,
    /// To rows that are to be removed from the log.
    Compacted,
    /// To a query that is answered with a JSON document.
    Document(serde_json::Value),
    /// To [`Query::Status`](super::Query::Status).
    Status(Box<Status>),
    /// To [`Query::Proof`](super::Query::Proof).
    Proof(Box<RolloutProof>),
    /// To [`Query::HostBlobs`](super::Query::HostBlobs).
    HostBlobs(HostBlobs),
    /// To [`Query::Figures`](super::Query::Figures).
    Figures(Box<super::query::Figures>),
    /// Refused, and why.
    Problem(Box<Problem>),
}

/// The closures a host may fetch; the assets these name may be fetched too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostBlobs {
    /// Closures that signed entries name for the host.
    pub closures: Vec<ClosureId>,
    /// Documents with only probes, for store paths.
    pub checks: Vec<BlobId>,
}

/// A refusal with `code` and what was wrong this time.
pub(super) fn refuse(code: ProblemCode, detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(code, detail))
}
