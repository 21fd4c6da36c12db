//! How many streams may be open, and how one is fed without holding anything up: a reader that does not
//! keep up is left behind, never waited for.
//!
//! Not here: what is streamed (see `routes::stream`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use wavegate_proto::ids::LogSeq;

use super::identity::Peer;
use crate::core::LogEnd;

/// The most streams on the status listener (G27).
pub const MAX_STATUS_STREAMS: usize = 64;

/// The most streams for callers with certificates.
pub const MAX_MTLS_STREAMS: usize = 256;

/// How many rows a reader may be behind when it takes nothing any more.
pub const MAX_ROWS_BEHIND: u64 = 1_000;

/// How long a row may wait for a reader that is further behind than that.
const STALL: Duration = Duration::from_secs(5);

/// The streams that are open.
#[derive(Debug)]
pub struct Streams {
    status: Arc<Semaphore>,
    mtls: Arc<Semaphore>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            status: Arc::new(Semaphore::new(MAX_STATUS_STREAMS)),
            mtls: Arc::new(Semaphore::new(MAX_MTLS_STREAMS)),
        }
    }
}

impl Streams {
    /// A place for one more stream on the caller's listener, if there is one.
    pub(super) fn admit(&self, peer: &Peer) -> Option<OwnedSemaphorePermit> {
        let streams = match peer {
            Peer::Local => &self.status,
            Peer::Anonymous | Peer::Unacceptable(_) | Peer::Known(_) => &self.mtls,
        };
        streams.clone().try_acquire_owned().ok()
    }
}

/// The end of a stream that is fed.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    rows: mpsc::Sender<T>,
    committed: watch::Receiver<LogEnd>,
    stall: Duration,
}

impl<T> Outlet<T> {
    pub(super) fn new(rows: mpsc::Sender<T>, committed: watch::Receiver<LogEnd>) -> Self {
        Self { rows, committed, stall: STALL }
    }

    /// Hands on the row `seq`; false: the reader is gone, or so far behind that it is cut off.
    pub(super) async fn send(&self, seq: LogSeq, row: T) -> bool {
        loop {
            match tokio::time::timeout(self.stall, self.rows.reserve()).await {
                Ok(Ok(place)) => {
                    place.send(row);
                    return true;
                }
                Ok(Err(_gone)) => return false,
                Err(_elapsed) if self.is_behind(seq) => return false,
                Err(_elapsed) => {}
            }
        }
    }

    fn is_behind(&self, seq: LogSeq) -> bool {
        self.committed.borrow().seq.0.saturating_sub(seq.0) >= MAX_ROWS_BEHIND
    }

    /// The reader has gone away.
    pub(super) async fn closed(&self) {
        self.rows.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use wavegate_proto::ids::Sha256Hash;

    use super::*;

    fn outlet(last: u64) -> (Outlet<u8>, mpsc::Receiver<u8>, watch::Sender<LogEnd>) {
        let (rows, reader) = mpsc::channel(1);
        let end = LogEnd { seq: LogSeq(last), chain: Sha256Hash::default() };
        let (committed, seen) = watch::channel(end);
        let outlet = Outlet { stall: Duration::from_millis(5), ..Outlet::new(rows, seen) };
        (outlet, reader, committed)
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_cut_off_at_a_thousand_rows_behind() {
        let (outlet, mut reader, committed) = outlet(1_001);
        assert!(outlet.send(LogSeq(1), 1).await, "there was room for it");
        let waits = async { outlet.send(LogSeq(2), 2).await };
        let patience = tokio::time::timeout(Duration::from_millis(50), waits).await;
        assert!(patience.is_err(), "999 rows behind, it is waited for");
        committed.send_modify(|end| end.seq = LogSeq(1_002));
        assert!(!outlet.send(LogSeq(2), 2).await, "with one row more it is not");
        assert_eq!(reader.recv().await, Some(1));
        assert!(outlet.send(LogSeq(2), 2).await, "one that reads may be as far behind as it likes");
        drop(reader);
        assert!(!outlet.send(LogSeq(3), 3).await, "nobody is there any more");
    }

    /// G27: at most 64 streams on the status listener; what is open there does not count elsewhere.
    #[test]
    fn g27_the_status_listener_has_so_many_streams_and_no_more() {
        let streams = Streams::default();
        let mut open: Vec<_> = (0..64).map(|_| streams.admit(&Peer::Local).unwrap()).collect();
        assert!(streams.admit(&Peer::Local).is_none());
        assert!(streams.admit(&Peer::Anonymous).is_some());
        open.pop();
        assert!(streams.admit(&Peer::Local).is_some(), "one has ended");
    }
}
