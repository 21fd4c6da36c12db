//! What goes out of the blob folder: so many at once, so many to one caller, so many bytes a second. A rollout
//! to everyone may not take the connections and the line from heartbeats (G14).
//!
//! Not here: which blob may be fetched by whom (see `routes::assets`), how much waits for the reducer (see
//! [`crate::service::Lane`]).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use wavegate_proto::wire::problem::ProblemCode;

use super::error::ApiError;
use super::throttle::Throttle;
use crate::config::Limits;

/// What is on its way.
#[derive(Debug)]
pub struct Downloads {
    max: usize,
    max_per_identity: usize,
    /// Who takes nothing for so long has lost the place.
    stall: Duration,
    start: Instant,
    under_way: Mutex<Vec<Weak<Place>>>,
    throttle: Option<Arc<Throttle>>,
}

/// The place of one download; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    subject: String,
    /// When it took its last piece, or may take the next, in milliseconds since the start.
    last_millis: AtomicU64,
    /// Somebody else may have it: what it was for ends, and can be taken up again where it broke off.
    is_lost: AtomicBool,
}

impl Downloads {
    /// With these bounds; 0 is none.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let start = Instant::now();
        Self {
            max: limits.downloads,
            max_per_identity: limits.downloads_per_identity,
            stall: limits.stall,
            start,
            under_way: Mutex::default(),
            throttle: Throttle::of(limits.download_bytes_per_second, start).map(Arc::new),
        }
    }

    /// A place for one more.
    pub(super) fn admit(&self, subject: String) -> Result<Arc<Place>, ApiError> {
        let now = self.millis();
        let stall = u64::try_from(self.stall.as_millis()).unwrap_or(u64::MAX);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = 0;
        under_way.retain(|place| {
            let Some(place) = place.upgrade() else { return false };
            let idle = now.saturating_sub(place.last_millis.load(Ordering::Relaxed));
            let is_kept = idle <= stall;
            own += usize::from(is_kept && place.subject == subject);
            place.is_lost.store(!is_kept, Ordering::Relaxed);
            is_kept
        });
        if self.max_per_identity > 0 && own >= self.max_per_identity {
            return Err(full("as many downloads of this caller are under way as there may be"));
        }
        if self.max > 0 && under_way.len() >= self.max {
            return Err(full("as many downloads are under way as there may be"));
        }
        let (last_millis, is_lost) = (AtomicU64::new(now), AtomicBool::new(false));
        let place = Arc::new(Place { subject, last_millis, is_lost });
        under_way.push(Arc::downgrade(&place));
        Ok(place)
    }

    /// The body at the pace that all downloads share; its place is taken until it has been sent.
    pub(super) fn paced(&self, body: Body, place: Arc<Place>) -> Body {
        let (throttle, start) = (self.throttle.clone(), self.start);
        Body::from_stream(body.into_data_stream().then(move |piece| {
            let (throttle, place) = (throttle.clone(), place.clone());
            async move {
                let piece = piece?;
                let now = Instant::now();
                let slot = throttle.map(|throttle| throttle.slot(now, piece.len()));
                let departure = slot.as_ref().map_or(now, |slot| slot.departure);
                place.last_millis.store(millis(departure - start), Ordering::Relaxed);
                if departure > now {
                    tokio::time::sleep_until(departure.into()).await;
                }
                if place.is_lost.load(Ordering::Relaxed) {
                    return Err(axum::Error::new("nothing was taken for too long"));
                }
                if let Some(slot) = slot {
                    slot.used();
                }
                Ok::<Bytes, axum::Error>(piece)
            }
        }))
    }

    fn millis(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

fn millis(since_start: Duration) -> u64 {
    u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX)
}

