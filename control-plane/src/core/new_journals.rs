//! How often a host put a new journal in the place of another of late (G14): each one is a row, a record
//! and a replay. In memory only; a start forgives.
//!
//! Not here: what a new journal means (see [`super::events`]).

use std::collections::{BTreeMap, VecDeque};

use wavegate_proto::ids::HostName;
use wavegate_proto::time::Mono;

/// The most new journals of one host in [`WINDOW_SECS`].
const MAX_NEW_JOURNALS: usize = 4;

const WINDOW_SECS: u64 = 3600;

/// When each host opened its last ones.
#[derive(Debug, Clone, Default)]
pub(super) struct NewJournals(BTreeMap<HostName, VecDeque<Mono>>);

impl NewJournals {
    /// Notes one more; false: there were as many in the last hour as there may be.
    pub(super) fn admit(&mut self, now: Mono, host: &HostName) -> bool {
        let opened = self.0.entry(host.clone()).or_default();
        opened.retain(|at| now < at.plus_secs(WINDOW_SECS));
        if opened.len() >= MAX_NEW_JOURNALS {
            return false;
        }
        opened.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g14_a_fifth_new_journal_waits_for_the_hour_to_pass() {
        let mut journals = NewJournals::default();
        let (one, other) = ("web-1".parse().unwrap(), "web-2".parse().unwrap());
        let at = |secs| Mono::default().plus_secs(secs);
        for secs in [0, 10, 20, 30] {
            assert!(journals.admit(at(secs), &one));
        }
        assert!(!journals.admit(at(3599), &one));
        assert!(journals.admit(at(3599), &other));
        assert!(journals.admit(at(3600), &one));
        assert!(!journals.admit(at(3601), &one));
    }
}
