//! Which boots speak with one host's certificate. One machine has one boot at a time: when an older one goes
//! on speaking although a newer one has been up meanwhile, there are two machines (A12, G15).
//!
//! ```text
//! heard    A        B        A        B
//! up       A━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
//!               B━━━━━━━━━━━━━━━━━━━━━━━━━      A was up after B had booted: cloned at the second A
//! ```
//!
//! A reboot does not look like that, nor a machine that was replaced: the older boot stays silent. Nor does
//! a heartbeat that was under way for long: it was sent before the newer boot began.
//!
//! Not here: what is done about it (the control plane's core), who is held (see [`crate::gates`]).

use wavegate_proto::ids::BootId;
use wavegate_proto::time::{Mono, Timestamp};

/// A heartbeat is on its way for so long at the most; nothing within that is an overlap.
const LATE_MILLIS: i64 = 30_000;

/// With only one of the boots heard for so many heartbeats, they are taken for one machine again …
const CLEARS_AFTER_HEARTBEATS: u64 = 5;

/// … but not before so many seconds.
const CLEARS_AFTER_SECS: u64 = 300;

/// A boot of which the host has been heard.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Boot {
    id: BootId,
    heard: Mono,
    uptime_secs: u64,
}

/// The boots of which a host has been heard lately: two at the most, the latest last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boots {
    heard: Vec<Boot>,
    cloned: Option<Box<Cloned>>,
}

/// Two machines use one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cloned {
    /// Since when that is known.
    pub since: Timestamp,
    /// The boots that were found side by side.
    pub boots: [BootId; 2],
}

/// What a heartbeat has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootNews {
    /// Nothing.
    Nothing,
    /// Two machines have been found.
    Cloned(Cloned),
    /// Only one of them has been heard for long enough.
    Cleared,
}

impl Boots {
    /// Two machines, if that is what they are taken for.
    #[must_use]
    pub fn cloned(&self) -> Option<Cloned> {
        self.cloned.as_deref().copied()
    }

    /// Takes a heartbeat of the boot `id`, whose machine has been up for `uptime_secs`.
    pub fn hear(
        &mut self,
        (wall, now): (Timestamp, Mono),
        id: BootId,
        uptime_secs: u64,
        heartbeat_secs: u64,
    ) -> BootNews {
        let patience = heartbeat_secs.saturating_mul(CLEARS_AFTER_HEARTBEATS);
        let patience = patience.max(CLEARS_AFTER_SECS);
        self.heard.retain(|boot| boot.id == id || now.secs_since(boot.heard) <= patience);
        let overlap = self.overlap(now, id, uptime_secs);
        self.heard.retain(|boot| boot.id != id);
        if self.heard.len() > 1 {
            self.heard.remove(0);
        }
        self.heard.reserve_exact(1);
        self.heard.push(Boot { id, heard: now, uptime_secs });
        match (self.cloned(), overlap) {
            (None, Some(other)) => {
                let cloned = Cloned { since: wall, boots: [other, id] };
                self.cloned = Some(Box::new(cloned));
                BootNews::Cloned(cloned)
            }
            (Some(_), _) if self.heard.len() < 2 => {
                self.cloned = None;
                BootNews::Cleared
            }
            (Some(_) | None, _) => BootNews::Nothing,
        }
    }

    /// The newer boot that was up already when `id`, heard before it, sent this.
    fn overlap(&self, now: Mono, id: BootId, uptime_secs: u64) -> Option<BootId> {
        let other = self.heard.last().filter(|other| other.id != id)?;
        let known = self.heard.iter().find(|known| known.id == id)?;
        // That the older one was up while the newer one is goes without saying.
        if other.booted_millis() < known.booted_millis() {
            return None;
        }
        // When it was sent: by its own uptime since it was heard before.
        let ran_secs = uptime_secs.checked_sub(known.uptime_secs)?;
        let sent = known.heard.plus_secs(ran_secs).min(now);
        (signed(sent.millis()) > other.booted_millis() + LATE_MILLIS).then_some(other.id)
    }
}

impl Boot {
    /// When its machine was booted, in milliseconds of the process's clock: before 0 as a rule.
    fn booted_millis(&self) -> i64 {
        signed(self.heard.millis()) - signed(self.uptime_secs.saturating_mul(1000))
    }
}

