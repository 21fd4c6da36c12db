//! How the rest of the process speaks to the reducer.
//!
//! Not here: the queue's other end (see `reducer`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::problem::{Problem, ProblemCode};

use super::lanes::{Lane, Lanes};
use super::{Message, metrics};
use crate::core::{Answer, Input, Query, Token};

/// How long a caller waits for its answer, and with it for its commit.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Sends inputs to the reducer and waits for answers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    queue: mpsc::Sender<Message>,
    lanes: Lanes,
    next_token: Arc<AtomicU64>,
}

impl Handle {
    pub(super) fn new(queue: mpsc::Sender<Message>) -> Self {
        Self { queue, lanes: Lanes::default(), next_token: Arc::new(AtomicU64::new(1)) }
    }

    /// Sends what `input` makes of a fresh token and waits for the answer, at most 10 s. Everything
    /// that the answer tells is committed.
    ///
    /// # Errors
    /// The problem that was answered; `overloaded` when its lane is full or the commit takes too long
    /// (it may still become durable); `shutting-down`.
    pub async fn call(&self, input: impl FnOnce(Token) -> Input) -> Result<Answer, Problem> {
        let (_, answer) = self.send(input).map_err(|problem| *problem)?;
        match tokio::time::timeout(MAX_WAIT, answer).await {
            Ok(Ok(Answer::Problem(problem))) => Err(*problem),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_dropped)) => Err(shutting_down()),
            Err(_elapsed) => Err(overloaded("the commit takes too long")),
        }
    }

    /// The same for one who has to know what became of it, however long that takes.
    ///
    /// # Errors
    /// `overloaded` when its lane is full, and nothing has happened; `shutting-down`, and it may have
    /// happened or not.
    pub async fn call_to_the_end(
        &self,
        input: impl FnOnce(Token) -> Input,
    ) -> Result<Answer, Problem> {
        let (_, answer) = self.send(input).map_err(|problem| *problem)?;
        match answer.await {
            Ok(Answer::Problem(problem)) => Err(*problem),
            Ok(answer) => Ok(answer),
            Err(_dropped) => Err(shutting_down()),
        }
    }

    /// Asks the live model.
    ///
    /// # Errors
    /// As [`Handle::call`].
    pub async fn query(&self, query: Query) -> Result<Answer, Problem> {
        self.call(|reply| Input::Query { query, reply }).await
    }

    /// A host's dispatch poll: waits for an answer, at most `wait` or until `stop` resolves.
    ///
    /// # Errors
    /// As [`Handle::call`].
    pub async fn poll(
        &self,
        host: HostName,
        wait: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<Answer, Problem> {
        let (token, mut answer) = self
            .send(|reply| Input::Poll { host: host.clone(), reply })
            .map_err(|problem| *problem)?;
        let mut parked = Parked { handle: self, host: Some(host), token };
        tokio::pin!(stop);
        let answered = tokio::select! {
            biased;
            answered = &mut answer => answered,
            () = &mut stop => return Ok(Answer::Dispatch(None)),
            () = tokio::time::sleep(wait) => return Ok(Answer::Dispatch(None)),
        };
        parked.host = None;
        match answered {
            Ok(Answer::Problem(problem)) => Err(*problem),
            Ok(answer) => Ok(answer),
            Err(_dropped) => Err(shutting_down()),
        }
    }

    /// Sends something that needs no answer.
    ///
    /// # Errors
    /// As [`Handle::call`].
    pub fn notice(&self, input: Input) -> Result<(), Box<Problem>> {
        self.enqueue(Message::Notice(input))
    }

    pub(super) async fn send_stop(&self) {
        // A closed queue has stopped already.
        let _stopped_already = self.queue.send(Message::Stop).await;
    }

    /// How many inputs wait.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    fn send(
        &self,
        input: impl FnOnce(Token) -> Input,
    ) -> Result<(Token, oneshot::Receiver<Answer>), Box<Problem>> {
        let token = Token(self.next_token.fetch_add(1, Ordering::Relaxed));
        let input = input(token);
        let lane = Lane::of(&input);
        let Some(place) = self.lanes.place(lane) else {
            metrics::count_refused(lane);
            return Err(Box::new(overloaded(lane.refusal())));
        };
        let (replier, answer) = oneshot::channel();
        self.enqueue(Message::Request(token, input, replier, place))?;
        Ok((token, answer))
    }

    fn enqueue(&self, message: Message) -> Result<(), Box<Problem>> {
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Box::new(overloaded("the queue is full")),
            mpsc::error::TrySendError::Closed(_) => Box::new(shutting_down()),
        })
    }
}

/// A poll that waits. Dropped, because its time is up or its connection is gone, it says so.
struct Parked<'a> {
    handle: &'a Handle,
    host: Option<HostName>,
    token: Token,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        if let Some(host) = self.host.take() {
            // With a full queue the poll is found dead when it is answered.
            let _full = self.handle.notice(Input::PollEnded { host, reply: self.token });
        }
    }
}

fn overloaded(detail: &str) -> Problem {
    Problem::new(ProblemCode::Overloaded, detail)
}

fn shutting_down() -> Problem {
    Problem::new(ProblemCode::ShuttingDown, "the control plane is stopping")
}
