//! Canonical bytes (RFC 8785, JCS) and the hash chains of the log and of journals.
//!
//! The canonical bytes of a signed document are those of the document as received, never of a
//! struct written again: keys this build does not know stay covered (S5).
//!
//! Not here: what may be canonicalised (see [`crate::json`]), signatures (see [`crate::signing`]).

use serde::Serialize;
use serde_json::{Map, Value};

use crate::event::JournalEntry;
use crate::ids::Sha256Hash;
use crate::json::{JsonError, MAX_INTEGER, parse_strict};
use crate::wire::operator::EventItem;

/// The canonical bytes of `value`.
#[must_use]
pub fn canonical_bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    write_value(&mut out, value);
    out
}

/// The canonical bytes of a document as received.
///
/// # Errors
/// When it is not acceptable, see [`parse_strict`].
pub fn canonicalize(received: &[u8]) -> Result<Vec<u8>, JsonError> {
    parse_strict(received).map(|value| canonical_bytes(&value))
}

/// The chain value of a log row: SHA-256 of the chain value before it (32 raw bytes, zeros for the
/// first) and the JCS of `{"actor","at","host","kind","payload","rollout_id","seq","synthetic"}`.
/// The row's own `chain` plays no part.
#[must_use]
pub fn chain_log(prev: &Sha256Hash, row: &EventItem) -> Sha256Hash {
    // Written out key by key: this runs for every row of the log, and the order of the keys is known.
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&prev.0);
    out.extend_from_slice(b"{\"actor\":");
    write_str(&mut out, &row.actor);
    out.extend_from_slice(b",\"at\":");
    write_str(&mut out, &row.at.to_string());
    out.extend_from_slice(b",\"host\":");
    write_optional(&mut out, row.host.as_ref().map(crate::ids::HostName::as_str));
    out.extend_from_slice(b",\"kind\":");
    write_str(&mut out, &row.kind);
    out.extend_from_slice(b",\"payload\":");
    write_value(&mut out, &row.payload);
    out.extend_from_slice(b",\"rollout_id\":");
    write_optional(&mut out, row.rollout_id.as_ref().map(ToString::to_string).as_deref());
    out.extend_from_slice(b",\"seq\":");
    write_value(&mut out, &Value::from(row.seq.0));
    out.extend_from_slice(b",\"synthetic\":");
    out.extend_from_slice(if row.synthetic { b"true}" } else { b"false}" });
    Sha256Hash::of(&out)
}

/// The head of a journal after `entry`: SHA-256 of the head before it (32 raw bytes, zeros for the
/// first) and the JCS of `{"at","event","seq"}`.
#[must_use]
pub fn chain_journal(prev: &Sha256Hash, entry: &JournalEntry) -> Sha256Hash {
    chain_journal_bytes(prev, &journal_bytes(entry))
}

/// The same, of an entry that has been written by [`journal_bytes`].
#[must_use]
pub fn chain_journal_bytes(prev: &Sha256Hash, entry: &[u8]) -> Sha256Hash {
    Sha256Hash::of_parts(&[&prev.0, entry])
}

/// The JCS of an entry, as journals chain it.
#[must_use]
pub fn journal_bytes(entry: &JournalEntry) -> Vec<u8> {
    // Written out key by key, as the log's rows are.
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"{\"at\":");
    write_str(&mut out, &entry.at.to_string());
    out.extend_from_slice(b",\"event\":");
    write_value(&mut out, &serde_json::to_value(&entry.event).expect(WRITABLE));
    out.extend_from_slice(b",\"seq\":");
    write_value(&mut out, &Value::from(entry.seq.0));
    out.push(b'}');
    out
}

fn write_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => write_str(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Integers that a double holds, text, and objects with ASCII keys are written here, since those are
/// what our documents consist of and the library is several times slower on them. Floats, greater
/// integers and the UTF-16 order of other keys are the library's business. A test compares both.
fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let exact = number.as_i64().is_some_and(|n| n.unsigned_abs() <= MAX_INTEGER);
            if exact {
                write_plain(out, number);
            } else {
                write_with_library(out, number);
            }
        }
        Value::String(text) => write_str(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            if object.keys().all(|key| key.is_ascii()) {
                write_object(out, object);
            } else {
                write_with_library(out, object);
            }
        }
    }
}

fn write_object(out: &mut Vec<u8>, object: &Map<String, Value>) {
    // A map may keep the order of insertion when another crate asks serde_json for it.
    let mut entries: Vec<(&String, &Value)> = object.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    out.push(b'{');
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_str(out, key);
        out.push(b':');
        write_value(out, value);
    }
    out.push(b'}');
}

/// serde_json escapes text just as RFC 8785 section 3.2.2.2 asks.
fn write_str(out: &mut Vec<u8>, text: &str) {
    write_plain(out, text);
}

fn write_plain<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect(WRITABLE);
}

fn write_with_library<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    serde_json_canonicalizer::to_writer(value, out).expect(WRITABLE);
}

