//! The way to the reducer: one kind of message, one cloneable handle.
//!
//! Not here: what becomes of a message (see [`super::reducer`]).

use tokio::sync::{mpsc, oneshot, watch};
use wavegate_proto::artifact::rules::SerialFloor;
use wavegate_proto::ids::{BlobId, ClosureId};
use wavegate_proto::trust::chain::TrustVersion;
use wavegate_proto::wire::agent::{EventsRequest, Heartbeat};
use wavegate_state_machine::agent::{AgentInput, HostFacts};

use crate::journal::Note;

/// More messages than this wait with their senders.
const CAPACITY: usize = 256;

/// What the reducer can be told or asked.
pub(super) enum Message {
    /// Something happened. Answered when the decision is durable and its effects are under way.
    Input(Box<AgentInput>, oneshot::Sender<()>),
    /// What is to be posted next?
    NextPost(oneshot::Sender<Option<EventsRequest>>),
    /// What does the next heartbeat say?
    Heartbeat(HostFacts, oneshot::Sender<Heartbeat>),
    /// A version of the trust file has been verified. Answered when it is durable.
    KeepTrust(Box<TrustVersion>, oneshot::Sender<()>),
    /// Something is to be remembered, if there is room for it.
    KeepNote(Note),
}

/// What the workers may know of the decisions, as of the last durable one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct View {
    /// Whether to ask for a dispatch.
    pub(super) wants_dispatch: bool,
    /// Nothing older is accepted.
    pub(super) floor: SerialFloor,
    /// The closure that runs, while it is converged: the time to look for drift.
    pub(super) converged: Option<ClosureId>,
    /// What must stay in the cache.
    pub(super) in_use: Vec<BlobId>,
}

/// A handle to the reducer.
#[derive(Clone)]
pub(super) struct Inbox {
    messages: mpsc::Sender<Message>,
    view: watch::Receiver<View>,
}

/// The reducer's end.
pub(super) struct Outlet {
    pub(super) messages: mpsc::Receiver<Message>,
    pub(super) view: watch::Sender<View>,
}

/// Something handed in, on which the decision may be outstanding.
pub(super) struct HandedIn(oneshot::Receiver<()>);

impl HandedIn {
    pub(super) fn is_decided(&mut self) -> bool {
        self.0.try_recv() != Err(oneshot::error::TryRecvError::Empty)
    }
}

/// The reducer has stopped; so should whoever hears this.
#[derive(Debug)]
pub(super) struct Stopped;

pub(super) fn channel() -> (Inbox, Outlet) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let (publish, view) = watch::channel(View::default());
    (Inbox { messages: sender, view }, Outlet { messages: receiver, view: publish })
}

impl Inbox {
    /// Tells what happened and waits until that has been decided and is durable.
    pub(super) async fn tell(&self, input: AgentInput) -> Result<(), Stopped> {
        self.ask(|done| Message::Input(Box::new(input), done)).await
    }

    /// Tells what happened and does not wait for the decision.
    pub(super) async fn hand_in(&self, input: AgentInput) -> Result<HandedIn, Stopped> {
        let (done, decided) = oneshot::channel();
        let message = Message::Input(Box::new(input), done);
        self.messages.send(message).await.map_err(|_| Stopped)?;
        Ok(HandedIn(decided))
    }

    pub(super) async fn next_post(&self) -> Result<Option<EventsRequest>, Stopped> {
        self.ask(Message::NextPost).await
    }

    pub(super) async fn heartbeat(&self, facts: HostFacts) -> Result<Heartbeat, Stopped> {
        self.ask(|reply| Message::Heartbeat(facts, reply)).await
    }

    /// Keeps a version of the trust file and waits until it is durable.
    pub(super) async fn keep_trust(&self, version: TrustVersion) -> Result<(), Stopped> {
        self.ask(|done| Message::KeepTrust(Box::new(version), done)).await
    }

    /// Remembers something. Nobody waits for it: heartbeats go on while the disk is full.
    pub(super) async fn keep_note(&self, note: Note) -> Result<(), Stopped> {
        self.messages.send(Message::KeepNote(note)).await.map_err(|_| Stopped)
    }

    /// The decisions as the workers see them, now and later.
    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
