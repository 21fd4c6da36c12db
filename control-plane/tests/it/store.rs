//! The store on a real file.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use wavegate_control_plane::core::{
    DispatchRow, EnrollmentRow, HostRolloutRow, HostSeenRow, LogRow, MarkContent, MarkRow,
    PlacementMarks, ProbeFailuresRow, ProviderRow, ProviderSyncedRow, PrunedRow, QuarantineRow,
    ReleaseRow, RolloutRow, Stored, WaveRow, Write,
};
use wavegate_control_plane::store::check::check;
use wavegate_control_plane::store::{DATABASE_FILE, Store, StoreError};
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::ids::{Attempt, LogSeq, Serial, Sha256Hash, WaveIndex};
use wavegate_proto::record::HostRecord;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{
    Halt, Hold, MarkBy, QuarantineDocument, QuarantineSource, RolloutMark, RolloutState,
};
use wavegate_proto::wire::provider::ProviderState;
use wavegate_reconciler::fleet::rollout::Mark;
use wavegate_state_machine::host::JournalBook;

fn database(dir: &TempDir) -> PathBuf {
    dir.path().join(DATABASE_FILE)
}

fn open(path: &Path) -> (Store, Stored) {
    Store::open(path, at(0)).unwrap()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_800_000_000_000 + secs * 1000)
}

fn log(seq: u64) -> Write {
    Write::Log(LogRow {
        seq: LogSeq(seq),
        at: at(1),
        host: Some("web-01".parse().unwrap()),
        rollout_id: Some("stable@r1".parse().unwrap()),
        kind: "converged",
        actor: "host/web-01".to_owned(),
        synthetic: false,
        payload: json!({ "closure": closure(), "soaked_secs": seq }),
    })
}

fn closure() -> String {
    format!("sha256:{}", "a".repeat(64))
}

fn rollout(order: u64, log_seq: u64) -> RolloutRow {
    RolloutRow {
        rollout_id: format!("stable@r{order}").parse().unwrap(),
        channel: "stable".parse().unwrap(),
        reference: format!("r{order}").parse().unwrap(),
        order,
        serial: Serial(order),
        content_id: Sha256Hash::of(b"content"),
        header: b"{ \"exact\" : 1 }".to_vec(),
        signatures: Vec::new(),
        state: RolloutState::Failed,
        halt: Some(Halt {
            reason: "probe".to_owned(),
            host: Some("web-01".parse().unwrap()),
            at: at(2),
        }),
        frozen: true,
        current_wave: WaveIndex(1),
        opened_at: at(0),
        finished_at: Some(at(3)),
        superseded_by: Some("stable@r9".parse().unwrap()),
        log_seq: LogSeq(log_seq),
    }
}

fn host_rollout(log_seq: u64) -> HostRolloutRow {
    let (host, wave) = ("web-01".parse().unwrap(), WaveIndex(0));
    let target: wavegate_proto::ids::ClosureId = closure().parse().unwrap();
    let rollout_id = "stable@r1".parse().unwrap();
    HostRolloutRow {
        entry: HostEntry {
            after: vec!["db-1".parse().unwrap()],
            budgets: vec!["etcd".parse().unwrap()],
            checks: None,
            closure: target.clone(),
            host: "web-01".parse().unwrap(),
            wave,
        },
        record: HostRecord::pending(rollout_id, host, wave, target, at(0)),
        journal: JournalBook::default(),
        marks: PlacementMarks { issued: Attempt(3), retry_at: Some(at(9)), ..Default::default() },
        log_seq: LogSeq(log_seq),
    }
}

fn dispatch(log_seq: u64) -> DispatchRow {
    DispatchRow {
        rollout_id: "stable@r1".parse().unwrap(),
        host: "web-01".parse().unwrap(),
        attempt: Attempt(2),
        no_change: true,
        issued_at: at(1),
        expires_at: at(61),
        log_seq: LogSeq(log_seq),
    }
}

fn quarantine(log_seq: u64) -> QuarantineRow {
    QuarantineRow {
        document: QuarantineDocument {
            channel: "stable".parse().unwrap(),
            closure: closure().parse().unwrap(),
            since: at(1),
            host: "web-01".parse().unwrap(),
            rollout_id: "stable@r1".parse().unwrap(),
            attempt: Attempt(1),
            reason: "probe".to_owned(),
            source: QuarantineSource::Rollback,
        },
        log_seq: LogSeq(log_seq),
    }
}

