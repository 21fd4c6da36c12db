//! The wire format is frozen: every file of `golden/` is read and written again equal. A change that
//! breaks one of them breaks clients; a new version gets new files beside the old ones.
//!
//! Not here: the figures of other implementations (see `vectors.rs`).

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wavegate_proto::artifact::{bundle, entry, fleet, header};
use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::record::HostRecord;
use wavegate_proto::signing::SignatureFile;
use wavegate_proto::trust::TrustFile;
use wavegate_proto::wire::operator::QuarantineDocument;
use wavegate_proto::wire::{
    agent, enroll, operator, plan, problem, provider, publish, resource, trust,
};

fn files() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn again<T: Serialize + DeserializeOwned>(text: &str) -> Value {
    serde_json::to_value(serde_json::from_str::<T>(text).unwrap()).unwrap()
}

fn rewritten(name: &str, text: &str) -> Value {
    match name {
        "fleet-document" | "fleet-document-enroll" => again::<fleet::FleetDocument>(text),
        "rollout-header" => again::<header::RolloutHeader>(text),
        "host-entry" | "host-entry-store-path" => again::<entry::HostEntry>(text),
        "bundle" => serde_json::to_value(bundle::Bundle::parse(text.as_bytes()).unwrap()).unwrap(),
        "signature-file" => again::<SignatureFile>(text),
        "trust-file" | "trust-file-enroll" => {
            serde_json::to_value(TrustFile::parse(text.as_bytes()).unwrap()).unwrap()
        }
        "heartbeat" => again::<agent::Heartbeat>(text),
        "heartbeat-answer" => again::<agent::HeartbeatAnswer>(text),
        "trust-answer" => again::<trust::TrustAnswer>(text),
        "trust-published" => again::<trust::TrustPublished>(text),
        "dispatch" => again::<agent::Dispatch>(text),
        "events-request" => again::<agent::EventsRequest>(text),
        "events-answer" => again::<agent::EventsAnswer>(text),
        "rollout-proof" => again::<agent::RolloutProof>(text),
        "host-record" => again::<HostRecord>(text),
        "resource-status" => again::<resource::ResourceStatus>(text),
        "status" | "status-alarms" => again::<operator::Status>(text),
        "host-document" | "host-document-parked" | "host-document-provider" => {
            again::<operator::HostDocument>(text)
        }
        "provider-sync" => again::<provider::ProviderSync>(text),
        "explanation" => again::<operator::Explanation>(text),
        "channel-document" => again::<operator::ChannelDocument>(text),
        "rollout-document" => again::<operator::RolloutDocument>(text),
        "quarantine-document" => again::<QuarantineDocument>(text),
        "page" => again::<operator::Page<QuarantineDocument>>(text),
        "event-item" => again::<operator::EventItem>(text),
        "readiness" => again::<operator::Readiness>(text),
        "publish-request" | "publish-request-by-hash" => again::<publish::PublishRequest>(text),
        "publish-answer" => again::<publish::PublishAnswer>(text),
        "enroll-request" | "enroll-request-expired" => again::<enroll::EnrollRequest>(text),
        "renew-request" => again::<enroll::RenewRequest>(text),
        "certificate-answer" => again::<enroll::CertificateAnswer>(text),
        "plan-document" => again::<plan::PlanDocument>(text),
        _ if name.starts_with("problem-") => again::<problem::Problem>(text),
        _ if name.starts_with("event-") => again::<JournalEntry>(text),
        _ => panic!("{name}.json is read by nothing"),
    }
}

#[test]
fn every_golden_file_is_written_as_it_was_read() {
    let files = files();
    for (name, text) in &files {
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(rewritten(name, text), expected, "{name}.json");
    }
}

/// Readers of the wire ignore fields they do not know.
#[test]
fn unknown_fields_are_ignored() {
    for (name, text) in files() {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        let expected = value.clone();
        value.as_object_mut().unwrap().insert("unknown_to_this_build".to_owned(), Value::from(1));
        assert_eq!(rewritten(&name, &value.to_string()), expected, "{name}.json");
    }
}

/// A kind without a file is not frozen: this match does not compile until the new one is named.
fn is_frozen(event: &Event) -> bool {
    match event {
        Event::JournalOpened { .. }
        | Event::DispatchAck { .. }
        | Event::DispatchReject { .. }
        | Event::ActivationStarted { .. }
        | Event::ActivationComplete { .. }
        | Event::ActivationFailed { .. }
        | Event::ActivationDeferred { .. }
        | Event::ProbeTopology { .. }
        | Event::ProbeResult { .. }
        | Event::Carried { .. }
        | Event::Failed { .. }
        | Event::RollbackComplete { .. }
        | Event::RollbackFailed { .. }
        | Event::Converged { .. }
        | Event::Degraded { .. }
        | Event::Recovered {}
        | Event::ResourceChanged { .. }
        | Event::DriftDetected { .. }
        | Event::DriftCorrected { .. }
        | Event::Refused => true,
    }
}

#[test]
fn every_event_kind_has_a_file_named_after_it() {
    let mut kinds = BTreeSet::new();
    for (name, text) in files() {
        let Some(kind) = name.strip_prefix("event-").filter(|kind| *kind != "item") else {
            continue;
        };
        let entry: JournalEntry = serde_json::from_str(&text).unwrap();
        assert!(is_frozen(&entry.event));
        assert_eq!(entry.event.kind(), kind.replace('-', "_"));
        kinds.insert(entry.event.kind());
    }
    assert_eq!(kinds.len(), 20);
}
