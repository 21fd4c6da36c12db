//! Arithmetic with the two clocks, to the millisecond, and texts that people or logs read.
//!
//! Not here: how times are written (see `time`).
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use wavegate_proto::artifact::release_dir;
use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::ids::{BlobId, ClosureId, HostName, LogSeq, RolloutId, Sha256Hash};
use wavegate_proto::log_chain::LogFinding;
use wavegate_proto::signing::PrivateKey;
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::time_floor::{CLOCK_TOLERANCE_SECS, TimeFloor};
use wavegate_proto::wire::enroll::TokenText;
use wavegate_proto::wire::forecast::Basis;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

#[test]
fn wall_clock_times() {
    let nine = at(9_999);
    assert_eq!(nine.truncated_to_secs(), at(9_000));
    assert_eq!((nine.plus_secs(7), nine.plus(Duration::from_millis(2))), (at(16_999), at(10_001)));
    for (later, earlier, secs) in
        [(9_999, 0, 9), (10_000, 0, 10), (0, 1, -1), (0, 5_000, -5), (5_000, 3_000, 2)]
    {
        assert_eq!(at(later).secs_since(at(earlier)), secs, "{later} since {earlier}");
    }
}

#[test]
fn monotonic_times() {
    let mono = Mono::from_millis;
    assert_eq!((mono(5).plus_secs(2), mono(5).plus_millis(2)), (mono(2005), mono(7)));
    for (later, earlier, millis) in [(9_999, 0, 9_999), (7_500, 3_000, 4_500), (3, 5, 0)] {
        assert_eq!(mono(later).millis_since(mono(earlier)), millis);
        assert_eq!(mono(later).secs_since(mono(earlier)), millis / 1000);
    }
    let now = Now { wall: at(100_000), mono: mono(10_000) };
    for (reading, wall) in [(10_000, 100_000), (12_500, 102_500), (7_500, 97_500)] {
        assert_eq!(now.wall_at(mono(reading)), at(wall), "{reading}");
    }
    for (wall, reading) in [(100_000, 10_000), (102_500, 12_500), (97_500, 10_000)] {
        assert_eq!(now.mono_at(at(wall)), mono(reading), "{wall}");
    }
}

/// Clocks that differ by as much as is tolerated agree, and by one second more do not.
#[test]
fn clocks_agree_up_to_the_tolerance() {
    let tolerated = i64::try_from(CLOCK_TOLERANCE_SECS).unwrap() * 1000;
    let base = 1_000_000_000;
    for (differ, agree) in [(0, true), (tolerated, true), (tolerated + 1000, false)] {
        assert_eq!(TimeFloor::default().compare(at(base), at(base + differ)), agree, "{differ}");
        let behind = TimeFloor::new(at(base)).behind_secs(at(base - differ));
        assert_eq!(behind.is_none(), agree, "{differ}");
    }
}

/// In logs an id reads as everywhere else; what is secret is not shown.
#[test]
fn s1_what_is_debugged_reads_as_what_is_written_and_secrets_do_not() {
    let blob = BlobId::of(b"x");
    let rollout: RolloutId = "stable@r1".parse().unwrap();
    let closure = ClosureId::Bundle(blob);
    let hash = Sha256Hash::of(b"x");
    let key = PrivateKey::from_seed([7; 32]);
    let public = key.public_key();
    assert_eq!(format!("{blob:?} {rollout:?}"), format!("{blob} {rollout}"));
    assert_eq!(format!("{closure:?} {hash:?}"), format!("{closure} {hash}"));
    assert_eq!(format!("{public:?}"), key.public_key_base64());
    assert_eq!(format!("{key:?}"), format!("PrivateKey({})", key.key_id()));
    assert_eq!(format!("{:?}", TokenText("secret".to_owned())), "TokenText(…)");
    assert_eq!(format!("{:?}", "a".parse::<HostName>().unwrap()), "\"a\"");
    let boot = "00000000-0000-4000-8000-000000000001";
    let id: wavegate_proto::ids::BootId = boot.parse().unwrap();
    assert_eq!((format!("{id:?}"), id.to_string()), (boot.to_owned(), boot.to_owned()));
    assert!("00000000000040008000000000000001".parse::<wavegate_proto::ids::BootId>().is_err());
}

#[test]
fn words_that_others_read() {
    let bases = [Basis::Rollout, Basis::Channel, Basis::Policy];
    assert_eq!(bases.map(Basis::as_str), ["rollout", "channel", "policy"]);
    assert_eq!(Basis::Channel.to_string(), "channel");
    assert_eq!(release_dir::trust(3), "trust/3.json");
    assert_eq!((RuleCode::Stale.to_string(), RuleCode::Stale.as_str()), ("stale".into(), "stale"));
    assert!(!RuleCode::Stale.title().is_empty());
    let seq = LogSeq(7);
    for finding in [
        LogFinding::Missing(seq),
        LogFinding::OutOfPlace(seq),
        LogFinding::Changed(seq),
        LogFinding::Unaccounted(seq),
    ] {
        assert_eq!(finding.seq(), seq, "{finding}");
    }
}