fn release(serial: u64, log_seq: u64) -> ReleaseRow {
    ReleaseRow {
        serial: Serial(serial),
        fleet_sha256: Sha256Hash::of(b"fleet"),
        signed_at: at(0),
        adopted_at: at(1),
        opened: vec!["stable@r1".parse().unwrap()],
        unchanged: vec!["edge".parse().unwrap()],
        log_seq: LogSeq(log_seq),
    }
}

fn seen() -> HostSeenRow {
    HostSeenRow {
        host: "web-01".parse().unwrap(),
        last_seen_at: at(5),
        agent_version: Some("0.1.0".to_owned()),
        current_closure: Some(closure().parse().unwrap()),
    }
}

fn failing(probes: &[&str], log_seq: u64) -> ProbeFailuresRow {
    let failing = probes.iter().map(|name| (name.parse().unwrap(), at(4), None)).collect();
    ProbeFailuresRow {
        rollout_id: "stable@r1".parse().unwrap(),
        host: "web-01".parse().unwrap(),
        failing,
        log_seq: LogSeq(log_seq),
    }
}

fn mark_by() -> MarkBy {
    MarkBy { actor: "operator/alice".to_owned(), reason: "looks odd".to_owned(), at: at(4) }
}

/// By kind and subject, as they are read back.
fn marks(log_seq: u64) -> Vec<MarkRow> {
    let rollout = || "stable@r1".parse().unwrap();
    let paused = Mark { mark: RolloutMark::Paused, by: mark_by() };
    let (actor, reason) = (mark_by().actor, mark_by().reason);
    let hold = Hold { reason, actor, since: at(4), until: Some(at(9)) };
    let contents = [
        MarkContent::Approval(rollout(), WaveIndex(1), mark_by()),
        MarkContent::Hold("web-01".parse().unwrap(), Some(hold)),
        MarkContent::Hold("web-02".parse().unwrap(), None),
        MarkContent::Rollout(rollout(), Some(paused)),
        MarkContent::Rollout("stable@r2".parse().unwrap(), None),
    ];
    let row = |content| MarkRow { content, version: 7, log_seq: LogSeq(log_seq) };
    contents.into_iter().map(row).collect()
}

fn pruned(log_seq: u64) -> PrunedRow {
    PrunedRow {
        rollout_id: "stable@r0".parse().unwrap(),
        content_id: Sha256Hash::of(b"content"),
        pruned_at: at(6),
        log_seq: LogSeq(log_seq),
    }
}

fn enrollment(log_seq: u64) -> EnrollmentRow {
    EnrollmentRow {
        token: "t-1".parse().unwrap(),
        host: "web-01".parse().unwrap(),
        key: "A".repeat(43).parse().unwrap(),
        expires_at: at(3600),
        at: at(6),
        log_seq: LogSeq(log_seq),
    }
}

fn provider(log_seq: u64) -> ProviderRow {
    ProviderRow {
        host: "web-01".parse().unwrap(),
        provider_id: Some("i-0abc".parse().unwrap()),
        provider_state: ProviderState::Off,
        actor: "operator/alice".to_owned(),
        since: at(5),
        log_seq: LogSeq(log_seq),
    }
}

fn synced(secs: i64) -> ProviderSyncedRow {
    ProviderSyncedRow { host: "web-01".parse().unwrap(), last_sync: at(secs) }
}

/// Every kind of row.
fn everything() -> Vec<Write> {
    let wave = WaveRow {
        rollout_id: "stable@r1".parse().unwrap(),
        wave: WaveIndex(0),
        started_at: at(1),
        log_seq: LogSeq(1),
    };
    let mut writes = vec![
        log(1),
        Write::HostRollout(Box::new(host_rollout(1))),
        Write::Rollout(rollout(1, 1)),
        Write::Rollout(RolloutRow { halt: None, finished_at: None, ..rollout(2, 1) }),
        Write::Wave(wave),
        Write::ProbeFailures(failing(&["http", "tcp"], 1)),
        Write::Quarantine(quarantine(1)),
        Write::Dispatch(dispatch(1)),
        log(2),
        Write::Release(release(1, 1)),
        Write::Release(release(2, 2)),
        Write::RolloutPruned(pruned(1)),
        Write::Enrollment(enrollment(1)),
        Write::Provider(provider(1)),
        Write::ProviderSynced(synced(5)),
        Write::ProviderSynced(synced(6)),
        Write::HostsSeen(vec![seen()]),
    ];
    writes.extend(marks(1).into_iter().map(Write::Mark));
    writes.push(Write::MarksVersion(8));
    writes
}

