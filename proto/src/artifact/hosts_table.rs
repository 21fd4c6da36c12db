//! `…hosts.jsonl`: one line a host, each line the JCS of its entry, sorted by host.
//!
//! Not here: whether the table belongs to a header or a fleet (see [`crate::artifact::release`]).

use std::ops::Range;

use serde::Deserialize as _;
use serde_json::Value;

use crate::artifact::bounds::check_entry;
use crate::artifact::entry::HostEntry;
use crate::artifact::fleet::MAX_FLEET_BYTES;
use crate::artifact::rules::{RuleCode, Violation};
use crate::canonical::canonical_bytes;
use crate::json::parse_strict;

/// The most bytes of one line.
pub(super) const MAX_ENTRY_BYTES: usize = 256 * 1024;

/// A table that has been read: its exact bytes, and where each line is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HostsTable {
    pub(super) bytes: Vec<u8>,
    lines: Vec<Range<usize>>,
}

impl HostsTable {
    /// Reads a table and its entries: size, JSON, canonical form, order.
    pub(super) fn read(bytes: Vec<u8>) -> Result<(Self, Vec<HostEntry>), Violation> {
        if bytes.len() > MAX_FLEET_BYTES {
            let detail = format!("hosts: {} bytes, at most {MAX_FLEET_BYTES}", bytes.len());
            return Err(Violation::new(RuleCode::TooLarge, detail));
        }
        let (mut entries, mut lines) = (Vec::<HostEntry>::new(), Vec::new());
        let mut start = 0;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let number = lines.len() + 1;
            let broken = |what: &str| {
                Violation::new(RuleCode::BadJson, format!("hosts: line {number}: {what}"))
            };
            let Some(leaf) = line.strip_suffix(b"\n") else {
                return Err(broken("does not end"));
            };
            if leaf.len() > MAX_ENTRY_BYTES {
                let detail = format!("hosts: line {number}: above {MAX_ENTRY_BYTES} bytes");
                return Err(Violation::new(RuleCode::TooLarge, detail));
            }
            let value = parse_strict(leaf).map_err(|e| broken(&e.to_string()))?;
            if canonical_bytes(&value) != leaf {
                return Err(broken("is not in canonical form"));
            }
            let entry = read_entry(&value).map_err(|v| broken(&v.detail))?;
            if entries.last().is_some_and(|before| before.host >= entry.host) {
                return Err(broken("is not sorted by host, or a host is there twice"));
            }
            entries.push(entry);
            lines.push(start..start + leaf.len());
            start += line.len();
        }
        Ok((Self { bytes, lines }, entries))
    }

    /// The leaf at `index`: its line, without the end of the line.
    pub(super) fn leaf(&self, index: usize) -> Option<&[u8]> {
        self.lines.get(index).and_then(|range| self.bytes.get(range.clone()))
    }

    /// Every leaf, in order.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.lines.len()).filter_map(|index| self.leaf(index))
    }
}

/// Reads one entry. Unknown keys are ignored: they stay covered by the leaf's hash.
pub(super) fn read_entry(value: &Value) -> Result<HostEntry, Violation> {
    let entry = HostEntry::deserialize(value)
        .map_err(|error| Violation::new(RuleCode::BadJson, error.to_string()))?;
    check_entry(&entry)?;
    Ok(entry)
}
