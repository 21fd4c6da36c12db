//! What is told of two releases.

use super::super::diff::ReleaseDiff;
use super::*;
use crate::show;

/// What a release folder says of it.
pub(super) fn read(release: &BuiltRelease) -> wavegate_proto::artifact::release::Release {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("r");
    write_dir(release, &out).unwrap();
    unsigned::read(&out).unwrap()
}

fn next(text: &str, before: &BuiltRelease) -> BuiltRelease {
    let options = BuildOptions {
        previous: Some(previous(before)),
        signed_at: at("2026-11-22T09:00:00Z"),
        ..BuildOptions::default()
    };
    build(&file(text).unwrap_or_else(|e| panic!("{e}")), &options).unwrap()
}

#[test]
fn a_release_that_was_only_signed_again_has_no_difference() {
    let first = built(BASE);
    let diff = ReleaseDiff::between(&read(&first), &read(&next(BASE, &first)));
    assert!(diff.is_empty());
    assert_eq!(show::diff::releases(&diff, false), "release 1 -> 2 of fleet demo\nno difference\n");
}

#[test]
fn every_kind_of_change_is_told() {
    let first_text = format!("{BASE}{EDGE}[hosts.edge-2]\nchannel = \"edge\"\n");
    let first = built(&first_text);
    let text = runs(&first_text, "db-1", "new.toml")
        .replace("[hosts.edge-2]\nchannel = \"edge\"", "[hosts.edge-2]\nchannel = \"stable\"")
        .replace("[hosts.web-01]\nchannel = \"stable\"\ntags = [\"web\", \"canary\"]\n", "")
        .replace("[\"web\"]", "[\"web\", \"canary\"]")
        .replace("soak = \"30m\"", "soak = \"1h\"")
        .replace("soak = \"5m\"", "soak = \"5m\", requires_approval = true")
        .replacen("waves = [", "max_failures = \"5%\"\nwaves = [", 1);
    let text = format!(
        "{text}[hosts.web-03]\nchannel = \"stable\"\n[hosts.web-04]\nchannel = \"stable\"\n{}{}{}\
         [[revoked]]\nsubject = \"host/web-01\"\nnot_before = 2026-11-21T09:00:00Z\nreason = \"sold\"\n\
         [[disruption_budgets]]\nid = \"b\"\nhosts = {{ hosts = [\"db-1\"] }}\nmax_in_flight = 1\n",
        edge("web-02", "db-1"),
        order("edge", "stable"),
        "[channels.spare]\nrollout_policy = \"canary\"\n",
    );
    let second = next(&text, &first);
    let (old, new) = (read(&first), read(&second));
    let diff = ReleaseDiff::between(&old, &new);
    insta::assert_snapshot!(show::diff::releases(&diff, false), @r"
    release 1 -> 2 of fleet demo
    ~ channel edge: ref r1 -> r2
    + channel spare: freshness_window_secs 86400; ref r2; rollout_policy canary
    ~ channel stable: max_failures 0 -> 5%; ref r1 -> r2
    ~ wave stable/canary: soak_secs 1800 -> 3600
    ~ wave stable/rest: requires_approval false -> true
    + budget b: max_in_flight on stable 1
    + channel edge before stable
    ~ host db-1: after none -> web-02; budgets none -> b; closure sha256:cc1a21697b18 -> sha256:2a9b2cabeb95
    ~ host edge-2: channel edge -> stable; wave all -> rest
    - host web-01: channel stable; closure sha256:cc1a21697b18; tags canary, web; wave canary
    ~ host web-02: tags web -> canary, web; wave rest -> canary
    + host web-03, web-04: channel stable; closure sha256:cc1a21697b18; wave rest
    + revoked host/web-01: not_before 2026-11-21T09:00:00.000Z; reason sold
    opens edge@r2
    opens stable@r2
    ");
    let json = serde_json::to_value(&diff).unwrap();
    assert_eq!(json["opens"], serde_json::json!(["edge@r2", "stable@r2"]));
    assert_eq!(json["old"]["serial"], 1);
    let change = |name: &str| {
        let mut all = json["changes"].as_array().unwrap().iter();
        all.find(|change| change["name"] == name).unwrap().clone()
    };
    assert_eq!(change("web-01")["kind"], "removed");
    assert_eq!(change("stable/canary")["section"], "wave");
    assert_eq!(
        change("stable/canary")["values"],
        serde_json::json!([{ "key": "soak_secs", "old": 1800, "new": 3600 }])
    );
    // The other way round, what was added is removed.
    let back = ReleaseDiff::between(&new, &old);
    assert_eq!(back.changes.len(), diff.changes.len());
}

#[test]
fn hosts_to_which_the_same_happened_share_a_line() {
    let many = |bundle: &str| {
        let mut text = BASE.replace("app.toml", bundle);
        for host in 10..40 {
            text.push_str(&format!("[hosts.web-{host}]\nchannel = \"stable\"\n"));
        }
        built(&text)
    };
    let diff = ReleaseDiff::between(&read(&many("app.toml")), &read(&many("new.toml")));
    let text = show::diff::releases(&diff, false);
    assert!(text.contains("web-16 and 23 more: closure sha256:"), "{text}");
    assert!(text.contains("has other content under the same ref"), "{text}");
    let all = show::diff::releases(&diff, true);
    assert!(all.contains("web-39: closure sha256:"), "{all}");
    assert_eq!((text.lines().count(), all.lines().count()), (3, 3));
}