/// Writing to memory cannot fail, JSON values hold no NaN, and our types have text keys only.
const WRITABLE: &str = "a value with text keys and finite numbers can be written to memory";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::event::Event;
    use crate::ids::{LogSeq, Seq};
    use crate::time::Timestamp;

    fn any_json() -> impl Strategy<Value = Value> {
        let text =
            prop_oneof![".*", "[\u{20ac}\r1\u{80}\u{1f600}\u{fb33}\u{e000}\u{10ffff}a\"\\\\]{0,4}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-10_i64..10).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        let key = "[a-c]{1,2}|[\u{20ac}\r1\u{80}\u{1f600}\u{fb33}\u{e000}\u{10ffff}]{1,2}";
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(key, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn row(payload: Value) -> EventItem {
        EventItem {
            seq: LogSeq(7),
            at: Timestamp::from_unix_millis(1_800_000_000_000),
            host: Some("web-01".parse().unwrap()),
            rollout_id: Some("stable@r42".parse().unwrap()),
            kind: "converged".to_owned(),
            actor: "host/web-01".to_owned(),
            synthetic: false,
            payload,
            chain: Sha256Hash::default(),
        }
    }

    fn chain_log_slowly(prev: &Sha256Hash, row: &EventItem) -> Sha256Hash {
        let document = json!({
            "actor": row.actor, "at": row.at, "host": row.host, "kind": row.kind,
            "payload": row.payload, "rollout_id": row.rollout_id, "seq": row.seq,
            "synthetic": row.synthetic,
        });
        let bytes = serde_json_canonicalizer::to_vec(&document).unwrap();
        Sha256Hash::of_parts(&[&prev.0, &bytes])
    }

    /// The example of RFC 8785 section 3.2.3: keys are ordered by UTF-16 code units.
    #[test]
    fn keys_are_ordered_as_the_rfc_shows() {
        let document = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control",
            "\u{f6}": "Latin Small Letter O With Diaeresis",
        });
        let text = String::from_utf8(canonical_bytes(&document)).unwrap();
        let order = ["\\r", "1", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1f600}", "\u{fb33}"];
        let positions: Vec<_> =
            order.iter().map(|k| text.find(&format!("\"{k}\":")).unwrap()).collect();
        assert!(positions.is_sorted(), "{text}");
    }

    #[test]
    fn a_chain_covers_every_field_and_the_row_before() {
        let first = row(json!({"closure": "x", "n": 1}));
        let zero = Sha256Hash::default();
        let chained = chain_log(&zero, &first);
        let with = |edit: fn(&mut EventItem)| {
            let mut other = first.clone();
            edit(&mut other);
            chain_log(&zero, &other)
        };
        assert_eq!(with(|r| r.chain = Sha256Hash::of(b"x")), chained);
        for edit in [
            (|r| r.actor.push('x')) as fn(&mut EventItem),
            |r| r.at = Timestamp::default(),
            |r| r.host = None,
            |r| r.kind.push('x'),
            |r| r.payload = json!({"closure": "x", "n": 2}),
            |r| r.rollout_id = None,
            |r| r.seq = LogSeq(8),
            |r| r.synthetic = true,
        ] {
            assert_ne!(with(edit), chained);
        }
        assert_ne!(chain_log(&chained, &first), chained);
        assert_eq!(chained, chain_log_slowly(&zero, &first));
    }

    #[test]
    fn a_journal_head_is_the_chain_over_its_entries() {
        let entry = JournalEntry {
            seq: Seq(1),
            at: "2026-11-21T09:00:00Z".parse().unwrap(),
            event: Event::Recovered {},
        };
        let bytes = br#"{"at":"2026-11-21T09:00:00.000Z","event":{"kind":"recovered"},"seq":1}"#;
        let zero = Sha256Hash::default();
        assert_eq!(chain_journal(&zero, &entry), Sha256Hash::of_parts(&[&[0; 32], bytes]));
    }

    #[test]
    fn an_entry_is_written_as_the_library_writes_it() {
        for event in [
            Event::Refused,
            Event::RollbackFailed { reason: "\u{20ac} \"\\\r\u{1f600}".to_owned() },
            Event::RollbackComplete { closure: None, exit_code: -1 },
        ] {
            let entry = JournalEntry { seq: Seq(7), at: Timestamp::default(), event };
            let library = serde_json_canonicalizer::to_vec(&entry).unwrap();
            assert_eq!(journal_bytes(&entry), library);
        }
    }

    proptest! {
        #[test]
        fn our_writer_and_the_library_agree(value in any_json()) {
            let ours = String::from_utf8(canonical_bytes(&value)).unwrap();
            prop_assert_eq!(ours, serde_json_canonicalizer::to_string(&value).unwrap());
        }

        #[test]
        fn canonicalising_twice_changes_nothing(value in any_json()) {
            // Floats are not read back: signed documents have none.
            if let Ok(once) = canonicalize(&canonical_bytes(&value)) {
                prop_assert_eq!(canonicalize(&once).unwrap(), once);
            }
        }

        #[test]
        fn the_log_chain_is_the_one_of_the_plain_document(payload in any_json(), kind in ".*", actor in ".*", synthetic: bool) {
            let row = EventItem { kind, actor, synthetic, ..row(payload) };
            let prev = Sha256Hash::of(b"prev");
            prop_assert_eq!(chain_log(&prev, &row), chain_log_slowly(&prev, &row));
        }
    }
}
