//! What the hosts' journals say was acknowledged, against what the control plane's log has.
//!
//! Journals are dropped when they are old, so the ledger collects them while a test goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use wavegate_agent::journal::JOURNAL_FILE;
use wavegate_proto::event::JournalEntry;
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::operator::EventItem;

use super::folder::Folder;

/// Which entry: host, journal, seq.
type Key = (String, String, u64);

/// An entry of a host's journal.
#[derive(Debug, Clone)]
pub struct Entry {
    pub rollout_id: String,
    pub entry: JournalEntry,
    /// `accepted`, `refused` and so on.
    pub answer: String,
}

/// Every entry of every host's journals that has been seen.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<Key, Entry>,
}

const ENTRIES: &str = "SELECT j.rollout_id, j.journal_id, e.entry, e.answer
    FROM entries e JOIN journals j USING (journal_id)";

impl Ledger {
    /// Reads the journals of all hosts.
    pub fn collect(&mut self, folder: &Folder) {
        for host in &folder.hosts {
            self.collect_host(folder, host);
        }
    }

    fn collect_host(&mut self, folder: &Folder, host: &HostName) {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let path = folder.agent_state(host).join(JOURNAL_FILE);
        let db = Connection::open_with_flags(path, flags).unwrap();
        db.busy_timeout(Duration::from_secs(10)).unwrap();
        let mut statement = db.prepare(ENTRIES).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let journal: String = row.get(1).unwrap();
            let entry: JournalEntry =
                serde_json::from_str(&row.get::<_, String>(2).unwrap()).unwrap();
            let key = (host.to_string(), journal, entry.seq.0);
            let (rollout_id, answer) = (row.get(0).unwrap(), row.get(3).unwrap());
            let new = Entry { rollout_id, entry, answer };
            if let Some(old) = self.entries.insert(key.clone(), new.clone()) {
                assert_eq!(old.entry, new.entry, "{key:?}: a journal never changes");
                let may = old.answer == "unanswered" || old.answer == new.answer;
                assert!(may, "{key:?} was {}, now {}", old.answer, new.answer);
            }
        }
    }

    /// How many entries were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.entries.values().filter(|entry| entry.answer != "unanswered").count()
    }

    /// The entries of each host, in the order of their journals.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|((host, _, _), entry)| (host.as_str(), entry))
    }

    /// The rollouts each host holds a journal of, as `(rollout, host)`.
    pub fn held(&self) -> BTreeSet<(String, String)> {
        self.entries().map(|(host, e)| (e.rollout_id.clone(), host.to_owned())).collect()
    }

    /// Every acknowledged entry is in the log, once, as it was sent; a refused one as a refusal.
    pub fn expect_in(&self, log: &[EventItem]) {
        let mut rows: BTreeMap<Key, Vec<&EventItem>> = BTreeMap::new();
        for row in log {
            if let Some(key) = key(row) {
                rows.entry(key).or_default().push(row);
            }
        }
        for (key, entry) in self.entries.iter().filter(|(_, entry)| entry.answer != "unanswered") {
            let found = rows.get(key).map_or(&[][..], Vec::as_slice);
            let [row] = found else {
                panic!("{key:?}, {}, {entry:?}: {} rows in the log", entry.answer, found.len())
            };
            expect_same(row, entry);
        }
    }

    /// No activation was accepted or started twice with one attempt of a host.
    pub fn expect_one_start_an_attempt(&self) {
        let mut starts = BTreeSet::new();
        for (host, Entry { rollout_id, entry, answer }) in self.entries() {
            let wavegate_proto::event::Event::DispatchAck { attempt, .. } = &entry.event else {
                continue;
            };
            let once = answer != "accepted" || starts.insert((host, rollout_id, *attempt));
            assert!(once, "{host} was let in twice in {rollout_id} with attempt {attempt}");
        }
    }
}

fn key(row: &EventItem) -> Option<Key> {
    let journal = row.payload.get("journal_id")?.as_str()?.to_owned();
    let seq = row.payload.get("seq")?.as_u64()?;
    Some((row.host.as_ref()?.to_string(), journal, seq))
}

fn expect_same(row: &EventItem, Entry { rollout_id, entry, answer }: &Entry) {
    assert_eq!(row.rollout_id.as_ref().unwrap().to_string(), *rollout_id);
    assert_eq!(row.at, entry.at, "{row:?}");
    if answer.starts_with("refused") {
        assert_eq!(row.kind, "event_refused", "{entry:?} was refused");
        return;
    }
    assert_eq!(row.kind, entry.event.kind());
    let sent = serde_json::to_value(&entry.event).unwrap();
    for (name, value) in sent.as_object().unwrap() {
        assert!(name == "kind" || row.payload[name] == *value, "{name} of {entry:?}: {row:?}");
    }
}
