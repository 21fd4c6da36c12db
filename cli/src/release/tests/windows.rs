//! Maintenance windows in `fleet.toml`, and their openings.

use super::*;

fn with(window: &str) -> String {
    BASE.replace("waves = [", &format!("windows = [{window}]\nwaves = ["))
}

const NIGHT: &str =
    "{ tz = \"Europe/Berlin\", days = [\"sat\", \"mon\"], start = \"22:00\", end = \"04:00\" }";

/// O5 and O8: a window that would never come is refused where it is written.
#[test]
fn o5_o8_windows_that_would_never_come_are_refused_with_their_line() {
    built(&with(NIGHT));
    for (from, to, expected) in [
        (
            "Europe/Berlin",
            "Europe/Berlni",
            "fleet.toml:7: unknown value `Europe/Berlni`\n  hint: did you mean `Europe/Berlin`?",
        ),
        ("Europe/Berlin", "", "fleet.toml:7: unknown value ``"),
        ("\"sat\", \"mon\"", "\"mo\"", "unknown value `mo`\n  hint: did you mean `mon`?"),
        ("\"sat\", \"mon\"", "", "fleet.toml:7: a window needs at least one day"),
        ("\"sat\", \"mon\"", "\"sat\", \"sat\"", "fleet.toml:7: day sat is there twice"),
        ("22:00", "25:00", "fleet.toml:7: not a time of day: \"25:00\""),
        ("04:00", "4:00", "not a time of day"),
        ("start", "begin", "fleet.toml:7: unknown key `begin`"),
        (", end = \"04:00\"", "", "missing field `end`"),
    ] {
        let found = complaint(&with(&NIGHT.replace(from, to)));
        assert!(found.contains(expected), "{to}\nexpected {expected}\nfound {found}");
    }
    let many = vec![NIGHT; 101].join(", ");
    assert!(complaint(&with(&many)).contains("windows: 101, at most 100"));
}

#[test]
fn a_window_shorter_than_an_activation_may_take_is_warned_of() {
    let patient = "[channels.stable]\nfreshness_window = \"8d\"";
    let warnings =
        |window: &str| built(&with(window).replace("[channels.stable]", patient)).report.warnings;
    assert_eq!(warnings(NIGHT), [""; 0]);
    // Fifteen minutes are exactly enough.
    let utc = |start: &str, end: &str| {
        format!("{{ tz = \"UTC\", days = [\"mon\"], start = \"{start}\", end = \"{end}\" }}")
    };
    assert_eq!(warnings(&utc("22:00", "22:15")), [""; 0]);
    assert_eq!(
        warnings(&utc("22:00", "22:14")),
        [
            "rollout policy canary: the maintenance window that opens at 2026-11-23T22:00:00.000Z is 14 \
          min long, shorter than activation_timeout (900 s): what begins in it may go on after it"
        ]
    );
    // Two that follow each other are one.
    assert_eq!(warnings(&format!("{}, {}", utc("22:00", "22:10"), utc("22:10", "22:20"))), [""; 0]);
    // Short on one day of the year only: clocks jump over most of it.
    let spring = "{ tz = \"Europe/Berlin\", days = [\"sun\"], start = \"02:10\", end = \"03:10\" }";
    let found = warnings(spring);
    assert!(found[0].contains("2027-03-28T01:00:00.000Z is 10 min long"), "{found:?}");
}

/// O8: a release that goes stale before its window opens would wait for a window that never comes.
#[test]
fn o8_a_release_that_goes_stale_before_its_window_opens_is_warned_of() {
    // Signed on a Saturday at nine; fresh for a day.
    let warnings = |day: &str, start: &str| {
        let window =
            format!("{{ tz = \"UTC\", days = [\"{day}\"], start = \"{start}\", end = \"23:00\" }}");
        built(&with(&window)).report.warnings
    };
    assert_eq!(warnings("sat", "08:00"), [""; 0], "open now");
    assert_eq!(warnings("sun", "09:00"), [""; 0], "still fresh");
    assert_eq!(
        warnings("sun", "09:01"),
        [
            "channel stable: the next maintenance window opens at 2026-11-22T09:01:00.000Z, but this \
          release is fresh until 2026-11-22T09:00:00.000Z only: sign one again before, or lengthen \
          freshness_window"
        ]
    );
}

#[test]
fn the_next_openings_of_a_host_are_told() {
    let release = built(&with(NIGHT));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("r");
    write_dir(&release, &dir).unwrap();
    let release = unsigned::read(&dir).unwrap();
    let from = at("2026-11-21T09:00:00Z");
    let of = |host: &str| super::super::windows::of_host(&release, &host.parse().unwrap(), from, 3);
    insta::assert_snapshot!(crate::show::windows::of_host(&of("db-1").unwrap()), @r"
    db-1 under stable@r1: sat, mon 22:00-04:00 Europe/Berlin
    OPENS                     CLOSES                    OPENS IN Europe/Berlin  CLOSES IN Europe/Berlin
    2026-11-21T21:00:00.000Z  2026-11-22T03:00:00.000Z  2026-11-21 22:00        2026-11-22 04:00
    2026-11-23T21:00:00.000Z  2026-11-24T03:00:00.000Z  2026-11-23 22:00        2026-11-24 04:00
    2026-11-28T21:00:00.000Z  2026-11-29T03:00:00.000Z  2026-11-28 22:00        2026-11-29 04:00
    ");
    assert!(of("db-2").is_none());
    let always = built(BASE);
    let dir = folder.path().join("always");
    write_dir(&always, &dir).unwrap();
    let always = unsigned::read(&dir).unwrap();
    let found = super::super::windows::of_host(&always, &"db-1".parse().unwrap(), from, 3).unwrap();
    assert_eq!(found.openings.len(), 0);
    assert_eq!(
        crate::show::windows::of_host(&found),
        "db-1 has no maintenance windows in stable@r1: any time will do\n"
    );
}