/// Far below what does not fit: a clock that has run for centuries, an uptime that a host made up.
fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_id(number: u8) -> BootId {
        format!("00000000-0000-0000-0000-0000000000{number:02}").parse().unwrap()
    }

    /// Hears boots at seconds since the start of the process, each with when its machine was booted (which
    /// may be before that). Says at which of them what was found.
    fn found(heartbeats: &[(u64, u8, i64)]) -> Vec<(u64, &'static str)> {
        let mut boots = Boots::default();
        let mut found = Vec::new();
        for (at, boot, booted) in heartbeats {
            let uptime = u64::try_from(i64::try_from(*at).unwrap() - booted).unwrap();
            let now = (Timestamp::default().plus_secs(*at), Mono::from_millis(at * 1000));
            match boots.hear(now, boot_id(*boot), uptime, 60) {
                BootNews::Nothing => {}
                BootNews::Cloned(cloned) => {
                    assert_eq!(boots.cloned(), Some(cloned));
                    found.push((*at, "cloned"));
                }
                BootNews::Cleared => found.push((*at, "cleared")),
            }
        }
        found
    }

    /// A12: two machines with one key.
    #[test]
    fn a12_two_boots_that_alternate_are_two_machines() {
        assert_eq!(found(&[(0, 1, -900), (10, 2, -50), (60, 1, -900)]), [(60, "cloned")]);
        let both = [(0, 1, -900), (10, 2, -50), (60, 1, -900), (70, 2, -50), (120, 1, -900)];
        assert_eq!(found(&both), [(60, "cloned")]);
    }

    #[test]
    fn g15_clones_that_have_just_booted_are_found_once_both_must_have_been_up() {
        let both = [(10, 1, 0), (12, 2, 5), (30, 1, 0), (32, 2, 5), (50, 1, 0)];
        assert_eq!(found(&both), [(50, "cloned")]);
    }

    /// What was sent up to half a minute after the newer boot began may just have been under way.
    #[test]
    fn g15_an_overlap_is_longer_than_a_heartbeat_is_under_way() {
        assert!(found(&[(0, 1, -900), (25, 2, 20), (50, 1, -900)]).is_empty());
        assert_eq!(found(&[(0, 1, -900), (25, 2, 20), (51, 1, -900)]), [(51, "cloned")]);
    }

    #[test]
    fn a_reboot_and_a_machine_that_was_replaced_are_no_clones() {
        assert!(found(&[(0, 1, -900), (60, 1, -900), (120, 2, 90), (180, 2, 90)]).is_empty());
        // Another machine, up for days, goes on with the certificate.
        assert!(found(&[(0, 1, -900), (60, 2, -90_000), (120, 2, -90_000)]).is_empty());
        // Many reboots in a row.
        assert!(found(&[(0, 1, -9), (60, 2, 50), (120, 3, 110), (180, 4, 170)]).is_empty());
    }

    /// The last heartbeat before the reboot arrives after the first one of the new boot: it was sent with
    /// 25 more seconds of uptime than the one before, and boot 2 began later.
    #[test]
    fn a_heartbeat_from_before_the_reboot_that_comes_late_is_no_clone() {
        let mut boots = Boots::default();
        let at = |secs: u64| (Timestamp::default(), Mono::from_millis(secs * 1000));
        assert_eq!(boots.hear(at(0), boot_id(1), 900, 60), BootNews::Nothing);
        assert_eq!(boots.hear(at(50), boot_id(2), 10, 60), BootNews::Nothing);
        assert_eq!(boots.hear(at(52), boot_id(1), 925, 60), BootNews::Nothing);
        assert_eq!(boots.hear(at(110), boot_id(2), 70, 60), BootNews::Nothing);
        assert_eq!(boots.cloned(), None);
    }

    #[test]
    fn with_one_of_them_silent_for_long_enough_they_are_one_again() {
        let mut heard = vec![(0, 1, -900), (10, 2, -900), (60, 1, -900)];
        heard.extend((2..12).map(|n| (n * 60, 1, -900)));
        assert_eq!(found(&heard), [(60, "cloned"), (360, "cleared")]);
        // It comes back: found again.
        heard.extend([(730, 2, -900), (780, 1, -900)]);
        assert_eq!(found(&heard).last(), Some(&(780, "cloned")));
    }
}
