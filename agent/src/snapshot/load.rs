//! Reading the snapshot: a newer version is refused untouched, an unreadable file is put aside, one
//! bad entry is skipped and reported.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use wavegate_proto::time::Timestamp;

use super::{MAX_PROBE_SAMPLES, SNAPSHOT_FILE, SNAPSHOT_VERSION, Snapshot, keep_last};

/// What was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// What the file says; `None`: there is no usable one.
    pub snapshot: Option<Snapshot>,
    /// What was skipped or put aside, in words.
    pub complaints: Vec<String>,
}

/// Why the agent must not go on with this file.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Written by a newer agent; it was not touched.
    #[error("read state.json: it has version {found}, this agent knows versions up to {known}")]
    NewerVersion {
        /// The version of the file.
        found: u64,
        /// The newest version this build knows.
        known: u64,
    },
    /// It cannot be read or put aside.
    #[error("read state.json: {0}")]
    Io(#[from] io::Error),
}

/// Reads the snapshot of `state_dir`.
///
/// # Errors
/// When it is of a newer version, or the file system fails.
pub fn load(state_dir: &Path, now: Timestamp) -> Result<Loaded, SnapshotError> {
    match read(state_dir)? {
        Ok(loaded) => Ok(loaded),
        Err(reason) => {
            let path = state_dir.join(SNAPSHOT_FILE);
            let aside = format!("{SNAPSHOT_FILE}.bad-{}", now.unix_millis());
            fs::rename(&path, state_dir.join(&aside))?;
            let complaint = format!("{SNAPSHOT_FILE} is unreadable ({reason}), moved to {aside}");
            Ok(Loaded { snapshot: None, complaints: vec![complaint] })
        }
    }
}

/// Reads the snapshot of `state_dir` and leaves the file as it is, also an unreadable one.
///
/// # Errors
/// When it is of a newer version, or the file system fails.
pub fn peek(state_dir: &Path) -> Result<Loaded, SnapshotError> {
    let unreadable = |reason| Loaded { snapshot: None, complaints: vec![reason] };
    read(state_dir).map(|read| read.unwrap_or_else(unreadable))
}

fn read(state_dir: &Path) -> Result<Result<Loaded, String>, SnapshotError> {
    let bytes = match fs::read(state_dir.join(SNAPSHOT_FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(Loaded::default())),
        Err(error) => return Err(error.into()),
    };
    let parsed = parse(&bytes)?;
    Ok(parsed.map(|(snapshot, complaints)| Loaded { snapshot: Some(snapshot), complaints }))
}

type Parsed = Result<(Snapshot, Vec<String>), String>;

fn parse(bytes: &[u8]) -> Result<Parsed, SnapshotError> {
    let mut document: Map<String, Value> = match serde_json::from_slice(bytes) {
        Ok(document) => document,
        Err(error) => return Ok(Err(error.to_string())),
    };
    match document.get("schema_version").and_then(Value::as_u64) {
        Some(found) if found > SNAPSHOT_VERSION => {
            return Err(SnapshotError::NewerVersion { found, known: SNAPSHOT_VERSION });
        }
        Some(_older_or_same) => {}
        None => return Ok(Err("it has no schema_version".to_owned())),
    }
    let mut complaints = Vec::new();
    let resources = entries(&mut document, "resources", &mut complaints);
    let mut probes: BTreeMap<_, Vec<_>> = entries(&mut document, "probes", &mut complaints);
    probes.values_mut().for_each(|samples| keep_last(samples, MAX_PROBE_SAMPLES));
    Ok(Ok((Snapshot { resources, probes }, complaints)))
}

/// The entries below `key` that can be read; missing means none.
fn entries<K, V>(
    document: &mut Map<String, Value>,
    key: &str,
    complaints: &mut Vec<String>,
) -> BTreeMap<K, V>
where
    K: std::str::FromStr<Err: std::fmt::Display> + Ord,
    V: DeserializeOwned,
{
    let Some(Value::Object(found)) = document.remove(key) else {
        return BTreeMap::new();
    };
    let mut read = BTreeMap::new();
    for (name, value) in found {
        let entry = name.parse::<K>().map_err(|e| e.to_string());
        let entry = entry
            .and_then(|id| Ok((id, serde_json::from_value(value).map_err(|e| e.to_string())?)));
        match entry {
            Ok((id, value)) => {
                read.insert(id, value);
            }
            Err(reason) => complaints.push(format!("{key}.{name} skipped: {reason}")),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::super::{ProbeSample, Saved, SnapshotFile};
    use super::*;
    use wavegate_proto::event::ProbeOutcome;

    fn now() -> Timestamp {
        Timestamp::from_unix_millis(1_800_000_000_000)
    }

    fn sample() -> Snapshot {
        let mut snapshot = Snapshot::default();
        for _ in 0..20 {
            let sample = ProbeSample { at: now(), status: ProbeOutcome::Pass, reason: None };
            snapshot.add_sample("http".parse().unwrap(), sample);
        }
        snapshot
    }

    #[test]
    fn what_was_saved_is_loaded_and_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SnapshotFile::new(dir.path(), None);
        assert_eq!(file.save(&sample(), now()).unwrap(), Saved::Written);
        assert_eq!(file.save(&sample(), now()).unwrap(), Saved::Clean);
        let loaded = load(dir.path(), now()).unwrap();
        assert_eq!(loaded.snapshot, Some(sample()));
        assert_eq!(sample().probes.values().next().unwrap().len(), MAX_PROBE_SAMPLES);
        fs::remove_file(dir.path().join(SNAPSHOT_FILE)).unwrap();
        assert_eq!(file.save(&sample(), now()).unwrap(), Saved::Written, "clean but not present");
    }

    #[test]
    fn a_newer_version_is_refused_and_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SNAPSHOT_FILE);
        fs::write(&path, r#"{"schema_version":2,"shape":"unknown"}"#).unwrap();
        let error = load(dir.path(), now()).unwrap_err();
        assert!(matches!(error, SnapshotError::NewerVersion { found: 2, known: 1 }));
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"schema_version":2,"shape":"unknown"}"#);
    }

    #[test]
    fn an_unreadable_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(SNAPSHOT_FILE), "{\"schema_ver").unwrap();
        let loaded = load(dir.path(), now()).unwrap();
        assert_eq!(loaded.snapshot, None);
        assert_eq!(loaded.complaints.len(), 1);
        assert!(dir.path().join("state.json.bad-1800000000000").exists());
    }

    #[test]
    fn one_bad_entry_is_skipped_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"schema_version":1,"written_at":"2026-11-21T09:00:00.000Z",
            "probes":{"good":[],"bad":"x","Not A Name":[]}}"#;
        fs::write(dir.path().join(SNAPSHOT_FILE), text).unwrap();
        let loaded = load(dir.path(), now()).unwrap();
        assert_eq!(loaded.snapshot.unwrap().probes.len(), 1);
        assert_eq!(loaded.complaints.len(), 2);
    }
}
