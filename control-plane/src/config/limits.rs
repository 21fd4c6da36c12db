//! What bounds one caller, and all of them together: options with defaults (G14).
//!
//! Not here: counting (see [`crate::server::limiter`]), and the limits of single routes (see
//! [`crate::server::table`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What bounds callers. Where a number is 0 there is no such bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections of both listeners; the kernel's queue holds the next ones.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Connections with one certificate's subject.
    pub connections_per_identity: usize,
    /// Requests of one subject, or without one of an address.
    pub requests: Rate,
    /// Events of one host.
    pub events: Rate,
    /// Bytes of events of one host in a day; as many may come at once.
    pub event_bytes_per_day: u32,
    /// Bytes of all blobs.
    pub blob_store_bytes: u64,
    /// Closures and assets on their way to hosts and people at once.
    pub downloads: usize,
    /// Of those, on their way to one of them.
    pub downloads_per_identity: usize,
    /// Bytes a second of all of them together.
    pub download_bytes_per_second: u32,
    /// Bytes of the disk that hosts and uploads leave free, or a twentieth of the disk where that is less.
    pub reserve_bytes: u64,
    /// The longest a TLS handshake may take.
    pub handshake: Duration,
    /// The longest an HTTP/1.1 client may take for its headers.
    pub headers: Duration,
    /// The longest the next piece of a body may take.
    pub stall: Duration,
    /// The longest a connection may stay without a request.
    pub idle: Duration,
}

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_second: u32,
    /// At once, by one who was quiet.
    pub burst: u32,
}

/// Requests at once, for each that is allowed a second.
const REQUESTS_AT_ONCE: u32 = 50;

/// Events at once, for each that is allowed a second: a journal is replayed in one go.
const EVENTS_AT_ONCE: u32 = 2000;

impl Rate {
    const fn requests(per_second: u32) -> Self {
        Self { per_second, burst: per_second.saturating_mul(REQUESTS_AT_ONCE) }
    }

    const fn events(per_second: u32) -> Self {
        Self { per_second, burst: per_second.saturating_mul(EVENTS_AT_ONCE) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_000,
            connections_per_address: 4_096,
            connections_per_identity: 8,
            requests: Rate::requests(100),
            events: Rate::events(5),
            event_bytes_per_day: 64 * 1024 * 1024,
            blob_store_bytes: 64 * 1024 * 1024 * 1024,
            downloads: 256,
            downloads_per_identity: 4,
            download_bytes_per_second: 100_000_000,
            reserve_bytes: 1024 * 1024 * 1024,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            idle: Duration::from_secs(180),
        }
    }
}

impl Limits {
    /// No bound on how much one caller may ask; for a load that one machine makes in the name of many.
    #[must_use]
    pub fn of_a_load_test() -> Self {
        let no_rate = Rate { per_second: 0, burst: 0 };
        Self {
            connections_per_address: 0,
            connections_per_identity: 0,
            requests: no_rate,
            events: no_rate,
            event_bytes_per_day: 0,
            ..Self::default()
        }
    }
}

/// The arguments that change them. 0 takes a bound away.
#[derive(Debug, Clone, Copy, Default, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitArgs {
    /// The most connections of both listeners; the kernel's queue holds the next ones [default: 16000].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// The most connections from one address [default: 4096].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_address: Option<usize>,
    /// The most connections with certificates of one host or person [default: 8].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_identity: Option<usize>,
    /// Requests a second of one host, person or address, fifty times as many at once [default: 100].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Events a second of one host, two thousand times as many at once [default: 5].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<u32>,
    /// Bytes of events of one host in a day [default: 64 MiB].
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_bytes_per_day: Option<u32>,
    /// The most bytes of all blobs together [default: 64 GiB].
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob_store_bytes: Option<u64>,
    /// The most closures and assets that are sent at once; who comes then is told to come back [default: 256].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloads: Option<usize>,
    /// The most of them that are sent to one host or person [default: 4].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloads_per_identity: Option<usize>,
    /// Bytes a second of all downloads together [default: 100000000; 0: no bound].
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_bytes_per_second: Option<u32>,
    /// Bytes of the disk that hosts' events and uploads leave free; never more than a twentieth of the
    /// disk [default: 1 GiB].
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve_bytes: Option<u64>,
}

impl LimitArgs {
    /// The defaults, with what was said instead.
    #[must_use]
    pub fn resolve(&self) -> Limits {
        let standard = Limits::default();
        Limits {
            connections: self.connections.unwrap_or(standard.connections),
            connections_per_address: self
                .connections_per_address
                .unwrap_or(standard.connections_per_address),
            connections_per_identity: self
                .connections_per_identity
                .unwrap_or(standard.connections_per_identity),
            requests: self.requests_per_second.map_or(standard.requests, Rate::requests),
            events: self.events_per_second.map_or(standard.events, Rate::events),
            event_bytes_per_day: self.event_bytes_per_day.unwrap_or(standard.event_bytes_per_day),
            blob_store_bytes: self.blob_store_bytes.unwrap_or(standard.blob_store_bytes),
            downloads: self.downloads.unwrap_or(standard.downloads),
            downloads_per_identity: self
                .downloads_per_identity
                .unwrap_or(standard.downloads_per_identity),
            download_bytes_per_second: self
                .download_bytes_per_second
                .unwrap_or(standard.download_bytes_per_second),
            reserve_bytes: self.reserve_bytes.unwrap_or(standard.reserve_bytes),
            ..standard
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G14: what the guard says.
    #[test]
    fn g14_the_defaults_are_the_stated_ones() {
        let limits = LimitArgs::default().resolve();
        assert_eq!(limits, Limits::default());
        assert_eq!(limits.events, Rate { per_second: 5, burst: 10_000 });
        assert_eq!(limits.event_bytes_per_day, 64 << 20);
        assert_eq!((limits.connections_per_identity, limits.reserve_bytes), (8, 1 << 30));
        assert_eq!(limits.download_bytes_per_second, 100_000_000, "content leaves room by default");
    }
}