/// E2 among them: quarantines are read back.
#[test]
fn e2_what_was_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, empty) = open(&database(&dir));
    assert!(empty.new_database);
    store.commit(everything()).unwrap();
    drop(store);
    let (_store, stored) = open(&database(&dir));
    let expected = Stored {
        cp_epoch: empty.cp_epoch,
        epoch_since: empty.epoch_since,
        new_database: false,
        log_end: stored.log_end,
        release: Some(release(2, 2)),
        rollouts: vec![
            rollout(1, 1),
            RolloutRow { halt: None, finished_at: None, ..rollout(2, 1) },
        ],
        host_rollouts: vec![host_rollout(1)],
        quarantines: vec![quarantine(1)],
        marks: marks(1),
        marks_version: 8,
        dispatches: vec![dispatch(1)],
        enrollments: vec![enrollment(1)],
        providers: vec![provider(1)],
        provider_syncs: vec![synced(6)],
        pruned: vec![pruned(1)],
        hosts_seen: vec![seen()],
    };
    assert_eq!(stored, expected);
}

#[test]
fn the_last_of_several_writes_of_a_row_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&database(&dir));
    let closed = || Write::DispatchClosed {
        rollout_id: "stable@r1".parse().unwrap(),
        host: "web-01".parse().unwrap(),
    };
    store.commit(everything()).unwrap();
    let other = DispatchRow { attempt: Attempt(3), ..dispatch(3) };
    store
        .commit(vec![
            log(3),
            closed(),
            Write::Dispatch(other.clone()),
            Write::ProbeFailures(failing(&[], 3)),
            Write::QuarantineCleared {
                channel: "stable".parse().unwrap(),
                closure: closure().parse().unwrap(),
            },
        ])
        .unwrap();
    assert_eq!(count(&database(&dir), "probe_failures"), 0);
    assert_eq!(count(&database(&dir), "quarantines"), 0);
    drop(store);
    let (mut store, stored) = open(&database(&dir));
    assert_eq!(stored.dispatches, std::slice::from_ref(&other));
    let dropped = Write::HostRolloutDropped {
        rollout_id: "stable@r1".parse().unwrap(),
        host: "web-01".parse().unwrap(),
    };
    store.commit(vec![Write::Dispatch(other), closed(), dropped]).unwrap();
    drop(store);
    let (_store, stored) = open(&database(&dir));
    assert_eq!((stored.dispatches.len(), stored.host_rollouts.len()), (0, 0));
}

fn count(path: &Path, table: &str) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// D2: a batch is in the database whole, or not at all.
#[test]
fn d2_a_row_that_fails_takes_the_whole_batch_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&database(&dir));
    let mut batch = everything();
    // It names a log row that does not exist.
    batch.push(Write::Quarantine(quarantine(99)));
    assert!(matches!(store.commit(batch), Err(StoreError::Sqlite(_))));
    for table in [
        "event_log",
        "rollouts",
        "waves",
        "host_rollouts",
        "probe_failures",
        "quarantines",
        "dispatches",
        "releases",
        "hosts",
        "providers",
        "provider_syncs",
    ] {
        assert_eq!(count(&database(&dir), table), 0, "{table}");
    }
    store.commit(everything()).unwrap();
    assert_eq!(count(&database(&dir), "event_log"), 2);
}

#[test]
fn a_log_row_that_does_not_follow_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&database(&dir));
    store.commit(vec![log(1)]).unwrap();
    for seq in [1, 3] {
        assert!(matches!(store.commit(vec![log(seq)]), Err(StoreError::Gap { .. })));
    }
    store.commit(vec![log(2)]).unwrap();
    assert_eq!(store.log_end().seq, LogSeq(2));
}

