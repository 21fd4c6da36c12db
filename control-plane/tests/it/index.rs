//! The index of the log: it changes how fast rows are found, never which.

use std::path::Path;

use serde_json::json;
use wavegate_control_plane::core::{LogRow, Write};
use wavegate_control_plane::store::index::EventIndex;
use wavegate_control_plane::store::reader::EventRange;
use wavegate_control_plane::store::{DATABASE_FILE, EventQuery, EventReader, Store};
use wavegate_proto::ids::LogSeq;
use wavegate_proto::time::Timestamp;

/// More than one page may look at row by row.
const ROWS: u64 = 60_000;

/// Two of these rows are about `rare`, the others about one of five hosts.
const RARE: [u64; 2] = [100, 59_990];

fn log(path: &Path, rows: u64) {
    let at = Timestamp::from_unix_millis(1_800_000_000_000);
    let (mut store, _) = Store::open(path, at).unwrap();
    let row = |seq: u64| {
        let host = if RARE.contains(&seq) { "rare".to_owned() } else { format!("web-{}", seq % 5) };
        Write::Log(LogRow {
            seq: LogSeq(seq),
            at,
            host: Some(host.parse().unwrap()),
            rollout_id: Some(format!("stable@r{}", seq % 2).parse().unwrap()),
            kind: if seq.is_multiple_of(7) { "degraded" } else { "converged" },
            actor: "control-plane".to_owned(),
            synthetic: false,
            payload: json!({ "seq": seq }),
        })
    };
    store.commit((1..=rows).map(row).collect()).unwrap();
}

fn query(
    rising: bool,
    host: Option<&str>,
    rollout: Option<&str>,
    kind: Option<&str>,
) -> EventQuery {
    EventQuery {
        range: if rising {
            EventRange::Ascending { from: LogSeq(1) }
        } else {
            EventRange::Descending { from: None }
        },
        limit: 900,
        rollout_id: rollout.map(|id| id.parse().unwrap()),
        host: host.map(|host| host.parse().unwrap()),
        kind: kind.map(str::to_owned),
    }
}

/// Every row, by following the cursor, and how many pages it took.
async fn all(reader: &EventReader, mut query: EventQuery) -> (Vec<u64>, usize) {
    let (mut seqs, mut pages) = (Vec::new(), 0);
    loop {
        let page = reader.page(query.clone()).await.unwrap();
        assert!(page.items.len() <= query.limit);
        seqs.extend(page.items.iter().map(|item| item.seq.0));
        pages += 1;
        let Some(next) = page.next else { return (seqs, pages) };
        query.range = match query.range {
            EventRange::Ascending { .. } => EventRange::Ascending { from: next },
            EventRange::Descending { .. } => EventRange::Descending { from: Some(next) },
        };
    }
}

/// O3: from either end, with every filter, the index as far as it happens to be.
#[tokio::test]
async fn o3_rows_are_the_same_with_and_without_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    log(&path, ROWS);
    let plain = EventReader::new(&path);
    let mut index = EventIndex::open(&path).unwrap();
    for through in [0, 20_000, ROWS] {
        while index.through() < LogSeq(through) {
            index.take_in(10_000).unwrap();
        }
        let indexed = EventReader::new(&path).with_index(&index);
        for rising in [true, false] {
            for (host, rollout, kind) in [
                (Some("rare"), None, None),
                (Some("nobody"), None, None),
                (Some("web-3"), Some("stable@r1"), Some("degraded")),
                (None, Some("stable@r0"), Some("degraded")),
                (None, None, Some("degraded")),
                (None, None, None),
            ] {
                let query = query(rising, host, rollout, kind);
                let (found, _) = all(&indexed, query.clone()).await;
                let (expected, _) = all(&plain, query.clone()).await;
                assert_eq!(found, expected, "{query:?} through {through}");
            }
        }
    }
    let indexed = EventReader::new(&path).with_index(&index);
    let rare = |rising| query(rising, Some("rare"), None, None);
    assert_eq!(all(&indexed, rare(true)).await, (RARE.to_vec(), 1), "one page");
    assert_eq!(all(&indexed, rare(false)).await, (vec![RARE[1], RARE[0]], 1));
    assert!(all(&plain, rare(true)).await.1 > 1, "row by row it takes more");
}

#[tokio::test]
async fn an_index_of_another_log_or_a_broken_one_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    log(&path, 500);
    let mut index = EventIndex::open(&path).unwrap();
    index.take_in(1_000).unwrap();
    let file = index.path().to_owned();
    drop(index);
    assert_eq!(EventIndex::open(&path).unwrap().through(), LogSeq(500), "it is kept");

    std::fs::remove_file(&path).unwrap();
    log(&path, 200);
    assert_eq!(EventIndex::open(&path).unwrap().through(), LogSeq(0), "another log");

    std::fs::write(&file, "no database at all, whatever its length may be").unwrap();
    let mut index = EventIndex::open(&path).unwrap();
    index.take_in(1_000).unwrap();
    let reader = EventReader::new(&path).with_index(&index);
    assert_eq!(all(&reader, query(true, Some("rare"), None, None)).await.0, [100]);
}
