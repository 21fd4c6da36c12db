//! Revocations only move forward: what a release revokes, every later one revokes too (S4).
//!
//! An entry is never dropped. It harms nobody who has a certificate issued since, and nobody can know that
//! the last one from before has expired.
//!
//! Not here: refusing a certificate (the control plane's listener).

use std::fmt;

use super::fleet::Revocation;
use crate::time::Timestamp;

/// A revocation that a later release does not hold up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedBack<'a> {
    /// Whose certificates.
    pub subject: &'a str,
    /// From when on they counted.
    pub known: Timestamp,
    /// From when on they would count; `None`: all of them would.
    pub offered: Option<Timestamp>,
}

impl fmt::Display for MovedBack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, known, offered } = self;
        write!(f, "{subject} is revoked up to {known}, ")?;
        match offered {
            Some(offered) => write!(f, "and would be only up to {offered}"),
            None => write!(f, "and would not be any more"),
        }
    }
}

/// The first revocation of `known` that `offered` takes out or moves back.
#[must_use]
pub fn moved_back<'a>(known: &'a [Revocation], offered: &[Revocation]) -> Option<MovedBack<'a>> {
    known.iter().find_map(|revoked| {
        let same = offered.iter().filter(|entry| entry.subject == revoked.subject);
        let latest = same.map(|entry| entry.not_before).max();
        latest.is_none_or(|latest| latest < revoked.not_before).then_some(MovedBack {
            subject: &revoked.subject,
            known: revoked.not_before,
            offered: latest,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(entries: &[(&str, i64)]) -> Vec<Revocation> {
        let entry = |(subject, secs): &(&str, i64)| Revocation {
            subject: (*subject).to_owned(),
            not_before: Timestamp::from_unix_millis(secs * 1000),
            reason: None,
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn s4_a_cut_off_only_moves_forward_and_never_goes() {
        let known = revoked(&[("host/a", 10), ("operator/b", 20)]);
        let stands = |entries: &[(&str, i64)]| moved_back(&known, &revoked(entries)).is_none();
        assert!(stands(&[("operator/b", 20), ("host/a", 10)]));
        assert!(stands(&[("host/a", 99), ("operator/b", 20), ("host/c", 1)]));
        // Of two entries for one subject the later holds.
        assert!(stands(&[("host/a", 1), ("host/a", 10), ("operator/b", 20)]));
        assert!(!stands(&[("host/a", 9), ("operator/b", 20)]));
        assert!(!stands(&[("host/a", 10)]));
        assert!(!stands(&[("host/a", 10), ("viewer/b", 20)]));
        assert!(!stands(&[]));
        let shorter = revoked(&[("host/a", 9)]);
        let moved = moved_back(&known, &shorter).unwrap().to_string();
        assert!(moved.contains("host/a") && moved.contains("1970-01-01T00:00:09"), "{moved}");
    }
}