#[test]
fn every_derived_row_refers_to_the_log_and_the_log_has_no_secondary_index() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = open(&database(&dir));
    let connection = Connection::open(database(&dir)).unwrap();
    let derived = [
        "rollouts",
        "waves",
        "host_rollouts",
        "probe_failures",
        "quarantines",
        "dispatches",
        "releases",
        "providers",
        "pruned_rollouts",
        "log_removed",
    ];
    for table in derived {
        let sql = "SELECT \"notnull\" OR pk FROM pragma_table_info(?1) WHERE name = 'log_seq'";
        let not_null: bool = connection.query_row(sql, [table], |row| row.get(0)).unwrap();
        assert!(not_null, "{table}");
        let sql = "SELECT count(*) FROM pragma_foreign_key_list(?1)
            WHERE \"table\" = 'event_log' AND \"from\" = 'log_seq'";
        let references: i64 = connection.query_row(sql, [table], |row| row.get(0)).unwrap();
        assert_eq!(references, 1, "{table}");
    }
    let sql = "SELECT count(*) FROM pragma_index_list('event_log')";
    assert_eq!(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

/// A commit is on disk when it returns: another process that finds only the files, as after a crash,
/// finds the rows.
#[test]
fn a_commit_is_in_the_files_when_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&database(&dir));
    store.commit(everything()).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    let (_store, stored) = open(&database(&copy));
    assert_eq!(stored.log_end.seq, LogSeq(2));
    let settings = store.settings().unwrap();
    assert_eq!(settings, ("wal".to_owned(), 2, 10_000));
}

#[test]
fn a_change_of_the_log_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&database(&dir));
    store.commit(everything()).unwrap();
    store.commit((3..=300).map(log).collect()).unwrap();
    drop(store);
    let report = check(&database(&dir)).unwrap();
    assert_eq!((report.rows, report.findings), (300, Vec::new()));

    let tampering = [
        ("UPDATE event_log SET actor = 'host/web-02' WHERE seq = 7", "log row 7"),
        ("UPDATE event_log SET payload = '{}' WHERE seq = 6", "log row 6"),
        ("DELETE FROM event_log WHERE seq = 5", "log row 5 is missing"),
    ];
    for (sql, finding) in tampering {
        Connection::open(database(&dir)).unwrap().execute(sql, []).unwrap();
        let report = check(&database(&dir)).unwrap();
        assert!(report.findings.iter().any(|f| f.contains(finding)), "{:?}", report.findings);
    }
    let orphan = "INSERT INTO quarantines VALUES ('c', 'x', '{}', 9999)";
    let connection = Connection::open(database(&dir)).unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {orphan}")).unwrap();
    let report = check(&database(&dir)).unwrap();
    assert!(report.findings.iter().any(|f| f.contains("quarantines")), "{:?}", report.findings);
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = database(&dir);
    drop(open(&path));
    make_newer(&path);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(&path, at(0)), Err(StoreError::Newer { found: 999, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// As a newer program would leave it.
pub(crate) fn make_newer(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let sql = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
        VALUES (999, 'later', '2027-01-01T00:00:00Z', '0')";
    connection.execute(sql, []).unwrap();
    connection.close().unwrap();
}

/// The rollouts of a release with two channels have one place in the order, that of its serial.
#[test]
fn e14_rollouts_of_one_release_share_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&database(&dir));
    let edge = RolloutRow {
        rollout_id: "edge@r1".parse().unwrap(),
        channel: "edge".parse().unwrap(),
        ..rollout(1, 1)
    };
    let of_one_release = vec![edge, rollout(1, 1)];
    let writes = of_one_release.iter().rev().cloned().map(Write::Rollout);
    store.commit(std::iter::once(log(1)).chain(writes).collect()).unwrap();
    drop(store);
    assert_eq!(open(&database(&dir)).1.rollouts, of_one_release);
}

/// A database that an earlier version made keeps its rows, and what they refer to.
#[test]
fn an_older_database_is_brought_up_to_date_with_everything_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut older = Connection::open(database(&dir)).unwrap();
    wavegate_migrations::control_plane::migrations::runner()
        .set_target(refinery::Target::Version(4))
        .run(&mut older)
        .unwrap();
    let new = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&database(&new));
    store.commit(everything()).unwrap();
    store.checkpoint().unwrap();
    older.execute("ATTACH ?1 AS new", [database(&new).to_str().unwrap()]).unwrap();
    older.pragma_update(None, "foreign_keys", false).unwrap();
    for table in ["event_log", "rollouts", "waves", "host_rollouts", "meta"] {
        older.execute(&format!("INSERT INTO {table} SELECT * FROM new.{table}"), []).unwrap();
    }
    drop(older);
    let (store, stored) = open(&database(&dir));
    assert_eq!(stored.rollouts.len(), 2);
    assert_eq!(stored.host_rollouts, [host_rollout(1)]);
    drop(store);
    let connection = Connection::open(database(&dir)).unwrap();
    let broken: i64 = connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(broken, 0);
}
