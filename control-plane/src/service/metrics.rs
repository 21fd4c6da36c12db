//! The figures that Prometheus reads: their names, and where they are counted. Never a label per host.
//!
//! Not here: the live model's own figures (see [`crate::core::Figures`]); they are set when read.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use wavegate_proto::ids::Serial;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{Expiry, ExpiryKind};

use super::Lane;
use crate::core::{Figures, Write};

const HOSTS: &str = "wavegate_hosts";
const HOSTS_ONLINE: &str = "wavegate_hosts_online";
const ROLLOUTS: &str = "wavegate_rollouts";
const LOG_LAST_SEQ: &str = "wavegate_log_last_seq";
const EVENTS: &str = "wavegate_events_total";
const HEARTBEATS: &str = "wavegate_heartbeats_total";
const COMMIT_SECONDS: &str = "wavegate_commit_seconds";
const COMMIT_ROWS: &str = "wavegate_commit_batch_rows";
const QUEUE_DEPTH: &str = "wavegate_queue_depth";
const OVERLOADED: &str = "wavegate_overloaded_total";
const RELEASE_SERIAL: &str = "wavegate_release_serial";
const RELEASE_FRESH: &str = "wavegate_release_fresh_seconds";
const CERTIFICATE_EXPIRES: &str = "wavegate_certificate_expires_seconds";
const CLOCK_SKEWED: &str = "wavegate_hosts_clock_skewed";
const CLONED: &str = "wavegate_hosts_cloned";
const TRUST_VERSION: &str = "wavegate_trust_version";
const UNTRUSTED: &str = "wavegate_release_untrusted";

/// Certificates of which the process knows, by their label.
const CERTIFICATES: [(ExpiryKind, &str); 2] =
    [(ExpiryKind::ControlPlaneCertificate, "control-plane"), (ExpiryKind::Authority, "authority")];

const SECONDS_BUCKETS: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];
const ROWS_BUCKETS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0];

/// The process's recorder, installed at the first call.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER.get_or_init(install).as_ref()
}

fn install() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(COMMIT_SECONDS.to_owned()), &SECONDS_BUCKETS)
        .and_then(|b| {
            b.set_buckets_for_metric(Matcher::Full(COMMIT_ROWS.to_owned()), &ROWS_BUCKETS)
        })
        .ok()?;
    // A program that embeds the control plane may have a recorder of its own.
    let handle = builder.install_recorder().ok()?;
    describe();
    Some(handle)
}

fn describe() {
    metrics::describe_gauge!(HOSTS, "Member hosts by the state of their newest record.");
    metrics::describe_gauge!(HOSTS_ONLINE, "Member hosts heard from lately.");
    metrics::describe_gauge!(ROLLOUTS, "Rollouts by state.");
    metrics::describe_gauge!(LOG_LAST_SEQ, "The last row of the log.");
    metrics::describe_counter!(EVENTS, "Events of agents by kind and result.");
    metrics::describe_counter!(HEARTBEATS, "Heartbeats received.");
    metrics::describe_histogram!(COMMIT_SECONDS, "How long a commit takes, in seconds.");
    metrics::describe_histogram!(COMMIT_ROWS, "How many rows a commit writes.");
    metrics::describe_gauge!(QUEUE_DEPTH, "Inputs that wait for the reducer.");
    metrics::describe_counter!(OVERLOADED, "Requests refused because their lane was full.");
    metrics::describe_gauge!(RELEASE_SERIAL, "The serial of the adopted release.");
    metrics::describe_gauge!(RELEASE_FRESH, "Seconds until the first channel is stale.");
    metrics::describe_gauge!(CERTIFICATE_EXPIRES, "Seconds until the first of a kind expires.");
    metrics::describe_gauge!(CLOCK_SKEWED, "Hosts whose clock is off by more than is tolerated.");
    metrics::describe_gauge!(CLONED, "Hosts for which two machines speak.");
    metrics::describe_gauge!(TRUST_VERSION, "The version of the trust file that holds.");
    metrics::describe_gauge!(UNTRUSTED, "1 while the adopted release is not trusted any more.");
}

