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

/// What has come is not fetched again, also after the process was killed; nothing is believed of it.
#[test]
fn a_part_of_an_asset_is_gone_on_with_and_a_wrong_one_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = asset(b"left and right");
    let cache = open(folder.path(), 1000);
    let mut first = cache.writer(wanted).unwrap();
    first.write(b"left ").unwrap();
    first.keep_part().unwrap();
    let mut second = cache.writer(wanted).unwrap();
    assert_eq!(second.received(), 5);
    second.write(b"and ").unwrap();
    // Killed: nothing is dropped in order.
    std::mem::forget(second);
    drop(cache);
    let cache = open(folder.path(), 1000);
    let mut third = cache.writer(wanted).unwrap();
    assert_eq!(third.received(), 9);
    third.write(b"right").unwrap();
    third.commit().unwrap();
    assert!(cache.contains(wanted));

    let other = asset(b"other");
    let mut wrong = cache.writer(other).unwrap();
    wrong.write(b"ot?").unwrap();
    wrong.keep_part().unwrap();
    let mut going_on = cache.writer(other).unwrap();
    going_on.write(b"er").unwrap();
    assert!(matches!(going_on.commit(), Err(CacheError::HashMismatch { .. })));
    let mut anew = cache.writer(other).unwrap();
    assert_eq!(anew.received(), 0, "a part that was found wrong is gone");
    anew.write(b"o").unwrap();
    anew.start_over().unwrap();
    anew.write(b"other").unwrap();
    anew.commit().unwrap();
    assert_eq!(fs::read_dir(folder.path().join("assets")).unwrap().count(), 2);
}
