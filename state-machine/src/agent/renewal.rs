//! When a host asks for its next certificate: after two thirds of its life and a random bit, so that hosts
//! that joined together do not renew together.
//!
//! Not here: asking, and what to do when that fails (the shell).

use wavegate_proto::time::Timestamp;

/// The life of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateLife {
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// A random share of a tenth of the life, in thousandths of it: 0 to 1000. Chosen once a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(u16);

/// What to do about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalStep {
    /// Nothing until then.
    Wait {
        /// When it is due.
        until: Timestamp,
    },
    /// Ask for the next one, by this one.
    Renew,
    /// Ask for the next one by the key alone: this one has ended.
    RenewExpired,
}

impl Jitter {
    /// Of a random number; only its remainder counts.
    #[must_use]
    pub fn of(random: u64) -> Self {
        Self(u16::try_from(random % 1001).unwrap_or(0))
    }
}

/// What to do about a certificate at `now`. `held_secs`, for one that was fetched by this process: how long
/// it has been held, on the clock that nobody sets. A wall clock that is wrong then makes nobody renew all
/// the time, or never.
#[must_use]
pub fn renewal_step(
    life: CertificateLife,
    jitter: Jitter,
    now: Timestamp,
    held_secs: Option<u64>,
) -> RenewalStep {
    let (from, to) = (life.not_before.unix_millis(), life.not_after.unix_millis());
    let length = to.saturating_sub(from).max(0);
    let held = held_secs.map(|secs| i64::try_from(secs).unwrap_or(i64::MAX).saturating_mul(1000));
    if let Some(left) = held.map(|held| length / 2 - held).filter(|left| *left > 0) {
        let until = now.unix_millis().saturating_add(left);
        return RenewalStep::Wait { until: Timestamp::from_unix_millis(until) };
    }
    // By its own clock the host may still be in a time before all this.
    let now = now.unix_millis().max(from.saturating_add(held.unwrap_or(0)));
    if now >= to {
        return RenewalStep::RenewExpired;
    }
    let random = length / 10_000 * i64::from(jitter.0);
    let due = from.saturating_add(length / 3 * 2).saturating_add(random).min(to);
    if now >= due {
        return RenewalStep::Renew;
    }
    RenewalStep::Wait { until: Timestamp::from_unix_millis(due) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn at(secs: u64) -> Timestamp {
        Timestamp::default().plus_secs(secs)
    }

    fn step(jitter: u64, now_secs: u64) -> RenewalStep {
        let life = CertificateLife { not_before: at(0), not_after: at(30 * DAY) };
        renewal_step(life, Jitter::of(jitter), at(now_secs), None)
    }

    #[test]
    fn it_is_due_between_two_thirds_and_a_tenth_more() {
        assert_eq!(step(0, 0), RenewalStep::Wait { until: at(20 * DAY) });
        assert_eq!(step(0, 20 * DAY - 1), RenewalStep::Wait { until: at(20 * DAY) });
        assert_eq!(step(0, 20 * DAY), RenewalStep::Renew);
        assert_eq!(step(500, 20 * DAY), RenewalStep::Wait { until: at(21 * DAY + DAY / 2) });
        assert_eq!(step(1000, 23 * DAY - 1), RenewalStep::Wait { until: at(23 * DAY) });
        assert_eq!(step(1000, 23 * DAY), RenewalStep::Renew);
        assert_eq!(step(1001, 20 * DAY), RenewalStep::Renew, "only the remainder counts");
    }

    #[test]
    fn at_its_end_it_is_renewed_by_the_key() {
        assert_eq!(step(1000, 30 * DAY - 1), RenewalStep::Renew);
        assert_eq!(step(1000, 30 * DAY), RenewalStep::RenewExpired);
    }

    #[test]
    fn a_clock_that_is_years_off_makes_it_neither_renew_all_the_time_nor_never() {
        let from = 1000 * DAY;
        let life = CertificateLife { not_before: at(from), not_after: at(from + 30 * DAY) };
        let step = |now_days: u64, held_days: u64| {
            renewal_step(life, Jitter::of(0), at(now_days * DAY), Some(held_days * DAY))
        };
        for (years_off, at_last) in [(270, RenewalStep::Renew), (1730, RenewalStep::RenewExpired)] {
            assert!(matches!(step(years_off, 0), RenewalStep::Wait { .. }));
            assert!(matches!(step(years_off + 14, 14), RenewalStep::Wait { .. }));
            // Half of its life: its own clock alone counts from here on.
            let until = at(from + 20 * DAY);
            let expected = if years_off < 1000 { RenewalStep::Wait { until } } else { at_last };
            assert_eq!(step(years_off + 15, 15), expected);
            assert_eq!(step(years_off + 20, 20), at_last);
        }
        assert_eq!(step(270 + 30, 30), RenewalStep::RenewExpired);
    }

    #[test]
    fn a_life_that_makes_no_sense_waits_for_nothing() {
        let upside_down = CertificateLife { not_before: at(DAY), not_after: at(0) };
        let step = |held_secs| renewal_step(upside_down, Jitter::of(7), at(0), held_secs);
        assert_eq!(
            (step(None), step(Some(0))),
            (RenewalStep::RenewExpired, RenewalStep::RenewExpired)
        );
    }
}
