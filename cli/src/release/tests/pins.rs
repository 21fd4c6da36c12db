//! Hosts that are pinned for a while.

use super::*;

/// The tests build at nine on 21 November 2026.
fn pin(until: &str) -> String {
    format!("{BASE}[pins.web-02]\nbundle = \"new.toml\"\nuntil = {until}\nreason = \"disk test\"\n")
}

#[test]
fn a_pinned_host_runs_what_its_pin_says_and_everybody_is_told() {
    let release = built(&pin("2026-11-21T09:00:01Z"));
    let report =
        |host: &str| release.report.hosts.iter().find(|h| h.host.as_str() == host).unwrap().clone();
    assert_eq!(report("web-02").from, "pins.web-02");
    assert_eq!(report("web-02").pin.unwrap().reason, "disk test");
    assert_eq!(report("web-01").from, "channels.stable");
    assert_eq!(report("web-01").pin, None);
    assert_ne!(report("web-01").closure, report("web-02").closure);
    assert_eq!(
        release.report.warnings,
        ["host web-02 is pinned until 2026-11-21T09:00:01.000Z: disk test"]
    );
    let store = "closure = \"/nix/store/00000000000000000000000000000000-a\"";
    let text = pin("2026-12-24T00:00:00Z").replace("bundle = \"new.toml\"", store);
    assert!(built(&text).report.hosts.iter().any(|host| host.closure.blob().is_none()));
}

#[test]
fn a_pin_that_cannot_count_is_an_error() {
    let good = pin("2026-12-24T00:00:00Z");
    built(&good);
    for (from, to, expected) in [
        (
            "2026-12-24T00:00:00Z",
            "2026-11-21T09:00:00Z",
            "fleet.toml:20: the pin of host web-02 has expired at 2026-11-21T09:00:00.000Z\n  \
             hint: take it out, or write a later `until`",
        ),
        ("2026-12-24T00:00:00Z", "2027-11-23T09:00:00Z", "ends in more than a year"),
        ("2026-12-24T00:00:00Z", "2026-12-24", "fleet.toml:20: 2026-12-24 is not a time in UTC"),
        ("[pins.web-02]", "[pins.web-03]", "a pin of unknown host `web-03`\n  hint: did you mean"),
        ("reason = \"disk test\"", "reason = \" \"", "needs a reason of 1 to 500 characters"),
        ("reason = \"disk test\"", "", "fleet.toml:18: missing field `reason`"),
        ("bundle = \"new.toml\"\nuntil", "until", "a pin needs a `bundle` or a `closure`"),
        (
            "bundle = \"new.toml\"\nuntil",
            "bundle = \"new.toml\"\nclosure = \"/nix/store/00000000000000000000000000000000-a\"\nuntil",
            "fleet.toml:18: pins.web-02: give either `bundle` or `closure`",
        ),
        ("new.toml", "gone.toml", "fleet.toml:19: bundle \"gone.toml\" cannot be read"),
        ("until = ", "untill = ", "unknown key `untill`\n  hint: did you mean `until`?"),
    ] {
        let found = complaint(&good.replace(from, to));
        assert!(found.contains(expected), "{to}\nexpected {expected}\nfound {found}");
    }
}