fn full(detail: &str) -> ApiError {
    ApiError::new(ProblemCode::Overloaded, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE_BYTES: usize = 64 * 1024;

    fn downloads(change: impl FnOnce(&mut Limits)) -> Downloads {
        let mut limits = Limits::default();
        change(&mut limits);
        Downloads::new(&limits)
    }

    fn pieces(count: usize) -> Body {
        let piece = || Ok::<_, std::io::Error>(vec![7; PIECE_BYTES]);
        Body::from_stream(futures_util::stream::iter((0..count).map(move |_| piece())))
    }

    /// G14: one caller cannot take all places; what has been sent makes room.
    #[test]
    fn g14_downloads_are_counted_for_each_caller_and_for_all() {
        let downloads = downloads(|limits| {
            limits.downloads = 3;
            limits.downloads_per_identity = 2;
        });
        let first = downloads.admit("host/a".to_owned()).unwrap();
        let _second = downloads.admit("host/a".to_owned()).unwrap();
        assert!(downloads.admit("host/a".to_owned()).is_err(), "two of one caller");
        let _third = downloads.admit("host/b".to_owned()).unwrap();
        assert!(downloads.admit("host/c".to_owned()).is_err(), "three of all");
        drop(first);
        assert!(downloads.admit("host/c".to_owned()).is_ok());
    }

    /// G14: who takes nothing does not keep others waiting.
    #[tokio::test]
    async fn g14_a_download_that_stands_still_loses_its_place() {
        let downloads = downloads(|limits| {
            limits.downloads = 1;
            limits.stall = Duration::ZERO;
        });
        let stuck = downloads.admit("host/a".to_owned()).unwrap();
        let mut stuck = downloads.paced(pieces(2), stuck).into_data_stream();
        stuck.next().await.unwrap().unwrap();
        let taken = downloads.millis();
        while downloads.millis() == taken {
            std::hint::spin_loop();
        }
        assert!(downloads.admit("host/b".to_owned()).is_ok());
        assert!(stuck.next().await.unwrap().is_err(), "it goes on beside those that are counted");
    }

    /// G14: nobody loses a place by our own pace.
    #[tokio::test]
    async fn g14_a_download_that_the_pace_holds_back_keeps_its_place() {
        let downloads = downloads(|limits| {
            limits.downloads = 1;
            limits.stall = Duration::ZERO;
            limits.download_bytes_per_second = 1;
        });
        let place = downloads.admit("host/a".to_owned()).unwrap();
        let mut body = downloads.paced(pieces(2), place).into_data_stream();
        body.next().await.unwrap().unwrap();
        assert!(futures_util::poll!(body.next()).is_pending(), "the burst is used up");
        while downloads.millis() == 0 {
            std::hint::spin_loop();
        }
        assert!(downloads.admit("host/b".to_owned()).is_err());
    }

    /// G14: each download gets its part, however many there are.
    #[tokio::test]
    async fn g14_all_downloads_share_a_pace_piece_by_piece() {
        let downloads = downloads(|limits| limits.download_bytes_per_second = 1_000_000);
        let order = Mutex::new(Vec::new());
        let started = Instant::now();
        let send = async |name: &'static str| {
            let place = downloads.admit(format!("host/{name}")).unwrap();
            let mut body = downloads.paced(pieces(5), place).into_data_stream();
            while let Some(piece) = body.next().await {
                assert_eq!(piece.unwrap().len(), PIECE_BYTES);
                order.lock().unwrap().push(name);
            }
        };
        tokio::join!(send("a"), send("b"), send("c"));
        let order = order.into_inner().unwrap();
        assert_eq!(order.len(), 15);
        // The first one goes before the others have come.
        for turn in order[1..13].chunks(3) {
            let mut turn = turn.to_vec();
            turn.sort_unstable();
            assert_eq!(turn, ["a", "b", "c"], "{order:?}");
        }
        // One piece goes at once, the other 917,504 bytes at the pace.
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(900), "{took:?}");
    }

    /// G14: a connection that is not looked at, because its client takes nothing, keeps nobody waiting.
    #[tokio::test]
    async fn g14_a_download_that_waits_and_is_left_alone_holds_up_no_other() {
        let downloads = downloads(|limits| {
            limits.downloads = 2;
            limits.stall = Duration::from_millis(1);
            limits.download_bytes_per_second = 100_000;
        });
        let mut left = downloads
            .paced(pieces(3), downloads.admit("host/a".to_owned()).unwrap())
            .into_data_stream();
        left.next().await.unwrap().unwrap();
        assert!(futures_util::poll!(left.next()).is_pending(), "it waits for its turn");
        let other = downloads.paced(pieces(3), downloads.admit("host/b".to_owned()).unwrap());
        let other =
            tokio::time::timeout(Duration::from_secs(20), axum::body::to_bytes(other, usize::MAX));
        assert_eq!(other.await.expect("it goes on").unwrap().len(), 3 * PIECE_BYTES);
        let (third, fourth) =
            ["host/c", "host/d"].map(|name| downloads.admit(name.to_owned())).into();
        assert!(third.is_ok() && fourth.is_ok(), "it could have gone on, and has lost its place");
    }
}
