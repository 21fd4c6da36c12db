//! What must hold for every log, whatever happened to the processes.

use std::collections::BTreeMap;

use wavegate_proto::canonical::chain_log;
use wavegate_proto::ids::Sha256Hash;
use wavegate_proto::wire::operator::EventItem;

/// The log has no gaps, and each row is chained to the one before.
pub fn expect_whole(log: &[EventItem]) {
    let mut chain = Sha256Hash::default();
    for (expected, row) in (1..).zip(log) {
        assert_eq!(row.seq.0, expected, "a gap in the log");
        chain = chain_log(&chain, row);
        assert_eq!(row.chain, chain, "log row {expected} is not chained to the one before");
    }
}

/// No host has been let in twice with one attempt.
pub fn expect_one_start_an_attempt(log: &[EventItem]) {
    let mut starts: BTreeMap<(String, String, u64), Vec<u64>> = BTreeMap::new();
    for row in log.iter().filter(|row| row.kind == "dispatch_ack") {
        let (host, rollout) = (row.host.as_ref().unwrap(), row.rollout_id.as_ref().unwrap());
        let attempt = row.payload["attempt"].as_u64().unwrap();
        starts.entry((rollout.to_string(), host.to_string(), attempt)).or_default().push(row.seq.0);
    }
    let twice: Vec<_> = starts.iter().filter(|(_, rows)| rows.len() > 1).collect();
    assert!(twice.is_empty(), "dispatched twice: {twice:?}");
}
