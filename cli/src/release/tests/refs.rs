//! What opens a rollout and what does not (E9).

use super::*;

const OTHERS: &str = "[channels.edge]\nrollout_policy = \"at-once\"\nbundle = \"app.toml\"\n\
    [rollout_policies.at-once]\nwaves = [ { name = \"all\", hosts = \"all\", soak = \"0s\" } ]\n\
    [hosts.edge-1]\nchannel = \"edge\"\n[hosts.edge-2]\nchannel = \"edge\"\n";

fn rollouts(text: &str, first: &BuiltRelease) -> String {
    let options = BuildOptions {
        previous: Some(previous(first)),
        signed_at: at("2026-11-22T09:00:00Z"),
        ..BuildOptions::default()
    };
    let release = build(&file(text).unwrap_or_else(|e| panic!("{e}")), &options).unwrap();
    release.rollouts.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

const KEPT: &str = "edge@r1 stable@r1";
const STABLE: &str = "edge@r1 stable@r2";
const BOTH: &str = "edge@r2 stable@r2";

/// What is changed, the file after it, and the rollouts that come out.
type Case = (&'static str, String, &'static str);

fn of_the_fleet(text: &str) -> Vec<Case> {
    let add = |more: &str| format!("{text}{more}");
    let key = PrivateKey::from_seed([3; 32]).public_key();
    vec![
        ("nothing", text.to_owned(), KEPT),
        ("a comment", add("# hello\n"), KEPT),
        (
            "freshness",
            text.replace("[channels.stable]", "[channels.stable]\nfreshness_window = \"2h\""),
            KEPT,
        ),
        ("a tag that moves nobody", text.replace("[\"db\"]", "[\"db\", \"new\"]"), KEPT),
        (
            "another name of the policy",
            text.replace("canary\"\nbundle", "slow\"\nbundle")
                .replace("policies.canary", "policies.slow"),
            KEPT,
        ),
        (
            "a host's own key",
            text.replacen(
                "channel = \"stable\"\ntags = [\"db\"]",
                &format!("channel = \"stable\"\ntags = [\"db\"]\npublic_key = \"{key}\""),
                1,
            ),
            KEPT,
        ),
        ("an order of channels", add(&order("edge", "stable")), KEPT),
        (
            "a revocation",
            add("[[revoked]]\nsubject = \"host/web-01\"\nnot_before = 2026-11-21T09:00:00Z\n"),
            KEPT,
        ),
        (
            "a budget of the other channel",
            add(
                "[[disruption_budgets]]\nid = \"b\"\nhosts = { channel = \"edge\" }\nmax_in_flight = 1\n",
            ),
            "edge@r2 stable@r1",
        ),
    ]
}

fn of_hosts(text: &str) -> Vec<Case> {
    let add = |more: &str| format!("{text}{more}");
    vec![
        ("what a host runs", runs(text, "web-02", "new.toml"), STABLE),
        (
            "a health check",
            add(
                "[[hosts.web-02.health_checks]]\nname = \"up\"\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n",
            ),
            STABLE,
        ),
        (
            "a pin",
            add(
                "[pins.web-02]\nbundle = \"new.toml\"\nuntil = 2026-12-24T00:00:00Z\nreason = \"r\"\n",
            ),
            STABLE,
        ),
        (
            "a pin to what it runs anyway",
            add(
                "[pins.web-02]\nbundle = \"app.toml\"\nuntil = 2026-12-24T00:00:00Z\nreason = \"r\"\n",
            ),
            KEPT,
        ),
        ("one host more", add("[hosts.web-03]\nchannel = \"stable\"\n"), STABLE),
        (
            "one host less",
            text.replace("[hosts.db-1]\nchannel = \"stable\"\ntags = [\"db\"]\n", ""),
            STABLE,
        ),
        ("a host in another wave", text.replace("[\"db\"]", "[\"db\", \"canary\"]"), STABLE),
        (
            "a host on another channel",
            text.replace(
                "[hosts.edge-2]\nchannel = \"edge\"",
                "[hosts.edge-2]\nchannel = \"stable\"",
            ),
            BOTH,
        ),
        ("a host edge", add(&edge("db-1", "web-02")), STABLE),
        ("a budget of all", add(&format!("{BUDGET}max_in_flight = 1\n")), BOTH),
    ]
}

fn of_the_policy(text: &str) -> Vec<Case> {
    let policy = |key: &str| text.replacen("waves = [", &format!("{key}\nwaves = ["), 1);
    vec![
        ("a soak", text.replace("\"30m\"", "\"31m\""), STABLE),
        ("the name of a wave", text.replace("name = \"rest\"", "name = \"others\""), STABLE),
        (
            "an approval",
            text.replace("soak = \"30m\"", "soak = \"30m\", requires_approval = true"),
            STABLE,
        ),
        (
            "a window",
            policy(
                "windows = [{ tz = \"UTC\", days = [\"mon\"], start = \"22:00\", end = \"04:00\" }]",
            ),
            STABLE,
        ),
        ("on_health_failure", policy("on_health_failure = \"halt\""), STABLE),
        ("failure_threshold", policy("failure_threshold = \"61s\""), STABLE),
        ("activation_timeout", policy("activation_timeout = \"16m\""), STABLE),
        ("dispatch_timeout", policy("dispatch_timeout = \"6m\""), STABLE),
        ("await_timeout", policy("await_timeout = \"2h\""), STABLE),
        ("max_failures", policy("max_failures = \"5%\""), STABLE),
        ("max_infra_failures", policy("max_infra_failures = 1"), STABLE),
        ("infra_retries", policy("infra_retries = 4"), STABLE),
        ("offline_after", policy("offline_after = \"4m\""), STABLE),
        ("skip_offline_after", policy("skip_offline_after = false"), STABLE),
        ("max_dispatch_per_minute", policy("max_dispatch_per_minute = 100"), STABLE),
        ("a default that is written out", policy("infra_retries = 3"), KEPT),
    ]
}

#[test]
fn e9_only_a_change_of_its_own_hosts_or_policy_gives_a_channel_a_new_ref() {
    let text = format!("{BASE}{OTHERS}");
    let first = built(&text);
    let cases = [of_the_fleet(&text), of_hosts(&text), of_the_policy(&text)];
    for (case, changed, expected) in cases.into_iter().flatten() {
        assert!(case == "nothing" || changed != text, "{case}: nothing was changed");
        assert_eq!(rollouts(&changed, &first), expected, "{case}");
    }
}

/// G22 at build time: what is put back to what it was before gets a new ref all the same.
#[test]
fn g22_going_back_by_hand_takes_a_new_ref() {
    let text = format!("{BASE}{OTHERS}");
    let first = built(&text);
    let changed = runs(&text, "web-02", "new.toml");
    let options =
        |before: &BuiltRelease| BuildOptions { previous: Some(previous(before)), ..options() };
    let second = build(&file(&changed).unwrap(), &options(&first)).unwrap();
    let third = build(&file(&text).unwrap(), &options(&second)).unwrap();
    assert_eq!(
        third.rollouts.keys().map(ToString::to_string).collect::<Vec<_>>(),
        ["edge@r1", "stable@r3"]
    );
}

/// E16: limits of hosts are resolved where they count, at the sizes where rounding surprises.
#[test]
fn e16_limits_are_signed_as_they_were_written() {
    let limits = |key: &str| {
        let policy =
            header(&built(&BASE.replace("waves = [", &format!("{key}\nwaves = ["))), "stable@r1")
                .policy;
        let of = |hosts: u64| policy.max_failures.of(hosts);
        [1, 2, 3, 99, 100, 101].map(of)
    };
    assert_eq!(limits("max_failures = \"1%\""), [0, 0, 0, 0, 1, 1]);
    assert_eq!(limits("max_failures = \"50%\""), [0, 1, 1, 49, 50, 50]);
    assert_eq!(limits("max_failures = \"100%\""), [1, 2, 3, 99, 100, 101]);
    assert_eq!(limits("max_failures = 2"), [2; 6]);
}

/// S4: what the release before revokes stays revoked, and not from an earlier time on.
#[test]
fn s4_a_release_that_revokes_less_than_the_one_before_is_not_built() {
    let revoked = |not_before: &str| {
        format!("{BASE}[[revoked]]\nsubject = \"host/web-01\"\nnot_before = {not_before}\n")
    };
    let first = built(&revoked("2026-11-21T09:00:00Z"));
    let next = |text: &str| {
        let options = BuildOptions {
            previous: Some(previous(&first)),
            signed_at: at("2026-11-22T09:00:00Z"),
            ..BuildOptions::default()
        };
        let file = file(text).unwrap_or_else(|e| panic!("{e}"));
        build(&file, &options).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(next(&revoked("2026-11-21T09:00:00Z")), Ok(()));
    assert_eq!(next(&revoked("2026-11-22T09:00:00Z")), Ok(()));
    for text in [BASE.to_owned(), revoked("2026-11-20T09:00:00Z")] {
        let error = next(&text).unwrap_err();
        assert!(error.contains("revocation-moved-back: host/web-01"), "{error}");
    }
}
