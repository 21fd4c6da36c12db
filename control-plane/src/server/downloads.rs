//! What goes out of the blob folder: so many at once, so many to one caller, so many bytes a second. A rollout
//! to everyone may not take the connections and the line from heartbeats (G14).
//!
//! Not here: which blob may be fetched by whom (see `routes::assets`), how much waits for the reducer (see
//! [`crate::service::Lane`]).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use wavegate_proto::wire::problem::ProblemCode;

use super::error::ApiError;
use crate::config::Limits;

/// Since no time: a download that is held back by us does not stand still.
const WAITS_FOR_US: u64 = u64::MAX;

/// Pieces of files have at most so many bytes.
const PIECE_BYTES: u32 = 64 * 1024;

/// What is on its way.
#[derive(Debug)]
pub struct Downloads {
    max: usize,
    max_per_identity: usize,
    /// Who takes nothing for so long has lost the place.
    stall: Duration,
    start: Instant,
    under_way: Mutex<Vec<Weak<Place>>>,
    pace: Option<Arc<DefaultDirectRateLimiter>>,
}

/// The place of one download; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    subject: String,
    /// When it took its last piece, in milliseconds since the start; [`WAITS_FOR_US`] while the pace holds it.
    last_millis: AtomicU64,
}

impl Downloads {
    /// With these bounds; 0 is none.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let pace = NonZeroU32::new(limits.download_bytes_per_second).map(|bytes| {
            let burst = bytes.max(NonZeroU32::MIN.saturating_add(PIECE_BYTES - 1));
            Arc::new(RateLimiter::direct(Quota::per_second(bytes).allow_burst(burst)))
        });
        Self {
            max: limits.downloads,
            max_per_identity: limits.downloads_per_identity,
            stall: limits.stall,
            start: Instant::now(),
            under_way: Mutex::default(),
            pace,
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
            is_kept
        });
        if self.max_per_identity > 0 && own >= self.max_per_identity {
            return Err(full("as many downloads of this caller are under way as there may be"));
        }
        if self.max > 0 && under_way.len() >= self.max {
            return Err(full("as many downloads are under way as there may be"));
        }
        let place = Arc::new(Place { subject, last_millis: AtomicU64::new(now) });
        under_way.push(Arc::downgrade(&place));
        Ok(place)
    }

    /// The body at the pace that all downloads share; its place is taken until it has been sent.
    pub(super) fn paced(&self, body: Body, place: Arc<Place>) -> Body {
        let (pace, start) = (self.pace.clone(), self.start);
        Body::from_stream(body.into_data_stream().then(move |piece| {
            let (pace, place) = (pace.clone(), place.clone());
            async move {
                let piece = piece?;
                let bytes = u32::try_from(piece.len()).ok().and_then(NonZeroU32::new);
                if let (Some(pace), Some(bytes)) = (pace, bytes) {
                    place.last_millis.store(WAITS_FOR_US, Ordering::Relaxed);
                    // A piece that is larger than the burst would never go; there is none.
                    let _never = pace.until_n_ready(bytes).await;
                }
                place.last_millis.store(millis(start), Ordering::Relaxed);
                Ok::<Bytes, axum::Error>(piece)
            }
        }))
    }

    fn millis(&self) -> u64 {
        millis(self.start)
    }
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn full(detail: &str) -> ApiError {
    ApiError::new(ProblemCode::Overloaded, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn downloads(change: impl FnOnce(&mut Limits)) -> Downloads {
        let mut limits = Limits::default();
        change(&mut limits);
        Downloads::new(&limits)
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
    #[test]
    fn g14_a_download_that_stands_still_loses_its_place() {
        let downloads = downloads(|limits| {
            limits.downloads = 1;
            limits.stall = Duration::ZERO;
        });
        let _stuck = downloads.admit("host/a".to_owned()).unwrap();
        while downloads.millis() == 0 {
            std::hint::spin_loop();
        }
        assert!(downloads.admit("host/b".to_owned()).is_ok());
    }

    /// G14: nobody loses a place by our own pace.
    #[tokio::test]
    async fn g14_a_download_that_the_pace_holds_back_keeps_its_place() {
        let downloads = downloads(|limits| {
            limits.downloads = 1;
            limits.stall = Duration::ZERO;
            limits.download_bytes_per_second = 1;
        });
        let pieces = [7, 7].map(|byte| Ok::<_, std::io::Error>(vec![byte; PIECE_BYTES as usize]));
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let place = downloads.admit("host/a".to_owned()).unwrap();
        let mut body = downloads.paced(body, place).into_data_stream();
        body.next().await.unwrap().unwrap();
        assert!(futures_util::poll!(body.next()).is_pending(), "the burst is used up");
        while downloads.millis() == 0 {
            std::hint::spin_loop();
        }
        assert!(downloads.admit("host/b".to_owned()).is_err());
    }

    #[tokio::test]
    async fn all_downloads_share_a_pace() {
        let downloads = downloads(|limits| limits.download_bytes_per_second = 1_000_000);
        let started = Instant::now();
        let send = async |name| {
            let piece = Bytes::from(vec![7; PIECE_BYTES as usize]);
            let body = futures_util::stream::iter(
                (0..10).map(move |_| Ok::<_, std::io::Error>(piece.clone())),
            );
            let body = downloads
                .paced(Body::from_stream(body), downloads.admit(format!("host/{name}")).unwrap());
            axum::body::to_bytes(body, usize::MAX).await.unwrap().len()
        };
        let (one, other) = tokio::join!(send("a"), send("b"));
        assert_eq!((one, other), (655_360, 655_360));
        // A second's worth goes at once, the other 310,720 bytes at the pace.
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(300), "{took:?}");
    }
}