/// Installs the recorder, so that what is counted from now on is kept.
pub(crate) fn start() {
    recorder();
    metrics::counter!(HEARTBEATS).absolute(0);
}

pub(super) fn committed(took: Duration, rows: usize) {
    metrics::histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
    metrics::histogram!(COMMIT_ROWS).record(float(u64::try_from(rows).unwrap_or(u64::MAX)));
}

/// Counts an agent's event, accepted or refused.
pub(super) fn count_event(write: &Write) {
    let Write::Log(row) = write else { return };
    if row.synthetic || !row.actor.starts_with("host/") {
        return;
    }
    if row.kind == "event_refused" {
        let kind = row.payload.get("kind").and_then(serde_json::Value::as_str);
        let kind = kind.unwrap_or("unknown").to_owned();
        metrics::counter!(EVENTS, "kind" => kind, "result" => "refused").increment(1);
    } else {
        metrics::counter!(EVENTS, "kind" => row.kind, "result" => "accepted").increment(1);
    }
}

/// Counts a request that found no place.
pub(super) fn count_refused(lane: Lane) {
    metrics::counter!(OVERLOADED, "lane" => lane.as_str()).increment(1);
}

/// Counts a heartbeat.
pub(crate) fn count_heartbeat() {
    static COUNTER: OnceLock<metrics::Counter> = OnceLock::new();
    COUNTER.get_or_init(|| metrics::counter!(HEARTBEATS)).increment(1);
}

/// Everything as Prometheus reads it.
pub(crate) fn render(
    figures: &Figures,
    queue_depth: usize,
    now: Timestamp,
    certificates: &[Expiry],
) -> String {
    for (state, count) in &figures.hosts_by_state {
        metrics::gauge!(HOSTS, "state" => state.clone()).set(float(*count));
    }
    metrics::gauge!(HOSTS_ONLINE).set(float(figures.hosts_online));
    for (state, count) in &figures.rollouts_by_state {
        metrics::gauge!(ROLLOUTS, "state" => state.as_str()).set(float(*count));
    }
    metrics::gauge!(LOG_LAST_SEQ).set(float(figures.log_last_seq.0));
    metrics::gauge!(QUEUE_DEPTH).set(float(u64::try_from(queue_depth).unwrap_or(u64::MAX)));
    let serial = figures.serial.unwrap_or(Serial(0));
    metrics::gauge!(RELEASE_SERIAL).set(float(serial.0));
    if let Some(until) = figures.fresh_until {
        metrics::gauge!(RELEASE_FRESH).set(signed_float(until.secs_since(now)));
    }
    if let Some(at) = figures.host_certificate_expires {
        metrics::gauge!(CERTIFICATE_EXPIRES, "subject_kind" => "host")
            .set(signed_float(at.secs_since(now)));
    }
    for (kind, subject_kind) in CERTIFICATES {
        let of_kind = certificates.iter().filter(|expiry| expiry.kind == kind);
        if let Some(left_secs) = of_kind.map(|expiry| expiry.left_secs).min() {
            metrics::gauge!(CERTIFICATE_EXPIRES, "subject_kind" => subject_kind)
                .set(signed_float(left_secs));
        }
    }
    metrics::gauge!(CLOCK_SKEWED).set(float(figures.alarms.clock_skewed));
    metrics::gauge!(CLONED).set(float(figures.alarms.cloned));
    let untrusted = figures.alarms.release_untrusted.is_some();
    metrics::gauge!(UNTRUSTED).set(float(u64::from(untrusted)));
    if let Some(version) = figures.trust_version {
        metrics::gauge!(TRUST_VERSION).set(float(version));
    }
    recorder().map(PrometheusHandle::render).unwrap_or_default()
}

/// Counts stay far below 2^52, where a float holds every integer.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

/// The same for seconds, which may be negative.
#[allow(clippy::cast_precision_loss)]
fn signed_float(secs: i64) -> f64 {
    secs as f64
}
