//! How much one caller may ask, counted before the router sees anything (G14).
//!
//! Not here: the numbers (see [`crate::config::Limits`]), the disk (see [`super::disk`]).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::problem::ProblemCode;

use super::error::ApiError;
use super::identity::Peer;
use crate::config::{Limits, Rate};

/// After so many requests those are forgotten who were quiet for long.
const FORGET_EVERY: u32 = 10_000;

const DAY: Duration = Duration::from_secs(86_400);

/// Whom requests and connections are counted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// A certificate's subject.
    Subject(String),
    /// Where there is none.
    Address(IpAddr),
}

impl Key {
    pub(super) fn of(peer: &Peer, address: IpAddr) -> Self {
        match peer {
            Peer::Known(identity) => Self::Subject(identity.caller.subject()),
            Peer::Anonymous | Peer::Unacceptable(_) | Peer::Local => Self::Address(address),
        }
    }
}

/// Counts what callers do. A bound that is absent holds nothing.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    seats: Arc<Mutex<BTreeMap<Key, usize>>>,
    asked: AtomicU32,
    requests: Option<DefaultKeyedRateLimiter<Key>>,
    events: Option<DefaultKeyedRateLimiter<HostName>>,
    event_bytes: Option<DefaultKeyedRateLimiter<HostName>>,
}

/// A connection's place among those of its key, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Mutex<BTreeMap<Key, usize>>>,
    key: Key,
    /// How many there are with it.
    pub(super) number: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seats.get_mut(&self.key) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.key);
            }
        }
    }
}

impl Limiter {
    /// One that counts from now.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            seats: Arc::default(),
            asked: AtomicU32::new(0),
            requests: quota(limits.requests).map(RateLimiter::keyed),
            events: quota(limits.events).map(RateLimiter::keyed),
            event_bytes: NonZeroU32::new(limits.event_bytes_per_day)
                .and_then(|bytes| Some(Quota::with_period(DAY / bytes.get())?.allow_burst(bytes)))
                .map(RateLimiter::keyed),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A place for one more connection from `address`, before anything is read from it.
    pub(super) fn connection_from(&self, address: IpAddr) -> Option<Seat> {
        let seat = self.seat(Key::Address(address));
        let max = self.limits.connections_per_address;
        (max == 0 || seat.number <= max).then_some(seat)
    }

    /// A place for one more connection of a subject. [`Self::is_crowded`] says whether it may ask
    /// anything; with twice as many as it may have there is none at all.
    pub(super) fn connection_of(&self, peer: &Peer) -> Option<Option<Seat>> {
        let Peer::Known(identity) = peer else { return Some(None) };
        let seat = self.seat(Key::Subject(identity.caller.subject()));
        let max = self.limits.connections_per_identity;
        (max == 0 || seat.number <= max.saturating_mul(2)).then_some(Some(seat))
    }

    pub(super) fn is_crowded(&self, seat: Option<&Seat>) -> bool {
        let max = self.limits.connections_per_identity;
        max > 0 && seat.is_some_and(|seat| seat.number > max)
    }

    fn seat(&self, key: Key) -> Seat {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = seats.entry(key.clone()).or_insert(0);
        *taken += 1;
        Seat { seats: self.seats.clone(), key, number: *taken }
    }

    /// Whether one more request may be answered.
    pub(super) fn request(&self, key: &Key) -> Result<(), ApiError> {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.forget();
        }
        match self.requests.as_ref().map(|limiter| limiter.check_key(key)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(limited("too many requests of one caller")),
        }
    }

    /// Forgets callers who have their whole share again: with addresses there is no end of keys.
    fn forget(&self) {
        if let Some(limiter) = &self.requests {
            limiter.retain_recent();
        }
        for limiter in [&self.events, &self.event_bytes].into_iter().flatten() {
            limiter.retain_recent();
        }
    }

    /// Whether a host may add so many events, of so many bytes together. Before anything is kept.
    pub(super) fn events(
        &self,
        host: &HostName,
        events: usize,
        bytes: usize,
    ) -> Result<(), ApiError> {
        if !fits(self.events.as_ref(), host, events) {
            return Err(limited("too many events of one host"));
        }
        if !fits(self.event_bytes.as_ref(), host, bytes) {
            return Err(limited("too many bytes of events of one host"));
        }
        Ok(())
    }
}

fn fits(
    limiter: Option<&DefaultKeyedRateLimiter<HostName>>,
    host: &HostName,
    cells: usize,
) -> bool {
    let (Some(limiter), Some(cells)) =
        (limiter, u32::try_from(cells).ok().and_then(NonZeroU32::new))
    else {
        return true;
    };
    matches!(limiter.check_key_n(host, cells), Ok(Ok(())))
}

fn quota(rate: Rate) -> Option<Quota> {
    let burst = NonZeroU32::new(rate.burst)?;
    Some(Quota::per_second(NonZeroU32::new(rate.per_second)?).allow_burst(burst))
}

pub(super) fn limited(detail: &str) -> ApiError {
    ApiError::new(ProblemCode::RateLimited, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(change: impl FnOnce(&mut Limits)) -> Limiter {
        let mut limits = Limits::default();
        change(&mut limits);
        Limiter::new(limits)
    }

    /// G14: what one host may send is bounded, by events and by bytes, and another one's share is its own.
    #[test]
    fn g14_each_host_has_its_own_share_of_events_and_bytes() {
        let limiter = limiter(|limits| {
            limits.events = Rate { per_second: 1, burst: 10 };
            limits.event_bytes_per_day = 1000;
        });
        let [one, other] = ["web-1", "web-2"].map(|name| name.parse::<HostName>().unwrap());
        assert!(limiter.events(&one, 10, 100).is_ok());
        assert!(limiter.events(&one, 1, 100).is_err(), "the burst is used up");
        assert!(limiter.events(&other, 5, 900).is_ok());
        assert!(limiter.events(&other, 1, 900).is_err(), "the day's bytes are used up");
        assert!(limiter.events(&other, 11, 1).is_err(), "more than there will ever be room for");
        assert!(limiter.events(&one, 0, 0).is_ok(), "nothing costs nothing");
    }

    /// A caller who has their whole share again is as good as a stranger, and costs no memory.
    #[test]
    fn quiet_callers_are_forgotten() {
        let limiter = limiter(|limits| limits.requests = Rate { per_second: 1_000_000, burst: 1 });
        for number in 0..FORGET_EVERY {
            let key = Key::Address(std::net::Ipv4Addr::from(number).into());
            assert!(limiter.request(&key).is_ok());
        }
        let known = || limiter.requests.as_ref().map(|limiter| limiter.len());
        assert!(known().is_some_and(|known| known > 1000), "{:?}", known());
        limiter.forget();
        // The last ones asked a microsecond ago.
        assert!(known().is_some_and(|known| known < 100), "{:?}", known());
    }

    /// G14: a connection that is closed makes room.
    #[test]
    fn g14_connections_are_counted_as_long_as_they_live() {
        let limiter = limiter(|limits| limits.connections_per_address = 2);
        let address = "192.0.2.1".parse().unwrap();
        let first = limiter.connection_from(address).unwrap();
        let _second = limiter.connection_from(address).unwrap();
        assert!(limiter.connection_from(address).is_none());
        assert!(limiter.connection_from("192.0.2.2".parse().unwrap()).is_some());
        drop(first);
        assert!(limiter.connection_from(address).is_some());
    }
}
