//! The cache: only what has the right hash, below the limit, and never without what is pinned.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use wavegate_agent::cache::{Cache, CacheError, Item};
use wavegate_proto::ids::BlobId;

fn open(folder: &Path, max_bytes: u64) -> Cache {
    Cache::open(folder, max_bytes, BTreeSet::new()).unwrap()
}

fn asset(bytes: &[u8]) -> Item {
    Item::Asset(BlobId::of(bytes))
}

#[test]
fn other_content_than_asked_for_never_enters() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1000);
    let wanted = asset(b"right");
    let error = cache.put(wanted, b"wrong").unwrap_err();
    assert!(matches!(error, CacheError::HashMismatch { .. }), "{error}");
    assert!(!cache.contains(wanted));
    let mut half = cache.writer(wanted).unwrap();
    half.write(b"ri").unwrap();
    drop(half);
    assert_eq!(fs::read_dir(folder.path().join("assets")).unwrap().count(), 0);
    cache.put(wanted, b"right").unwrap();
    assert!(cache.contains(wanted));
}

#[test]
fn a_damaged_closure_is_found_out_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 10_000);
    let bytes = br#"{"schema_version":1}"#;
    let id = BlobId::of(bytes);
    cache.put(Item::Closure(id), bytes).unwrap();
    assert_eq!(cache.closure(&id).unwrap().unwrap().schema_version, 1);
    let path = folder.path().join("closures").join(format!("{}.json", id.file_name()));
    fs::write(&path, br#"{"schema_version":9}"#).unwrap();
    let error = cache.closure(&id).unwrap_err();
    assert!(matches!(error, CacheError::HashMismatch { .. }), "{error}");
    assert!(cache.closure(&id).unwrap().is_none());
}

#[test]
fn a_closure_above_four_mebibytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), u64::MAX);
    let large = vec![b' '; 4 * 1024 * 1024 + 1];
    let error = cache.put(Item::Closure(BlobId::of(&large)), &large).unwrap_err();
    assert!(matches!(error, CacheError::TooLarge { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path().join("closures")).unwrap().count(), 0);
}

#[test]
fn the_oldest_goes_first_and_what_is_pinned_never() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1000);
    let pinned = [1; 200];
    let document = serde_json::json!({"schema_version": 1, "resources": [
        {"id": "f", "kind": "file", "path": "/f", "asset": BlobId::of(&pinned), "size": 200},
    ]});
    let document = serde_json::to_vec(&document).unwrap();
    let closure = BlobId::of(&document);
    cache.put(Item::Closure(closure), &document).unwrap();
    cache.put(asset(&pinned), &pinned).unwrap();
    cache.pin([closure]).unwrap();
    let (old, new) = ([2; 200], [3; 200]);
    cache.put(asset(&old), &old).unwrap();
    let path = folder.path().join("assets").join(BlobId::of(&old).file_name());
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
    cache.put(asset(&new), &new).unwrap();
    let more = [4; 300];
    cache.put(asset(&more), &more).unwrap();
    assert!(!cache.contains(asset(&old)));
    assert!(cache.contains(asset(&new)));
    let most = [5; 900];
    let error = cache.put(asset(&most), &most).unwrap_err();
    assert!(matches!(error, CacheError::CacheFull { .. }), "{error}");
    assert!(cache.contains(asset(&pinned)) && cache.contains(Item::Closure(closure)));
    assert!(!cache.contains(asset(&most)));
}

#[test]
fn what_a_killed_agent_was_fetching_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1000);
    let mut half = cache.writer(asset(b"x")).unwrap();
    half.write(b"x").unwrap();
    std::mem::forget(half);
    assert_eq!(fs::read_dir(folder.path().join("assets")).unwrap().count(), 1);
    open(folder.path(), 1000);
    assert_eq!(fs::read_dir(folder.path().join("assets")).unwrap().count(), 0);
}
